# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of apt's sources, found by what they say and not by what their file is called.

Two entries for one repository whose Signed-By differs stop apt altogether, whichever file each stands in; so an entry of ours takes
the place of every other one with the same address, in sources.list, *.list and *.sources, and leaves the rest of those files alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

MAIN = "/etc/apt/sources.list"
PARTS = "/etc/apt/sources.list.d"
# apt passes over every other name (sources.list(5)).
_READ_BY_APT = re.compile(r"^[A-Za-z0-9_.-]+\.(list|sources)$")
_ONE_LINE = re.compile(r"^\s*deb(?:-src)?\s+(?:\[[^\]]*\]\s+)?(\S+)\s+\S")
_FIELD = re.compile(r"^([A-Za-z0-9-]+)\s*:(.*)$")
_Judge = Callable[[str], bool]
_NO = frozenset({"no", "false", "without", "off", "disable"})


@dataclass(frozen=True)
class Edit:
    """What becomes of one file: its text before and after, None where there is no file."""

    path: str
    before: str | None
    after: str | None


def is_read_by_apt(name: str) -> bool:
    """Tell whether apt reads a file of this name in sources.list.d."""
    return _READ_BY_APT.match(name) is not None


def normalise(uri: str, architecture: str = "") -> str:
    """Write an address one way: host in small letters, no account, no empty parts; http and https are the same place."""
    uri = uri.replace("$(ARCH)", architecture)
    scheme, separator, rest = uri.partition(":")
    if not separator:
        return uri
    scheme = "http" if scheme.lower() == "https" else scheme.lower()
    host, _slash, path = rest.removeprefix("//").partition("/") if rest.startswith("//") else ("", "", rest)
    host = re.sub(r":(80|443)$", "", host.rpartition("@")[2].lower())
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return f"{scheme}:{'/'.join([host, *parts])}"


def uris(path: str, text: str) -> list[str]:
    """Name the addresses of all entries in a file that are switched on."""
    if path.endswith(".sources"):
        return [uri for stanza in _stanzas(text) if _is_on(stanza) for uri in _values(stanza, "uris")]
    return [match.group(1) for match in map(_ONE_LINE.match, text.splitlines()) if match]


def plan(
    files: Mapping[str, str], path: str, content: str, replaces: Sequence[str] = (), architecture: str = ""
) -> list[Edit]:
    """Say which files change so that `content` is the only entry of its repository.

    `replaces` holds addresses of older places: entries at or below one of them go as well.
    """
    own = {normalise(uri, architecture) for uri in uris(path, content)}
    above = tuple(normalise(uri, architecture) for uri in replaces)

    def is_ours(uri: str) -> bool:
        address = normalise(uri, architecture)
        return address in own or any(address == each or address.startswith(f"{each}/") for each in above)

    edits = []
    for name in sorted({*files, path}):
        before = files.get(name)
        kept = before if before is None else _without(name, before, is_ours)
        if name == path:
            # Entries of other repositories in a file of this name stay in it.
            rest = (kept or "").strip()
            others = rest if rest and uris(path, rest) else ""
            after: str | None = content.strip() + "\n" + (f"\n{others}\n" if others else "")
        else:
            after = kept
            if after is not None and after != before and name != MAIN and not _says_anything(after):
                after = None
        if after != before:
            edits.append(Edit(name, before, after))
    return edits


def _says_anything(text: str) -> bool:
    return any(line.strip() and not line.lstrip().startswith("#") for line in text.splitlines())


def _without(path: str, text: str, is_ours: _Judge) -> str:
    if path.endswith(".sources"):
        return _without_stanzas(text, is_ours)
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not ((match := _ONE_LINE.match(line)) and is_ours(match.group(1))))


def _without_stanzas(text: str, is_ours: _Judge) -> str:
    kept, changed = [], False
    for stanza in _stanzas(text):
        addresses = _values(stanza, "uris")
        others = [uri for uri in addresses if not is_ours(uri)]
        if others == addresses or not _is_on(stanza):
            kept.append(stanza)
            continue
        changed = True
        if others:
            kept.append(_with_uris(stanza, others))
    return "\n\n".join(kept) + ("\n" if kept else "") if changed else text


def _stanzas(text: str) -> list[str]:
    return [part.strip("\n") for part in re.split(r"\n[ \t]*\n", text) if part.strip()]


def _fields(stanza: str) -> Iterator[tuple[str, str]]:
    """Yield each field's name, in small letters, and its value, continued lines joined."""
    name, value = "", ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        match = _FIELD.match(line)
        if match:
            if name:
                yield name, value
            name, value = match.group(1).lower(), match.group(2)
        elif line[:1] in (" ", "\t"):
            value += " " + line.strip()
    if name:
        yield name, value


def _values(stanza: str, field: str) -> list[str]:
    return next((value.split() for name, value in _fields(stanza) if name == field), [])


def _is_on(stanza: str) -> bool:
    return not any(name == "enabled" and value.strip().lower() in _NO for name, value in _fields(stanza))


def _with_uris(stanza: str, addresses: Iterable[str]) -> str:
    lines, inside = [], False
    for line in stanza.splitlines():
        match = _FIELD.match(line)
        if match:
            inside = match.group(1).lower() == "uris"
            lines.append(f"{match.group(1)}: {' '.join(addresses)}" if inside else line)
        elif not inside or line[:1] not in (" ", "\t"):
            lines.append(line)
    return "\n".join(lines)
