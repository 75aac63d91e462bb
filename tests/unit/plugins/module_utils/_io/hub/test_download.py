# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files fetched by processes that are fakes here: which one is begun again, which one ends the fetch, and what is left behind."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub import download as module
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.cache import Cache
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.client import HubError, Trouble
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.download import Downloads, Job, Options

JOB = Job("org/model", "c0ffee", "main", "a.safetensors", 100)
Said = list[tuple[str, Any]]
STALLS: Said = [("stall", None)]


class Child:
    """A process and the end of its pipe that we read: it says what it was told to, and then is alive or not."""

    pid = None
    exitcode = 9

    def __init__(self, says: Said) -> None:
        self.says = list(says)
        self.ended = False

    def start(self) -> None:
        pass

    def poll(self) -> bool:
        return bool(self.says) and self.says[0][0] not in ("stall", "die")

    def recv(self) -> tuple[str, Any]:
        return self.says.pop(0)

    def is_alive(self) -> bool:
        return not (self.says and self.says[0][0] == "die")

    def kill(self) -> None:
        self.ended = True

    def join(self) -> None:
        pass

    def close(self) -> None:
        pass


class World:
    """Attempts of files, each with what its process says, and a clock that moves by half a second a turn from 1e6 on."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, folder: Path, attempts: dict[str, list[Said]], **options: Any
    ) -> None:
        self.attempts = {path: list(found) for path, found in attempts.items()}
        self.now = 1e6
        self.begun: list[tuple[float, str]] = []
        self.children: list[Child] = []
        self.told: list[str] = []
        self.moved: list[tuple[str, int]] = []
        self.most_at_once = 0
        self.cache = Cache(str(folder))
        context = SimpleNamespace(Pipe=lambda duplex: (None, SimpleNamespace(close=lambda: None)), Process=self.process)
        monkeypatch.setattr(module, "_FORK", context)
        monkeypatch.setattr(module, "wait", lambda pipes, timeout: self.pass_time(timeout))
        monkeypatch.setattr(f"{module.__name__}.time.sleep", self.pass_time)
        monkeypatch.setattr(module, "_Running", self.running)
        self.downloads = Downloads(
            self.cache,
            Options(**{"stall_s": 10.0, **options}),
            self.told.append,
            lambda job, size: self.moved.append((job.path, size)),
            lambda: None,
            clock=lambda: self.now,
        )

    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    def process(self, target: Any, args: tuple[Any, ...], daemon: bool) -> Child:
        path = args[1].path
        self.begun.append((self.now - 1e6, path))
        self.children.append(Child(self.attempts[path].pop(0)))
        self.most_at_once = max(self.most_at_once, sum(not child.ended for child in self.children))
        return self.children[-1]

    @staticmethod
    def running(job: Job, process: Child, _pipe: None, now: float) -> Any:
        return SimpleNamespace(job=job, process=process, pipe=process, moved_at=now, waits_until=0.0, done=0)

    def run(self, *jobs: Job) -> None:
        self.downloads.run(jobs or [JOB])


def failed(trouble: Trouble, detail: str = "it said so") -> Said:
    return [("failed", (trouble.value, detail))]


def test_a_file_that_comes_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    world = World(monkeypatch, tmp_path, {JOB.path: [[("bytes", 40), ("bytes", 50), ("done", None)]]})
    world.run()
    assert world.moved == [(JOB.path, 40), (JOB.path, 90), (JOB.path, 100)]
    assert world.children[0].ended
    assert world.cache.pending(JOB.model, JOB.commit, [JOB.path]) == []


@pytest.mark.parametrize(
    ("says", "words"),
    [
        (failed(Trouble.FAILED), "it said so"),
        (failed(Trouble.UNREACHABLE, ""), "unreachable"),
        ([("die", None)], "its process ended with 9"),
        (STALLS, "nothing arrived for 10 s"),
    ],
)
def test_what_another_attempt_may_mend_is_begun_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, says: Said, words: str
) -> None:
    world = World(monkeypatch, tmp_path, {JOB.path: [says, [("done", None)]]})
    world.run()
    assert world.told == [f"org/model: a.safetensors: {words}; trying again"]
    assert world.moved == [(JOB.path, 0), (JOB.path, 100)]
    assert all(child.ended for child in world.children)


def test_it_waits_longer_before_each_attempt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    world = World(monkeypatch, tmp_path, {JOB.path: [failed(Trouble.FAILED)] * 5})
    with pytest.raises(HubError, match="it said so"):
        world.run()
    assert [at for at, _path in world.begun] == [0.0, 1.5, 4.0, 9.5, 20.0]
    assert world.downloads.failed == JOB


@pytest.mark.parametrize(
    "trouble",
    [Trouble.GATED, Trouble.FORBIDDEN, Trouble.MISSING, Trouble.REVISION, Trouble.NO_LIBRARY, Trouble.DISK],
)
def test_what_no_attempt_mends_ends_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trouble: Trouble) -> None:
    other = Job("org/model", "c0ffee", "main", "b.safetensors", 100)
    world = World(monkeypatch, tmp_path, {JOB.path: [failed(trouble)], other.path: [STALLS]})
    with pytest.raises(HubError) as caught:
        world.run(JOB, other)
    assert caught.value.trouble is trouble
    assert all(child.ended for child in world.children)
    # What was begun is not taken for whole by the next run.
    assert world.cache.pending(JOB.model, JOB.commit, [JOB.path, other.path]) == [JOB.path, other.path]


def test_a_hub_that_is_away_is_asked_twice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    world = World(monkeypatch, tmp_path, {JOB.path: [failed(Trouble.UNREACHABLE)] * 3})
    with pytest.raises(HubError):
        world.run()
    assert len(world.begun) == 2


@pytest.mark.parametrize(("came", "attempts"), [(0, 5), (25, 5), (26, 20)])
def test_a_file_that_comes_some_way_each_time_has_more_attempts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, came: int, attempts: int
) -> None:
    says: Said = [("bytes", came), ("stall", None)]
    world = World(monkeypatch, tmp_path, {JOB.path: [says] * 25})
    with pytest.raises(HubError, match="nothing arrived for 10 s"):
        world.run()
    assert len(world.begun) == attempts


def test_a_hub_that_asks_to_wait_is_waited_for_and_no_longer_than_a_bound(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world = World(
        monkeypatch,
        tmp_path,
        {JOB.path: [[("wait", 20.0), ("stall", None)], [("wait", 900.0), ("stall", None)], [("done", None)]]},
    )
    world.run()
    assert world.told[0] == "the hub asks to wait 20 s"
    begun = [at for at, _path in world.begun]
    # 20 s and the stall's 10; then 5 stalls in place of 900 s, and 10.
    assert 30 <= begun[1] - begun[0] <= 33
    assert 60 <= begun[2] - begun[1] <= 64


@pytest.mark.parametrize(("workers", "most"), [(1, 1), (2, 2), (8, 3)])
def test_so_many_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, workers: int, most: int) -> None:
    jobs = [Job("org/model", "c0ffee", "main", name, 1) for name in ("a", "b", "c")]
    world = World(monkeypatch, tmp_path, {job.path: [[("done", None)]] for job in jobs}, workers=workers)
    world.run(*jobs)
    assert world.most_at_once == most
    assert sorted(path for _at, path in world.begun) == ["a", "b", "c"]


def test_what_was_begun_and_nobody_writes_goes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    world = World(monkeypatch, tmp_path, {JOB.path: [[("done", None)]]})
    blobs = world.cache.folder / "models--org--model" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "before.incomplete").touch()
    held = blobs / "held.incomplete"

    def ticked() -> None:
        (blobs / "ours.incomplete").touch()
        held.touch()

    world.downloads.ticked = ticked
    monkeypatch.setattr(module, "_open_anywhere", lambda: {"held.incomplete"})
    world.run()
    assert {path.name for path in blobs.iterdir()} == {"before.incomplete", "held.incomplete"}


def test_files_that_somebody_has_open_are_seen(tmp_path: Path) -> None:
    with open(tmp_path / "x.incomplete", "w", encoding="ascii"), open(tmp_path / "y", "w", encoding="ascii"):
        assert "x.incomplete" in module._open_anywhere()
        assert "y" not in module._open_anywhere()


class Pipe:
    """The end that a process writes to."""

    def __init__(self) -> None:
        self.sent: Said = []

    def send(self, what: tuple[str, Any]) -> None:
        self.sent.append(what)


@pytest.mark.parametrize(
    ("raised", "sent"),
    [
        (HubError(Trouble.GATED, "x"), ("failed", ("gated", "x"))),
        (OSError(28, "No space left on device"), ("failed", ("disk", "No space left on device"))),
        (OSError("odd\nand more"), ("failed", ("disk", "odd"))),
        (ImportError("huggingface_hub"), ("failed", ("no library", "huggingface_hub is not installed"))),
    ],
)
def test_a_process_says_why_it_failed(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, sent: tuple[str, Any]
) -> None:
    def fetched(*_given: Any) -> Any:
        raise raised

    monkeypatch.setattr(module, "_fetched", fetched)
    pipe = Pipe()
    module._fetch(pipe, JOB, Cache("/nowhere"), Options())  # type: ignore[arg-type]
    assert pipe.sent == [sent]


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A library that notes how a file was asked for."""
    asked: list[Any] = []
    constants = SimpleNamespace(DOWNLOAD_CHUNK_SIZE=0)
    hub = SimpleNamespace(fetch=lambda *given: asked.append(given[:-1]))
    quiet = SimpleNamespace(set_verbosity_error=lambda: None)

    def made(endpoint: str, token: str | bool) -> Any:
        asked.append((endpoint, token))
        return hub

    monkeypatch.setattr(module, "HuggingFaceHub", made)
    monkeypatch.setattr(module, "_tell_waits", lambda pipe: None)
    others = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    monkeypatch.setattr(os, "environ", others)
    monkeypatch.setattr(
        f"{module.__name__}.importlib.import_module", lambda name: constants if "constants" in name else quiet
    )
    return asked


