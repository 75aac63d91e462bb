# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes of an engine in Compose's long form: Docker refuses one whose source is missing, and doesn't make an empty folder of it."""

from __future__ import annotations

from typing import Any

_MODES = ("ro", "rw")
_SELINUX = ("z", "Z")
_PROPAGATION = ("private", "rprivate", "shared", "rshared", "slave", "rslave")


def bind(source: str, target: str, *, read_only: bool = False) -> dict[str, Any]:
    """A folder or a file of the host that has to be there."""
    found: dict[str, Any] = {"type": "bind", "source": source, "target": target}
    if read_only:
        found["read_only"] = True
    return {**found, "bind": {"create_host_path": False}}


def long_form(text: str) -> str | dict[str, Any]:
    """What a person wrote as `/source:/target[:options]`, in the long form; anything else as it is, for Compose to judge."""
    source, _colon, rest = text.partition(":")
    target, _colon, options = rest.partition(":")
    words = [word for word in options.split(",") if word]
    known = all(word in (*_MODES, *_SELINUX, *_PROPAGATION) for word in words)
    if not source.startswith(("/", "./", "../", "~")) or not target.startswith("/") or not known:
        return text
    found = bind(source, target, read_only="ro" in words)
    for word in words:
        if word in _SELINUX:
            found["bind"]["selinux"] = word
        elif word in _PROPAGATION:
            found["bind"]["propagation"] = word
    return found
