# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configurations that people run, as published, each with what has to come of it (tests/data/configurations.json)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB
from ansible_collections.gpuserve.fleet.plugins.modules import memory_plan

CASES = {
    case["name"]: case for case in json.loads((Path(__file__).parents[3] / "data/configurations.json").read_text())
}


def answer(case: Mapping[str, Any], folder: Path) -> tuple[dict[str, Any], str]:
    """The plan, or nothing and what was refused."""
    asks = json.loads(json.dumps(case["asks"]))
    for name, content in case.get("beside", {}).items():
        (folder / name).write_text(json.dumps(content))
        asks["models"][0]["config_path"] = str(folder / "config.json")
    params = {
        "preset": "aggressive",
        "engine_version": "",
        "device": "cuda",
        "image": "",
        "calibration": {},
        "proved": {},
    }
    try:
        return memory_plan.plan({**params, **asks}), ""
    except FleetError as error:
        return {}, str(error)


def between(key: str) -> Callable[[Any, dict[str, Any]], bool]:
    return lambda want, entry: want[0] <= entry[key] / GIB <= want[1]


def flag_is(want: Any, entry: dict[str, Any]) -> bool:
    args = entry["engine_args"]
    return want[0] in args and args[args.index(want[0]) + 1] == want[1]


OF_ENTRY: Mapping[str, Callable[[Any, dict[str, Any]], bool]] = {
    "weights_gib": between("weights_bytes"),
    "kv_gib": between("kv_cache_bytes"),
    "kv_gib_for_8_requests_of_32768": between("kv_cache_bytes"),
    "total_gib": between("total_bytes"),
    "arg": flag_is,
    "task": lambda want, entry: entry["task"] == want,
}


@pytest.mark.parametrize("name", CASES)
def test_what_people_run_is_planned_as_it_is(name: str, tmp_path: Path) -> None:
    plan, refused = answer(CASES[name], tmp_path)
    for key, want in CASES[name]["want"].items():
        if key == "error":
            assert bool(refused) == want
        elif key == "error_contains":
            assert want in refused
        elif key == "error_not_contains":
            assert want not in refused
        elif key == "feasible":
            assert plan["feasible"] == want, plan["reasons"]
        else:
            entry = next(model for gpu in plan["gpus"] for model in gpu["models"])
            assert OF_ENTRY[key](want, entry), (key, want, entry)
