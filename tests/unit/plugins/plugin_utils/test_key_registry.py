# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys' file and the keys beside it: closed, whole, and encrypted where it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import PromptVaultSecret, is_encrypted

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import private_files
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.key_registry import Registry

PASSWORD = PromptVaultSecret(b"a password")
ENTRIES: list[dict[str, Any]] = [{"name": "team-a", "sha256": "1" * 64, "models": ["qwen"]}]


def registry(folder: Path, vault_id: str = "") -> Registry:
    loader = DataLoader()
    if vault_id:
        loader.set_vault_secrets([(vault_id, PASSWORD)])
    return Registry(folder / ".gpuserve" / "gateway-keys.yml", loader)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    store = registry(tmp_path)
    assert store.entries() == []
    with store.locked():
        store.write(ENTRIES)
    assert registry(tmp_path).entries() == ENTRIES
    assert store.path.stat().st_mode & 0o777 == 0o600 and store.path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("vault_id", ["default", "fleet"])
def test_a_file_that_was_encrypted_stays_so(tmp_path: Path, vault_id: str) -> None:
    store = registry(tmp_path, vault_id)
    store.write(ENTRIES)
    loader = store.loader
    label = "" if vault_id == "default" else vault_id
    encrypted = loader._vault.encrypt(store.path.read_text(), PASSWORD, vault_id=label or None)
    store.path.write_bytes(encrypted)
    head = store.path.read_text().partition("\n")[0]
    more = [*ENTRIES, {"name": "batch", "sha256": "2" * 64}]
    registry(tmp_path, vault_id).write(more)
    text = store.path.read_text()
    assert is_encrypted(text) and text.partition("\n")[0] == head
    assert registry(tmp_path, vault_id).entries() == more


@pytest.mark.parametrize("text", ["- a\n", "gateway_keys: {}\n", "gateway_keys: [a]\n", "gateway_keys: [{key: a}]\n"])
def test_what_is_no_list_of_keys_is_refused(tmp_path: Path, text: str) -> None:
    store = registry(tmp_path)
    store.path.parent.mkdir()
    store.path.write_text(text)
    with pytest.raises(FleetError, match=r"gateway_keys_file: .* holds no list gateway_keys"):
        store.entries()


def test_a_key_is_closed_before_it_is_written(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine\n")
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o755)
    (folder / ".box.draft").symlink_to(victim)
    key = private_files.new_key()
    private_files.write(folder / "box", key)
    assert private_files.read(folder / "box") == key and len(key) >= 40 and victim.read_text() == "mine\n"
    assert (folder / "box").stat().st_mode & 0o777 == 0o600 and folder.stat().st_mode & 0o777 == 0o700
    assert private_files.read(folder / "other") == ""
