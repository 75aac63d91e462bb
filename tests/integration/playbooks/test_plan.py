# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""playbooks/plan.yml as a person and as a script call it. Run on this machine, for real."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.calibration import learn
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import MIB

CHECKOUT = Path(__file__).resolve().parents[3]
CARD, IMAGE = "NVIDIA GeForce RTX 5090", "registry.example/vllm@sha256:0"
MODEL = {"name": "qwen", "model": "Qwen/Qwen2.5-3B-Instruct", "max_model_len": 1536, "max_num_seqs": 24}


def run(tmp_path: Path, columns: int, *more: str, callback: str = "default") -> subprocess.CompletedProcess[str]:
    """Run the playbook for one host, this machine."""
    variables = {
        "gpuserve_hosts": "all",
        "ansible_become": False,
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "vllm_stack_models": [MODEL],
        "vllm_stack_gpus": [{"name": CARD}],
        "vllm_stack_state_dir": str(tmp_path),
        "vllm_stack_project_dir": str(tmp_path),
        "vllm_stack_venv": str(tmp_path / "venv"),
    }
    program = Path(sys.executable).with_name("ansible-playbook")
    command = [str(program), "-i", "thishost,", str(CHECKOUT / "playbooks/plan.yml"), "-e", json.dumps(variables)]
    command += [part for setting in more for part in ("-e", setting)]
    shown = environment(columns, callback)
    return subprocess.run(command, cwd=CHECKOUT, env=shown, capture_output=True, text=True, check=False)


def environment(columns: int, callback: str = "default") -> dict[str, str]:
    """A person's, with the checkout's configuration and no hub."""
    return {
        **os.environ,
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_STDOUT_CALLBACK": callback,
        "HF_HUB_OFFLINE": "1",
        "COLUMNS": str(columns),
        "LC_ALL": "C.UTF-8",
    }


def test_a_plan_is_shown_and_written_and_learns_from_the_host(tmp_path: Path) -> None:
    written = tmp_path / "plans.json"
    first = run(tmp_path, 120, f"plan_json={written}")
    assert first.returncode == 0, first.stdout + first.stderr
    assert f"thishost   {CARD}   31.36 GiB usable   preset balanced: the stack may hold 26.66 GiB" in first.stdout
    presets = [line.split()[2] for line in first.stdout.splitlines() if line.strip().startswith("With preset")]
    assert presets == ["conservative:", "aggressive:", "auto:"]
    plan = json.loads(written.read_text())["thishost"]
    (planned,) = plan["gpus"][0]["models"]

    # What a bring-up on the host leaves behind.
    store = learn({}, CARD, IMAGE, planned, planned["total_bytes"] - planned["traffic_bytes"] + 50 * MIB)
    (tmp_path / "calibration.json").write_text(json.dumps(store))
    (tmp_path / "proved").mkdir()
    (tmp_path / "proved" / "plan.json").write_text(json.dumps({"plan": {**plan, "image": IMAGE}}))
    second = run(tmp_path, 80, f"plan_json={written}", "plan_ask_hosts=true", "plan_format=json")
    assert second.returncode == 0, second.stdout + second.stderr
    again = json.loads(written.read_text())["thishost"]
    assert again["calibration"] == {"starts": 1, "most_bytes": 50 * MIB, "least_bytes": 50 * MIB}
    assert again["gpus"][0]["models"][0]["total_bytes"] == planned["total_bytes"] + 50 * MIB


def test_the_ports_are_said_and_a_host_that_is_asked_keeps_its_own(tmp_path: Path) -> None:
    unasked = run(tmp_path, 120)
    assert unasked.returncode == 0, unasked.stdout + unasked.stderr
    assert "qwen on 8001. A model that the host has already keeps the port it has" in " ".join(unasked.stdout.split())

    (tmp_path / "proved").mkdir()
    kept = tmp_path / "proved" / "plan.json"
    kept.write_text(json.dumps({"services": [{"name": "qwen", "port": 8007}], "plan": {}}))
    asked = run(tmp_path, 120, "plan_ask_hosts=true")
    assert asked.returncode == 0, asked.stdout + asked.stderr
    assert "thishost: qwen on 8007." in asked.stdout and "keeps the port" not in asked.stdout

    # Files that went bad are as good as none.
    kept.write_text('{"services": [{"na')
    (tmp_path / "calibration.json").write_text("")
    bad = run(tmp_path, 120, "plan_ask_hosts=true")
    assert bad.returncode == 0, bad.stdout + bad.stderr
    assert "thishost: qwen on 8001." in bad.stdout


