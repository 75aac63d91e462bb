# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs on a host is one row, by value; what is equal is none."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet import drift
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet.drift import Difference, Engine

INSTALLED = {"branch": 580, "version": "580.95.05-0ubuntu1"}
WORKS = {"action": "none"}
COMMAND = ["Qwen/Qwen2.5-3B-Instruct", "--served-model-name", "qwen", "chat", "--port", "8000", "--max-num-seqs", "24"]


def service(**change: Any) -> dict[str, Any]:
    """Return a service as the compose file has it."""
    return {"image": "vllm@sha256:1", "command": COMMAND, "environment": {"A": "1"}, "labels": {}, **change}


def engine(digest: str = "a", **change: Any) -> Engine:
    """Return an engine with something changed."""
    return Engine(service(**change), digest)


@pytest.mark.parametrize(
    ("branch", "version", "rows"),
    [
        (0, "", []),
        (580, "", []),
        (580, "580.95.05", []),
        (0, "580.95.*", []),
        (0, "580.9", [("driver version", "580.95.05-0ubuntu1", "580.9")]),
        (595, "", [("driver branch", "580", "595")]),
        (595, "595.84.01", [("driver branch", "580", "595"), ("driver version", "580.95.05-0ubuntu1", "595.84.01")]),
    ],
)
def test_a_driver_of_another_branch_or_version_is_upgraded(
    branch: int, version: str, rows: list[tuple[str, str, str]]
) -> None:
    found = list(drift.driver(branch, version, INSTALLED, WORKS))
    assert found == [Difference(*row, "upgrade.yml") for row in rows]


def test_no_driver_and_one_that_needs_a_reboot() -> None:
    assert list(drift.driver(0, "", {"version": ""}, WORKS)) == [Difference("driver", "none", "one", drift.DRIVER)]
    assert next(drift.driver(595, "", {}, WORKS)).inventory == "branch 595"
    (reboot,) = drift.driver(0, "", INSTALLED, {"action": "reboot", "reason": "580 is loaded, 595 on disk"})
    assert reboot.host == "needs reboot: 580 is loaded, 595 on disk"


def test_a_toolkit_is_compared_by_what_the_role_would_ask_for() -> None:
    there = {"nvidia-container-toolkit": "1.19.0-1", "libnvidia-container1": "1.19.0-1"}
    assert list(drift.toolkit("1.20.1", there, [])) == []
    assert list(drift.toolkit("1.20.1", there, ["x"])) == [
        Difference("container toolkit", "1.19.0-1", "1.20.1", drift.UPGRADE)
    ]
    assert list(drift.toolkit("1.20.1", {}, ["x"])) == [
        Difference("container toolkit", "none", "1.20.1", drift.TOOLKIT)
    ]


def test_an_image_is_one_row_for_all_its_models() -> None:
    assert list(drift.image("vllm@sha256:2", "vllm@sha256:1")) == [
        Difference("engine image", "vllm@sha256:1", "vllm@sha256:2", drift.STACK)
    ]
    assert list(drift.image("vllm@sha256:1", "vllm@sha256:1")) == []
    assert list(drift.image("vllm@sha256:1", "")) == []
    wanted = {"qwen": engine("b", image="vllm@sha256:2")}
    assert list(drift.engines(wanted, {"qwen": engine()}, None)) == []


def changed(**change: Any) -> list[tuple[str, str, str]]:
    """Return what is said where the inventory has something else."""
    rows = drift.engines({"qwen": engine("b", **change)}, {"qwen": engine()}, {"qwen": "a"})
    return [(row.what, row.host, row.inventory) for row in rows]


def test_flags_that_changed_came_and_went_are_rows() -> None:
    other = [*COMMAND[:-1], "12", "--enforce-eager"]
    assert changed(command=other) == [
        ("model qwen: --enforce-eager", "none", "set"),
        ("model qwen: --max-num-seqs", "24", "12"),
    ]
    assert changed(command=COMMAND[:-2]) == [("model qwen: --max-num-seqs", "24", "none")]
    assert changed(command=["acme/other", *COMMAND[1:]]) == [("model qwen", COMMAND[0], "acme/other")]


def test_a_transport_is_one_row_without_the_flags_that_follow() -> None:
    on_socket = [*COMMAND[:4], "--uds", "/run/gpuserve/engine/http", *COMMAND[6:]]
    labels = {"fleet.gpuserve.transport": "socket"}
    assert changed(command=on_socket, labels=labels, entrypoint=["sh"], network_mode="none") == [
        ("model qwen: transport", "tcp", "socket")
    ]


def test_what_else_a_service_has_is_named_and_a_secret_only_that_it_changed() -> None:
    assert changed(shm_size="8gb", environment={"B": "secret"}) == [
        ("model qwen: shm_size", "another", "as rendered now"),
        ("model qwen: environment A", "set", "none"),
        ("model qwen: environment B", "none", "set"),
    ]
    assert changed(environment={"A": "2"}) == [("model qwen: environment A", "another", "set")]
    assert changed() == [("model qwen: secrets or folders", "others", "as rendered now")]
    # What is learnt of an engine's size replaces none.
    assert list(drift.engines({"q": engine("a", mem_limit="9g")}, {"q": engine()}, None)) == []


