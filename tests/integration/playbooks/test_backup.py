# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""playbooks/backup.yml and restore.yml as a person calls them: a host and a controller are lost, and both come back. On this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
SECRET = "gsk-the-first-key-of-a-host"
HOST = {
    "gateway/default-key.sha256": "a-digest",
    "gateway/tls/tls.crt": "a-certificate",
    "gateway/tls/tls.key": "a-private-key",
    "state/calibration.json": '{"starts": {}}',
}
CONTROLLER = {
    ".gpuserve/keys/gpu01": SECRET,
    ".gpuserve/gateway-keys.yml": "keys: []\n",
    "model_info/a--b.json": "{}\n",
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Lay out a folder with an inventory and what belongs beside it, and a host."""
    for folder, files in (("host", HOST), ("inventory", CONTROLLER)):
        for name, text in files.items():
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o600)
    (tmp_path / "inventory/hosts.yml").write_text("gpu_hosts: {hosts: {gpu01: {}}}\n")
    return tmp_path


def run(place: Path, playbook: str, *more: str) -> subprocess.CompletedProcess[str]:
    """Run a playbook for one host, which is a folder of this machine."""
    variables = {
        "ansible_become": False,
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "vllm_stack_state_dir": str(place / "host/state"),
        "_backup_gateway": str(place / "host/gateway"),
    }
    program = Path(sys.executable).with_name("ansible-playbook")
    command = [str(program), "-i", "inventory/hosts.yml", str(CHECKOUT / f"playbooks/{playbook}.yml"), "--diff", "-v"]
    command += ["-e", json.dumps(variables), *(part for setting in more for part in ("-e", setting))]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert SECRET not in done.stdout + done.stderr and "a-private-key" not in done.stdout + done.stderr
    return done


def test_a_host_and_its_controller_come_back(place: Path) -> None:
    saved = run(place, "backup", "backup_dir=kept")
    assert saved.returncode == 0, saved.stdout + saved.stderr
    assert "gpu01   calibration/calibration.json, key/default-key.sha256, tls/tls.crt, tls/tls.key" in saved.stdout
    kept = place / "kept"
    assert (kept / "gpu01.tar.gz").stat().st_mode & 0o777 == 0o600
    assert (kept / "controller/.gpuserve/keys/gpu01").stat().st_mode & 0o777 == 0o600
    assert not (place / "host/state/backup.tar.gz").exists()

    shutil.rmtree(place / "host")
    for folder in (".gpuserve", "model_info"):
        shutil.rmtree(place / "inventory" / folder)
    restored = run(place, "restore", "backup_dir=kept")
    assert restored.returncode == 0, restored.stdout + restored.stderr
    assert "gpu01   put back: calibration/calibration.json, key/default-key.sha256, tls/tls.crt" in restored.stdout
    for folder, files in (("host", HOST), ("inventory", CONTROLLER)):
        assert {name: (place / folder / name).read_text() for name in files} == files
    assert (place / "inventory/.gpuserve/keys/gpu01").stat().st_mode & 0o777 == 0o600
    again = run(place, "restore", "backup_dir=kept")
    assert again.returncode == 0 and "changed=0" in again.stdout, again.stdout


def test_what_was_not_kept_is_said_before_anything_changes(place: Path) -> None:
    for more, said in (
        (["backup_dir=none"], "there is no backup of gpu01 in none"),
        ([], "in a folder that is not named"),
    ):
        refused = run(place, "restore", *more)
        assert refused.returncode == 2 and said in refused.stdout + refused.stderr, refused.stdout
    assert "backup_dir: it is not set." in run(place, "backup").stdout