def test_a_plan_that_does_not_fit_is_a_failure_that_says_by_how_much(tmp_path: Path) -> None:
    big = json.dumps({"vllm_stack_models": [{"name": "big", "model": "Qwen/Qwen2.5-32B-Instruct"}]})
    failed = run(tmp_path, 120, big)
    assert failed.returncode == 2
    text = " ".join(failed.stdout.split())
    assert "vllm_stack_models: what is asked for does not fit thishost." in text
    for preset in ("conservative", "aggressive", "auto"):
        assert f"With preset {preset}: does not fit, " in text
    assert run(tmp_path, 120, big, "plan_fail_on=never").returncode == 0


def test_a_plan_goes_through_a_pipe(tmp_path: Path) -> None:
    piped = run(tmp_path, 120, "plan_json=-", callback="gpuserve.fleet.quiet")
    assert piped.returncode == 0, piped.stdout + piped.stderr
    assert json.loads(piped.stdout)["thishost"]["feasible"] is True
    refused = run(tmp_path, 120, "plan_json=-", "vllm_stack_preset=wild", callback="gpuserve.fleet.quiet")
    assert refused.returncode == 2 and refused.stdout == ""
    assert "vllm_stack_preset: there is no preset" in refused.stderr


def test_a_table_is_shown_as_it_is(tmp_path: Path) -> None:
    lines = run(tmp_path, 120).stdout.splitlines()
    assert [line for line in lines if line.startswith(f"thishost   {CARD}   31.36 GiB usable")]
    assert len(lines) < 40


@pytest.mark.parametrize("readme", ["README.md", "README.ko.md"])
def test_a_reader_s_first_inventory_goes_through_the_commands_that_touch_no_host(tmp_path: Path, readme: str) -> None:
    """What README says to write and to type, as it stands there."""
    text = (CHECKOUT / readme).read_text(encoding="utf-8")
    hosts, group_vars = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "inventory/group_vars").mkdir(parents=True)
    (tmp_path / "inventory/hosts.yml").write_text(hosts)
    (tmp_path / "inventory/group_vars/gpu_hosts.yml").write_text(group_vars)
    commands = re.findall(r"^ansible-playbook -i inventory (playbooks/\S+)([^#\n]*)", text, re.MULTILINE)
    assert len(commands) == 2
    for playbook, more in commands:
        argv = ["ansible-playbook", "-i", str(tmp_path / "inventory"), playbook, *more.split()]
        done = subprocess.run(argv, cwd=CHECKOUT, env=environment(120), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "gpu01   NVIDIA GeForce RTX 5090" in done.stdout and "qwen" in done.stdout


def test_a_plan_for_a_card_that_nobody_has_yet(tmp_path: Path) -> None:
    two = run(
        tmp_path, 120, "plan_gpu=4090,4090", json.dumps({"vllm_stack_models": [{**MODEL, "tensor_parallel_size": 2}]})
    )
    assert two.returncode == 0, two.stdout + two.stderr
    assert "NVIDIA GeForce RTX 4090" in two.stdout and CARD not in two.stdout
    without = run(tmp_path, 120, "plan_gpu=4090", "vllm_stack_device=cpu", json.dumps({"vllm_stack_gpus": []}))
    assert "NVIDIA" not in without.stdout, "a host that computes on its CPU has none"
    misspelt = run(tmp_path, 120, "plan_gpu=5091")
    assert misspelt.returncode == 2 and "plan_gpu: the catalogue has no card '5091'" in misspelt.stdout
