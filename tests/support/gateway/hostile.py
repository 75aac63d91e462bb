# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bodies that are hard on whoever reads them, for tests and the bench."""

from __future__ import annotations

import contextlib
import json
import random
import socket
from collections.abc import Iterator

CHAT = "/v1/chat/completions"
SIZE = 31_000_000
# Each is long to look through in its own way.
WORST = {
    "lists": b'{"model":"qwen","x":[' + b"[]," * 10_000_000 + b"[]]}",
    "objects": b'{"model":"qwen","x":[' + b'{"a":1},' * 3_700_000 + b"1]}",
    "numbers": b'{"model":"qwen","input":[' + b"1," * 15_000_000 + b"1]}",
    "string": b'{"model":"qwen","x":"' + b"x" * 30_000_000 + b'"}',
    "escapes": b'{"model":"qwen","x":"' + b"\\u0041" * 5_000_000 + b'"}',
    "members": b'{"model":"qwen"' + b',"model":"qwen"' * 2_000_000 + b"}",
    "urls": b'{"model":"qwen","x":[' + b'{"a_curl":{"url":"data:"}},' * 1_100_000 + b"1]}",
}


# A form whose every part begins as if it named the model, again and again.
WORST_FORM = (
    b"".join(b"--b\r\n" + b"Content-Disposition: form-data;" * 120 + b"\r\n\r\nx\r\n" for _at in range(990))
    + b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nqwen\r\n--b--\r\n'
)


class Held:
    """Bodies that were begun and are not finished."""

    def __init__(self, host: str, port: int, number: int, key: str, size: int = SIZE) -> None:
        head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: {size}\r\n\r\n"
        begun = head.encode() + b'{"model":"qwen","x":"' + b"x" * (size - 100)
        self.sockets = []
        for _at in range(number):
            connection = socket.create_connection((host, port), timeout=30)
            self.sockets.append(connection)
            # Refused before it had all been sent.
            with contextlib.suppress(OSError):
                connection.sendall(begun)

    def refused(self) -> int:
        """How many have been told to come back."""
        number = 0
        for connection in self.sockets:
            connection.settimeout(0.2)
            with contextlib.suppress(OSError):
                number += connection.recv(64).startswith(b"HTTP/1.1 429")
        return number

    def drop(self) -> None:
        """Leave them all."""
        for connection in self.sockets:
            connection.close()


_WORDS = ("qwen", "yi", "nope", "", "model", "q\u0077en", "__proto__", "QWEN", "qwen ", "模型", "\ud800", "\\u0000")
_ODD_VALUES = (
    "1",
    "-0",
    "1e999",
    "1E+400",
    "-",
    "01",
    "1.",
    ".5",
    "tru",
    "true",
    "null",
    "nul",
    "NaN",
    "-Infinity",
    "0x10",
    "'a'",
    "undefined",
)


def _value(chance: random.Random, depth: int) -> str:
    kind = chance.randrange(8 if depth < 6 else 5)
    if kind < 2:
        return json.dumps(chance.choice(_WORDS), ensure_ascii=chance.random() < 0.5)
    if kind < 4:
        return chance.choice(_ODD_VALUES[:10] if chance.random() < 0.9 else _ODD_VALUES)
    if kind == 4:
        return (
            '"'
            + "".join(
                chance.choice(("a", '\\"', "\\\\", "\\/", "\\u0022", "{", "}", "]", ":", ",", "😀")) for _at in range(9)
            )
            + '"'
        )
    if kind == 5:
        return "[" + ",".join(_value(chance, depth + 1) for _at in range(chance.randrange(4))) + "]"
    return _object(chance, depth + 1)


def _name(chance: random.Random) -> str:
    name = chance.choice(("model", "model", "x", "models", "stream ", "Model", "__proto__"))
    if chance.random() < 0.3:
        at = chance.randrange(len(name))
        return f'"{name[:at]}\\u{ord(name[at]):04x}{name[at + 1 :]}"'
    return f'"{name}"'


def _object(chance: random.Random, depth: int) -> str:
    space = chance.choice(("", "", " ", "\n\t"))
    members = [f"{_name(chance)}{space}:{space}{_value(chance, depth)}" for _at in range(chance.randrange(5))]
    return "{" + f"{space},{space}".join(members) + "}"


def grown(number: int, seed: int) -> Iterator[bytes]:
    """Grow objects from a grammar that knows what parsers differ about, and cut, double or flip bytes of some."""
    chance = random.Random(seed)
    for _at in range(number):
        raw = bytearray(_object(chance, 0).encode("utf-8", "surrogatepass"))
        if chance.random() < 0.6:
            raw[-1:] = b"%s%s}" % (
                b"" if raw[-2:-1] == b"{" else b",",
                chance.choice((b'"model":"qwen"', b'"model":"yi"')),
            )
        mutation = chance.randrange(8)
        at = chance.randrange(len(raw))
        if mutation == 0:
            raw[at] = chance.randrange(256)
        elif mutation == 1:
            del raw[at:]
        elif mutation == 2:
            raw[at:at] = raw[at : at + chance.randrange(1, 9)]
        elif mutation == 3:
            raw[at:at] = bytes([chance.choice((0, 9, 10, 13, 32, 34, 92, 127, 255))])
        yield bytes(raw)
