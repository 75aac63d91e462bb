#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: apt_subset
short_description: Copy a part of an apt repository with its signature, for hosts without a network
version_added: 0.1.0
description:
  - Copies the signed Release file and the index of a repository as they are, and of its packages those that are asked for.
  - Believes nothing that the expected key has not signed, takes no file that is longer than it should be, and writes none outside of
    O(path).
  - Served from any web server, the copy is used with the same key as the original.
  - Files that are there already with the right checksum are not fetched again.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  url:
    description:
      - The repository's root, as in the field C(URIs) of an entry.
    type: str
    required: true
  suite:
    description:
      - The suite, such as V(trixie); V(/) for a flat repository, as NVIDIA's are.
    type: str
    default: /
  component:
    description:
      - The component of a repository that is not flat.
    type: str
    default: stable
  architecture:
    description:
      - The architecture of a repository that is not flat, as Debian names it.
    type: str
    default: amd64
  packages:
    description:
      - Packages to copy.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: A pattern of names, such as V(*nvidia*).
        type: str
        required: true
      version:
        description: A pattern of versions, such as V(580.*).
        type: str
        default: "*"
      optional:
        description: Whether a repository without any such package is all right.
        type: bool
        default: false
  path:
    description:
      - The folder that becomes the copy's root.
    type: path
    required: true
  keyring:
    description:
      - The key that signs the repository, without armour, as M(gpuserve.fleet.signing_key) writes it.
    type: path
    required: true
  max_bytes:
    description:
      - How much the packages may take together.
    type: int
    default: 21474836480
  ca_file:
    description:
      - A bundle of authorities to trust for O(url), behind a proxy that re-signs.
    type: path
  timeout_s:
    description:
      - How long to wait for each connection, in seconds.
    type: int
    default: 60
extends_documentation_fragment:
  - gpuserve.fleet.attributes
attributes:
  diff_mode:
    support: none
"""

EXAMPLES = r"""
- name: Carry the driver's branch 580
  gpuserve.fleet.apt_subset:
    url: https://developer.download.nvidia.com/compute/cuda/repos/ubuntu2404/x86_64
    path: /srv/bundle/cuda/repos/ubuntu2404/x86_64
    keyring: /srv/bundle/keys/driver.gpg
    packages:
      - name: "*nvidia*"
        version: "580.*"
"""

RETURN = r"""
packages:
  description: The packages in the copy, with their versions.
  returned: success
  type: list
  elements: str
  sample: [libnvidia-compute-580=580.178.04-1ubuntu1]
fetched:
  description: The files that were fetched.
  returned: success
  type: list
  elements: str
  sample: [InRelease, Packages.gz]
total_bytes:
  description: What the packages take together.
  returned: success
  type: int
  sample: 402653184
"""

import hashlib
import lzma
import os
import zlib
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import credentials
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import apt_mirror
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import signatures
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.unlogged import UnloggedModule


class Copier:
    """Fetch files of one repository into one folder."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.url = module.params["url"].rstrip("/")
        self.folder = module.params["path"]
        self.fetched: list[str] = []

    def get(self, path: str, max_bytes: int) -> bytes:
        """Fetch a file, and no more of it than it may have."""
        params = self.module.params
        try:
            answer = open_url(
                f"{self.url}/{path}",
                timeout=params["timeout_s"],
                ca_path=params["ca_file"],
                http_agent="gpuserve.fleet",
            )
            data: bytes = answer.read(max_bytes + 1)
        except Exception as error:  # open_url lets every kind of network error through
            fail("url", f"{self.url}/{path} can't be read ({error}).", "Check the address.")
        if len(data) > max_bytes:
            fail(
                "url",
                f"{self.url}/{path} is longer than the {max_bytes} bytes that it may have.",
                "Use another mirror.",
            )
        return data

    def keep(self, path: str, data: bytes) -> None:
        """Write a file of the copy, unless it says the same already."""
        target = os.path.join(self.folder, path)
        if HostFiles().read_bytes(target) == data:
            return
        self.fetched.append(path)
        if self.module.check_mode:
            return
        atomic.make_folder(os.path.dirname(target), 0o755)
        atomic.write(target, data, 0o644)

    def there(self, file: apt_mirror.File) -> bool:
        """Tell whether the copy has the file already."""
        target = os.path.join(self.folder, file.path)
        return os.path.exists(target) and self.module.sha256(target) == file.sha256

    def checked(self, file: apt_mirror.File, path: str) -> bytes:
        """Fetch a file and compare its checksum."""
        data = self.get(path, file.size_bytes)
        if hashlib.sha256(data).hexdigest() != file.sha256:
            fail("url", f"{self.url}/{path} is not the file that the repository's index names.", "Try again later.")
        return data


