# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""playbooks/upgrade.yml on several hosts: one after the other, and none after one that failed. Run on this machine, where it fails."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import yaml

CHECKOUT = Path(__file__).resolve().parents[3]
# Whatever machine this is: no Python is there.
REFUSED = "/nowhere/python"


def run(*variables: str) -> tuple[int, list[str], str]:
    """Run it for hosts a and b, this machine twice, with a Python from nowhere; return status, hosts touched, and output."""
    settings = ["gpuserve_hosts=all", "ansible_connection=local", f"ansible_python_interpreter={REFUSED}"]
    settings += ["ansible_become=false", *variables]
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "a,b,"]
    command += [str(CHECKOUT / "playbooks/upgrade.yml"), *(part for setting in settings for part in ("-e", setting))]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    recap = done.stdout.partition("PLAY RECAP")[2].splitlines()
    return done.returncode, [line.split()[0] for line in recap if " : " in line], done.stdout + done.stderr


def test_the_first_host_that_fails_stops_the_run() -> None:
    status, hosts, output = run()
    assert status == 2, output
    assert hosts == ["a"], "one host at a time is the default"
    assert REFUSED in output, output


def test_as_many_at_a_time_as_asked_for() -> None:
    status, hosts, output = run("gpuserve_upgrade_serial=2")
    assert (status, hosts) == (2, ["a", "b"]), output
    assert output.count(REFUSED) >= 2, output


def test_hosts_without_a_card_are_left_alone() -> None:
    status, _hosts, output = run("vllm_stack_device=cpu")
    assert status == 0, output
    assert "changed=0" in output or "changed=" not in output


DOCKER = """#!/bin/sh
# Docker as far as the tasks ask it: what was started is noted, and each engine is at what its file says.
echo "$*" >> "$FAKE/asked"
case $1 in
  ps) cat "$FAKE/ps" ;;
  inspect) for last; do :; done; cat "$FAKE/$last" 2>/dev/null || exit 1 ;;
esac
"""


def others_back(folder: Path, variables: dict[str, object]) -> str:
    """Run the tasks that start engines of other stacks, with a Docker that is a script; return what Ansible prints."""
    docker = folder / "docker"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    plays = yaml.safe_load((CHECKOUT / "playbooks/upgrade.yml").read_text())
    upgrade = next(play for play in plays if play["name"] == "Upgrade driver and toolkit")
    # The playbook's own variables and assertion, around the tasks alone.
    assertion = next(
        one for one in upgrade["tasks"] if one["name"] == "Assert that the engines of other stacks are back"
    )
    back = {"name": "Start", "ansible.builtin.include_tasks": f"{CHECKOUT}/playbooks/tasks/others_back.yml"}
    play = {
        "name": "Others",
        "hosts": "all",
        "gather_facts": False,
        "vars": upgrade["vars"],
        "tasks": [back, assertion],
    }
    (folder / "play.yml").write_text(yaml.safe_dump([play], sort_keys=False))
    environment = {**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    environment |= {"PATH": f"{folder}:{os.environ['PATH']}", "FAKE": str(folder)}
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    settings = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "vllm_stack_timeout_s": 5,
        **variables,
    }
    command = [program, "-i", "thishost,", str(folder / "play.yml"), "-e", json.dumps(settings)]
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    return " ".join((done.stdout + done.stderr).split())


def test_engines_of_other_stacks_come_back_and_what_does_not_is_named(tmp_path: Path) -> None:
    (tmp_path / "vllm-a").write_text("running healthy\n")
    (tmp_path / "vllm-b").write_text("exited unhealthy\n")
    (tmp_path / "plain").write_text("running \n")
    listed = ["gpuserve-gateway gpuserve-gateway", "vllm-own gpuserve", "vllm-a second", "vllm-b second"]
    # What an interrupted run had stopped is in its mark.
    mark = base64.b64encode(b"Written by gpuserve.fleet's upgrade.\nplain\n").decode()
    said = others_back(tmp_path, {"_upgrade_ours": {"stdout_lines": listed}, "_upgrade_marked_text": {"content": mark}})
    assert "thishost: of other stacks plain, vllm-a are back." in said
    assert "vllm-b of other stacks did not come back." in said
    asked = (tmp_path / "asked").read_text().splitlines()
    assert [one for one in asked if one.startswith("start")] == ["start plain", "start vllm-a", "start vllm-b"]
    assert asked.index("start vllm-a") > next(
        at for at, one in enumerate(asked) if one.endswith("plain") and "inspect" in one
    )


# In place of what asks and changes a host: what would be done, in order.
CHECKED = """
- name: Read what is due
  ansible.builtin.set_fact:
    _upgrade_resumed: false
    _upgrade_before: {files_found: []}
    nvidia_driver_due: "{{ due[inventory_hostname] | default([]) }}"
    nvidia_container_toolkit_due: []
"""
NOTED = """
- name: Configure the log
  ansible.builtin.lineinfile:
    path: "{{ log }}"
    line: "%s {{ inventory_hostname }}"
    create: true
"""
CHANGED = """
    - name: Fail where it is asked for
      ansible.builtin.fail:
        msg: no driver
      when: inventory_hostname in fails
  rescue:
    - name: Show the reason later
      ansible.builtin.set_fact:
        _upgrade_reason: "{{ ansible_failed_result.msg }}"
        _upgrade_left: {decision: {action: "{{ left }}", reason: it has no driver}}
"""


