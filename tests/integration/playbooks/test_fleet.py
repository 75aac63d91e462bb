# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Playbooks over several hosts: where models are placed, what is planned, who goes first. Every host is this machine, for real."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet.placement import rank

CHECKOUT = Path(__file__).resolve().parents[3]
CARD = "NVIDIA GeForce RTX 5090"
QWEN = {"name": "qwen", "model": "Qwen/Qwen2.5-3B-Instruct", "max_model_len": 1536, "max_num_seqs": 24}
YI = {"name": "yi", "model": "01-ai/Yi-6B-Chat", "max_model_len": 2048}


def inventory(folder: Path, hosts: dict[str, dict[str, Any]], groups: dict[str, list[str]] | None = None) -> Path:
    """Write an inventory of hosts of the group gpu_hosts that are all this machine; return its path."""
    variables = {
        "ansible_become": False,
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "vllm_stack_models": [QWEN],
        "vllm_stack_gpus": [{"name": CARD}],
        "vllm_stack_state_dir": str(folder),
        "vllm_stack_project_dir": str(folder / "stack"),
        "vllm_stack_venv": str(folder / "venv"),
    }
    tree = {"gpu_hosts": {"hosts": hosts, "vars": variables}}
    tree |= {group: {"hosts": {name: {} for name in names}} for group, names in (groups or {}).items()}
    path = folder / "inventory.json"
    path.write_text(json.dumps({"all": {"children": tree}}))
    return path


