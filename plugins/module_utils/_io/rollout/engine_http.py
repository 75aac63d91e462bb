# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP to an engine, on a port of loopback or on its socket: is it healthy, does it name its model and do its task, what is it at."""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import os
import re
import socket
import stat
import threading
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.listeners import is_foreign
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout import proofs
from ansible_collections.gpuserve.fleet.plugins.module_utils._io import listeners
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles

_FIGURE = re.compile(
    r"^vllm:(num_requests_running|num_requests_waiting|generation_tokens_total)(?:\{[^}]*\})?\s+(\S+)", re.M
)


# Figures of an engine take some 100 KiB; more is none of them.
LARGEST_ANSWER = 16 << 20


class Engine:
    """One engine's endpoints. Every transport error reads as "not yet".

    `where` is a port, or the path of a socket. A port is no identity: where it is another account's process that listens on it, nothing
    is asked and no key sent.
    """

    def __init__(self, where: int | str, model: str, api_key: str = "") -> None:
        self._where = where
        self._model = model
        self._headers: dict[str, str] = {}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"

    def health(self) -> int | None:
        """The status of /health; None while nothing answers."""
        answer = self._ask("GET", "/health", None, 5)
        return answer[0] if answer else None

    def answers(self) -> bool:
        """Whether it answers anything at all now: cheap enough to be asked several times a second."""
        connection = self._connection(1)
        try:
            connection.connect()
            connection.sock.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            # No key is sent: who listens matters once somebody has answered. Until then Docker's proxy takes and ends each connection.
            return connection.sock.recv(1) != b"" and not self._is_anothers()
        except OSError:
            return False
        finally:
            connection.close()

    def names_model(self) -> bool:
        """Whether /v1/models has the model."""
        answer = self._ask("GET", "/v1/models", None, 5)
        if answer is None or answer[0] != 200:
            return False
        found = _json(answer[1])
        data = found.get("data") if isinstance(found, dict) else None
        return any(isinstance(entry, dict) and entry.get("id") == self._model for entry in data or [])

    def proves(self, task: str, timeout_s: float) -> tuple[bool, str]:
        """Whether it does what it is for: a token, an embedding, a score, a transcript; and what the engine says where it refuses to."""
        refusal = ""
        for proof in proofs.of(task, self._model):
            proved, said = self._proof(proof, timeout_s)
            if proved:
                return True, ""
            refusal = refusal or said
            if not said:
                break
        return False, refusal

    def figures(self) -> dict[str, float]:
        """Requests running and waiting, and tokens generated since its start; empty where /metrics does not answer."""
        answer = self._ask("GET", "/metrics", None, 5)
        if answer is None or answer[0] != 200:
            return {}
        found: dict[str, float] = {}
        for name, value in _FIGURE.findall(answer[1].decode(errors="replace")):
            found[name] = found.get(name, 0.0) + float(value)
        return found

    def requests(self) -> int | None:
        """Requests that it is at, or that wait in it; None where it does not say, as with --disable-log-stats."""
        figures = self.figures()
        if "num_requests_running" not in figures:
            return None
        return int(figures["num_requests_running"] + figures.get("num_requests_waiting", 0))

    def sleeps(self) -> bool:
        """Whether it was put to sleep; engines without that endpoint never are."""
        answer = self._ask("GET", "/is_sleeping", None, 5)
        found = _json(answer[1]) if answer and answer[0] == 200 else None
        return isinstance(found, dict) and found.get("is_sleeping") is True

    def _proof(self, proof: proofs.Proof, timeout_s: float) -> tuple[bool, str]:
        answer = self._ask("POST", proof.path, proof.body, timeout_s, proof.content_type)
        if answer is None:
            return False, ""
        status, content = answer[0], _json(answer[1])
        found = content if isinstance(content, dict) else {}
        if 400 <= status < 500:
            error = found.get("error") or found
            message = error.get("message") if isinstance(error, dict) else None
            return False, f"{status} {message or 'without a reason'}"
        return status == 200 and (bool(found.get(proof.key)) or (proof.may_be_empty and proof.key in found)), ""

    def _ask(
        self, method: str, path: str, body: bytes | None, timeout_s: float, content_type: str = "application/json"
    ) -> tuple[int, bytes] | None:
        if self._is_anothers():
            return None
        connection = self._connection(timeout_s)
        end = None
        try:
            connection.connect()
            # A timeout of the socket begins anew with every byte: one that drips would be waited for without an end.
            end = threading.Timer(timeout_s, _hang_up, [connection.sock])
            end.daemon = True
            end.start()
            connection.request(method, path, body, {**self._headers, "Content-Type": content_type})
            answer = connection.getresponse()
            return answer.status, answer.read(LARGEST_ANSWER)
        except (OSError, http.client.HTTPException):
            return None
        finally:
            if end is not None:
                end.cancel()
            connection.close()

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        if isinstance(self._where, str):
            return SocketConnection(self._where, timeout_s)
        return http.client.HTTPConnection("127.0.0.1", self._where, timeout=timeout_s)

    def _is_anothers(self) -> bool:
        return isinstance(self._where, int) and has_foreign_listener(self._where)


def _hang_up(sock: socket.socket) -> None:
    """End a conversation that another thread waits in."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


class SocketConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect to what is a socket: an engine may write in that folder, and could lay a link to somebody else's."""
        if not stat.S_ISSOCK(os.lstat(self._path).st_mode):
            raise OSError(errno.ENOTSOCK, os.strerror(errno.ENOTSOCK), self._path)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def has_foreign_listener(port: int, files: HostFiles | None = None) -> bool:
    """Whether another account gets what is sent to a port of loopback: Docker's proxy, and an engine on the host's network, are root's."""
    return is_foreign(listeners.read(files), "127.0.0.1", port, (0, os.geteuid()))


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
