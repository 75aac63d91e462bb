# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets on a real disk: kept, brought back, never half there, never open, and without tokens that were renewed."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.sets import BEFORE, PROVED, Sets
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic
from tests.support.disk import FullDisk, picture


def plan(digest: str = "p1") -> dict[str, Any]:
    model = {
        "name": "a",
        "gpu_uuids": ["GPU-0"],
        "total_bytes": 5,
        "kv_cache_bytes": 1,
        "exact_kv": True,
        "weights_bytes": 1,
    }
    return {"inputs_digest": digest, "gpus": [{"uuid": "GPU-0", "name": "x", "models": [model]}]}


def services(digest: str) -> list[dict[str, Any]]:
    return [{"name": "a", "container": "vllm-a", "image": "i", "port": 8001, "digest": digest}]


def render(sets: Sets, digest: str, **secrets: str) -> None:
    """Make a set the rendered one, with one secret file."""
    name = f"env/a-{digest}.env"
    text = "".join(f"{key}={value}\n" for key, value in sorted(secrets.items()))
    sets.render(f'services: {digest}\n  source: "./{name}"\n', {name: text}, lambda _draft: None)


def prove(sets: Sets, digest: str) -> bool:
    return sets.prove(plan(), services(digest), [])


def env(sets: Sets, name: str = "") -> dict[str, str]:
    return {path.name: path.read_text() for path in (sets.folder / name / "env").glob("*")}


@pytest.fixture
def sets(tmp_path: Path) -> Sets:
    return Sets(str(tmp_path / "stack"))


@pytest.fixture
def two(sets: Sets) -> Sets:
    """A proved set and one before it, with a token each."""
    for digest, token in (("d1", "revoked"), ("d2", "present")):
        render(sets, digest, HF_TOKEN=token, NOTE=digest)
        assert prove(sets, digest)
    return sets


def test_a_proved_set_is_kept_whole_and_closed(two: Sets) -> None:
    record = two.read(PROVED)
    assert record is not None and record["services"] == services("d2")
    assert (two.read(BEFORE) or {})["services"] == services("d1")
    for name, (mode, _text) in picture(two.folder).items():
        assert mode == ("0o700" if "." not in Path(name).name or name == BEFORE else "0o600"), name
    assert two.is_rendered(PROVED) and not two.is_rendered(BEFORE)
    assert two.notes == []


def test_secret_files_go_once_no_engine_reads_them(sets: Sets) -> None:
    render(sets, "d1", HF_TOKEN="old")
    prove(sets, "d1")
    render(sets, "d2", HF_TOKEN="new")
    assert sorted(env(sets)) == ["a-d1.env", "a-d2.env"], "the engine that serves still reads the old one"
    prove(sets, "d2")
    assert sorted(env(sets)) == ["a-d2.env"]


def test_a_kept_set_forgets_what_was_revoked_and_a_rollback_gets_the_present_one(two: Sets) -> None:
    assert "revoked" not in json.dumps(picture(two.folder))
    assert env(two, BEFORE) == {"a-d1.env": "NOTE=d1\n"}
    assert env(two, PROVED) == {"a-d2.env": "HF_TOKEN=present\nNOTE=d2\n"}
    two.put_back(BEFORE)
    assert two.is_rendered(BEFORE)
    assert env(two)["a-d1.env"] == "HF_TOKEN=present\nNOTE=d1\n"


def test_a_set_that_comes_back_after_a_failure_has_the_tokens_it_was_proved_with(two: Sets) -> None:
    render(two, "d3", HF_TOKEN="mistyped")
    two.keep_failed()
    two.put_back(PROVED)
    assert two.is_rendered(PROVED)
    assert env(two)["a-d2.env"] == "HF_TOKEN=present\nNOTE=d2\n"
    assert "d3" in (two.folder / "compose.failed.yml").read_text()


