# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The day of a model over the fleet's two boxes: the playbooks that a person runs, from what served before to the teardown.

python -m ...group_day INVENTORY ADDRESS    as fleet_day, after it
"""

from __future__ import annotations

import http.client
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet.placement import rank
from ansible_collections.gpuserve.fleet.tests.support.edge_clients import KEY
from ansible_collections.gpuserve.fleet.tests.support.fleet_day import DRAINED, EDGE, A, B, Fleet, check, play, wait_for

LARGE: dict[str, Any] = {
    "name": "large",
    "model": "Qwen/Qwen2.5-3B-Instruct",
    "max_model_len": 1024,
    "max_num_seqs": 8,
    "distributed": {"hosts": 2, "pipeline_parallel": 2},
}
# Whoever ranks highest with the model answers for both.
FIRST, SECOND = sorted((A, B), key=lambda host: -rank("large", host))
SETTINGS = "/var/lib/nvml-double/engines/large.json"
# What the box without a card differs in, whatever serves.
BARE = {A: [], B: ["container toolkit", "driver"], EDGE: []}


def given(**change: Any) -> tuple[str, str]:
    """Return the model in place of the inventory's, for the command line."""
    return "-e", json.dumps({"vllm_stack_models": [{**LARGE, **change}]})


def tell_engines(fleet: Fleet, host: str, plan: Mapping[str, Any], **more: Any) -> None:
    """Have a box's double of the engine hold what the plan says."""
    (model,) = plan["gpus"][0]["models"]
    held = int(model["total_bytes"]) - int(model["traffic_bytes"])
    told = json.dumps({"total_bytes": held, "kv_cache_bytes": int(model["kv_cache_bytes"]), **more})
    fleet.on(host, "sh", "-c", f"printf %s '{told}' > {SETTINGS}")


def planned(fleet: Fleet) -> dict[str, Any]:
    """Return the plan of each box, and have the doubles hold it."""
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder, "plans.json")
        status, output = fleet.play("plan.yml", *given(), "-e", f"plan_json={written}")
        check(status == 0 and written.exists(), output)
        plans: dict[str, Any] = json.loads(written.read_text())
    for host in (A, B):
        tell_engines(fleet, host, plans[host])
    return plans


def asked(fleet: Fleet, timeout_s: float = 30) -> int:
    """Ask the edge for a token of the group; the status, or 0 where nothing came."""
    line = http.client.HTTPConnection(fleet.address, 8000, timeout=timeout_s)
    try:
        body = json.dumps({"model": "large", "messages": [], "max_tokens": 1})
        line.request("POST", "/v1/chat/completions", body, {"Authorization": f"Bearer {KEY}"})
        return line.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        line.close()


def running(fleet: Fleet, host: str) -> set[str]:
    """Which containers of ours run in a box."""
    return set(fleet.on(host, "docker", "ps", "--format", "{{.Names}}").split())


def started(fleet: Fleet) -> list[str]:
    """When each part was started."""
    return [fleet.on(host, "docker", "inspect", "--format", "{{.State.StartedAt}}", "vllm-large") for host in (A, B)]


def were_drained(output: str) -> bool:
    """Tell whether both boxes were drained at the edge, by the one task of their step."""
    return output.count(DRAINED) == 1 and all(f"changed: [{host} -> {EDGE}" in output for host in (A, B))


def set_up(fleet: Fleet) -> None:
    """What served leaves, and the group comes in its place: one gateway, one route, and parts that no step separates."""
    planned(fleet)
    status, output = fleet.site(*given())
    check(status == 0, output)
    check(running(fleet, FIRST) == {"gpuserve-gateway", "vllm-large"}, "the first host has not what it should")
    check(running(fleet, SECOND) == {"vllm-large"}, "the other host has more than its part")
    wait_for(lambda: asked(fleet) == 200, 60)
    routes = fleet.on(EDGE, "cat", "/opt/gpuserve/gateway/conf/live/data.json")
    check(fleet.addresses[FIRST] in routes and fleet.addresses[SECOND] not in routes, routes)
    check("answers for no model itself" in output and "is in the routes by its plan" not in output, output)


def nothing_to_do(fleet: Fleet) -> None:
    """Nothing differs, and a run with nothing to do changes nothing."""
    before = started(fleet)
    status, output = fleet.site(*given())
    check(status == 0 and output.count("changed=0") == 3 and started(fleet) == before, output)
    status, differs = fleet.drift(*given())
    check(status == 2 and differs == BARE, f"{status} {differs}")


