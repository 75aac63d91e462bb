# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fetch over a fake hub: what is missing, whether it fits, and one sentence for each trouble."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.fetch import Meter
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub import fetching as module
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.cache import Cache
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.client import HubError, Repository, Trouble
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.download import Job, Options
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.fetching import Fetching

MODEL = {"name": "qwen", "model": "Qwen/Q"}
FILES = {"config.json": 10, "model.safetensors": 90, "model.gguf": 5}


class FakeHub:
    """A hub with one repository, or one trouble."""

    def __init__(self, files: dict[str, int], trouble: HubError | None = None, index: bytes = b"{}") -> None:
        self.files, self.trouble, self.index = files, trouble, index
        self.asked: list[Any] = []

    def describe(self, model: str, revision: str) -> Repository:
        self.asked.append((model, revision))
        if self.trouble:
            raise self.trouble
        return Repository(model, "c0ffee1234", False, False, "", self.files)

    def read(self, model: str, commit: str, path: str, most: int) -> bytes:
        self.asked.append((model, commit, path))
        return self.index

    def search(self, text: str = "", author: str = "", quantized_from: str = "") -> list[str]:
        return []


def fetching(folder: Path, hub: FakeHub, *models: dict[str, Any]) -> Fetching:
    return Fetching(str(folder), models or (MODEL,), lambda: hub, Options())


def put(cache: Cache, model: str, commit: str, files: dict[str, int], branch: str = "") -> None:
    for path, size in files.items():
        place = cache.snapshot(model, commit) / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"x" * size)
    if branch:
        refs = cache.snapshot(model, commit).parents[1] / "refs"
        refs.mkdir(parents=True, exist_ok=True)
        (refs / branch).write_text(commit)


def test_what_an_engine_needs_is_missing_on_a_new_host(tmp_path: Path) -> None:
    hub = FakeHub(FILES)
    found = fetching(tmp_path, hub)
    assert found.missing_files()
    assert hub.asked == [("Qwen/Q", "main")]
    assert found.missing_bytes() == {"Qwen/Q": 100}
    assert found.report() == [
        {"names": ["qwen"], "model": "Qwen/Q", "commit": "c0ffee1234", "bytes": 100, "missing_bytes": 100}
    ]


def test_what_is_there_whole_is_at_the_commit_that_it_was_fetched_at(tmp_path: Path) -> None:
    hub = FakeHub(FILES)
    put(Cache(str(tmp_path)), "Qwen/Q", "old", {"config.json": 10, "model.safetensors": 80}, "main")
    found = fetching(tmp_path, hub)
    assert not found.missing_files()
    assert hub.asked == []
    assert (found.missing_bytes(), found.report()[0]["commit"]) == ({}, "old")


@pytest.mark.parametrize(
    "files",
    [{"config.json": 10}, {"model.safetensors": 80}, {"config.json": 10, "model.safetensors.index.json": 3}],
)
def test_a_commit_without_its_weights_or_its_shape_is_asked_for_again(tmp_path: Path, files: dict[str, int]) -> None:
    hub = FakeHub(FILES)
    put(Cache(str(tmp_path)), "Qwen/Q", "old", files, "main")
    assert fetching(tmp_path, hub).missing_files()
    assert hub.asked == [("Qwen/Q", "main")]


def test_files_that_somebody_listed_are_not_asked_for(tmp_path: Path) -> None:
    hub = FakeHub({})
    info = {"commit": "abc1234", "files": [{"path": "w", "bytes": 7}, {"path": "x", "bytes": 2}]}
    put(Cache(str(tmp_path)), "Qwen/Q", "abc1234", {"w": 7, "x": 1})
    found = fetching(tmp_path, hub, {**MODEL, "info": info})
    assert found.missing_files()
    assert (hub.asked, found.missing_bytes()) == ([], {"Qwen/Q": 2})


def test_a_file_that_was_begun_is_missing_though_it_has_its_size(tmp_path: Path) -> None:
    info = {"commit": "abc1234", "files": [{"path": "w", "bytes": 7}]}
    cache = Cache(str(tmp_path))
    put(cache, "Qwen/Q", "abc1234", {"w": 7})
    cache.begin("Qwen/Q", "abc1234", "w")
    assert fetching(tmp_path, FakeHub({}), {**MODEL, "info": info}).missing_files()


def test_two_commits_of_one_repository_are_told_apart(tmp_path: Path) -> None:
    models = [
        {"name": name, "model": "Qwen/Q", "info": {"commit": commit, "files": [{"path": "w", "bytes": 1}]}}
        for name, commit in (("a", "1111111aaa"), ("b", "2222222bbb"))
    ]
    found = fetching(tmp_path, FakeHub({}), *models)
    found.missing_files()
    assert found.missing_bytes() == {"Qwen/Q@1111111": 1, "Qwen/Q@2222222": 1}


def test_pickled_weights_are_fetched_where_there_are_no_others(tmp_path: Path) -> None:
    hub = FakeHub({"config.json": 1, "pytorch_model.bin": 50, "adapter_model.bin": 8})
    found = fetching(tmp_path, hub)
    found.missing_files()
    assert found.missing_bytes() == {"Qwen/Q": 59}


def test_shards_are_those_that_the_index_names(tmp_path: Path) -> None:
    index = json.dumps({"weight_map": {"a": "model-1.safetensors"}}).encode()
    files = {"config.json": 1, "model.safetensors.index.json": 2, "model-1.safetensors": 30, "other.safetensors": 40}
    hub = FakeHub(files, index=index)
    found = fetching(tmp_path, hub)
    found.missing_files()
    assert hub.asked[1] == ("Qwen/Q", "c0ffee1234", "model.safetensors.index.json")
    assert found.missing_bytes() == {"Qwen/Q": 33}


