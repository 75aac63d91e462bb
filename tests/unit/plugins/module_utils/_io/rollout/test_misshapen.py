# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every file of JSON that a bring-up reads, with every value in it in turn of another shape: it counts as absent, and all serves."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.sets import PROVED
from ansible_collections.gpuserve.fleet.tests.support.fake_host import FakeHost, Model

A, B = Model("a", 4), Model("b", 6)
FILES = (
    "state/state.json",
    "state/calibration.json",
    "state/journal.json",
    "state/report.json",
    f"stack/{PROVED}/plan.json",
    "stack/proved.before/plan.json",
)
# What is in the place of a value, or of the whole file.
OTHERS: tuple[Any, ...] = (None, [], {}, "x", -1, 1.5, True, [None], {"x": None})
WHOLE = ("", " ", "nope", '{"x"', "[" * 20_000, "\x00", "NaN")


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where there is a value in a tree."""
    yield at
    if isinstance(value, dict):
        for key, one in value.items():
            yield from paths(one, (*at, key))
    elif isinstance(value, list) and value:
        yield from paths(value[0], (*at, 0))


def bent(tree: Any, path: tuple[Any, ...], other: Any) -> Any:
    """The tree with another value in one place."""
    if not path:
        return other
    tree = copy.deepcopy(tree)
    at = tree
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = other
    return tree


def without(tree: Any, path: tuple[Any, ...]) -> Any:
    """The tree without what is in one place."""
    tree = copy.deepcopy(tree)
    at = tree
    for key in path[:-1]:
        at = at[key]
    del at[path[-1]]
    return tree


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """One on which two sets have served, one after the other."""
    host = FakeHost(tmp_path).install(monkeypatch)
    host.bring(host.render(A))
    host.bring(host.render(A, B))
    host.bring(host.render(A, B))
    return host


@pytest.mark.parametrize("name", FILES)
def test_a_value_of_another_shape_stops_no_run(host: FakeHost, name: str) -> None:
    path = host.folder / name
    if name.endswith("journal.json"):
        path.write_text(json.dumps({"doing": "bringing up", "pid": 1, "services": {"a": "d"}}))
    good = json.loads(path.read_text())
    texts = [json.dumps(bent(good, where, OTHERS[at % len(OTHERS)])) for at, where in enumerate(paths(good))]
    texts += [json.dumps(without(good, where)) for where in paths(good) if where]
    texts += [json.dumps(other) for other in OTHERS]
    for text in (*texts, *WHOLE):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        rendered = host.render(A, B)
        result = host.bring(rendered)
        assert sorted(result["serving"]) == ["a", "b"], text[:300]
        assert not result.get("failures"), text[:300]
        assert host.running() == {"vllm-a": 8001, "vllm-b": 8002}, text[:300]
        assert not [one for one in host.done if one.startswith(("stop", "start", "surge"))], text[:300]


@pytest.mark.long
@pytest.mark.parametrize("name", [one for one in FILES if one.startswith("stack")])
def test_a_set_of_another_shape_is_none_to_go_back_to_or_is_gone_back_to_whole(host: FakeHost, name: str) -> None:
    """A change that fails beside a kept set of another shape: what served before serves, whatever is in the record."""
    path = host.folder / name
    good = json.loads(path.read_text())
    for at, where in enumerate(paths(good)):
        for text in (
            json.dumps(bent(good, where, OTHERS[at % len(OTHERS)])),
            *([json.dumps(without(good, where))] if where else []),
        ):
            path.write_text(text)
            host.fails = {"vllm-b-surge": "vllm: error: unrecognized arguments: --nope"}
            result = host.bring(host.render(A, Model("b", 6, version="2")))
            assert [one["name"] for one in result["failures"]] == ["b"], text[:300]
            assert host.running() == {"vllm-a": 8001, "vllm-b": 8002}, text[:300]
            assert "stop vllm-a" not in host.done and "stop vllm-b" not in host.done, text[:300]
            path.write_text(json.dumps(good))
            host.fails = {}
            host.bring(host.render(A, B))


def test_a_record_of_an_older_version_has_no_sum(host: FakeHost) -> None:
    path = host.folder / "stack" / PROVED / "plan.json"
    old = json.loads(path.read_text())
    del old["sum"]
    path.write_text(json.dumps(old))
    host.fails = {"vllm-b-surge": "vllm: error: unrecognized arguments: --nope"}
    assert host.bring(host.render(A, Model("b", 6, version="2")))["restored"] == ["a", "b"]