def killed_member(fleet: Fleet) -> None:
    """A part that died is named where it was, its first host says that nobody answers, and the next run starts both, with a new flag."""
    before = started(fleet)
    fleet.on(SECOND, "docker", "kill", "vllm-large")
    status, differs = fleet.drift(*given())
    wanted = {**BARE, SECOND: sorted([*BARE[SECOND], "model large: container"])}
    check(status == 2 and differs == wanted, f"{status} {differs}")
    check({"engine large"} == fleet.failing(SECOND, *given()), "the part that died is not named")
    check({"engine large"} == fleet.failing(FIRST, *given()), "the first host, which answers nobody, is not named")
    status, output = fleet.site(*given(max_num_seqs=4))
    check(status == 0, output)
    check(all(now != was for now, was in zip(started(fleet), before, strict=True)), "a part stayed")
    # Both, though one alone had died.
    check(were_drained(output) and fleet.drained() == "", output)
    wait_for(lambda: asked(fleet) == 200, 60)


def rolled_back(fleet: Fleet) -> None:
    """All hosts of a group go back together, once one of them alone was refused."""
    before = started(fleet)
    status, output = fleet.play("rollback.yml", "-l", SECOND, *given())
    said = f"{FIRST}, {SECOND} serve large together, and {FIRST} is not among the hosts of this run."
    check(status == 2 and said in " ".join(output.split()), output)
    check(started(fleet) == before and fleet.drained() == "", "a part was started, or a box is drained still")
    status, output = fleet.play("rollback.yml", *given())
    check(status == 0 and were_drained(output) and fleet.drained() == "", output)
    check(all(now != was for now, was in zip(started(fleet), before, strict=True)), "a part stayed")
    wait_for(lambda: asked(fleet) == 200, 60)


def upgraded(fleet: Fleet) -> None:
    """Both boxes are gone through as for a newer driver, at once: drained, stopped and started together. By hand: both need a card."""
    before = started(fleet)
    status, output = fleet.play("upgrade.yml", "-l", SECOND, *given(), "-e", "gpuserve_upgrade_force=true")
    said = f"{FIRST}, {SECOND} serve large together, and {FIRST} is not among the hosts of this run."
    check(status == 2 and said in " ".join(output.split()), output)
    check(started(fleet) == before, "a part was started")
    status, output = fleet.play("upgrade.yml", *given(), "-e", "gpuserve_upgrade_force=true")
    check(status == 0 and were_drained(output) and fleet.drained() == "", output)
    check(all(now != was for now, was in zip(started(fleet), before, strict=True)), "a part stayed")
    check(running(fleet, SECOND) == {"vllm-large"}, "the other host has more than its part")
    wait_for(lambda: asked(fleet) == 200, 60)


def failed_canary(fleet: Fleet) -> None:
    """A part fails in the canaries' step: all of the group serve what they served, and the run says so of both."""
    kept = fleet.on(SECOND, "cat", SETTINGS)
    broken = {**json.loads(kept), "fault": {"kind": "no_kernel_image", "at": "loading", "times": 1}}
    fleet.on(SECOND, "sh", "-c", f"printf %s '{json.dumps(broken)}' > {SETTINGS}")
    status, output = fleet.site(*given(max_num_seqs=2))
    fleet.on(SECOND, "sh", "-c", f"printf %s '{kept}' > {SETTINGS}")
    said = " ".join(output.split())
    check(status == 2 and "stopped: 2 failures, and gpuserve_max_failed allows 0." in said, output)
    check(f"{SECOND}, with which it serves together" in said and "The set before is back and proved." in said, output)
    check(were_drained(output) and fleet.drained() == "", output)
    wait_for(lambda: asked(fleet) == 200, 60)
    # What the inventory says runs still, so that nothing differs.
    status, differs = fleet.drift(*given())
    check(status == 2 and differs == BARE, f"{status} {differs}")


def taken_down(fleet: Fleet) -> None:
    """A part alone is refused; all of it is taken down together, away from the edge."""
    status, output = fleet.play("teardown.yml", "-l", SECOND, *given())
    said = f"{FIRST}, {SECOND} serve large together, and {FIRST} is not among the hosts of this run."
    check(status == 2 and said in " ".join(output.split()), output)
    check("vllm-large" in running(fleet, SECOND), "something was removed")
    status, output = fleet.play("teardown.yml", *given())
    check(status == 0 and were_drained(output) and fleet.drained() == "", output)
    check(not running(fleet, A) and not running(fleet, B), "something of ours still runs")


PARTS = (set_up, nothing_to_do, failed_canary, killed_member, rolled_back, taken_down)
# The scenario's second box shows what a box without a card is told.
BY_HAND = (upgraded,)


if __name__ == "__main__":
    play(PARTS, BY_HAND)