def test_an_index_that_is_none_does_not_come_from_a_hub(tmp_path: Path) -> None:
    hub = FakeHub({"model.safetensors.index.json": 2}, index=b"<html>")
    with pytest.raises(FleetError, match="vllm_stack_hub_endpoint: Qwen/Q can't be fetched: the hub"):
        fetching(tmp_path, hub).missing_files()


@pytest.mark.parametrize(
    ("error", "where", "words"),
    [
        (HubError(Trouble.GATED), "vllm_stack_hf_token", "Qwen/Q is gated, and nothing on this host may read it yet."),
        (HubError(Trouble.MISSING), "vllm_stack_models", "Qwen/Q: the hub has no such model, or the token"),
        (HubError(Trouble.FORBIDDEN), "vllm_stack_models", "Qwen/Q: the hub has no such model, or the token"),
        (HubError(Trouble.REVISION), "vllm_stack_models", "Qwen/Q: the hub has no such revision."),
        (HubError(Trouble.DISK, "full"), "vllm_stack_cache_dir", "Qwen/Q can't be written (full)."),
        (HubError(Trouble.UNREACHABLE, "x"), "vllm_stack_hub_endpoint", "Qwen/Q can't be fetched: the hub (x)."),
        (HubError(Trouble.NO_LIBRARY, "x"), "vllm_stack_hub_endpoint", "Qwen/Q can't be fetched: the hub (x)."),
        (HubError(Trouble.BUSY, "x", 60.0), "vllm_stack_hub_endpoint", "the hub asks to wait 60 s."),
        (HubError(Trouble.FAILED, "x"), "vllm_stack_models", "Qwen/Q can't be fetched: x."),
    ],
)
def test_each_trouble_in_one_sentence(tmp_path: Path, error: HubError, where: str, words: str) -> None:
    with pytest.raises(FleetError) as caught:
        fetching(tmp_path, FakeHub({}, error)).missing_files()
    assert caught.value.where == where
    assert words in str(caught.value)


@pytest.mark.parametrize(("free", "refused"), [(150, False), (149, True)])
def test_what_does_not_fit_is_refused_before_the_first_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, refused: bool
) -> None:
    found = fetching(tmp_path, FakeHub(FILES))
    found.missing_files()
    monkeypatch.setattr(found.cache, "free_bytes", lambda: free)
    if not refused:
        found.check_disk(50)
        return
    with pytest.raises(FleetError, match=f"^vllm_stack_cache_dir: {tmp_path} has"):
        found.check_disk(50)


class Run:
    """In place of the downloads: half of each file comes, then all, or the second file fails."""

    trouble: HubError | None = None
    jobs: Sequence[Job] = ()

    def __init__(self, _cache: Any, _options: Any, told: Any, moved: Any, ticked: Any) -> None:
        self.told, self.moved, self.ticked = told, moved, ticked
        self.failed: Job | None = None

    def run(self, jobs: Sequence[Job]) -> None:
        type(self).jobs = jobs
        for job in jobs:
            self.moved(job, job.size // 2)
        self.ticked()
        if self.trouble is not None:
            self.failed = jobs[1]
            raise self.trouble  # pylint: disable=raising-bad-type
        self.told("a line")
        for job in jobs:
            self.moved(job, job.size + 1)
        self.ticked()


@pytest.mark.parametrize(("info", "revision"), [(None, "main"), (True, "c0ffee1234")])
def test_a_branch_is_fetched_by_its_name_and_a_pinned_commit_by_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, info: bool | None, revision: str
) -> None:
    listed = {
        "commit": "c0ffee1234",
        "files": [{"path": "config.json", "bytes": 10}, {"path": "model.safetensors", "bytes": 90}],
    }
    monkeypatch.setattr(module, "Downloads", Run)
    found = fetching(tmp_path, FakeHub(FILES), {**MODEL, **({"info": listed} if info else {})})
    found.missing_files()
    said: list[str] = []
    meter = Meter(found.missing_bytes(), 0.0)
    found.fetch(said.append, meter)
    assert Run.jobs == [
        Job("Qwen/Q", "c0ffee1234", revision, "model.safetensors", 90),
        Job("Qwen/Q", "c0ffee1234", revision, "config.json", 10),
    ]
    assert meter.done == {"Qwen/Q": 100}
    assert [line for line in said if line.endswith("a line")]
    assert "Qwen/Q  fetched" in said[-1]


def test_the_file_that_could_not_be_had_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Downloads", Run)
    monkeypatch.setattr(Run, "trouble", HubError(Trouble.STALLED, "nothing arrived"))
    found = fetching(tmp_path, FakeHub(FILES))
    found.missing_files()
    with pytest.raises(FleetError, match=r"Qwen/Q: config\.json can't be fetched: the hub \(nothing arrived\)"):
        found.fetch(lambda line: None, Meter(found.missing_bytes(), 0.0))


def test_only_other_commits_of_these_models_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone: list[Any] = []

    class Library:
        @staticmethod
        def scan_cache_dir(folder: Path) -> Any:
            gone.append(folder)
            return Library()

        def delete_revisions(self, *commits: str) -> Any:
            gone.append(commits)
            return self

        def execute(self) -> None:
            gone.append("done")

    monkeypatch.setattr(f"{module.__name__}.importlib.import_module", lambda name: Library)
    found = fetching(tmp_path, FakeHub(FILES))
    found.missing_files()
    assert (found.remove_other_commits(), gone) == ([], [])
    for model, commit in (("Qwen/Q", "old"), ("Qwen/Q", "c0ffee1234"), ("Other/M", "x")):
        put(found.cache, model, commit, {"w": 1})
    assert found.remove_other_commits() == ["old"]
    assert gone == [found.cache.folder, ("old",), "done"]
