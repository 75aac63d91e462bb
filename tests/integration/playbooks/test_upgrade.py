# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""playbooks/upgrade.yml on several hosts: one after the other, and none after one that failed. Run on this machine, where it fails."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
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
