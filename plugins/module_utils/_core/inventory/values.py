# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of variables as YAML hands them over, read by what a role's argument specification says of each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import yaml_words
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spelling import meant

Spec = Mapping[str, Any]


def mistakes(specs: Mapping[str, Spec], values: Mapping[str, Any]) -> Iterator[FleetError]:
    """Say what is wrong with the variables of a role; each is named once."""
    for name, spec in specs.items():
        if name not in values:
            if spec.get("required"):
                yield _error(name, "it is missing.", "Set it.")
            continue
        try:
            check(values[name], spec, name)
        except FleetError as error:
            yield error


def check(value: Any, spec: Spec, where: str) -> None:
    """Fail with where, what and the remedy if a value is not what its specification says."""
    kind = str(spec.get("type", "str"))
    if kind == "raw":
        return
    if value is None:
        raise _error(where, "it is empty.", f"Write {_example(spec, kind)}, or remove the line.")
    if kind == "list":
        _check_list(value, spec, where)
    elif kind == "dict":
        _check_mapping(value, spec, where)
    elif kind == "bool":
        flag(value, where, hidden=bool(spec.get("no_log")))
    elif kind in ("int", "float"):
        _check_number(value, spec, where, kind)
    else:
        _check_text(value, spec, where)


def flag(value: Any, where: str, hidden: bool = False) -> bool:
    """Return true or false, given as one or as one of YAML's words for it."""
    answer = yaml_words.truth(value)
    if answer is None:
        raise _error(where, f"{_shown(value, hidden)} is neither true nor false.", "Write one of them.")
    return answer


def _check_list(value: Any, spec: Spec, where: str) -> None:
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        # What -e NAME=VALUE hands over is a text, whatever it looks like.
        remedy = (
            f"On a command line write it in JSON: -e '{{\"{where}\": [...]}}'."
            if isinstance(value, str) and value.lstrip().startswith("[")
            else "Write each entry in a line of its own, after a dash."
        )
        raise _error(where, f"{_shown(value, spec.get('no_log'))} is no list.", remedy)
    if not spec.get("options") and spec.get("elements", "raw") == "dict":
        # Who reads the entries knows more of them than their type.
        return
    inner = {**spec, "type": spec.get("elements", "raw")}
    for index, item in enumerate(value):
        check(item, inner, f"{where}[{index}]")


def _check_mapping(value: Any, spec: Spec, where: str) -> None:
    if not isinstance(value, Mapping):
        raise _error(where, f"{_shown(value, spec.get('no_log'))} is no mapping.", "Write NAME: VALUE below it.")
    options = spec.get("options")
    if not options:
        return
    for key in value:
        if key not in options:
            raise _error(
                f"{where}.{key}",
                "there is no such setting.",
                f"{meant(str(key), options)}Known are {', '.join(sorted(options))}.",
            )
    for key, inner in options.items():
        if key in value and value[key] is not None:
            check(value[key], inner, f"{where}.{key}")
        elif inner.get("required"):
            raise _error(f"{where}.{key}", "it is missing.", "Write it.")


def _check_number(value: Any, spec: Spec, where: str, kind: str) -> None:
    digits = r"[+-]?\d{1,19}" if kind == "int" else r"[+-]?\d{1,19}(\.\d+)?(e[+-]?\d{1,3})?"
    if isinstance(value, bool) or not re.fullmatch(digits, str(value).strip(), re.IGNORECASE | re.ASCII):
        what = "whole number" if kind == "int" else "number"
        raise _error(
            where, f"{_shown(value, spec.get('no_log'))} is no {what}.", f"Write one such as {_example(spec, kind)}."
        )
    if spec.get("choices") and int(value) not in spec["choices"]:
        _refuse_choice(value, spec["choices"], where)


def _check_text(value: Any, spec: Spec, where: str) -> None:
    choices = spec.get("choices")
    if choices:
        if yaml_words.choice(value, choices) not in choices:
            _refuse_choice(value, choices, where)
        return
    if isinstance(value, float):
        raise _error(
            where, f"{value!r} is a number to YAML, which drops a zero at its end.", "Write it in quotes, as a text."
        )
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise _error(where, f"{_shown(value, spec.get('no_log'))} is no text.", "Write one, in quotes.")


def _refuse_choice(value: Any, choices: Sequence[Any], where: str) -> None:
    texts = [str(choice) for choice in choices]
    raise _error(where, f"there is no {_shown(value)}.", f"{meant(str(value), texts)}Take one of {', '.join(texts)}.")


def _example(spec: Spec, kind: str) -> str:
    default = spec.get("default")
    if default in (None, ""):
        return {"bool": "true or false", "list": "[]", "dict": "{}", "int": "1", "float": "1"}.get(kind, '""')
    return str(default).lower() if isinstance(default, bool) else str(default)


def _shown(value: Any, hidden: Any = False) -> str:
    if hidden:
        return "what it holds"
    if isinstance(value, bool):
        return str(value).lower()
    return "nothing" if value in (None, "") else ascii(value)[:60]


def _error(where: str, what: str, remedy: str) -> FleetError:
    return FleetError(where, f"{what}", remedy)
