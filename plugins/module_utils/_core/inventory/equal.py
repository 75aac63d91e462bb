# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts whose variables come to the same, told before any template is rendered: what holds for one of them holds for all."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_WORD = re.compile(r"[A-Za-z_]\w*")
# What reaches variables by names that are made while a template is rendered.
_ANYTHING = frozenset({"hostvars", "vars", "varnames", "ansible_facts"})


def fingerprint(host: str, variables: Mapping[str, Any], names: Iterable[str]) -> str:
    """Return a digest of these variables of a host and of all that their templates name, as they are written.

    variables are plain data. What a template may reach besides makes a host equal to none but itself.
    """
    seen: dict[str, Any] = {}
    waiting = sorted(name for name in names if name in variables)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen[name] = variables[name]
        words = {word for text in _templates(variables[name]) for word in _WORD.findall(text)}
        if words & _ANYTHING:
            seen["inventory_hostname"] = host
        waiting += [word for word in words if word in variables and word not in seen]
    return hashlib.sha256(json.dumps(seen, sort_keys=True, default=str).encode()).hexdigest()


def _templates(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _templates(key)
            yield from _templates(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _templates(item)
    elif isinstance(value, str) and ("{{" in value or "{%" in value):
        yield value
