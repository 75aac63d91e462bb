# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of playbooks/keys.yml on the controller: read and written whole, by one at a time, encrypted where it was."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import is_encrypted, match_encrypt_secret

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import private_files
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.plain import plain

HEAD = "# Keys of the gateway by their digests, as playbooks/keys.yml keeps them. It may be encrypted with ansible-vault.\n"


class Registry:
    """The entries of one file."""

    def __init__(self, path: Path, loader: DataLoader) -> None:
        self.path = path
        self.loader = loader

    def locked(self) -> AbstractContextManager[None]:
        """Keep others from changing the file meanwhile."""
        return private_files.locked(self.path)

    def entries(self) -> list[dict[str, Any]]:
        """Return the entries; none where there is no file."""
        if not self.path.exists():
            return []
        content = plain(self.loader.load_from_file(str(self.path), cache="none")) or {}
        entries = content.get("gateway_keys", []) if isinstance(content, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) and entry.get("name") for entry in entries):
            fail(
                "gateway_keys_file",
                f"{self.path} holds no list gateway_keys of entries with names.",
                "Mend it, or move it away and add the keys anew.",
            )
        return entries

    def write(self, entries: list[dict[str, Any]]) -> None:
        """Write the entries in place of the old ones, encrypted with the same vault id where the old ones are."""
        text = HEAD + yaml.safe_dump({"gateway_keys": entries}, sort_keys=False, width=1000)
        before = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        if is_encrypted(before):
            text = self._encrypted(text, before)
        private_files.write(self.path, text.rstrip("\n"), folder_mode=None)

    def _encrypted(self, text: str, before: str) -> str:
        fields = before.partition("\n")[0].strip().split(";")
        vault = self.loader._vault  # Ansible hands its secrets to plugins by no other name.
        vault_id, secret = match_encrypt_secret(vault.secrets, encrypt_vault_id=fields[3] if len(fields) > 3 else None)
        encrypted: bytes = vault.encrypt(text, secret, vault_id=vault_id if len(fields) > 3 else None)
        return encrypted.decode()
