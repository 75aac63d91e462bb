# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""playbooks/preflight.yml as a script calls it: its exit status, and the file it writes. Run on this machine, for real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]


def run(*variables: str) -> subprocess.CompletedProcess[str]:
    """Run the playbook on this machine."""
    settings = ["gpuserve_hosts=all", "ansible_connection=local", f"ansible_python_interpreter={sys.executable}"]
    settings += ["ansible_become=false", "vllm_stack_device=cpu", *variables]
    program = Path(sys.executable).with_name("ansible-playbook")
    command = [str(program), "-i", "thishost,", str(CHECKOUT / "playbooks/preflight.yml")]
    command += [part for setting in settings for part in ("-e", setting)]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)


# No machine has these.
NO_DISK = f"preflight_weights_bytes={1 << 60}"
NO_MEMORY = f"preflight_ram_bytes={1 << 60}"


def test_a_host_that_can_t_serve_ends_a_script(tmp_path: Path) -> None:
    written = tmp_path / "preflight.json"
    done = run(NO_DISK, f"preflight_json={written}")
    assert done.returncode == 2, done.stdout + done.stderr
    report = json.loads(written.read_text())["thishost"]
    assert report["status"] == "fail"
    assert [check["found"] for check in report["checks"] if "for weights" in check["found"]]


def test_a_warning_ends_a_script_that_asks_for_that() -> None:
    done = run(NO_MEMORY, "preflight_fail_on=warn")
    assert done.returncode == 2, done.stdout + done.stderr


def test_a_script_that_only_wants_to_read_goes_on() -> None:
    done = run(NO_DISK, "preflight_fail_on=never")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_check_can_be_switched_off(tmp_path: Path) -> None:
    written = tmp_path / "preflight.json"
    off = json.dumps({"preflight_names": [], "preflight_images_bytes": 0, "vllm_stack_device": "cuda"})
    run(off, f"preflight_json={written}", "preflight_fail_on=never")
    found = [(check["id"], check["found"]) for check in json.loads(written.read_text())["thishost"]["checks"]]
    assert [text for check, text in found if check == "dns"] == []
    assert [text for check, text in found if check == "disk" and "for images" in text]
