# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's tarball: built by ansible-galaxy from the files that git knows, then brought into one form, byte for byte."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROGRAMS = Path(sys.executable).parent
# The two files that ansible-galaxy writes itself come first: Galaxy reads them without unpacking the rest.
_FIRST = ("MANIFEST.json", "FILES.json")


class ReleaseError(Exception):
    """What keeps a release from being made, with what to do."""


def program(*argv: str, cwd: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a program of this Python's venv, with no settings of Ansible's but those given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "GALAXY_"))}
    path = f"{PROGRAMS}{os.pathsep}{os.environ.get('PATH', '')}"
    command = [shutil.which(argv[0], path=path) or argv[0], *argv[1:]]
    environment = {**kept, "ANSIBLE_NOCOLOR": "1", **settings, "PATH": path}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def lay_out(checkout: Path, folder: Path) -> None:
    """Copy the files of a checkout that git knows, or would take, and nothing that tools left there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ".", ":!:.collections"],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (checkout / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(checkout / name, folder / name)


def build(checkout: Path, dist: Path, epoch: int) -> Path:
    """Build the tarball in a folder, the same bytes from the same files, whenever and wherever that is."""
    with tempfile.TemporaryDirectory() as name:
        laid, built = Path(name) / "fleet", Path(name) / "built"
        laid.mkdir()
        lay_out(checkout, laid)
        done = program("ansible-galaxy", "collection", "build", str(laid), "--output-path", str(built), cwd=laid)
        if done.returncode != 0:
            raise ReleaseError(f"ansible-galaxy could not build: {(done.stdout + done.stderr).strip()[-2000:]}")
        (tarball,) = built.glob("*.tar.gz")
        dist.mkdir(parents=True, exist_ok=True)
        target = dist / tarball.name
        target.write_bytes(in_one_form(tarball.read_bytes(), epoch))
    return target


def in_one_form(packed: bytes, epoch: int) -> bytes:
    """Return a tarball with its files in the order of their names, and of one time."""
    members = {member.name: (member, content) for member, content in _members(packed)}
    manifest, files = (json.loads(members[name][1]) for name in _FIRST)
    files["files"] = sorted(files["files"], key=lambda entry: entry["name"])
    text = _json(files)
    manifest["file_manifest_file"]["chksum_sha256"] = hashlib.sha256(text).hexdigest()
    contents = {name: content for name, (_member, content) in members.items()}
    contents |= {_FIRST[0]: _json(manifest), _FIRST[1]: text}
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(contents, key=lambda name: (name not in _FIRST, name != _FIRST[0], name)):
            old, content = members[name][0], contents[name]
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.mtime, info.size = old.type, old.mode, epoch, len(content)
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(plain.getvalue(), compresslevel=9, mtime=0)


def problems(packed: bytes) -> Iterator[str]:
    """Say where a tarball is not what its own lists say it is."""
    contents = {member.name: content for member, content in _members(packed) if member.isfile()}
    manifest, files = (json.loads(contents[name]) for name in _FIRST)
    if hashlib.sha256(contents[_FIRST[1]]).hexdigest() != manifest["file_manifest_file"]["chksum_sha256"]:
        yield "FILES.json is not the one that MANIFEST.json names"
    listed = {entry["name"]: entry["chksum_sha256"] for entry in files["files"] if entry["ftype"] == "file"}
    for name in sorted(set(contents) - set(listed) - set(_FIRST)):
        yield f"{name} is in no list"
    for name, checksum in sorted(listed.items()):
        if name not in contents:
            yield f"{name} is missing"
        elif hashlib.sha256(contents[name]).hexdigest() != checksum:
            yield f"{name} has another checksum"


def _members(packed: bytes) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for member in archive:
            reader = archive.extractfile(member) if member.isfile() else None
            yield member, reader.read() if reader else b""


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()
