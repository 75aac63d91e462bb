# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is on a host of all that a run of site.yml sets up to serve, one digest a thing; and the note of it from one run to the next."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet.last_applied import RECORD, Record
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.removal import STACK
from ansible_collections.gpuserve.fleet.plugins.module_utils._io import gpus
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway.probe import CONTAINER
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import (
    digests,
    docker_socket,
    host_layer,
    packages,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic

# What runs, engines, measurements and the renewal of certificates write there whenever they like, and weights, told by their sizes.
_OF_NO_WISH = ("usage", "cache", "benchmarks", "acme", "failed", "proof", "report.json", "collection", RECORD)
_PROGRESS, _LOCK = "progress-", ".lock"
# Ours, wherever systemd looks for them.
_UNITS = ("etc/systemd/system", "etc/tmpfiles.d")
_UNIT_NAMES = "**/gpuserve-*"
# A folder that somebody mounts or serves from; what is deeper in it is not looked at.
_MOST_ENTRIES = 2000


def record_of(state_dir: str) -> Record | None:
    """Return the note of the run before; None where there is none that is whole."""
    try:
        return Record.read(json.loads(Path(state_dir, RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def keep(state_dir: str, record: Record) -> None:
    """Note what the host was brought to."""
    atomic.write(Path(state_dir, RECORD), json.dumps(record.data(), indent=1, sort_keys=True) + "\n")


def forget(state_dir: str) -> None:
    """Remove the note: from here on the host may be anything."""
    with contextlib.suppress(FileNotFoundError):
        Path(state_dir, RECORD).unlink()


@dataclass(frozen=True)
class Scope:
    """Where on a host is looked: folders of ours whole, paths and packages that variables name, a Compose project, below a root."""

    folders: Sequence[str]
    cache_dir: str
    paths: Iterable[str] = ()
    packages: Sequence[str] = ()
    project: str = "gpuserve"
    device: str = "cuda"
    socket: str = "/var/run/docker.sock"
    root: str = "/"


def found(scope: Scope, run: packages.Run) -> dict[str, str]:
    """Return digests by name: of the host's layer, files, units, paths, weights, containers and cards."""
    there = host_layer.found(HostFiles(scope.root), run, scope.socket, scope.packages)
    for folder in scope.folders:
        for path in _files(Path(folder)):
            there[str(path)] = digests.of_file(path)
    for folder in _UNITS:
        for path in sorted(Path(scope.root, folder).glob(_UNIT_NAMES)):
            there[str(path)] = digests.of_file(path)
    for name in sorted(set(scope.paths)):
        path = Path(name)
        if path.is_dir():
            there[name] = digests.of_value(sorted(_entries(path)))
        elif path.exists():
            there[name] = digests.of_file(path)
    there["weights"] = digests.of_value(sorted(_weights(Path(scope.cache_dir))))
    there |= _containers(scope.socket, scope.project)
    if scope.device != "cpu":
        there["cards"] = digests.of_value(
            [
                [card["uuid"], card["name"], card["memory_total_bytes"], card["driver_version"]]
                for card in _cards(scope.root)
            ]
        )
    return there


def _cards(root: str) -> list[Mapping[str, Any]]:
    cards: list[Mapping[str, Any]] = gpus.read("cuda", HostFiles(root))["gpus"]
    return cards


def _files(folder: Path) -> Iterator[Path]:
    """Walk over the files of a folder of ours, but for what is written there without anybody's wish."""
    with contextlib.suppress(OSError):
        for entry in sorted(folder.iterdir()):
            if entry.name in _OF_NO_WISH or entry.name.startswith(_PROGRESS) or entry.name.endswith(_LOCK):
                continue
            if entry.is_dir() and not entry.is_symlink():
                yield from _files(entry)
            else:
                yield entry


def _entries(folder: Path) -> Iterator[list[Any]]:
    with contextlib.suppress(OSError), os.scandir(folder) as listed:
        for at, entry in enumerate(listed):
            if at == _MOST_ENTRIES:
                return
            with contextlib.suppress(OSError):
                seen = entry.stat()
                folded = stat.S_ISDIR(seen.st_mode)
                yield [entry.name, folded, 0 if folded else seen.st_size, 0 if folded else seen.st_mtime_ns]


def _weights(cache_dir: Path) -> Iterator[list[Any]]:
    """Name the files of each commit in the hub's cache with their sizes: one that was removed, or is cut short, shows."""
    hub = cache_dir / "huggingface" / "hub"
    with contextlib.suppress(OSError):
        for path in hub.glob("*/snapshots/*/**/*"):
            try:
                seen = path.stat()
            except OSError:
                yield [str(path), -1]
                continue
            if stat.S_ISREG(seen.st_mode):
                yield [str(path), seen.st_size]


def _containers(socket: str, project: str) -> dict[str, str]:
    """Tell each container of the stack, and the gateway's: which one it is, of which image, and whether it runs."""
    wanted = quote(json.dumps({"label": [f"{STACK}={project}"]}))
    listed = list(docker_socket.get(socket, f"/containers/json?all=true&filters={wanted}") or [])
    gateway = quote(json.dumps({"name": [f"^/{CONTAINER}$"]}))
    listed += docker_socket.get(socket, f"/containers/json?all=true&filters={gateway}") or []
    return {
        f"container {str(each['Names'][0]).lstrip('/')}": digests.of_value([each["Id"], each["ImageID"], each["State"]])
        for each in listed
        if each.get("Names")
    }
