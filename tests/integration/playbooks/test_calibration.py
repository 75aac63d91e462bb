# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""playbooks/calibration.yml as a person calls it: a file leaves one host, and another takes it in. Run on this machine, for real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
START = {
    "gpu": "NVIDIA GeForce RTX 5090",
    "image": "registry.corp.example/vllm@sha256:" + "c" * 64,
    "model": "Qwen/Qwen2.5-3B-Instruct",
    "args": ["--max-model-len", "1536"],
    "fixed_bytes": [5],
    "errors_bytes": [-1],
}


def run(tmp_path: Path, hosts: str, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the playbook for hosts that are this machine, each with a folder of its own."""
    variables = {
        "gpuserve_hosts": "all",
        "ansible_become": False,
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "vllm_stack_state_dir": str(tmp_path) + "/{{ inventory_hostname }}",
    }
    program = Path(sys.executable).with_name("ansible-playbook")
    command = [str(program), "-i", hosts, str(CHECKOUT / "playbooks/calibration.yml"), "-e", json.dumps(variables)]
    command += [part for setting in more for part in ("-e", setting)]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)


def test_what_one_host_measured_is_handed_to_another(tmp_path: Path) -> None:
    (tmp_path / "gpu01").mkdir()
    private = {**START, "model": "acme/unreleased"}
    (tmp_path / "gpu01/calibration.json").write_text(json.dumps({"starts": {"a": START, "b": private}}))
    (tmp_path / "bad.json").write_text("{")
    first = run(tmp_path, "gpu01,gpu02,", "calibration_export=handed.json")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "gpu01   2 kinds of start" in first.stdout and "gpu02   no start was measured yet" in first.stdout
    assert "Left out, for they may be private: acme/unreleased." in first.stdout
    handed = json.loads((tmp_path / "handed.json").read_text())
    assert handed["starts"] == [{**START, "image": "sha256:" + "c" * 64}]

    refused = run(tmp_path, "gpu02,", "calibration_import=handed.json,bad.json")
    assert refused.returncode == 2 and "bad.json: it is no JSON. Take the file as" in refused.stdout + refused.stderr
    assert not (tmp_path / "gpu02").exists()
    taken = run(tmp_path, "gpu02,", "calibration_import=handed.json")
    assert taken.returncode == 0 and "imported" in taken.stdout, taken.stdout + taken.stderr
    (kept,) = json.loads((tmp_path / "gpu02/calibration.json").read_text())["starts"].values()
    assert kept == {**START, "image": "sha256:" + "c" * 64, "imported": True}