def play(name: str, hosts: Path, *arguments: str) -> tuple[int, str]:
    """Run a playbook of ours; return its status and what it printed."""
    program = Path(sys.executable).with_name("ansible-playbook")
    environment = {**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    environment |= {"HF_HUB_OFFLINE": "1", "COLUMNS": "120", "LC_ALL": "C.UTF-8", "ANSIBLE_STDOUT_CALLBACK": "default"}
    command = [str(program), "-i", str(hosts), str(CHECKOUT / "playbooks" / name), *arguments]
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_hosts_without_a_model_and_in_quarantine_are_left_as_they_are(tmp_path: Path) -> None:
    hosts: dict[str, dict[str, Any]] = {"a": {}, "b": {}, "c": {"gpuserve_quarantine": "Xid 79 on a Friday"}}
    path = inventory(tmp_path, hosts, {"quiet": ["a"]})
    placed = json.dumps({"vllm_stack_models": [{**QWEN, "placement": {"hosts": 1, "label": "quiet"}}]})
    status, output = play("site.yml", path, "-e", placed, "-l", "b,c")
    assert status == 0, output
    assert "b is spare: by their placement no model is served there." in output
    assert "c is in quarantine (Xid 79 on a Friday): nothing was changed there." in output
    assert "changed=1" not in output

    # Nor are they rolled back or upgraded, unless somebody names them: that gets as far as the lack of anything to go back to.
    for playbook in ("rollback.yml", "upgrade.yml"):
        status, output = play(playbook, path, "-l", "gpu_hosts:!a:!b")
        assert status == 0, output
        assert "c is in quarantine (Xid 79 on a Friday): nothing was changed there. Name it with -l c" in " ".join(
            output.split()
        )
        assert "changed=0" in output
    status, output = play("rollback.yml", path, "-l", "c", "--check")
    assert status == 2 and "is in quarantine" not in output, output

    # Engines that lost their model are nobody's to remove unasked.
    (tmp_path / "stack").mkdir()
    (tmp_path / "stack" / "compose.yml").write_text("services: {}\n")
    status, output = play("site.yml", path, "-e", placed, "-l", "b")
    assert status == 2, output
    said = " ".join(output.split())
    assert (
        "vllm_stack_models: their placement gives b no model any more, and engines of an earlier run are there." in said
    )
    assert "Run playbooks/teardown.yml -l b once the others serve." in said


def test_a_host_in_quarantine_loses_its_models_until_a_check_has_passed(tmp_path: Path) -> None:
    path = inventory(tmp_path, {name: {"ansible_host": f"192.0.2.{at}"} for at, name in enumerate("abc", 1)})
    placed = ["-e", json.dumps({"vllm_stack_models": [{**QWEN, "placement": 2}]})]

    def served() -> list[str]:
        written = tmp_path / "plans.json"
        status, output = play("plan.yml", path, *placed, "-e", f"plan_json={written}")
        assert status == 0, output
        return [host for host, plan in json.loads(written.read_text()).items() if plan["gpus"]]

    before = served()
    gone = before[0]
    out = ["-l", gone, "-e", "quarantine_reason='its fan is loud'"]
    status, output = play("quarantine.yml", path, *out, "--check")
    assert status == 0 and not (tmp_path / ".gpuserve/quarantine.json").exists(), output
    status, output = play("quarantine.yml", path, *out)
    assert status == 0, output
    assert f"{gone} in quarantine since 2" in " ".join(output.split()) and "Run playbooks/site.yml" in output
    assert sorted({*before, *served()}) == ["a", "b", "c"] and gone not in served()
    status, output = play("site.yml", path, *placed, "-l", gone)
    assert status == 0 and f"{gone} is in quarantine (its fan is loud): nothing was changed there." in output, output

    # No card is looked for on a CPU host, so that its check passes.
    back = ["-l", gone, "-e", "quarantine_release=true", "-e", "vllm_stack_device=cpu", "-e", "ansible_host=127.0.0.1"]
    status, output = play("quarantine.yml", path, *back)
    assert status == 0 and f"{gone} back in service" in " ".join(output.split()), output
    assert served() == before

    # Who is out of service is never guessed.
    (tmp_path / ".gpuserve/quarantine.json").write_text("{")
    status, output = play("site.yml", path, *placed)
    assert status == 2 and "quarantine.json is no register of quarantine." in " ".join(output.split()), output


def test_a_placement_that_cannot_be_is_said_before_any_host_is_asked(tmp_path: Path) -> None:
    path = inventory(tmp_path, {"a": {}, "b": {}})
    placed = json.dumps({"vllm_stack_models": [{**QWEN, "placement": 3}]})
    status, output = play("site.yml", path, "-e", placed)
    assert status == 2, output
    assert (
        "vllm_stack_models[0].placement: qwen is to be served by 3 hosts, and there are 2 (a, b). Take 2, or add hosts."
        in " ".join(output.split())
    )
    assert "PLAY [Check which hosts have anything to do]" not in output


def test_a_model_over_several_hosts_is_planned_and_shown_and_taken_whole(tmp_path: Path) -> None:
    path = inventory(tmp_path, {name: {"ansible_host": f"192.0.2.{at}"} for at, name in enumerate("ab", 1)})
    large = {"name": "large", "model": "meta-llama/Llama-3.1-8B-Instruct", "max_model_len": 8192}
    given = ["-e", json.dumps({"vllm_stack_models": [{**large, "distributed": {"hosts": 2, "pipeline_parallel": 2}}]})]
    status, output = play("plan.yml", path, *given, "--check", "--diff")
    assert status == 0, output
    for stage in ("stage 1 of 2: layers 0 to 15 of 0 to 31, with the embedding", "stage 2 of 2: layers 16 to 31"):
        assert f"large: {stage}" in output
    assert "131,088 tokens, 16 requests of 8,192 at once." in output
    # The compose file of each host, as --check --diff shows it: one of the two has no API.
    added = [line.removeprefix("+").strip().replace('"', "") for line in output.splitlines() if line.startswith("+")]
    assert added.count("network_mode: host") == added.count("- --nnodes") == 2
    assert added.count("- --headless") == added.count("- --port") == 1
    assert {"VLLM_HOST_IP: 192.0.2.1", "VLLM_HOST_IP: 192.0.2.2"} <= set(added)
    ranks = [added[at + 1] for at, line in enumerate(added) if line == "- --node-rank"]
    masters = {added[at + 1] for at, line in enumerate(added) if line == "- --master-addr"}
    assert sorted(ranks) == ["- 0", "- 1"] and len(masters) == 1

    # No playbook changes a part of it, and a proof takes one host after the other; none of these gets as far as a host.
    refused = {
        "site.yml -l a": "is not among the hosts of this run. Name all of them",
        "teardown.yml -l b": "is not among the hosts of this run. Name all of them",
        "rollback.yml -l b": "is not among the hosts of this run. Name all of them",
        "site.yml --forks 1": "forks: a, b serve together and change at the same time, and Ansible works on 1 at once.",
        "upgrade.yml -l a": "is not among the hosts of this run. Name all of them",
        "prove.yml": "serve large together, and this playbook takes one host after the other.",
    }
    for command, sentence in refused.items():
        playbook, *words = command.split()
        status, output = play(playbook, path, *given, *words)
        assert status == 2 and sentence in " ".join(output.split()), output
        assert output.count("PLAY [") == 1, output

    # What the proof's refusal advises: one of them with models that it holds alone.
    alone = tmp_path / "alone.json"
    alone.write_text(json.dumps({"vllm_stack_models": [QWEN]}))
    status, output = play("prove.yml", path, "-l", "b", "-e", f"@{alone}", "-e", "prove_steps=none")
    assert status == 2 and "there is no step 'none'" in output and "PLAY [Prove what the host gives]" in output, output


def test_all_hosts_are_planned_at_once_and_equal_ones_together(tmp_path: Path) -> None:
    models = [{**QWEN, "placement": {"hosts": 2, "label": "quiet"}}, YI]
    hosts: dict[str, dict[str, Any]] = {name: {"ansible_host": f"192.0.2.{at}"} for at, name in enumerate("abcdef", 1)}
    hosts["f"] = {"vllm_stack_preset": "aggressive"}
    path = inventory(tmp_path, hosts, {"quiet": ["a", "b"]})
    given = json.dumps({"vllm_stack_models": models})
    written = tmp_path / "plans.json"
    status, output = play("plan.yml", path, "-e", given, "-e", f"plan_json={written}")
    assert status == 0, output
    plans = json.loads(written.read_text())
    served = {host: [model["name"] for model in plan["gpus"][0]["models"]] for host, plan in plans.items()}
    assert served == {host: ["qwen", "yi"] if host in "ab" else ["yi"] for host in hosts}
    assert plans["c"] == plans["e"] and plans["f"]["preset"] == "aggressive"
    for heading in ("a and 1 more", "c and 2 more", "f"):
        assert f"{heading}   {CARD}   31.36 GiB usable" in output
    assert "qwen: 2 hosts with the label quiet: a, b" in output
    assert "yi: every host: a, b, c, d, e, f" in output

    # What does not fit is named by its hosts, and the plans are shown all the same.
    big = json.dumps({"vllm_stack_models": [{"name": "big", "model": "Qwen/Qwen2.5-32B-Instruct", "placement": 1}, YI]})
    status, output = play("plan.yml", path, "-e", big, "-l", "a,b,c,d,e,f", "-e", "vllm_stack_preset=balanced")
    assert status == 2, output
    assert "what is asked for does not fit " in output and output.count("31.36 GiB usable") == 2


# In place of what serves: it is noted who changed, and a host fails where its file says so.
ENGINES = """---
- name: Start a double of engines
  ansible.builtin.copy:
    dest: "{{ fleet_folder }}/changed/{{ inventory_hostname }}"
    content: changed
    mode: "0600"

- name: Stop answering as the host does
  gpuserve.fleet.host_task:
    module: ansible.builtin.command
    args:
      cmd: mv {{ fleet_folder }}/dies-{{ inventory_hostname }} {{ fleet_folder }}/dead-{{ inventory_hostname }}
      removes: "{{ fleet_folder }}/dies-{{ inventory_hostname }}"

- name: Check by a module of Ansible's own, where a failure is an answer
  gpuserve.fleet.host_task:
    module: ansible.builtin.slurp
    args:
      src: "{{ fleet_folder }}/absent"
  register: fleet_slurped
  failed_when: fleet_slurped.unreached | default(false)
  when: fleet_host_task | default(false)

- name: Check by a task of Ansible's own
  ansible.builtin.command:
    cmd: "true"
  when: fleet_ansibles_own | default(false)

- name: Check by a task of ours
  gpuserve.fleet.gpu_info:
    device: cpu

- name: Fail as the host does
  ansible.builtin.fail:
    msg: "qwen did not start: no memory on {{ inventory_hostname }}."
  when: (fleet_folder ~ '/broken-' ~ inventory_hostname) is exists

- name: Configure what a bring-up registers
  ansible.builtin.set_fact:
    _vllm_stack_bringup: {changed: true, replaced: "{{ fleet_replaced | default(true) }}"}
"""
MEASURE = """---
- name: Read the figures of a double
  ansible.builtin.set_fact:
    _benchmark:
      table: ["{{ inventory_hostname }} was measured"]
      below: "{{ ['qwen, alone: tokens_per_s 90, threshold 200'] if (fleet_folder ~ '/slow-' ~ inventory_hostname) is exists else [] }}"
"""
BEFORE = """---
- name: Start a double of the set before
  ansible.builtin.file:
    path: "{{ fleet_folder }}/changed/{{ inventory_hostname }}"
    state: absent
"""
APPLIED = """---
- name: Compare a double with what a double of the last run left
  ansible.builtin.set_fact:
    _site_before:
      as_before: "{{ (fleet_folder ~ '/as-before-' ~ inventory_hostname) is exists }}"
      why: "{{ 'container vllm-qwen differs' if (fleet_folder ~ '/by-hand-' ~ inventory_hostname) is exists else '' }}"
  when: ["_applied == 'compared'", {condition}]
"""
HOOK = """---
- name: Check what has changed by then
  ansible.builtin.shell:
    cmd: echo {moment} {{{{ inventory_hostname }}}} $(ls {{{{ fleet_folder }}}}/changed | tr -d '\\n') >> {{{{ fleet_folder }}}}/hooks
  changed_when: false
  failed_when: (fleet_folder ~ '/{moment}-fails') is exists
"""


# In the place of the roles that install drivers and Docker.
UNREADY = {
    "name": "Fail as a host whose driver can't be installed",
    "ansible.builtin.fail": {"msg": "no driver on {{ inventory_hostname }}."},
    "when": "(fleet_folder ~ '/unready-' ~ inventory_hostname) is exists",
    "tags": ["always"],
}


COMPARED, LAYER = "Check which hosts have anything to do", "Install the host's part of the stack"


# Somebody at another controller, as a host's note has it.
OTHER_RUN = {
    "run": "0123456789abcdef",
    "who": "operator-b",
    "controller": "desk-7",
    "pid": 1,
    "since": "2026-11-26 12:01:00 UTC",
}


def applied() -> str:
    """Return the double of a comparison, which is made when the real one is."""
    (real,) = yaml.safe_load((CHECKOUT / "playbooks/tasks/last_applied.yml").read_text())
    return APPLIED.replace("{condition}", json.dumps(real["when"]))


def of_a_role(task: Any) -> bool:
    return "include_role" in str(task) or "import_role" in str(task)


def served_by_doubles(tasks: Any) -> list[dict[str, Any]]:
    """Return tasks of serve.yml, with the engines' a double and what the gateway does left out; hooks and acceptance are real."""
    kept = [task for task in tasks if task["name"] == "Start the engines" or not of_a_role(task)]
    for task in kept:
        if task["name"] == "Check what comes before the engines":
            # Where engines are met is known to the role that is left out.
            task["when"] = task["when"].partition("or (_vllm_stack")[0]
        if task["name"] == "Start the engines":
            del task["ansible.builtin.import_role"]
            task["ansible.builtin.include_tasks"] = {"file": "engines.yml", "apply": {"tags": task["tags"]}}
    return [task for task in kept if task["name"] != "Show what serves and a request to paste"]


def rolled_out(folder: Path, hosts: Path, *arguments: str) -> tuple[int, str, str]:
    """Run the plays of site.yml that roll out, with a double of what serves; return status, which hosts changed, and output."""
    tasks = folder / "tasks"
    tasks.mkdir(exist_ok=True)
    for name, text in (
        ("engines", ENGINES),
        ("measure", MEASURE),
        ("set_before", BEFORE),
        ("last_applied", applied()),
    ):
        (tasks / f"{name}.yml").write_text(text)
    for name in ("rollout_step", "acceptance", "claim", "edge", "edge_boxes"):
        shutil.copy(CHECKOUT / f"playbooks/tasks/{name}.yml", tasks)
    shutil.copytree(CHECKOUT / "playbooks/vars", folder / "vars", dirs_exist_ok=True)
    for name in ("serve", "before_serving", "after_serving"):
        text = (CHECKOUT / f"playbooks/tasks/{name}.yml").read_text()
        (tasks / f"{name}.yml").write_text(yaml.safe_dump(served_by_doubles(yaml.safe_load(text)), sort_keys=False))
    for moment in ("before", "after"):
        (folder / f"{moment}.yml").write_text(HOOK.format(moment=moment))
    plays = yaml.safe_load((CHECKOUT / "playbooks/site.yml").read_text())
    plays[0]["ansible.builtin.import_playbook"] = str(CHECKOUT / "playbooks/inventory_check.yml")
    compared, host = (next(one for one in plays if one["name"] == name) for name in (COMPARED, LAYER))
    # What is asked of a host is known to roles that are left out, and so is where the gateway of a host without a model is.
    left_out = {"Stop here on hosts that serve nothing", "Check which hosts the edges send no new requests"}
    compared["tasks"] = [task for task in compared["tasks"] if not of_a_role(task) and task["name"] not in left_out]
    block = next(task for task in host["tasks"] if "block" in task)
    block["block"] = [task for task in block["block"] if not of_a_role(task)] + [UNREADY]
    for one in plays[1:]:
        one["module_defaults"] = {"gpuserve.fleet.host_claim": {"folder": f"{folder}/run-{{{{ inventory_hostname }}}}"}}
    # The hosts of a test have one folder of state: two that note their version there at once are none of a fleet's.
    next(one for one in plays if one["name"] == "Give the hosts of a rollout back")["serial"] = 1
    (folder / "rollout.yml").write_text(yaml.safe_dump(plays, sort_keys=False))
    shutil.rmtree(folder / "changed", ignore_errors=True)
    (folder / "changed").mkdir()
    status, output = play(str(folder / "rollout.yml"), hosts, "-e", f"fleet_folder={folder}", *arguments)
    return status, "".join(sorted(path.name for path in (folder / "changed").iterdir())), output


def test_the_inventory_of_a_fleet_fits_its_cards_and_places_its_models() -> None:
    # The key is in a vault of whoever copies the inventory.
    status, output = play("plan.yml", CHECKOUT / "inventories/fleet")
    assert status == 2 and "gpuserve_edge_key" in output, output
    status, output = play(
        "plan.yml", CHECKOUT / "inventories/fleet", "-e", "gpuserve_edge_key=a-key-that-is-long-enough"
    )
    assert status == 0, output
    assert "small: 2 hosts, spread over rack_a, rack_b: gpu01, gpu04" in output
    assert "tiny: 1 host with the label big_disk: gpu03" in output
    assert "gpu05 and 1 more   NVIDIA GeForce RTX 4090" in output


def test_a_failed_canary_leaves_all_others_alone_and_a_resumed_rollout_goes_on(tmp_path: Path) -> None:
    hosts: dict[str, dict[str, Any]] = {name: {} for name in "abcdefgh"}
    hosts["d"] = {"gpuserve_labels": ["canary"]}
    hosts["a"] = {"gpuserve_quarantine": "Xid 79"}
    path = inventory(tmp_path, hosts)
    (tmp_path / "broken-d").touch()
    status, changed, output = rolled_out(tmp_path, path)
    assert (status, changed) == (2, "d"), output
    assert "stopped: 1 failure, and gpuserve_max_failed allows 0." in output
    assert "d            qwen did not start: no memory on d." in output
    assert "0 hosts with the new set, 1 failed, 6 not touched." in output

    # It was mended; one of the second step fails, and the others of its step end as they should.
    (tmp_path / "broken-d").unlink()
    (tmp_path / "broken-c").touch()
    status, changed, output = rolled_out(tmp_path, path, "-e", '{"gpuserve_rollout_steps": [1, "50%", "100%"]}')
    assert (status, changed) == (2, "bcde"), output
    assert "3 hosts with the new set, 1 failed, 3 not touched." in output

    # A run for one host forgets nothing of the others.
    (tmp_path / "broken-c").unlink()
    status, changed, output = rolled_out(tmp_path, path, "-l", "h", "-e", "gpuserve_resume=true")
    assert (status, changed) == (0, "h"), output
    status, changed, output = rolled_out(tmp_path, path, "-e", "gpuserve_resume=true")
    assert (status, changed) == (0, "cfg"), output
    status, _changed, output = rolled_out(tmp_path, path, "-e", "gpuserve_resume=true")
    assert status == 2 and "gpuserve_resume: there is no unfinished rollout" in " ".join(output.split()), output


def test_as_many_may_fail_as_are_allowed_and_what_is_no_step_is_refused(tmp_path: Path) -> None:
    path = inventory(tmp_path, {name: {} for name in "abcd"})
    (tmp_path / "broken-a").touch()
    status, changed, output = rolled_out(tmp_path, path, "-e", "gpuserve_max_failed=1")
    assert (status, changed) == (2, "abcd"), output
    assert "stopped:" not in output and "ended: 1 failure, which gpuserve_max_failed (1) allows." in output
    assert "3 hosts with the new set, 1 failed, 0 not touched." in output

    status, changed, output = rolled_out(tmp_path, path, "-e", '{"gpuserve_rollout_steps": ["0%"]}')
    assert (status, changed) == (2, ""), output
    said = "gpuserve_rollout_steps[0]: a step of 0 % changes no host, and would never end. Take 1 for a single host, or leave it out."
    assert f"{said} Nothing was changed." in " ".join(output.split())


def test_hosts_with_nothing_to_do_are_in_no_step_and_the_others_have_a_canary_of_their_own(tmp_path: Path) -> None:
    path = inventory(tmp_path, {name: {} for name in "abcdefgh"})
    for name in "abcd":
        (tmp_path / f"as-before-{name}").touch()
    (tmp_path / "by-hand-e").touch()
    (tmp_path / "broken-e").touch()
    status, changed, output = rolled_out(tmp_path, path)
    # The first of those that are left is the canary: it failed, and no other one follows.
    assert (status, changed) == (2, "e"), output
    assert "Nothing to do on 4 of 8 hosts: as the last run left them." in output
    assert "e: container vllm-qwen differs." in output
    assert "4 hosts with the new set, 1 failed, 3 not touched." in output
    # All of them are free for other runs.
    assert not [name for name in "abcdefgh" if (tmp_path / f"run-{name}" / "run.json").exists()]

    (tmp_path / "broken-e").unlink()
    status, changed, output = rolled_out(tmp_path, path, "-e", "gpuserve_resume=true")
    assert (status, changed) == (0, "efgh"), output
    for name in "efgh":
        (tmp_path / f"as-before-{name}").touch()
    # Another run's host is nothing to a run that has nothing to do there.
    note = tmp_path / "run-e" / "run.json"
    note.write_text(json.dumps(OTHER_RUN))
    status, changed, output = rolled_out(tmp_path, path)
    assert (status, changed) == (0, "") and "Stop here where too many hosts failed" not in output, output
    assert json.loads(note.read_text()) == OTHER_RUN
    note.unlink()
    # A host alone is no rollout, and free again as well.
    status, changed, output = rolled_out(tmp_path, path, "-l", "a")
    assert (status, changed) == (0, ""), output
    assert not (tmp_path / "run-a" / "run.json").exists()

    # With a part of the tasks nobody knows what the rest would do: all are asked.
    status, changed, output = rolled_out(tmp_path, path, "--tags", "vllm_stack")
    assert (status, changed) == (0, "abcdefgh"), output


# In place of ssh: it runs what it is given here, unless the host is dead.
SSH = """#!/bin/sh
for word; do before=$last; last=$word; done
if [ -e "{folder}/dead-$before" ]; then
    echo "ssh: connect to host $before port 22: Connection refused" >&2
    exit 255
fi
exec /bin/sh -c "$last"
"""


def mortal(folder: Path, names: str) -> Path:
    """Write an inventory of hosts that are this machine by a double of ssh, and that die by a file dies-NAME; return its path."""
    ssh = folder / "ssh"
    ssh.write_text(SSH.format(folder=folder))
    ssh.chmod(0o755)
    reached = {"ansible_connection": "ssh", "ansible_ssh_executable": str(ssh), "ansible_ssh_transfer_method": "piped"}
    return inventory(
        folder, {name: {**reached, "ansible_host": name, "gpuserve_address": "192.0.2.1"} for name in names}
    )


def test_a_canary_that_dies_in_its_step_is_a_failure_as_any_other(tmp_path: Path) -> None:
    path = mortal(tmp_path, "abc")
    (tmp_path / "dies-a").touch()
    status, changed, output = rolled_out(tmp_path, path)
    assert (status, changed) == (2, "a"), output
    said = " ".join(output.split())
    assert "stopped: 1 failure, and gpuserve_max_failed allows 0." in said
    died = "it was not reached any more (ssh: connect to host a port 22: Connection refused). What it serves now is not known."
    assert f" a {died} 0 hosts with the new set, 1 failed, 2 not touched." in said
    assert "a was not reached, and keeps the note of this run until it boots" in said
    # All others are free again, and a resumed rollout begins with the host that died.
    assert [(tmp_path / f"run-{name}" / "run.json").exists() for name in "abc"] == [True, False, False]
    (tmp_path / "dead-a").unlink()
    status, changed, output = rolled_out(tmp_path, path, "-e", "gpuserve_resume=true")
    assert (status, changed) == (0, "abc"), output

    # As many may die as may fail, whatever module has the host then; and without pipelining, where it is cleaned up after each.
    (tmp_path / "dies-b").touch()
    status, changed, output = rolled_out(tmp_path, path, "-e", '{"gpuserve_max_failed": 1, "fleet_host_task": true}')
    assert (status, changed) == (2, "abc"), output
    assert f" b {died.replace('host a', 'host b')} 2 hosts with the new set" in " ".join(output.split())
    (tmp_path / "dead-b").rename(tmp_path / "dies-b")
    status, changed, output = rolled_out(
        tmp_path, path, "-e", '{"gpuserve_max_failed": 1, "ansible_pipelining": false}'
    )
    assert (status, changed) == (2, "abc"), output
    assert "ended: 1 failure, which gpuserve_max_failed (1) allows." in output
    assert "2 hosts with the new set, 1 failed, 0 not touched." in output

    # One that is not there from the start is left out; alone in its step it has proved nothing to those behind it.
    (tmp_path / "dead-b").unlink()
    for dead, left in (("a", ""), ("c", "ab")):
        (tmp_path / f"dead-{dead}").touch()
        status, changed, output = rolled_out(tmp_path, path)
        assert (status, changed) == (4, left), output
        assert "it was not there when its turn came: out of reach before, or failed before." in output
        (tmp_path / f"dead-{dead}").unlink()


def test_a_host_that_dies_under_a_task_of_ansibles_own_is_told_by_another_or_by_the_next_run(tmp_path: Path) -> None:
    path = mortal(tmp_path, "abc")
    ansibles_own = ["-e", '{"fleet_ansibles_own": true}']
    (tmp_path / "dies-a").touch()
    status, changed, output = rolled_out(tmp_path, path, *ansibles_own, "-e", '{"gpuserve_rollout_steps": [2]}')
    assert (status, changed) == (4, "ab"), output
    said = " ".join(output.split())
    assert (
        "a it came to no end: out of reach, or interrupted. 1 host with the new set, 1 failed, 1 not touched." in said
    )

    # Alone in its step it ends the run for Ansible; nobody after it is touched, and the next run says so.
    (tmp_path / "dead-a").rename(tmp_path / "dies-a")
    status, changed, output = rolled_out(tmp_path, path, *ansibles_own)
    assert (status, changed) == (4, "a"), output
    (tmp_path / "dead-a").unlink()
    status, changed, output = rolled_out(tmp_path, path)
    assert (status, changed) == (0, "abc"), output
    told = (
        "A rollout before is unfinished (0 of 3 hosts done, a came to no end): -e gpuserve_resume=true goes on there."
    )
    assert told in " ".join(output.split())


def test_hooks_run_around_a_host_and_one_that_fails_keeps_the_host_as_it_is(tmp_path: Path) -> None:
    path = inventory(tmp_path, {name: {} for name in "ab"})
    hooks = [f"-egpuserve_{moment}_host={tmp_path}/{moment}.yml" for moment in ("before", "after")]
    status, changed, output = rolled_out(tmp_path, path, *hooks)
    assert (status, changed) == (0, "ab"), output
    assert (tmp_path / "hooks").read_text().split("\n") == ["before a", "after a a", "before b a", "after b ab", ""]

    # What has to be true before a host changes is not: it stays as it is, and no other follows.
    (tmp_path / "before-fails").touch()
    status, changed, output = rolled_out(tmp_path, path, *hooks)
    assert (status, changed) == (2, ""), output
    assert "0 hosts with the new set, 1 failed, 1 not touched." in output
    (tmp_path / "before-fails").unlink()
    (tmp_path / "after-fails").touch()
    status, changed, output = rolled_out(tmp_path, path, *hooks)
    assert (status, changed) == (2, "a"), output


def test_a_host_that_is_too_slow_gets_back_what_it_served_and_stops_the_rollout(tmp_path: Path) -> None:
    path = inventory(tmp_path, {name: {} for name in "abc"})
    held_to = [
        "-e",
        json.dumps({"gpuserve_acceptance": True, "benchmark_thresholds": [{"model": "qwen", "tokens_per_s": 200}]}),
    ]
    (tmp_path / "slow-b").touch()
    status, changed, output = rolled_out(tmp_path, path, *held_to)
    assert (status, changed) == (2, "a"), output
    said = " ".join(output.split())
    assert "a was measured" in said and "b was not accepted: qwen, alone: tokens_per_s 90, threshold 200." in said
    assert "What served before serves again." in said
    assert "1 host with the new set, 1 failed, 1 not touched." in said

    # A host on which nothing was changed goes back to nothing.
    status, changed, output = rolled_out(tmp_path, path, *held_to, "-e", '{"fleet_replaced": false}', "-l", "b,c")
    assert (status, changed) == (2, "b"), output
    assert "Nothing was there to go back to: what was started serves on." in " ".join(output.split())

    status, changed, output = rolled_out(tmp_path, path, "-e", "gpuserve_acceptance=true")
    assert (status, changed) == (2, ""), output
    assert "gpuserve_acceptance: it is on, and benchmark_thresholds says of no model what it has to reach." in " ".join(
        output.split()
    )


def test_hosts_that_serve_together_are_accepted_together(tmp_path: Path) -> None:
    path = inventory(tmp_path, {name: {"ansible_host": f"192.0.2.{at}"} for at, name in enumerate("ab", 1)})
    large = {
        "name": "large",
        "model": "meta-llama/Llama-3.1-8B-Instruct",
        "max_model_len": 8192,
        "distributed": {"hosts": 2},
    }
    thresholds = [{"model": "large", "tokens_per_s": 200}]
    settings = {"gpuserve_acceptance": True, "benchmark_thresholds": thresholds, "vllm_stack_models": [large]}
    first, second = sorted("ab", key=lambda host: -rank("large", host))
    # The other one has no API, and nobody measures it.
    (tmp_path / f"slow-{second}").touch()
    status, changed, output = rolled_out(tmp_path, path, "-e", json.dumps(settings))
    assert (status, changed) == (0, "ab"), output
    assert f"{first} was measured" in output and f"{second} was measured" not in output

    # What the first one misses takes both back.
    (tmp_path / f"slow-{first}").touch()
    status, changed, output = rolled_out(tmp_path, path, "-e", json.dumps(settings))
    assert (status, changed) == (2, ""), output
    said = " ".join(output.split())
    assert all(f"{host} was not accepted: qwen, alone: tokens_per_s 90, threshold 200." in said for host in "ab")
    assert "stopped: 2 failures" in said and "0 hosts with the new set, 2 failed, 0 not touched." in said


def test_a_second_run_is_told_who_changes_a_host_and_changes_nothing(tmp_path: Path) -> None:
    path = inventory(tmp_path, {name: {} for name in "abc"})
    status, changed, output = rolled_out(tmp_path, path)
    assert (status, changed) == (0, "abc"), output
    notes = [tmp_path / f"run-{name}" / "run.json" for name in "abc"]
    # Everybody is free again, and so is the host of a rollout that stopped, whether or not it failed.
    assert not any(note.exists() for note in notes)
    (tmp_path / "broken-a").touch()
    status, changed, output = rolled_out(tmp_path, path)
    assert (status, changed) == (2, "a") and not any(note.exists() for note in notes), output
    status, changed, output = rolled_out(tmp_path, path, "-l", "a")
    assert (status, changed) == (2, "a") and not any(note.exists() for note in notes), output
    (tmp_path / "broken-a").unlink()
    # One that failed before any engine was to change is given back as well, whatever becomes of the others.
    (tmp_path / "unready-b").touch()
    status, changed, output = rolled_out(tmp_path, path)
    assert status == 2 and "b" not in changed and not any(note.exists() for note in notes), output
    (tmp_path / "unready-b").unlink()

    # Somebody at another controller has a host: nobody's is changed, and what was taken is given back.
    notes[1].write_text(json.dumps(OTHER_RUN))
    status, changed, output = rolled_out(tmp_path, path)
    assert (status, changed) == (2, ""), output
    told = "gpuserve_take_over: b is being changed by a run of operator-b on desk-7, since 2026-11-26 12:01:00 UTC. Wait until it has ended"
    assert told in " ".join(output.split()) and "Nothing was changed." in output
    assert [note.exists() for note in notes] == [False, True, False] and json.loads(notes[1].read_text()) == OTHER_RUN
    status, changed, output = rolled_out(tmp_path, path, "-l", "a,c")
    assert (status, changed) == (0, "ac"), output
    status, changed, output = rolled_out(tmp_path, path, "-e", "gpuserve_take_over=true")
    assert (status, changed) == (0, "abc"), output

    # Hosts of two versions: the newer one's are not changed by this one, and neither is any other.
    (tmp_path / "collection").write_text("9.9.9\n")
    status, changed, output = rolled_out(tmp_path, path)
    assert (status, changed) == (2, ""), output
    told = "a: version 9.9.9 of gpuserve.fleet has changed this host and 2 more, and here is "
    assert told in " ".join(output.split()) and not notes[0].exists(), output
    (tmp_path / "collection").write_text("0.0.1\n")

    # A run of this controller that was killed has nothing any more, and one that lives has its journal.
    # No kernel numbers a process beyond 2^22.
    notes[1].write_text(json.dumps({**OTHER_RUN, "controller": socket.gethostname(), "pid": 2**22 + 1}))
    status, changed, output = rolled_out(tmp_path, path)
    assert (status, changed) == (0, "abc"), output
    assert (tmp_path / "collection").read_text().strip() == yaml.safe_load((CHECKOUT / "galaxy.yml").read_text())[
        "version"
    ]
    journal = tmp_path / ".gpuserve" / "rollout.json"
    kept = json.loads(journal.read_text())
    journal.write_text(
        json.dumps({**kept, "run": {**OTHER_RUN, "controller": socket.gethostname(), "pid": os.getpid()}})
    )
    status, changed, output = rolled_out(tmp_path, path)
    assert (status, changed) == (2, ""), output
    assert f"these hosts are being changed by a run of operator-b on {socket.gethostname()}" in " ".join(output.split())
    assert json.loads(journal.read_text())["run"]["pid"] == os.getpid()


def test_a_host_whose_rollback_fails_is_given_back_to_its_edges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANSIBLE_DISPLAY_OK_HOSTS", "1")
    path = inventory(tmp_path, {"a": {"ansible_host": "192.0.2.1"}}, {"edge": ["front"]})
    key = "key-of-the-edge-for-its-boxes"
    everywhere = {
        "ansible_become": False,
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "gpuserve_edge_key": key,
        "gateway_keys": [{"name": "edge", "key": key}],
        "gateway_tls": "self_signed",
    }
    # There is nothing to go back to.
    status, output = play("rollback.yml", path, "-l", "a", "--check", "-e", json.dumps(everywhere))
    assert status == 2, output
    failed, _told, after = output.partition("fatal: [a]")
    assert "[a -> front] => (item=front)" in after and "[a -> front]" not in failed, output
