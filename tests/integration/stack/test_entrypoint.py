# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rendered entrypoint, run by a real shell."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import parse_models
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.compose import StackOptions, render
from tests.bench.plan import GUIDE, plan_host

PLAN = plan_host([{"name": "NVIDIA GeForce RTX 5090", "uuid": "GPU-abc"}])


def test_the_entrypoint_runs_with_the_secrets_in_its_environment(tmp_path: Path) -> None:
    options = StackOptions(
        "gpuserve",
        "vllm/vllm-openai@sha256:0",
        "cuda",
        "/var/cache/x",
        "bridge",
        api_key="it's $HOME",
        entrypoint=("sh", "-c", 'printf "%s|%s" "$VLLM_API_KEY" "$1"'),
    )
    service = render(parse_models(GUIDE), PLAN, options)["services"]["tinyllama"]
    (tmp_path / "env").write_text("VLLM_API_KEY='it'\"'\"'s $HOME'\n")
    command = [word.replace("/run/gpuserve/env", str(tmp_path / "env")) for word in service["entrypoint"]]
    done = subprocess.run([*command, "serve", "--flag"], capture_output=True, text=True, check=True)
    assert done.stdout == "it's $HOME|--flag"
