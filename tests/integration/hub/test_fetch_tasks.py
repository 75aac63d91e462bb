# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role's step that fetches, through its action plugin: lines while it works, the token gone afterwards, a second run without work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.tests.support.hub.repositories import (
    Fault,
    Repository,
    safetensors,
    small_llama,
)
from ansible_collections.gpuserve.fleet.tests.support.hub.server import Hub

CHECKOUT = Path(__file__).resolve().parents[3]
PLAY = Path(__file__).with_name("fetch.yml")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the role gives its files to root")


def run(tmp_path: Path, hub: Hub, *models: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run the step for these models."""
    variables = {
        "vllm_stack_models": [{"name": model.partition("/")[2], "model": model} for model in models],
        "vllm_stack_hub_endpoint": hub.endpoint,
        "vllm_stack_model_info_dir": str(tmp_path / "info"),
        "vllm_stack_cache_dir": str(tmp_path / "cache"),
        "vllm_stack_state_dir": str(tmp_path),
        "ansible_async_dir": str(tmp_path / "async"),
        **more,
    }
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    command = [program, "-i", "localhost,", str(PLAY), "-e", json.dumps(variables)]
    command += ["-e", f"ansible_python_interpreter={sys.executable}"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    # The play's own words are read from its output.
    environment["ANSIBLE_DISPLAY_OK_HOSTS"] = "1"
    return subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)


def test_lines_while_it_works_and_nothing_left_of_the_token(hub: Hub, tmp_path: Path) -> None:
    files = {**small_llama(), "model.safetensors": safetensors({"model.layers.0.w": ("BF16", (2048, 1024))})}
    hub.repositories["acme/slow"] = Repository(
        files, gated="manual", accepted=("hf_may_read",), faults={"model.safetensors": Fault(9, bytes_per_s=1_000_000)}
    )
    done = run(tmp_path, hub, "acme/slow", "acme/small", vllm_stack_hf_token="hf_may_read")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "to fetch: acme/slow (4.0 MiB), acme/small (0.3 MiB)" in done.stdout
    assert " MiB/s, " in done.stdout and "acme/small  fetched, 0.3 MiB" in done.stdout
    assert "offline=slow,small token=0" in done.stdout and "hf_may_read" not in done.stdout + done.stderr
    assert not (tmp_path / "hub-token").exists() and not list(tmp_path.glob("progress-*"))
    assert "changed=1" in done.stdout or "changed=2" in done.stdout
    again = run(tmp_path, hub, "acme/slow", "acme/small", vllm_stack_hf_token="hf_may_read")
    assert again.returncode == 0 and "changed=0" in again.stdout and "to fetch" not in again.stdout


def test_a_failure_is_one_sentence_and_takes_the_token_away(hub: Hub, tmp_path: Path) -> None:
    assert run(tmp_path, hub, "acme/small").returncode == 0
    (tmp_path / "cache/huggingface/hub").rename(tmp_path / "elsewhere")
    hub.is_down = True
    done = run(tmp_path, hub, "acme/small", vllm_stack_hf_token="hf_may_read")
    assert done.returncode != 0 and not (tmp_path / "hub-token").exists()
    words = " ".join(done.stdout.split())
    # It took longer than a bring-up whose process died is waited for.
    assert "ended without a result" not in words
    assert "can't be fetched: the hub" in words and "Nothing that serves was touched." in words
