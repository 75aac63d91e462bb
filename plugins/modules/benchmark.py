#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: benchmark
short_description: Measure what a host's engines and its gateway give, and compare it with the last time
version_added: 0.2.0
description:
  - Runs C(vllm bench serve) of each engine's own image, beside the engine and through the gateway, each model alone and then all at once.
  - The clients are containers of their own without a card, which are gone afterwards; engines and gateway are asked, and not touched.
  - Keeps the figures on the host with what ran, compares them with the last run of the same profile, and names what got worse.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  name:
    description: What the host is called in RV(table).
    type: str
    default: this host
  profile:
    description:
      - How much is asked. V(quick) is 16 requests, 4 at once; V(guide) 100, 10 at once; V(sweep) 1 to 32 at once.
    type: str
    default: quick
  models:
    description: Names of the models to measure; all of the stack without it.
    type: list
    elements: str
    default: []
  directly:
    description: Whether engines are asked directly as well, where there is a gateway to ask.
    type: bool
    default: true
  together:
    description: Whether all of them are asked at once as well.
    type: bool
    default: true
  gateway_url:
    description: Where the host itself reaches the gateway; empty to ask the engines alone.
    type: str
    default: ""
  gateway_key:
    description: A key that may use the models. It reaches the client by a pipe.
    type: str
    default: ""
  objectives:
    description: What a request is held to for goodput, in milliseconds, as C(ttft_ms), C(itl_ms) and C(e2e_ms).
    type: dict
    default: {}
  thresholds:
    description:
      - What is expected of models, each with C(model), optionally C(card) (part of its name), and bounds of figures, C(tokens_per_s),
        C(success), C(goodput), C(ttft_p95_ms), C(itl_p95_ms), C(e2e_p95_ms).
    type: list
    elements: dict
    default: []
  reuse:
    description:
      - Take the last run of the profile in place of a new one, where it was of the same engines and is not worse than O(thresholds).
    type: bool
    default: false
  engine_version:
    description: The version of vLLM that runs; without it the newest that is known.
    type: str
    default: ""
  timeout_s:
    description: How long one client may take.
    type: float
    default: 900
  project_name:
    description: The stack whose engines are measured.
    type: str
    default: gpuserve
  project_dir:
    description: Where that stack's files are.
    type: path
    default: /opt/gpuserve/stack
  state_dir:
    description: Where results are kept, in a folder C(benchmarks), the last 20 of a profile.
    type: path
    default: /var/lib/gpuserve
  docker_socket:
    description: Where Docker is asked.
    type: path
    default: /var/run/docker.sock
extends_documentation_fragment:
  - gpuserve.fleet.attributes
"""

EXAMPLES = r"""
- name: Measure the engines
  gpuserve.fleet.benchmark:
    profile: guide
    objectives: {ttft_ms: 300}
  register: benchmark
"""

RETURN = r"""
record:
  description: What ran and what was measured, as it is kept.
  returned: but in check mode
  type: dict
  sample: {"version": 1, "profile": "quick", "runs": []}
path:
  description: Where it is kept on the host.
  returned: but in check mode
  type: str
  sample: /var/lib/gpuserve/benchmarks/quick-20270131T101500Z.json
regressions:
  description: What got worse since the last run, a sentence each.
  returned: always
  type: list
  elements: str
  sample: []
below:
  description: What is worse than O(thresholds), a sentence each.
  returned: always
  type: list
  elements: str
  sample: []
table:
  description: All of it for people, line by line.
  returned: always
  type: list
  elements: str
  sample: ["gpu01   profile quick   NVIDIA GeForce RTX 5090 at 2,400 MHz, 61 °C   vLLM 0.33.0"]