def unpack(path: str, data: bytes, max_bytes: int) -> str:
    """Read an index in any of its forms; one that unpacks to more than it may have is an error."""
    if path.endswith(".gz"):
        data = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(data, max_bytes + 1)
    elif path.endswith(".xz"):
        data = lzma.LZMADecompressor().decompress(data, max_bytes + 1)
    if len(data) > max_bytes:
        fail("url", f"{path} unpacks to more than {max_bytes} bytes.", "Use another mirror.")
    return data.decode("utf-8", "replace")


def read_index(copier: Copier, root: str, files: list[apt_mirror.File]) -> tuple[str, dict[str, bytes]]:
    """Fetch every form of the index that the repository keeps, and read one."""
    index, forms = "", {}
    most = apt_mirror.unpacked_bytes(files)
    readable = [file for file in files if file.path.endswith(("Packages", ".gz", ".xz"))]
    if not readable:
        fail("url", f"{copier.url} lists no index of packages.", "Check suite, component and architecture.")
    for file in readable:
        try:
            forms[file.path] = copier.checked(file, f"{root}{file.path}")
        except FleetError:
            # A repository may list forms of its index that it does not keep.
            if file is readable[-1] and not forms:
                raise
            continue
        index = index or unpack(file.path, forms[file.path], most)
    return index, forms


def run(module: AnsibleModule) -> dict[str, Any]:
    """Copy index and packages."""
    params = module.params
    copier = Copier(module)
    flat = params["suite"] == "/"
    root = "" if flat else f"{apt_mirror.place('dists/' + params['suite'])}/"
    folder = "" if flat else f"{params['component']}/binary-{params['architecture']}"
    release = copier.get(f"{root}InRelease", apt_mirror.MAX_RELEASE_BYTES)
    origin = f"url: {copier.url}/{root}InRelease"
    signed = signatures.signed_text(release, params["keyring"], origin, module.run_command, module.get_bin_path)
    index, forms = read_index(copier, root, apt_mirror.index_files(signed, folder))
    wanted = [apt_mirror.Wanted(**entry) for entry in params["packages"]]
    chosen = apt_mirror.select(apt_mirror.packages(index), wanted)
    total = apt_mirror.total_bytes(chosen)
    if total > params["max_bytes"]:
        fail(
            "packages",
            f"they take {total} bytes, and max_bytes allows {params['max_bytes']}.",
            "Narrow the patterns, or raise it.",
        )
    for file in chosen.values():
        if not copier.there(file):
            copier.keep(file.path, b"" if module.check_mode else copier.checked(file, file.path))
    # The index goes last: a copy that broke off never promises what it does not have.
    for path, data in forms.items():
        copier.keep(f"{root}{path}", data)
    copier.keep(f"{root}InRelease", release)
    return {
        "changed": bool(copier.fetched),
        "packages": sorted(chosen),
        "fetched": copier.fetched,
        "total_bytes": total,
    }


def main() -> NoReturn:
    """Run, and turn our own errors into a sentence."""
    package = {
        "name": {"type": "str", "required": True},
        "version": {"type": "str", "default": "*"},
        "optional": {"type": "bool", "default": False},
    }
    module = UnloggedModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "suite": {"type": "str", "default": "/"},
            "component": {"type": "str", "default": "stable"},
            "architecture": {"type": "str", "default": "amd64"},
            "packages": {"type": "list", "elements": "dict", "required": True, "options": package},
            "path": {"type": "path", "required": True},
            "keyring": {"type": "path", "required": True, "no_log": False},
            "max_bytes": {"type": "int", "default": 21474836480},
            "ca_file": {"type": "path"},
            "timeout_s": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    module.no_log_values.update(credentials.secrets(module.params))
    try:
        result = run(module)
    except FleetError as error:
        module.fail_json(msg=str(error), field=error.where)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
