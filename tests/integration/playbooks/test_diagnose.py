# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""playbooks/diagnose.yml on a host that is in no good state itself. Run on this machine, for real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]


def test_an_environment_whose_python_an_upgrade_took_away_ends_no_diagnosis(tmp_path: Path) -> None:
    python = tmp_path / "venv/bin/python"
    python.parent.mkdir(parents=True)
    python.symlink_to("/usr/bin/python3.9-that-was-here")
    written = tmp_path / "diagnosis.json"
    variables = {
        "ansible_become": False,
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "diagnose_fail_on": "never",
        "diagnose_json": str(written),
        "diagnose_names": [],
        "vllm_stack_device": "cpu",
        "vllm_stack_project_dir": str(tmp_path / "stack"),
        "vllm_stack_state_dir": str(tmp_path / "state"),
        "vllm_stack_venv": str(tmp_path / "venv"),
    }
    # Variables of the command line would be above the task's own Python.
    inventory = tmp_path / "hosts.json"
    inventory.write_text(json.dumps({"all": {"hosts": {"thishost": variables}}}))
    program = Path(sys.executable).with_name("ansible-playbook")
    command = [str(program), "-i", str(inventory), str(CHECKOUT / "playbooks/diagnose.yml"), "-e", "gpuserve_hosts=all"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(written.read_text())["thishost"]["status"] in ("ok", "warn", "fail")
