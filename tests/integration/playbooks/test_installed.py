# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tarball as Galaxy would hand it out, installed into an empty place: its playbooks run from there, from no checkout."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.gpuserve.fleet.tests.support.release import installed

CHECKOUT = Path(__file__).resolve().parents[3]
MODEL = {"name": "qwen", "model": "Qwen/Qwen2.5-3B-Instruct", "max_model_len": 1536, "max_num_seqs": 24}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the collection installed from its own tarball, and an inventory of this machine."""
    folder = tmp_path_factory.mktemp("empty")
    installed.install(CHECKOUT, folder)
    host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False}
    variables = {
        "vllm_stack_models": [MODEL],
        "vllm_stack_gpus": [{"name": "NVIDIA GeForce RTX 5090"}],
        "vllm_stack_device": "cuda",
    }
    inventory = {"gpu_hosts": {"hosts": {"thishost": host}, "vars": variables}}
    (folder / "hosts.json").write_text(json.dumps(inventory))
    return folder


def play(place: Path, name: str, *more: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return installed.run(place, "ansible-playbook", "-i", "hosts.json", f"gpuserve.fleet.{name}", *more, **settings)


def test_the_plan_is_drawn_from_there(place: Path) -> None:
    done = play(place, "plan")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("thishost   NVIDIA GeForce RTX 5090")]


def test_a_plan_goes_through_a_pipe_from_there(place: Path) -> None:
    done = play(place, "plan", "-e", "plan_json=-", ANSIBLE_STDOUT_CALLBACK="gpuserve.fleet.quiet")
    assert json.loads(done.stdout)["thishost"]["feasible"] is True, done.stderr


def test_the_preflight_looks_from_there(place: Path) -> None:
    done = play(place, "preflight", "-e", "preflight_fail_on=never", "-e", '{"preflight_names": []}')
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("thishost   ")]


def test_site_checks_the_inventory_from_there(place: Path) -> None:
    done = play(place, "site", "--check", "-e", "gateway_prot=9000")
    assert done.returncode == 2
    assert "gateway_prot: there is no such variable. Did you mean gateway_port?" in " ".join(done.stdout.split())


def test_the_tarball_holds_what_a_user_needs_and_nothing_of_ours(place: Path) -> None:
    unpacked = place / "collections/ansible_collections/gpuserve/fleet"
    # What ansible-galaxy itself adds.
    made = {"MANIFEST.json", "FILES.json"}
    assert {path.name for path in unpacked.iterdir()} - made == {
        *(
            "README.md",
            "README.ko.md",
            "CHANGELOG.md",
            "LICENSE",
            "CONTRIBUTING.md",
            "CODE_OF_CONDUCT.md",
            "SECURITY.md",
        ),
        *("changelogs", "docs", "extensions", "inventories", "meta", "playbooks", "plugins", "roles"),
    }
    assert [path for path in unpacked.rglob(".*") if path.is_file()] == []
    assert "demo" not in {path.name for path in (unpacked / "inventories").iterdir()}
    for name in (
        "docs/inventory-sample.yml",
        "roles/gateway/README.md",
        "meta/execution-environment.yml",
        "meta/playbooks.yml",
    ):
        assert (unpacked / name).exists(), name