"""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.benchmark import (
    comparison,
    load,
    result,
    runs,
    table,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.benchmark.client import (
    Engine,
    arguments,
    engine_of,
    unsupported,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine import vllm
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack import compose
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.benchmark import client, gpus
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.benchmark.records import Records
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import docker_socket
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles


def engines(params: dict[str, Any]) -> list[Engine]:
    """Return the engines to measure, by name; fail where there is none, or not one that was named."""
    listed = docker_socket.get(params["docker_socket"], "/containers/json") or []
    ours = [
        entry for entry in listed if (entry.get("Labels") or {}).get(f"{compose.LABEL}.stack") == params["project_name"]
    ]
    # One that computes for another host's engine answers nobody; the group is measured there.
    ours = [entry for entry in ours if not compose.is_headless(entry["Labels"])]
    tasks = _tasks(HostFiles().mapping(f"{params['project_dir']}/proved/plan.json"))
    inspected = [docker_socket.get(params["docker_socket"], f"/containers/{entry['Id']}/json") or {} for entry in ours]
    found = {
        engine.name: engine
        for engine in (engine_of(one, compose.LABEL) for one in inspected)
        # A surge instance serves for a while under the name of another.
        if engine.name and not engine.container.endswith("-surge")
    }
    found = {name: runs.with_task(engine, tasks.get(name, "generate")) for name, engine in sorted(found.items())}
    if not found:
        fail("", "no engine of this stack runs here.", "Run playbooks/site.yml, or playbooks/diagnose.yml to see why.")
    for name in params["models"]:
        if name not in found:
            fail("benchmark_models", f"{name} does not run here.", f"Running are {', '.join(found)}.")
    return [engine for name, engine in found.items() if not params["models"] or name in params["models"]]


def _tasks(record: Mapping[str, Any]) -> dict[str, str]:
    """Return what each model of the proved set is for; empty for a record that is none."""
    try:
        gpus = record["plan"]["gpus"]
        return {model["name"]: model.get("task") or "generate" for gpu in gpus for model in gpu["models"]}
    except (KeyError, TypeError, AttributeError):
        return {}


class Benchmark:
    """One call: what is asked, and what each client answered."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.params = module.params
        # All that can be wrong with what was asked is known before anything is.
        self.held_to = result.objectives(self.params["objectives"])
        self.expected = comparison.thresholds(self.params["thresholds"])
        self.version = vllm.profile(self.params["engine_version"]).version
        loads = load.loads(self.params["profile"])
        self.engines = engines(self.params)
        self.planned = runs.planned(
            self.engines, loads, bool(self.params["gateway_url"]), self.params["together"], self.params["directly"]
        )
        self.docker = module.get_bin_path("docker", required=True)
        self.samples: list[list[dict[str, Any]]] = []

    def measure(self) -> dict[str, Any]:
        """Run every client, the ones that belong together at once, and return the record."""
        before = gpus.read(self._command)
        measured: list[dict[str, Any]] = []
        at_once = None
        for group in self.planned:
            with ThreadPoolExecutor(max_workers=len(group)) as pool:
                told = list(pool.map(self._run, group))
            measured += told
            if len(group) > 1:
                at_once = result.at_once([one["result"] for one in told])
            self.samples.append(gpus.read(self._command))
        return {
            "version": comparison.VERSION,
            "profile": self.params["profile"],
            "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "engine_version": self.params["engine_version"],
            "cards": gpus.together(before, self.samples),
            "models": {engine.name: runs.described(engine) for engine in self.engines},
            "objectives": self.held_to,
            "runs": measured,
            "at_once": at_once,
        }

    def _run(self, run: runs.Run) -> dict[str, Any]:
        url = self.params["gateway_url"] if run.way == comparison.GATEWAY else ""
        told = {"model": run.engine.name, "way": run.way, "together": run.together, "load": asdict(run.load)}
        reason = unsupported(run.engine, self.version, url)
        found = None
        if not reason:
            key = self.params["gateway_key"] if url else None
            try:
                text = client.measure(
                    self.docker,
                    run.engine,
                    arguments(run.engine, run.load, url, self.version),
                    key,
                    self.params["timeout_s"],
                )
                found = result.read(text, run.load.requests, self.held_to, run.engine.name).as_data()
            except (client.ClientError, FleetError) as error:
                reason = str(error).rstrip(".")
        return {**told, "result": found, "skipped": reason}

    def _command(self, argv: list[str]) -> tuple[int, str, str]:
        program = self.module.get_bin_path(argv[0])
        return self.module.run_command([program, *argv[1:]]) if program else (127, "", f"no {argv[0]}")


def run(module: AnsibleModule) -> dict[str, Any]:
    """Measure, compare, keep."""
    benchmark = Benchmark(module)
    params = module.params
    if module.check_mode:
        count = sum(map(len, benchmark.planned))
        return {
            "regressions": [],
            "below": [],
            "table": [f"{params['name']}   {count} runs of profile {params['profile']} would be made"],
        }
    records = Records(Path(params["state_dir"], "benchmarks"), params["profile"])
    last = records.last()
    models = {engine.name: runs.described(engine) for engine in benchmark.engines}
    if params["reuse"] and last and comparison.is_accepted(last, models, benchmark.expected):
        lines = [f"{params['name']}   accepted as measured on {last['when']}: the same engines"]
        return {"record": last, "path": "", "regressions": [], "below": [], "table": lines}
    record = benchmark.measure()
    worse = comparison.against_last(record, last) if last else []
    below = comparison.against_thresholds(record, benchmark.expected)
    changed = comparison.changes(record, last) if last else []
    compared = last is not None and comparison.is_comparable(record, last)
    try:
        path = records.keep(record, record["when"].replace("-", "").replace(":", ""))
    except OSError as error:
        fail(params["state_dir"], f"the result can't be kept ({error.strerror}).", "Free some space there.")
    return {
        "record": record,
        "path": path,
        "regressions": [one.text for one in worse],
        "below": [one.text for one in below],
        "table": table.table(params["name"], record, [*worse, *below], changed, compared),
    }


def main() -> NoReturn:
    """Run, and turn our own errors into a sentence."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "default": "this host"},
            "profile": {"type": "str", "default": "quick"},
            "models": {"type": "list", "elements": "str", "default": []},
            "directly": {"type": "bool", "default": True},
            "together": {"type": "bool", "default": True},
            "gateway_url": {"type": "str", "default": ""},
            "gateway_key": {"type": "str", "default": "", "no_log": True},
            "objectives": {"type": "dict", "default": {}},
            "thresholds": {"type": "list", "elements": "dict", "default": []},
            "reuse": {"type": "bool", "default": False},
            "engine_version": {"type": "str", "default": ""},
            "timeout_s": {"type": "float", "default": 900},
            "project_name": {"type": "str", "default": "gpuserve"},
            "project_dir": {"type": "path", "default": "/opt/gpuserve/stack"},
            "state_dir": {"type": "path", "default": "/var/lib/gpuserve"},
            "docker_socket": {"type": "path", "default": "/var/run/docker.sock"},
        },
        supports_check_mode=True,
    )
    module.run_command_environ_update = {"LC_ALL": "C", "LANGUAGE": "C"}
    try:
        module.exit_json(changed=False, **run(module))
    except FleetError as error:
        module.fail_json(msg=str(error), field=error.where)


if __name__ == "__main__":
    main()
