# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The execution environment that AWX would start: built from its definition by ansible-builder, and playbooks run in it as AWX's user."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from ansible_collections.gpuserve.fleet.tests.support.lab.common import CHECKOUT
from ansible_collections.gpuserve.fleet.tests.support.release import environment

INVENTORY = {
    "gpu_hosts": {
        "hosts": {"gpu01": {"ansible_host": "192.0.2.1"}},
        "vars": {
            "vllm_stack_models": [
                {"name": "qwen", "model": "Qwen/Qwen2.5-3B-Instruct", "max_model_len": 1536, "max_num_seqs": 24}
            ],
            "vllm_stack_gpus": [{"name": "NVIDIA GeForce RTX 5090"}],
        },
    }
}


@pytest.fixture(scope="module")
def image() -> str:
    environment.build(environment.IMAGE, debian=True)
    return environment.IMAGE


def inside(image: str, project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the environment, with the project as AWX mounts it, as a user that it does not know, and without a network."""
    mounted = f"{project}:/runner/project:ro"
    words = ["docker", "run", "--rm", "--network", "none", "--user", "4242:0", "--volume", mounted]
    return subprocess.run(
        [*words, "--workdir", "/runner/project", "--env", "HF_HUB_OFFLINE=1", image, *command],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "hosts.json").write_text(json.dumps(INVENTORY))
    for path in (*folder.parents, folder):
        if path.is_relative_to(tmp_path_factory.getbasetemp()):
            path.chmod(0o755)
    return folder


def test_a_plan_is_made_in_it(image: str, project: Path) -> None:
    done = inside(image, project, "ansible-playbook", "-i", "hosts.json", "gpuserve.fleet.plan")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("gpu01   NVIDIA GeForce RTX 5090")]


def test_what_is_wrong_is_said_in_it_before_any_host_is_asked(image: str, project: Path) -> None:
    done = inside(image, project, "ansible-playbook", "-i", "hosts.json", "gpuserve.fleet.site", "-e", "gateway_prot=1")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "gateway_prot: there is no such variable. Did you mean gateway_port?" in " ".join(done.stdout.split())


def test_every_module_has_its_documentation_in_it(image: str, project: Path) -> None:
    done = inside(image, project, "ansible-doc", "--type", "module", "--json", "--list", "gpuserve.fleet")
    listed = {path.stem for path in (CHECKOUT / "plugins" / "modules").glob("*.py")}
    assert {name.rpartition(".")[2] for name in json.loads(done.stdout)} == listed, done.stderr
    one = inside(image, project, "ansible-doc", "gpuserve.fleet.bringup")
    assert one.returncode == 0 and "gpuserve.fleet.bringup" in one.stdout, one.stderr


def test_what_the_collection_asks_of_a_controller_is_in_it(image: str, project: Path) -> None:
    for command in (("python3", "-c", "import huggingface_hub"), ("ssh", "-V"), ("ansible-runner", "--version")):
        done = inside(image, project, *command)
        assert done.returncode == 0, done.stdout + done.stderr
