# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""model_fetch with the real huggingface_hub against the hub's double: whole files only, whatever happens on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from huggingface_hub import snapshot_download

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.progress import ENDED
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub import download, fetching
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.cache import Cache
from ansible_collections.gpuserve.fleet.plugins.modules import model_fetch, model_info
from ansible_collections.gpuserve.fleet.tests.support.hub.repositories import (
    Fault,
    Repository,
    is_lfs,
    safetensors,
    small_llama,
)
from ansible_collections.gpuserve.fleet.tests.support.hub.server import Hub

SHARD = "model-00001-of-00002.safetensors"
# On a busy machine a process may take seconds to begin: that is no stall.
NO_STALL_S = 60


def call(module: Any, capsys: pytest.CaptureFixture[str], **arguments: Any) -> dict[str, Any]:
    """Run a module as Ansible would."""
    with patch_module_args(arguments), pytest.raises(SystemExit):
        module.main()
    answer: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return answer


@pytest.fixture
def fetch(hub: Hub, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """Return what reads models and then fetches them."""

    def run(*ids: str, pinned: bool = True, token: str = "", **more: Any) -> dict[str, Any]:
        models: list[dict[str, Any]] = [{"name": model.partition("/")[2], "model": model} for model in ids]
        if pinned:
            read = call(model_info, capsys, models=models, endpoint=hub.endpoint, token="hf_may")["models"]
            models = [{**entry, "info": read[f"{entry['model']}@main"]} for entry in models]
        if token:
            (tmp_path / "token").write_text(token)
            (tmp_path / "token").chmod(0o600)
            more["token_file"] = str(tmp_path / "token")
        defaults = {"cache_dir": str(tmp_path / "cache"), "keep_free_bytes": 0, "stall_timeout_s": NO_STALL_S}
        return call(model_fetch, capsys, models=models, endpoint=hub.endpoint, **{**defaults, **more})

    return run


def cached(tmp_path: Path, hub: Hub, model: str) -> dict[str, bytes]:
    """Return what an engine finds when it starts offline at the pinned commit."""
    folder = snapshot_download(
        model,
        revision=hub.repositories[model].commit,
        cache_dir=tmp_path / "cache/huggingface/hub",
        local_files_only=True,
    )
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def leftovers(tmp_path: Path) -> list[str]:
    """Return what is half there."""
    found = [*(tmp_path / "cache").rglob("*.incomplete"), *(tmp_path / "cache").rglob(".gpuserve-pending/*")]
    return [str(path) for path in found]


def test_models_are_there_whole_at_their_commit_and_a_second_run_asks_nobody(
    hub: Hub, fetch: Any, tmp_path: Path
) -> None:
    hub.repositories["acme/other"] = Repository(small_llama(hidden_size=32))
    progress = tmp_path / "progress"
    first = fetch("acme/small", "acme/other", progress_file=str(progress))
    assert (
        first["changed"] and first["work"] and [model["names"] for model in first["models"]] == [["small"], ["other"]]
    )
    for model in ("acme/small", "acme/other"):
        assert cached(tmp_path, hub, model) == hub.repositories[model].files
    lines = progress.read_text().splitlines()
    assert lines[-1] == ENDED and any("acme/small  fetched, 0.3 MiB" in line for line in lines)
    asked = len(hub.requests)
    again = fetch("acme/small", "acme/other")
    assert not again["changed"] and leftovers(tmp_path) == []
    # A probe of models that were read asks nobody.
    assert not any("/resolve/" in seen.path and seen.method == "HEAD" for seen in hub.requests[asked:])
    assert not again["work"]


def test_a_look_and_check_mode_fetch_nothing(fetch: Any, tmp_path: Path) -> None:
    for more in ({"probe_only": True}, {"_ansible_check_mode": True}):
        answer = fetch("acme/small", **more)
        assert answer["work"] and answer["models"][0]["missing_bytes"] > 280_000
        assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(2, cut_after=1000),
        Fault(2, wrong_hash=True),
        Fault(1, status=503),
        Fault(1, status=429, retry_after="1"),
        Fault(1, stall_after=5000),
        Fault(1, html=True),
        Fault(1, cut_after=70_000, ignores_range=True),
    ],
    ids=["cut off", "wrong hash", "503", "429", "stalled", "a page", "no ranges"],
)
def test_what_goes_wrong_once_is_mended(
    hub: Hub, fetch: Any, tmp_path: Path, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "BACKOFF_S", (0.1,) * 4)

    def read_first(*_: Any) -> None:
        hub.repositories["acme/small"].faults[SHARD] = fault

    monkeypatch.setattr(fetching.Fetching, "check_disk", read_first)
    stall_timeout_s = 4 if fault.stall_after > 0 else NO_STALL_S
    answer = fetch("acme/small", progress_file=str(tmp_path / "progress"), stall_timeout_s=stall_timeout_s)
    assert answer.get("changed"), answer
    assert cached(tmp_path, hub, "acme/small") == hub.repositories["acme/small"].files and leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("fault", "stall_timeout_s", "fact"),
    [
        (Fault(99, wrong_hash=True), NO_STALL_S, "what arrived is not what the hub has (another hash)"),
        (Fault(99, stall_after=100), 4, "nothing arrived for 4 s"),
        (Fault(99, status=404), NO_STALL_S, "can't be fetched"),
    ],
    ids=["wrong hash", "stalled", "gone"],
)
def test_what_goes_wrong_always_is_one_sentence_and_leaves_nothing_half(
    hub: Hub,
    fetch: Any,
    tmp_path: Path,
    fault: Fault,
    stall_timeout_s: float,
    fact: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(download, "BACKOFF_S", (0.1,) * 4)
    # As many as it takes to see that it tries again and gives up.
    monkeypatch.setattr(download, "ATTEMPTS", 2)

    def read_first(*_: Any) -> None:
        hub.repositories["acme/small"].faults[SHARD] = fault

    monkeypatch.setattr(fetching.Fetching, "check_disk", read_first)
    answer = fetch("acme/small", stall_timeout_s=stall_timeout_s)
    assert answer["failed"] and fact in answer["msg"] and f"acme/small: {SHARD}" in answer["msg"]
    assert answer["msg"].endswith("Nothing that serves was touched.")
    assert list((tmp_path / "cache").rglob("*.incomplete")) == []
    assert not any(path.name == SHARD for path in (tmp_path / "cache").rglob("snapshots/*/*"))
    # What came whole is not fetched again once the hub is well.
    monkeypatch.setattr(fetching.Fetching, "check_disk", lambda *_: None)
    hub.repositories["acme/small"].faults.clear()
    assert (
        fetch("acme/small")["changed"] and cached(tmp_path, hub, "acme/small") == hub.repositories["acme/small"].files
    )


def test_a_file_that_was_begun_and_never_checked_is_checked(hub: Hub, fetch: Any, tmp_path: Path) -> None:
    fetch("acme/small")
    cache = Cache(str(tmp_path / "cache"))
    commit = hub.repositories["acme/small"].commit
    blob = (cache.snapshot("acme/small", commit) / SHARD).resolve()
    blob.write_bytes(bytes(len(blob.read_bytes())))
    assert not fetch("acme/small")["changed"]
    cache.begin("acme/small", commit, SHARD)
    assert (
        fetch("acme/small")["changed"]
        and cached(tmp_path, hub, "acme/small")[SHARD] == hub.repositories["acme/small"].files[SHARD]
    )


def test_what_does_not_fit_on_the_disk_is_not_begun(hub: Hub, fetch: Any, tmp_path: Path) -> None:
    answer = fetch("acme/small", keep_free_bytes=2**60)
    assert (
        "GiB free, and 0.00 GiB of weights are missing there. Free " in answer["msg"]
        and not (tmp_path / "cache").exists()
    )
    assert not any(seen.method == "HEAD" for seen in hub.requests)


@pytest.mark.parametrize("token", ["", "hf_other"])
def test_a_gated_model_names_its_page_at_once(fetch: Any, tmp_path: Path, token: str) -> None:
    answer = fetch("acme/gated", token=token)
    assert "Accept its terms at https://huggingface.co/acme/gated and give a token" in answer["msg"]
    assert "hf_other" not in json.dumps(answer)


def test_a_token_comes_from_its_file_alone_and_stays_on_the_hub(hub: Hub, fetch: Any, tmp_path: Path) -> None:
    assert fetch("acme/gated", token="hf_may")["changed"]
    assert {seen.token for seen in hub.requests if seen.path.startswith("/cdn/")} == {""}
    for path in (tmp_path / "cache").rglob("*"):
        assert not path.is_file() or b"hf_may" not in path.read_bytes()
    (tmp_path / "token").chmod(0o644)
    assert "may be read by others" in fetch("acme/small", token_file=str(tmp_path / "token"))["msg"]


def test_one_that_nobody_read_is_fetched_by_its_branch_and_stays_at_that_commit(
    hub: Hub, fetch: Any, tmp_path: Path
) -> None:
    first = fetch("acme/small", pinned=False)
    commit = hub.repositories["acme/small"].commit
    assert first["models"][0]["commit"] == commit
    hub.repositories["acme/small"].push(small_llama(2, rope_theta=5e5))
    hub.is_down = True
    assert not fetch("acme/small", pinned=False)["changed"]
    found = snapshot_download("acme/small", cache_dir=tmp_path / "cache/huggingface/hub", local_files_only=True)
    assert Path(found).name == commit


def test_other_commits_go_on_request_only(hub: Hub, fetch: Any, tmp_path: Path) -> None:
    fetch("acme/small")
    old = hub.repositories["acme/small"].commit
    new = hub.repositories["acme/small"].push(
        {**small_llama(2), "model.safetensors": b""} | small_llama(1, vocab_size=256)
    )
    snapshots = tmp_path / "cache/huggingface/hub/models--acme--small/snapshots"
    assert fetch("acme/small")["removed_commits"] == [] and {path.name for path in snapshots.iterdir()} == {old, new}
    assert fetch("acme/small", remove_other_commits=True)["removed_commits"] == [old]
    assert {path.name for path in snapshots.iterdir()} == {new}


def test_large_and_slow_files_of_two_models_move_at_once(hub: Hub, fetch: Any, tmp_path: Path) -> None:
    for name in ("acme/one", "acme/two"):
        files = {**small_llama(), "model.safetensors": safetensors({"model.layers.0.w": ("BF16", (2048, 1024))})}
        slow = Fault(99, bytes_per_s=1_000_000)
        hub.repositories[name] = Repository(files, faults={path: slow for path in files if is_lfs(path)})
    answer = fetch("acme/one", "acme/two", progress_file=str(tmp_path / "progress"), stall_timeout_s=60)
    lines = (tmp_path / "progress").read_text().splitlines()
    assert answer["changed"]
    # When the first of them had ended, both had moved.
    first_done = next(place for place, line in enumerate(lines) if "fetched, " in line)
    moving = [line for line in lines[:first_done] if "MiB/s" in line]
    assert any("acme/one" in line for line in moving) and any("acme/two" in line and " left" in line for line in moving)


def test_what_our_processes_began_is_swept_and_what_others_write_is_not(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path))
    blobs = cache.snapshot("acme/small", "c" * 40).parents[1] / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "a.1.incomplete").touch()
    with open(blobs / "b.2.incomplete", "w", encoding="ascii"):
        download.Downloads._sweep(cache.begun("acme/small"))
        assert [path.name for path in blobs.iterdir()] == ["b.2.incomplete"]
