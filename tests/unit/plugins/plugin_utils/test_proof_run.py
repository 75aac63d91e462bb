# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks of a proof as they are started, and the folder that remembers it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import proof_run


def test_a_playbook_gets_what_this_run_was_called_with() -> None:
    cli: dict[str, Any] = {
        "inventory": ("a.yml", "b.yml"),
        "extra_vars": ("x=1", '{"y": 2}'),
        "vault_password_files": ["v"],
        "remote_user": "ops",
        "private_key_file": None,
    }
    argv = proof_run.command(cli, "gpu01", "site.yml", Path("/v.json"), ["--tags", "gateway"])
    assert argv[1] == str(proof_run.PLAYBOOKS / "site.yml")
    # What the step says comes last, so that it holds.
    assert argv[2:] == [
        *("-i", "a.yml", "-i", "b.yml", "--vault-password-file", "v", "--user", "ops"),
        *("-e", "x=1", "-e", '{"y": 2}', "--limit", "gpu01", "-e", "@/v.json", "--tags", "gateway"),
    ]


@pytest.mark.parametrize("key", ["ask_vault_pass", "ask_pass", "become_ask_pass"])
def test_a_password_that_is_asked_for_can_not_be_handed_on(key: str) -> None:
    with pytest.raises(FleetError, match="Name a file with the password"):
        proof_run.command({key: True}, "gpu01", "site.yml", Path("/v.json"), [])


def test_outcomes_are_kept_for_their_owner_and_one_that_was_cut_off_is_none(tmp_path: Path) -> None:
    folder = proof_run.Folder(tmp_path / "gpu01")
    assert folder.outcomes() == {}
    folder.keep("cold", {"all_ready_s": 1.5})
    kept = tmp_path / "gpu01" / "cold.outcome.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    (tmp_path / "gpu01" / "again.outcome.json").write_text('{"changed": ')
    assert folder.outcomes() == {"cold": {"all_ready_s": 1.5}}
    assert json.loads(kept.read_text()) == {"all_ready_s": 1.5}


def test_a_step_takes_from_when_it_last_began(tmp_path: Path) -> None:
    folder = proof_run.Folder(tmp_path / "gpu01")
    folder.begin("cold", 100.0)
    folder.begin("cold", 1764200000.25)
    assert folder.took_s("cold", 1764200091.5) == 91.2