@pytest.mark.parametrize(("endpoint", "xet"), [("", None), ("https://mirror", "1")])
def test_how_a_file_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, library: list[Any], endpoint: str, xet: str | None
) -> None:
    cache = Cache(str(tmp_path))
    assert module._fetched(Pipe(), JOB, cache, Options(endpoint)) == ("done", None)  # type: ignore[arg-type]
    # Without a token of ours none is sent; a file that is not there is not forced.
    assert library == [(endpoint, False), ("org/model", "main", "a.safetensors", str(cache.folder), False)]
    assert {name: value for name, value in os.environ.items() if name.startswith("HF_")} == {
        "HF_HUB_DOWNLOAD_TIMEOUT": "10",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "0",
        **({"HF_HUB_DISABLE_XET": xet} if xet else {}),
    }


@pytest.mark.parametrize(("size", "forced"), [(100, False), (99, True)])
def test_a_file_of_another_size_is_fetched_anew(tmp_path: Path, library: list[Any], size: int, forced: bool) -> None:
    cache = Cache(str(tmp_path))
    pointer = cache.snapshot(JOB.model, JOB.commit) / JOB.path
    pointer.parent.mkdir(parents=True)
    pointer.write_bytes(b"x" * size)
    module._fetched(Pipe(), JOB, cache, Options(token="hf_x"))  # type: ignore[arg-type]
    assert library[0] == ("", "hf_x")
    assert library[1][-1] is forced


def test_what_is_not_what_the_hub_has_is_dropped(tmp_path: Path, library: list[Any]) -> None:
    cache = Cache(str(tmp_path))
    pointer = cache.snapshot(JOB.model, JOB.commit) / JOB.path
    blob = tmp_path / ("0" * 64)
    blob.write_bytes(b"x" * 100)
    pointer.parent.mkdir(parents=True)
    pointer.symlink_to(blob)
    found = module._fetched(Pipe(), JOB, cache, Options())  # type: ignore[arg-type]
    assert found == ("failed", ("failed", "what arrived is not what the hub has (another hash)"))
    assert not blob.exists()


def test_a_meter_says_what_it_heard_five_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, now = Pipe(), [1e6]
    monkeypatch.setattr(f"{module.__name__}.time.monotonic", lambda: now[0])
    with module._meter(pipe)(total=100) as meter:  # type: ignore[arg-type]
        assert meter.total == 100
        meter.update(5)
        meter.update(6)
        meter.update(None)
        now[0] += 0.2
        meter.update(7)
        now[0] += 0.3
        meter.update(0)
        meter.set_description("x")
    assert pipe.sent == [("bytes", 5), ("bytes", 13)]