def test_models_that_are_missing_extra_stopped_or_started_by_hand() -> None:
    wanted, proved = {"a": engine(), "b": engine()}, {"b": engine(), "c": engine()}
    found = list(drift.engines(wanted, proved, {"b": "z", "d": "y"}))
    assert found == [
        Difference("model a", "none", "served", drift.STACK),
        Difference("model b: container", "another than was proved", "the engine that was proved", drift.STACK),
        Difference("model c", "served", "none", drift.STACK),
        Difference("model d", "runs, not proved", "none", drift.STACK),
    ]
    (stopped,) = drift.engines({"b": engine()}, {"b": engine()}, {})
    assert stopped.host == "does not run"
    assert list(drift.engines({"b": engine()}, {"b": engine()}, None)) == []
    assert {row.brings for row in drift.engines({}, proved, None)} == {"teardown.yml"}
    assert [row.what for row in drift.names_only(["a", "b"], proved)] == ["model a", "model c"]


def test_flags_of_a_command_line() -> None:
    model, flags = drift.flags_of(["m", "--a", "1", "2", "--b", "--c=3", "--a", "4"])
    assert (model, flags) == ("m", {"--a": "1 2 4", "--b": "", "--c": "3"})
    assert drift.flags_of([]) == ("", {})


FOUND: dict[str, Any] = {
    "there": True,
    "settings": {"port": "8000", "paths": ["/a"], "tls_name": ""},
    "models": {"qwen": {"queue": 3}},
    "keys": {"team": {"key": "digest-1", "expires": 0}},
    "code": {"router.lua": "1"},
    "files": {"nginx.conf": "1", "tls.crt": "2"},
    "runs": True,
    "certificate": {"names": ["DNS:a"], "ends": "Jan  1 2027", "ends_soon": False},
}
SAME: dict[str, Any] = {
    **{name: FOUND[name] for name in ("settings", "models", "keys", "code")},
    "files": {"nginx.conf": "1"},
    "certificate_names": [],
}


def gateway_rows(found: dict[str, Any], wanted: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return what is said of a gateway with something changed on either side."""
    return [(r.what, r.host, r.inventory) for r in drift.gateway({**FOUND, **found}, {**SAME, **wanted})]


def test_a_gateway_that_is_as_wanted_has_no_row() -> None:
    assert gateway_rows({}, {"certificate_names": ["DNS:a"]}) == []
    # From a command line a number is text.
    assert gateway_rows({}, {"settings": {**FOUND["settings"], "port": 8000}}) == []
    assert gateway_rows({"there": False}, {}) == [("gateway", "none", "one")]


def test_settings_models_and_code_of_a_gateway() -> None:
    assert gateway_rows({}, {"settings": {"port": 8443, "paths": ["/b"], "tls_name": "x"}}) == [
        ("gateway_paths", "other", "other"),
        ("gateway_port", "8000", "8443"),
        ("gateway_tls_name", "none", "x"),
    ]
    assert gateway_rows({}, {"models": {"yi": {}}}) == [
        ("gateway model qwen", "there", "none"),
        ("gateway model yi", "none", "there"),
    ]
    assert gateway_rows({}, {"models": {"qwen": {"queue": 9}}}) == [
        ("gateway model qwen", "other in queue", "as rendered now")
    ]
    assert gateway_rows({"code": {}}, {})[0][0] == "gateway's code"


def test_a_file_of_the_gateway_that_was_changed_by_hand_and_a_gateway_that_does_not_run() -> None:
    wanted = {"files": {"compose.yml": "1", "nginx.conf": "2"}}
    assert gateway_rows({"runs": False}, wanted) == [
        ("gateway's compose.yml", "none", "as rendered now"),
        ("gateway's nginx.conf", "another", "as rendered now"),
        ("gateway: container", "does not run", "a gateway that runs"),
    ]
    # Docker did not answer; what the last run wrote can't be read.
    assert gateway_rows({"runs": None}, {"files": {}}) == []


def test_a_file_of_the_stack_that_was_changed_by_hand_is_named_where_no_engine_says_why() -> None:
    same = {"a": engine()}
    row = Difference("stack's compose.yml", "another", "as rendered now", drift.STACK)
    assert list(drift.stack_files(["compose.yml"], same, same)) == [row]
    assert list(drift.stack_files([], same, same)) == []
    assert list(drift.stack_files(["compose.yml"], {"a": engine("b")}, same)) == []


def test_keys_are_told_by_their_names_alone() -> None:
    wanted = {"keys": {"team": {"key": "digest-2", "expires": 5}, "new": {"key": "digest-3"}}}
    rows = gateway_rows({}, wanted)
    assert rows == [
        ("gateway key new", "none", "there"),
        ("gateway key team", "other in expires, key", "as rendered now"),
    ]
    assert "digest-" not in str(rows)


def test_a_certificate_of_another_name_or_near_its_end() -> None:
    assert gateway_rows({}, {"certificate_names": ["DNS:b", "IP:::1"]}) == [
        ("gateway certificate", "for DNS:a", "DNS:b, IP:::1")
    ]
    ends = {**FOUND["certificate"], "ends_soon": True}
    assert gateway_rows({"certificate": ends}, {}) == [("gateway certificate", "ends Jan  1 2027", "30 days or more")]
    assert gateway_rows({"certificate": {}}, {"certificate_names": ["DNS:b"]}) == []


def test_the_table_has_a_row_a_difference_and_none_that_acts_on_a_terminal() -> None:
    assert drift.table("gpu01", []) == ["gpu01   as the inventory says"]
    lines = drift.table("gpu01", [Difference("engine image", "a\x1b[2J", "b", "site.yml")], "Xid 79")
    assert lines[0] == "gpu01   1 difference   in quarantine: Xid 79"
    assert lines[1].split("  ")[1] == "what" and lines[1].endswith("ended by")
    assert "\x1b" not in lines[2] and lines[2].endswith("site.yml")
