# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""playbooks/upgrade.yml on several hosts: one after the other, and none after one that failed. Run on this machine, where it fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
