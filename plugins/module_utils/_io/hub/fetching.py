# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fetch from what is missing to the last file: whether it fits, and each failure in one sentence."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import checkpoint, fetch
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.fetch import Meter, Repository
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import gib
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.cache import Cache
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.client import AWAY, Hub, HubError, Trouble
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.download import Downloads, Job, Options
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.lookup import PAGE


@dataclass(frozen=True)
class Known:
    """One repository, its commit, its files, and those that are missing."""

    repository: Repository
    commit: str
    files: Mapping[str, int]
    missing: Mapping[str, int]

    label: str


@dataclass
class Fetching:
    """One fetch for all models of a host. `connect` makes a hub once one is needed."""

    cache_dir: str
    models: Sequence[Mapping[str, Any]]
    connect: Callable[[], Hub]
    options: Options
    known: list[Known] = field(default_factory=list)
    _hub: Hub | None = None

    def __post_init__(self) -> None:
        self.cache = Cache(self.cache_dir)

    def missing_files(self) -> bool:
        """Find out what is missing; the hub is asked only about a repository whose files nobody has listed yet."""
        repositories = fetch.repositories(self.models)
        ids = [repository.id for repository in repositories]
        for repository in repositories:
            try:
                commit, files = self._files(repository)
            except HubError as error:
                raise self._sentence(repository.id, error) from error
            there = self.cache.there(repository.id, commit, files)
            pending = self.cache.pending(repository.id, commit, files)
            label = repository.id if ids.count(repository.id) == 1 else f"{repository.id}@{commit[:7]}"
            self.known.append(Known(repository, commit, files, fetch.missing(files, there, pending), label))
        return any(known.missing for known in self.known)

    def report(self) -> list[dict[str, Any]]:
        """Return each repository as plain data."""
        return [
            {
                "names": list(known.repository.names),
                "model": known.repository.id,
                "commit": known.commit,
                "bytes": sum(known.files.values()),
                "missing_bytes": sum(known.missing.values()),
            }
            for known in self.known
        ]

    def missing_bytes(self) -> dict[str, int]:
        """Return the bytes to fetch of each repository."""
        return {known.label: sum(known.missing.values()) for known in self.known if known.missing}

    def check_disk(self, keep_free_bytes: int) -> None:
        """Refuse what does not fit on the disk, before the first byte."""
        needed, free = sum(self.missing_bytes().values()), self.cache.free_bytes()
        if needed + keep_free_bytes > free:
            fail(
                "vllm_stack_cache_dir",
                f"{self.cache_dir} has {gib(free)} free, and {gib(needed)} of weights are missing there.",
                f"Free {gib(needed + keep_free_bytes - free)}, or name a folder on a larger disk.",
            )

    def fetch(self, say: Callable[[str], None], meter: Meter) -> None:
        """Fetch all that is missing; lines go to `say`."""
        by_label = {known.label: known for known in self.known}
        labels: dict[Job, str] = {}
        for label, path in fetch.order({known.label: known.missing for known in self.known}):
            known = by_label[label]
            size = known.missing[path]
            labels[Job(known.repository.id, known.commit, self._revision(known), path, size)] = label
        done: dict[Job, int] = {}

        def moved(job: Job, size: int) -> None:
            done[job] = min(size, job.size)

        def ticked() -> None:
            for label in meter.totals:
                meter.done[label] = sum(size for job, size in done.items() if labels[job] == label)
            for line in meter.lines(time.monotonic()):
                say(line)

        def told(text: str) -> None:
            say(meter.line(time.monotonic(), text))

        downloads = Downloads(self.cache, self.options, told, moved, ticked)
        try:
            downloads.run(list(labels))
        except HubError as error:
            failed = downloads.failed
            raise self._sentence(failed.model if failed else "", error, failed.path if failed else "") from error

    def remove_other_commits(self) -> list[str]:
        """Remove other commits of these models, by the library that laid them out."""
        kept = {known.commit for known in self.known}
        models = dict.fromkeys(known.repository.id for known in self.known)
        other = [commit for model in models for commit in self.cache.commits(model) if commit not in kept]
        if other:
            library = importlib.import_module("huggingface_hub")
            library.scan_cache_dir(self.cache.folder).delete_revisions(*other).execute()
        return other

    def _files(self, repository: Repository) -> tuple[str, Mapping[str, int]]:
        """Return a repository's commit and the files that an engine needs of it."""
        if repository.files is not None:
            return repository.revision, repository.files
        commit = self.cache.commit_of(repository.id, repository.revision)
        if commit and (files := self._whole(repository.id, commit)):
            # It stays at the commit that it was fetched at.
            return commit, files
        try:
            self._hub = self._hub or self.connect()
            found = self._hub.describe(repository.id, repository.revision)
            index = None
            if checkpoint.INDEX in found.files:
                most = checkpoint.SMALL_FILES[checkpoint.INDEX]
                index = json.loads(self._hub.read(repository.id, found.commit, checkpoint.INDEX, most))
        except ValueError as error:
            raise HubError(Trouble.NO_HUB, repository.id) from error
        weights = checkpoint.weight_files(found.files, index)
        if not weights:
            # An adapter, or a model whose shape the user gave: pickled weights are the user's choice then.
            weights = tuple(path for path in found.files if path.startswith(("adapter_", "pytorch_model")))
        return found.commit, checkpoint.needed_files(found.files, weights)

    def _whole(self, model: str, commit: str) -> Mapping[str, int]:
        """Return the files of a commit in the cache where its weights are all there; nothing where they are not, or nobody knows."""
        folder = self.cache.snapshot(model, commit)
        try:
            there = {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
            text = (folder / checkpoint.INDEX).read_text(encoding="utf-8") if checkpoint.INDEX in there else "null"
            weights = checkpoint.weight_files(there, json.loads(text)) or tuple(
                path for path in there if path.startswith(("adapter_model", "pytorch_model"))
            )
        except (OSError, ValueError, FleetError):
            return {}
        return there if weights and ("config.json" in there or "adapter_config.json" in there) else {}

    @staticmethod
    def _revision(known: Known) -> str:
        """Return what to fetch by: a branch's name where the engine will ask the cache by it."""
        return known.commit if known.repository.files is not None else known.repository.revision

    def _sentence(self, model: str, error: HubError, path: str = "") -> FleetError:
        """Say what went wrong, and what to do."""
        what = f"{model}: {path}" if path else model
        again = "Run it again: what is there whole stays."
        match error.trouble:
            case Trouble.GATED:
                return FleetError(
                    "vllm_stack_hf_token",
                    f"{model} is gated, and nothing on this host may read it yet.",
                    f"Accept its terms at {PAGE}/{model} and give a token of that account in vllm_stack_hf_token.",
                )
            case Trouble.FORBIDDEN | Trouble.MISSING:
                return FleetError(
                    "vllm_stack_models",
                    f"{model}: the hub has no such model, or the token in vllm_stack_hf_token may not read it.",
                    f"Look it up at {PAGE}/{model}.",
                )
            case Trouble.REVISION:
                return FleetError(
                    "vllm_stack_models", f"{model}: the hub has no such revision.", "Take one that it has."
                )
            case Trouble.DISK:
                return FleetError("vllm_stack_cache_dir", f"{what} can't be written ({error.detail}).", again)
            case _ if error.trouble in AWAY:
                wait = f" asks to wait {error.wait_s:.0f} s" if error.wait_s else f" ({error.detail})"
                return FleetError(
                    "vllm_stack_hub_endpoint",
                    f"{what} can't be fetched: the hub{wait}.",
                    f"Give this host a way to it, name a mirror in vllm_stack_hub_endpoint, or write a folder as model. {again}",
                )
            case _:
                return FleetError("vllm_stack_models", f"{what} can't be fetched: {error.detail}.", again)