def upgraded(folder: Path, **settings: object) -> tuple[int, list[str], str]:
    """Upgrade hosts a, b and c, of which two serve a model together, with doubles of all that touches a host."""
    tasks = folder / "tasks"
    shutil.copytree(CHECKOUT / "playbooks/tasks", tasks, dirs_exist_ok=True)
    shutil.copytree(CHECKOUT / "playbooks/vars", folder / "vars", dirs_exist_ok=True)
    check = (tasks / "upgrade_check.yml").read_text().splitlines(keepends=True)
    begin = next(at for at, line in enumerate(check) if line.startswith("- name: Show to the other hosts of a group"))
    end = next(at for at, line in enumerate(check) if line.startswith("- name: Check that the stack could come back"))
    (tasks / "upgrade_check.yml").write_text(CHECKED + "".join(check[begin:end]))
    change = (tasks / "upgrade_change.yml").read_text()
    after = change[change.index("- name: Show whether the host can serve") :]
    noted = textwrap.indent(NOTED % "changed", "    ")
    (tasks / "upgrade_change.yml").write_text(f"- name: Install\n  block:{noted}{CHANGED}\n{after}")
    (tasks / "stack_back.yml").write_text(NOTED % "back")
    plays = yaml.safe_load((CHECKOUT / "playbooks/upgrade.yml").read_text())
    plays[0]["ansible.builtin.import_playbook"] = str(CHECKOUT / "playbooks/inventory_check.yml")
    upgrade = next(one for one in plays if one["name"] == "Upgrade driver and toolkit")
    block = next(task for task in upgrade["tasks"] if "block" in task)
    del block["always"]
    upgrade["vars"]["_upgrade_mark"] = str(folder / "mark")
    del upgrade["vars_files"]
    (folder / "upgrade.yml").write_text(yaml.safe_dump(plays, sort_keys=False))
    model = {"model": "meta-llama/Llama-3.1-8B-Instruct", "max_model_len": 8192}
    models = [{**model, "name": "large", "distributed": {"hosts": 2}, "placement": {"hosts": 2, "label": "two"}}]
    everywhere = {
        "ansible_become": False,
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "vllm_stack_models": [*models, {**model, "name": "small"}],
        "vllm_stack_gpus": [{"name": "NVIDIA H100 80GB HBM3"}],
    }
    hosts: dict[str, dict[str, object]] = {name: {"ansible_host": f"192.0.2.{at}"} for at, name in enumerate("abc", 1)}
    for name in "ac":
        hosts[name]["gpuserve_labels"] = ["two"]
    tree = {"all": {"children": {"gpu_hosts": {"hosts": hosts, "vars": everywhere}}}}
    (folder / "inventory.json").write_text(json.dumps(tree))
    log = folder / "log"
    log.unlink(missing_ok=True)
    (folder / "mark").touch()
    given = {"log": str(log), "due": {}, "fails": [], "left": "none", **settings}
    environment = {**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    environment |= {"HF_HUB_OFFLINE": "1", "ANSIBLE_STDOUT_CALLBACK": "default"}
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    command = [program, "-i", str(folder / "inventory.json"), str(folder / "upgrade.yml"), "-e", json.dumps(given)]
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    lines = log.read_text().splitlines() if log.exists() else []
    return done.returncode, lines, " ".join((done.stdout + done.stderr).split())


def test_hosts_that_serve_together_are_upgraded_together(tmp_path: Path) -> None:
    # One of them has something newer: both stop and come back, and the host between them is left alone.
    status, log, output = upgraded(tmp_path, due={"c": ["nvidia-driver 595.80"]})
    assert status == 0 and not (tmp_path / "mark").exists(), output
    assert sorted(log[:2]) == ["changed a", "changed c"] and sorted(log[2:]) == ["back a", "back c"], output
    assert "a: gone through with c, with which it serves together" in output
    assert "c: nvidia-driver 595.80" in output and "b: nothing newer within the pins, it is left alone" in output

    # A host alone has a step of its own.
    status, log, output = upgraded(tmp_path, gpuserve_upgrade_force=True)
    assert status == 0 and sorted(log) == sorted(f"{what} {host}" for what in ("back", "changed") for host in "abc")
    assert log[4:] == ["changed b", "back b"] or log[:2] == ["changed b", "back b"], output


def test_a_failed_upgrade_of_one_of_them_brings_both_back_or_keeps_both_stopped(tmp_path: Path) -> None:
    due = {"a": ["nvidia-driver 595.80"]}
    status, log, output = upgraded(tmp_path, due=due, fails=["a"])
    assert status == 2 and sorted(log[2:]) == ["back a", "back c"] and not (tmp_path / "mark").exists(), output
    assert "a: it was not upgraded: no driver What served before serves again." in output
    # The other one has what it was to have, and its engines are back.
    assert "c: it was" not in output

    status, log, output = upgraded(tmp_path, due=due, fails=["a"], left="install")
    assert status == 2 and sorted(log) == ["changed a", "changed c"] and (tmp_path / "mark").exists(), output
    assert "a: it was not upgraded: no driver Nothing serves on it until then: it has no driver." in output
    other = "a, with which it serves together,"
    told = f"c: it was upgraded, and {other} was not. Nothing serves on it until then: {other} can not."
    assert told in output


def test_a_share_of_no_host_is_refused_by_the_variable_that_says_so(tmp_path: Path) -> None:
    status, log, output = upgraded(tmp_path, gpuserve_upgrade_serial="0%")
    assert (status, log) == (2, []) and "gpuserve_upgrade_serial[0]: a step of 0 % changes no host" in output, output
