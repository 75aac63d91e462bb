#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: deb_source
short_description: Add an apt repository only after it has proved itself
version_added: 0.1.0
description:
  - Reads the repository's index with apt in a place of its own, then lets apt read all entries of the host together with this one, and
    writes only if signature, index and the whole set are good.
  - A repository that is gone, or signed by someone else, thereby never stands between a host and its package manager.
  - The repository's key and the small files that belong to the entry, such as preferences, come by the same trip.
  - Other entries of the same repository are found by their address, in whatever file of apt's they stand, and removed after the trial;
    two with different keys stop apt altogether. Other entries in those files stay.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  path:
    description:
      - The entry, a file in C(/etc/apt/sources.list.d) whose name ends in C(.sources).
    type: path
    required: true
  content:
    description:
      - The entry's text, in the deb822 format.
    type: str
    required: true
  replaces:
    description:
      - Addresses of older places of the same repository. Entries at or below one of them are removed as well.
    type: list
    elements: str
    default: []
  architecture:
    description:
      - What C($(ARCH)) stands for in the host's entries.
    type: str
    default: amd64
  variable:
    description:
      - The variable that holds the repository's address, for messages.
    type: str
    required: true
  key_variable:
    description:
      - The variable that holds the fingerprints of its key, for messages.
    type: str
    required: true
  key:
    description:
      - The repository's key, as for M(gpuserve.fleet.signing_key); put in place before the repository is tried. O(key_variable) holds its
        fingerprints.
    type: dict
    version_added: 0.2.0
    suboptions:
      path:
        description: Where the key goes.
        type: path
        required: true
      url:
        description: Where the key comes from; read only where O(key.path) does not already hold the expected key.
        type: str
      content:
        description: The key itself, armoured.
        type: str
      fingerprints:
        description: The fingerprints the file must hold, all its primary keys among them.
        type: list
        elements: str
        required: true
      ca_file:
        description: A bundle of authorities to trust for O(key.url), behind a proxy that re-signs.
        type: path
      timeout_s:
        description: How long to wait for O(key.url), in seconds.
        type: int
        default: 30
  files:
    description:
      - Small files that belong to it, as for M(gpuserve.fleet.text_files); written once the entry is good.
    type: list
    elements: dict
    default: []
    version_added: 0.2.0
    suboptions:
      path:
        description: Where the file is.
        type: path
        required: true
      content:
        description: Its text; a file without any is removed.
        type: str
        required: true
      mode:
        description: Its mode, in octal digits.
        type: str
        default: "0644"
  again:
    description:
      - Read the repository even if the entry is there already, as before an upgrade. Its owner may have changed the key since.
    type: bool
    default: false
  known:
    description:
      - What a probe of the host just read of apt, RV(gpuserve.fleet.driver_info#module:apt) for one. Where all is there by it as it is
        asked for, the host is not asked again. It has to hold O(key.path) and the paths of O(files).
      - Without it, with O(again), or where an address of apt's entries has an account, the host is asked.
    type: dict
    default: {}
    version_added: 0.2.0
  timeout_s:
    description:
      - How long each connection may take, in seconds.
    type: int
    default: 30
extends_documentation_fragment:
  - gpuserve.fleet.attributes
attributes:
  check_mode:
    details:
      - In check mode the repository is not tried, since its key may not be there yet.
"""

EXAMPLES = r"""
- name: Add Docker's repository
  gpuserve.fleet.deb_source:
    path: /etc/apt/sources.list.d/docker.sources
    variable: docker_engine_repository_url
    key_variable: docker_engine_repository_fingerprints
    content: |
      Types: deb
      URIs: https://download.docker.com/linux/debian
      Suites: trixie
      Components: stable
      Signed-By: /etc/apt/keyrings/gpuserve-docker.gpg
"""

RETURN = r"""
tried:
  description: Whether the repository was read.
  returned: success
  type: bool
  sample: true
replaced:
  description: The other files from which entries of the same repository were removed.
  returned: success
  type: list
  elements: str
  sample: [/etc/apt/sources.list.d/archive_uri-https_download_docker_com_linux_debian-bookworm.list]
"""

import os
import tempfile
from collections.abc import Sequence
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import credentials
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import apt_sources, distribution
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.apt_sources import Edit
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import apt, signing_key, text_files
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.unlogged import UnloggedModule


class Trial:
    """Let apt judge in folders of its own, before anything is written."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module
        self._folder = tempfile.mkdtemp(dir=module.tmpdir)

    def read_repository(self, content: str) -> None:
        """Read the repository's index, apart from all others."""
        source = self._write("try.sources", content)
        os.makedirs(os.path.join(self._folder, "lists", "partial"))
        self._ask(
            ["apt-get", "update"],
            {
                "Dir::Etc::sourcelist": source,
                "Dir::Etc::sourceparts": "-",
                "Dir::State::lists": os.path.join(self._folder, "lists"),
                "APT::Sandbox::User": "root",
                "Acquire::Retries": "1",
                "Acquire::http::Timeout": self._module.params["timeout_s"],
                "Acquire::https::Timeout": self._module.params["timeout_s"],
            },
        )

    def read_together(self, entries: dict[str, str], edits: Sequence[Edit]) -> None:
        """Have apt read all entries as they would stand; it needs no network for that."""
        after = {**entries, **{edit.path: edit.after for edit in edits}}
        os.makedirs(os.path.join(self._folder, "sources.list.d"))
        for path, text in after.items():
            if text is not None:
                self._write(os.path.relpath(path, os.path.dirname(apt_sources.MAIN)), text)
        self._ask(
            ["apt-get", "indextargets"],
            {
                "Dir::Etc::sourcelist": os.path.join(self._folder, "sources.list"),
                "Dir::Etc::sourceparts": os.path.join(self._folder, "sources.list.d"),
            },
        )

    def _write(self, name: str, text: str) -> str:
        path = os.path.join(self._folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def _ask(self, command: list[str], options: dict[str, Any]) -> None:
        for key, value in options.items():
            command += ["-o", f"{key}={value}"]
        status, out, err = self._module.run_command(command)
        reason = distribution.apt_update_failure(status, out, err)
        if not reason:
            return
        # What a person knows is the host's own file and not its copy.
        reason = reason.replace(self._folder, "/etc/apt")
        variable, keys = self._module.params["variable"], self._module.params["key_variable"]
        remedy = f"Correct {variable}."
        if "indextargets" in command:
            remedy = "Correct or remove the entry that apt names."
        elif distribution.is_about_the_key(reason):
            remedy = f"If its owner changed the key, set {keys} to what the owner publishes; else correct {variable}."
        fail(variable, f"the repository can't be used: {reason}.", f"{remedy} Nothing was changed in apt's sources.")


def commit(edits: Sequence[Edit]) -> None:
    """Write ours first and remove the old ones after it; whatever goes wrong, all of it is taken back."""
    modes = {edit.path: os.stat(edit.path).st_mode & 0o777 for edit in edits if os.path.exists(edit.path)}
    done: list[Edit] = []
    try:
        # Files that get a text before files that go: a moment with two entries is better than one with none.
        for edit in sorted(edits, key=lambda edit: edit.after is None):
            _put(edit.path, edit.after, modes)
            done.append(edit)
    except OSError as error:
        for edit in reversed(done):
            _put(edit.path, edit.before, modes)
        fail(
            str(error.filename),
            f"it can't be written: {error.strerror}.",
            "Free some space, or mend the folder, and run again. Nothing was changed in apt's sources.",
        )


def _put(path: str, text: str | None, modes: dict[str, int]) -> None:
    if text is None:
        if os.path.lexists(path):
            os.unlink(path)
    elif HostFiles().read(path) != text:
        atomic.make_folder(os.path.dirname(path), 0o755)
        atomic.write(path, text, modes.get(path, 0o644))


def run(module: AnsibleModule) -> dict[str, Any]:
    """The key first, by which the repository is tried; the entry; what belongs to it."""
    params = module.params
    key = signing_key.put(params["key"], params["key_variable"], module.check_mode) if params["key"] else {}
    source = put_source(module)
    files = text_files.put(
        params["files"],
        module.check_mode,
        lambda path, mode: bool(module.set_mode_if_different(path, mode, False)),
    )
    return {
        **source,
        "changed": bool(key.get("changed") or source["changed"] or files["written"] or files["removed"]),
        "diff": [*([key["diff"]] if key.get("changed") else []), *source["diff"], *files["diff"]],
    }


def put_source(module: AnsibleModule) -> dict[str, Any]:
    """Plan, try, then write."""
    params = module.params
    path, content = params["path"], params["content"].strip() + "\n"
    entries = apt.read_entries(HostFiles())
    edits = apt_sources.plan(entries, path, content, params["replaces"], params["architecture"])
    tried = bool(edits or params["again"]) and not module.check_mode
    if tried:
        trial = Trial(module)
        trial.read_repository(content)
        trial.read_together(entries, edits)
        commit(edits)
    diff = [
        {"before_header": edit.path, "after_header": edit.path, "before": edit.before or "", "after": edit.after or ""}
        for edit in edits
    ]
    return {
        "changed": bool(edits),
        "tried": tried,
        "replaced": [edit.path for edit in edits if edit.path != path],
        "diff": diff,
    }


def main() -> NoReturn:
    """Run, and turn our own errors into a sentence."""
    module = UnloggedModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "content": {"type": "str", "required": True},
            "replaces": {"type": "list", "elements": "str", "default": []},
            "architecture": {"type": "str", "default": "amd64"},
            "variable": {"type": "str", "required": True},
            "key_variable": {"type": "str", "required": True, "no_log": False},
            "key": {
                "type": "dict",
                "no_log": False,
                "options": signing_key.ARGUMENTS,
                "required_one_of": signing_key.ONE_OF,
                "mutually_exclusive": signing_key.ONE_OF,
            },
            "files": {"type": "list", "elements": "dict", "default": [], "options": text_files.ARGUMENTS},
            "again": {"type": "bool", "default": False},
            "known": {"type": "dict", "default": {}},
            "timeout_s": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    module.no_log_values.update(credentials.secrets(module.params))
    module.run_command_environ_update = {"LC_ALL": "C", "LANGUAGE": "C"}
    try:
        result = run(module)
    except FleetError as error:
        module.fail_json(msg=str(error), field=error.where)
    except OSError as error:
        module.fail_json(msg=f"{error.filename} can't be written: {error.strerror}.")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