def test_no_moment_is_open_or_without_a_file(two: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the disk after every call that changes it."""
    probes = 0

    def read_set() -> None:
        nonlocal probes
        probes += 1
        assert two.compose_file().exists()
        assert (two.folder / "env" / "a-d2.env").read_text() == "HF_TOKEN=present\nNOTE=d2\n"
        for path in two.folder.rglob("*"):
            assert stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0, path

    for call in ("open", "write", "mkdir", "rename", "link", "unlink", "fchmod", "chmod"):
        real = getattr(os, call)

        def watched(*given: Any, real: Any = real, **named: Any) -> Any:
            found = real(*given, **named)
            read_set()
            return found

        monkeypatch.setattr(os, call, watched)
    before = os.umask(0)
    try:
        two.put_back(BEFORE)
        two.put_back(PROVED)
    finally:
        os.umask(before)
    assert probes > 20


def test_a_full_disk_brings_the_proved_set_back_all_the_same(two: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    render(two, "d3", HF_TOKEN="new")
    (two.folder / "env" / "a-d2.env").unlink()
    FullDisk(monkeypatch, 0)
    two.keep_failed()
    two.put_back(PROVED)
    assert two.is_rendered(PROVED)
    assert env(two)["a-d2.env"] == "HF_TOKEN=present\nNOTE=d2\n"
    assert not (two.folder / "compose.failed.yml").exists()
    assert len(two.notes) == 1 and "compose.failed.yml could not be written (No space left" in two.notes[0]


@pytest.mark.parametrize("room", [0, 5, 40, 60, 100, 300])
def test_a_full_disk_keeps_the_set_that_was_proved_before(
    two: Sets, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    render(two, "d3", HF_TOKEN="new", NOTE="d3")
    kept = {name: picture(two.folder / name) for name in (PROVED, BEFORE)}
    with monkeypatch.context() as patch:
        disk = FullDisk(patch, room)
        prove(two, "d3")
        assert disk.refused
    assert {name: picture(two.folder / name) for name in (PROVED, BEFORE)} == kept
    assert "could not be written (No space left" in two.notes[0]
    assert not (two.folder / ".proved.draft").exists()
    assert prove(two, "d3"), "the next run keeps it"
    assert (two.read(PROVED) or {})["services"] == services("d3")


@pytest.mark.parametrize("at", range(4))
def test_a_power_cut_between_two_renames_loses_no_set(two: Sets, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    render(two, "d3", HF_TOKEN="new")
    moves = 0
    move = atomic.move

    def cut(source: Any, target: Any) -> None:
        nonlocal moves
        if moves == at:
            raise KeyboardInterrupt
        moves += 1
        move(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "move", cut)
        try:
            prove(two, "d3")
            ended = True
        except KeyboardInterrupt:
            ended = False
    assert ended == (at == 3)
    again = Sets(str(two.folder))
    found = again.read(PROVED)
    assert found is not None and found["services"] in (services("d2"), services("d3"))
    again.put_back(PROVED)
    assert again.compose_file().exists()
    render(again, "d3", HF_TOKEN="new")
    prove(again, "d3")
    assert (again.read(PROVED) or {})["services"] == services("d3")


@pytest.mark.parametrize(
    "text",
    [
        '{"services":[{"name":"a"}],"plan":{}}',
        '{"services":[{"name":"a"}]}',
        '{"services":{"a":1},"plan":{"gpus":[]}}',
        '{"services":[],"plan":{"gpus":[]}}',
        '{"services":[{"name":"a","digest":"d","port":1}],"plan":{"gpus":[]}}',
        "[]",
        "5",
        "null",
        "",
        "{",
        "\x00",
    ],
)
def test_a_record_that_went_bad_counts_as_absent_and_is_said(two: Sets, text: str) -> None:
    (two.folder / PROVED / "plan.json").write_text(text)
    assert two.read(PROVED) is None
    assert len(two.notes) == 1 and "proved/plan.json is not what we wrote" in two.notes[0]
    assert prove(two, "d2")
    assert two.read(PROVED) is not None


def test_endpoints_of_another_shape_count_as_bad_too(two: Sets) -> None:
    record = json.loads((two.folder / PROVED / "plan.json").read_text())
    (two.folder / PROVED / "plan.json").write_text(json.dumps({**record, "endpoints": 5}))
    assert two.read(PROVED) is None


def test_none_is_there_at_first_and_nothing_is_said(sets: Sets) -> None:
    assert sets.read(PROVED) is None and sets.read(BEFORE) is None and sets.notes == []
    assert sets.rendered() == ("", {})
    assert not sets.is_rendered(PROVED)
    with pytest.raises(OSError):
        sets.put_back(PROVED)


def test_what_the_plan_learnt_is_kept_without_another_set_before(two: Sets) -> None:
    two.render(two.compose_file().read_text() + "# planned_bytes\n", {}, lambda _draft: None)
    assert not two.prove(plan("p2"), services("d2"), [])
    assert (two.read(PROVED) or {})["inputs_digest"] == "p2"
    assert (two.read(BEFORE) or {})["services"] == services("d1")
    assert two.is_rendered(PROVED), "or a rollback would go to where it is"


def test_a_set_of_the_version_before_comes_back(sets: Sets) -> None:
    kept = sets.folder / PROVED
    (kept / "env").mkdir(parents=True)
    (kept / "compose.yml").write_text('      - "./env/a.env:/run/gpuserve/env:ro"\n')
    (kept / "env" / "a.env").write_text("HF_TOKEN='it'\"'\"'s'\n")
    (kept / "plan.json").write_text(json.dumps({"services": services("d1"), "plan": plan()}))
    sets.put_back(PROVED)
    assert env(sets) == {"a.env": "HF_TOKEN='it'\"'\"'s'\n"}


def test_a_folder_that_others_may_write_in_gets_no_secret(two: Sets) -> None:
    two.folder.chmod(0o777)
    with pytest.raises(OSError, match="every account may write"):
        two.put_back(BEFORE)
    with pytest.raises(OSError, match="every account may write"):
        render(two, "d3", HF_TOKEN="new")
    prove(two, "d3")
    assert "every account may write" in two.notes[0]


@pytest.mark.parametrize("name", [PROVED, BEFORE])
def test_a_missing_secret_file_is_an_error_and_what_serves_stays(two: Sets, name: str) -> None:
    render(two, "d3", HF_TOKEN="new")
    for path in (two.folder / name / "env").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError) as told:
        two.put_back(name)
    assert f"/{name}/env/a-d" in str(told.value.filename)
    assert "d3" in two.compose_file().read_text()
