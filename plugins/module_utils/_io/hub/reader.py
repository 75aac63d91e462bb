# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model read without its weights, from the hub or from a folder: the small files whole, of each safetensors file the header."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import checkpoint, safetensors
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.tensors import Tensor
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub import folder as folders
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.client import Hub, Repository

READS_AT_ONCE = 8
Read = Callable[[str, int], bytes]


def read_repository(hub: Hub, repository: Repository, model: str, where: str) -> dict[str, Any]:
    """Return what is kept of a model on the hub."""
    facts = {"gated": repository.gated, "licence": repository.licence}

    def read(path: str, most: int) -> bytes:
        return hub.read(model, repository.commit, path, most)

    return _read(read, repository.files, model, repository.commit, facts, where)


def read_folder(path: str, where: str) -> dict[str, Any]:
    """Return what is known of a model in a folder on this machine."""
    folder = Path(path)
    try:
        if not folder.is_dir():
            fail(
                where,
                f"there is no folder {path}.",
                "Put the model there, or correct the path; playbooks/plan.yml looks on the host with -e plan_ask_hosts=true.",
            )
        files = folders.list_files(folder)
        return _read(lambda name, most: folders.read_first(folder, name, most), files, path, "", {}, where)
    except OSError as error:
        fail(
            where,
            f"{error.filename or path} can't be read ({error.strerror}).",
            "Put the model there, or correct its permissions.",
        )


def read_config(path: str, model: str, where: str) -> dict[str, Any]:
    """Return what is known of a model by a config.json on this machine, and by the weights beside it where there are any."""
    file = Path(path)
    try:
        if file.name == "config.json" and any(file.parent.glob("*.safetensors")):
            return {**read_folder(str(file.parent), where), "id": model}
        config = checkpoint.parse_json(file.read_bytes(), file.name, where)
    except OSError as error:
        fail(where, f"{path} can't be read ({error.strerror}).", "Put it there on this machine, or correct the path.")
    if not isinstance(config, Mapping):
        fail(where, f"{path} is no mapping.", "Put the model's own config.json there.")
    return checkpoint.document(model, "", {"config.json": config}, (), {}, {}, where)


def _read(
    read: Read, files: Mapping[str, int], model: str, commit: str, facts: Mapping[str, Any], where: str
) -> dict[str, Any]:
    if len(files) > checkpoint.MOST_FILES:
        fail(where, f"{model} has more than {checkpoint.MOST_FILES:,} files.", "Name the folder of one model.")
    with ThreadPoolExecutor(READS_AT_ONCE) as pool:
        names = [name for name in checkpoint.SMALL_FILES if name in files]
        small = dict(
            zip(names, pool.map(lambda name: _small(read, name, files[name], model, where), names), strict=True)
        )
        if "config.json" not in small and "params.json" not in small and checkpoint.holds_other_weights(files):
            # Of a repository of GGUF files that is what to say, not which of the usual files it lacks.
            raise checkpoint.without_safetensors(files, where, model)
        checkpoint.check_config(small.get("config.json"), small.get("params.json"), where, model)
        try:
            weights = checkpoint.weight_files(files, small.get(checkpoint.INDEX))
        except FleetError as error:
            fail(where, f"{model}: {error.message}", error.remedy)
        if not weights:
            raise checkpoint.without_safetensors(files, where, model)
        headers = pool.map(lambda name: _header(read, name, files[name], f"{where}: {model}: {name}"), weights)
        tensors: list[Tensor] = []
        for header in headers:
            tensors += header
            if len(tensors) > safetensors.MOST_TENSORS:
                fail(
                    where,
                    f"{model} lists more than the {safetensors.MOST_TENSORS:,} tensors that are read.",
                    "Give its weights_bytes and config instead.",
                )
    needed = checkpoint.needed_files(files, weights)
    return checkpoint.document(model, commit, small, tensors, needed, facts, where)


def _small(read: Read, name: str, size: int, model: str, where: str) -> Any:
    most = checkpoint.SMALL_FILES[name]
    if size > most:
        fail(
            where,
            f"{model}'s {name} has {size:,} bytes, more than any has.",
            "Put the one that its authors published there.",
        )
    return checkpoint.parse_json(read(name, most), name, f"{where}: {model}")


def _header(read: Read, name: str, size: int, where: str) -> tuple[Tensor, ...]:
    """Return a file's tensors; a long header takes a second read."""
    head = read(name, safetensors.FIRST_READ_BYTES)
    end = safetensors.header_end(head, size, where)
    if end > len(head):
        head = read(name, end)
    return safetensors.read_header(head, size, where)
