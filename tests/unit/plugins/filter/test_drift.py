# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules read becomes the rows of a host; what can't be read is as good as nothing, and what can't be compared is said."""

from __future__ import annotations

import base64
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.filter.drift import drift
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet.drift import GATEWAY

COMPOSE = "services:\n  qwen: {image: i, command: [m, --max-num-seqs, '24']}\n"
RECORD = {"services": [{"name": "qwen", "digest": "a1"}], "plan": {"image": "i"}}


def slurped(text: str) -> dict[str, str]:
    """Return a file as slurp does."""
    return {"content": base64.b64encode(text.encode()).decode()}


def read(**change: Any) -> dict[str, Any]:
    """Return what was read of a host that is as its inventory says, with something changed of its stack."""
    stack = {
        "models": ["qwen"],
        "image": "i",
        "proved": RECORD,
        "compose": slurped(COMPOSE),
        "running": [{"model": "qwen", "port": 8001, "digest": "a1", "ports": [8001]}],
        "rendered": {"services": RECORD["services"], "content": COMPOSE, "changed_files": []},
        "failure": "",
    }
    return {"driver": {}, "toolkit": {}, "stack": {**stack, **change}, "gateway": {"differences": []}}


def what(found: dict[str, Any]) -> list[str]:
    """Return what differs."""
    return [row["what"] for row in drift(found, "gpu01")["differences"]]


def test_a_host_that_is_as_its_inventory_says() -> None:
    assert drift(read(), "gpu01") == {"status": "ok", "differences": [], "table": ["gpu01   as the inventory says"]}


def test_a_quarantined_host_is_told_of_and_is_no_drift() -> None:
    found = drift(read(image="other"), "gpu01", "Xid 79")
    assert found["status"] == "quarantine" and len(found["differences"]) == 1
    assert drift(read(image="other"), "gpu01")["status"] == "drift"


def test_files_that_are_not_there_or_went_bad_are_none() -> None:
    for bad in ({}, {"services": 1}, {**RECORD, "sum": "0"}):
        assert what(read(proved=bad, running=None)) == ["model qwen"]
    other = {"services": [{"name": "qwen", "digest": "b2"}], "content": COMPOSE}
    assert "model qwen" in what(read(compose=slurped("\t:"), rendered=other))


def test_a_container_that_is_gone_and_a_docker_that_does_not_answer() -> None:
    assert what(read(running=[])) == ["model qwen: container"]
    assert what(read(running=None)) == []


def test_a_file_of_the_stack_that_somebody_changed() -> None:
    rendered = {**read()["stack"]["rendered"], "changed_files": ["env/qwen.env"]}
    assert what(read(rendered=rendered)) == ["stack's env/qwen.env"]


def test_a_stack_that_can_t_be_rendered_says_why_and_which_models_differ() -> None:
    assert what(read(failure="it does not fit", models=["qwen", "yi"], rendered={})) == ["engines", "model yi"]


def test_a_host_that_is_given_no_model_has_no_image_to_differ_in() -> None:
    found = drift(read(models=[], rendered={}, image="other"), "gpu01")["differences"]
    assert [(row["what"], row["brings"]) for row in found] == [("model qwen", "teardown.yml")]


def test_driver_toolkit_and_gateway() -> None:
    there = {"installed": {"branch": 580, "version": "580.1"}, "decision": {"action": "none"}}
    asked = {"source": "auto", "branch": "595", "version": "", "found": there}
    assert what({"driver": asked}) == ["driver branch"]
    assert what({"driver": {**asked, "source": "host"}}) == []
    # Its owner's, in no package: a work of the distribution's own, or Enterprise Linux.
    owners = {
        "installed": {"branch": 0, "version": ""},
        "decision": {"action": "none"},
        "state": {"userspace": "595.71.05"},
    }
    assert what({"driver": {"source": "host", "branch": "0", "version": "", "found": owners}}) == []
    assert what({"driver": {"source": "auto", "branch": "580", "version": "", "found": owners}}) == ["driver branch"]
    assert what({"driver": {**asked, "found": {**owners, "state": {"userspace": None}}}}) == ["driver"]
    toolkit = {"installed": {}, "decision": {"missing": ["nvidia-container-toolkit=1.20.1-*"]}}
    assert what({"toolkit": {"version": "1.20.1", "found": toolkit}}) == ["container toolkit"]
    assert what({"gateway": {"msg": "gateway_port: it is wrong."}}) == ["gateway"]
    row = {"what": "gateway key a", "host": "none", "inventory": "there", "brings": "site.yml"}
    assert drift({"gateway": {"differences": [row]}}, "gpu01")["differences"] == [row]


def test_a_gateway_that_runs_where_nobody_comes_in() -> None:
    found = drift({"gateway": {}, "gateway_unasked": True}, "gpu02")["differences"]
    assert found == [{"what": "gateway: container", "host": "runs", "inventory": "none", "brings": GATEWAY}]
    assert what({"gateway": {}, "gateway_unasked": False}) == []
