# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files fetched by huggingface_hub, each in a process of its own: one that stalls can be ended and begun again, the others go on.

The library resumes a broken connection by itself. What it can't end, a transfer from which nothing arrives, its process is ended for.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.cache import Cache
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.client import HubError, HuggingFaceHub, Trouble

# The library gives a read of the network up after so long, and resumes.
READ_S = 10
POLL_S = 0.5
# The library hands on what arrives in pieces so large; its own 10 MB would look like a stall on a slow line.
PIECE_BYTES = 256 * 1024
SAY_S = 0.2
# A file from which nothing came so often is given up, and so is one that came some way each time, after as many as MOST_ATTEMPTS.
ATTEMPTS, MOST_ATTEMPTS = 5, 20
# The library has tried for half a minute by itself before it says that a hub is away.
AWAY_ATTEMPTS = 2
BACKOFF_S = (1.0, 2.0, 5.0, 10.0)
_FORK = multiprocessing.get_context("fork")
# What no second attempt mends.
_FINAL = frozenset(
    {Trouble.GATED, Trouble.FORBIDDEN, Trouble.MISSING, Trouble.REVISION, Trouble.NO_LIBRARY, Trouble.DISK}
)


@dataclass(frozen=True)
class Job:
    """One file to fetch; `revision` is a branch's name where the cache has to know the branch."""

    model: str
    commit: str
    revision: str
    path: str
    size: int


@dataclass(frozen=True)
class Options:
    """What holds for all files."""

    endpoint: str = ""
    token: str = ""
    workers: int = 8
    stall_s: float = 60.0


@dataclass
class _Running:
    job: Job
    process: ForkProcess
    pipe: Connection
    moved_at: float
    waits_until: float = 0.0
    done: int = 0


@dataclass
class Downloads:
    """All files of a run. `told` hears lines worth showing, `moved` the bytes of a file so far, `ticked` is called now and then."""

    cache: Cache
    options: Options
    told: Callable[[str], None]
    moved: Callable[[Job, int], None]
    ticked: Callable[[], None]
    clock: Callable[[], float] = time.monotonic
    failed: Job | None = None
    _attempts: dict[Job, int] = field(default_factory=dict)
    _waiting: list[tuple[float, Job]] = field(default_factory=list)

    def run(self, jobs: Sequence[Job]) -> None:
        """Fetch all; the first file that can't be had ends the others and is a HubError. What is whole by then stays."""
        queue, running = deque(jobs), list[_Running]()
        models = {job.model for job in jobs}
        before = {path for model in models for path in self.cache.begun(model)}
        try:
            while queue or running or self._waiting:
                now = self.clock()
                due = [job for at, job in self._waiting if at <= now]
                self._waiting = [(at, job) for at, job in self._waiting if at > now]
                queue.extendleft(due)
                while queue and len(running) < self.options.workers:
                    running.append(self._start(queue.popleft()))
                wait([child.pipe for child in running], POLL_S) if running else time.sleep(POLL_S)
                running = [child for child in running if self._goes_on(child)]
                self.ticked()
        finally:
            for child in running:
                _end(child)
            self._sweep({path for model in models for path in self.cache.begun(model)} - before)

    @staticmethod
    def _sweep(begun: set[Path]) -> None:
        """Remove what our processes began and no longer have open; an engine that loads its own may be writing, too."""
        if begun:
            names = _open_anywhere()
            for path in begun:
                if path.name not in names:
                    path.unlink(missing_ok=True)

    def _start(self, job: Job) -> _Running:
        self.cache.begin(job.model, job.commit, job.path)
        ours, theirs = _FORK.Pipe(duplex=False)
        process = _FORK.Process(target=_fetch, args=(theirs, job, self.cache, self.options), daemon=True)
        process.start()
        theirs.close()
        return _Running(job, process, ours, self.clock())

    def _goes_on(self, child: _Running) -> bool:
        """Read what a process says; False once it has ended, well or not."""
        for kind, value in _said(child):
            match kind:
                case "bytes":
                    child.done += value
                    child.moved_at = self.clock()
                    self.moved(child.job, child.done)
                case "wait":
                    child.waits_until = self.clock() + min(value, self.options.stall_s * ATTEMPTS)
                    self.told(f"the hub asks to wait {value:.0f} s")
                case "done":
                    _end(child)
                    self.cache.finish(child.job.model, child.job.commit, child.job.path)
                    self.moved(child.job, child.job.size)
                    return False
                case "failed":
                    _end(child)
                    self._again(child, HubError(Trouble(value[0]), value[1]))
                    return False
        if not child.process.is_alive():
            _end(child)
            self._again(child, HubError(Trouble.FAILED, f"its process ended with {child.process.exitcode}"))
            return False
        if self.clock() > max(child.moved_at, child.waits_until) + self.options.stall_s:
            _end(child)
            self._again(child, HubError(Trouble.STALLED, f"nothing arrived for {self.options.stall_s:.0f} s"))
            return False
        return True

    def _again(self, child: _Running, error: HubError) -> None:
        """Put a file back into the queue where another attempt may help."""
        job = child.job
        attempts = self._attempts[job] = self._attempts.get(job, 0) + 1
        most = AWAY_ATTEMPTS if error.trouble is Trouble.UNREACHABLE else ATTEMPTS
        if error.trouble is Trouble.STALLED and child.done > job.size // 4:
            most = MOST_ATTEMPTS
        if error.trouble in _FINAL or attempts >= most:
            self.failed = job
            raise error
        self.moved(job, 0)
        self.told(f"{job.model}: {job.path}: {error.detail or error.trouble.value}; trying again")
        self._waiting.append((self.clock() + BACKOFF_S[min(attempts, len(BACKOFF_S)) - 1], job))


def _said(child: _Running) -> Iterator[tuple[str, Any]]:
    with contextlib.suppress(EOFError, OSError):
        while child.pipe.poll():
            yield child.pipe.recv()


def _end(child: _Running) -> None:
    """End a process and take away what it had begun to write."""
    begun = _open_files(child.process.pid) if child.process.pid and child.process.is_alive() else []
    child.process.kill()
    child.process.join()
    child.pipe.close()
    for path in begun:
        path.unlink(missing_ok=True)


def _open_anywhere() -> set[str]:
    """Return the names of files of this kind that any process has open; in a container the folder has another path."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*/fd"):
        with contextlib.suppress(OSError):
            for link in folder.iterdir():
                with contextlib.suppress(OSError):
                    target = os.readlink(link)
                    if target.endswith(".incomplete"):
                        found.add(Path(target).name)
    return found


def _open_files(pid: int) -> list[Path]:
    """Return what a process has begun to write. It is stopped for that: else it could begin another between this and its end."""
    found = []
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGSTOP)
        for _turn in range(100):
            # The state stands behind the name, which ends with the last bracket.
            if (
                Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
                in "TZX"
            ):
                break
            time.sleep(0.01)
    with contextlib.suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                target = os.readlink(link)
                if target.endswith(".incomplete"):
                    found.append(Path(target))
    return found


def _fetch(pipe: Connection, job: Job, cache: Cache, options: Options) -> None:
    """Fetch one file and say how it goes; the whole of what a process does."""
    try:
        pipe.send(_fetched(pipe, job, cache, options))
    except HubError as error:
        pipe.send(("failed", (error.trouble.value, error.detail)))
    except OSError as error:
        pipe.send(("failed", (Trouble.DISK.value, str(error.strerror or error).splitlines()[0][:200])))
    except ImportError:
        pipe.send(("failed", (Trouble.NO_LIBRARY.value, "huggingface_hub is not installed")))


def _fetched(pipe: Connection, job: Job, cache: Cache, options: Options) -> tuple[str, Any]:
    os.environ |= {
        "HF_HUB_DOWNLOAD_TIMEOUT": str(READ_S),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "0",
    }
    if options.endpoint:
        # A mirror serves files; the store behind the public hub is not its own.
        os.environ["HF_HUB_DISABLE_XET"] = "1"
    hub = HuggingFaceHub(options.endpoint, options.token or False)
    importlib.import_module("huggingface_hub.utils.logging").set_verbosity_error()
    constants: Any = importlib.import_module("huggingface_hub.constants")
    constants.DOWNLOAD_CHUNK_SIZE = PIECE_BYTES
    _tell_waits(pipe)
    pointer = cache.snapshot(job.model, job.commit) / job.path
    was_there = pointer.exists() and pointer.stat().st_size == job.size
    hub.fetch(job.model, job.revision, job.path, str(cache.folder), not was_there and pointer.exists(), _meter(pipe))
    if not cache.is_right(job.model, job.commit, job.path):
        cache.drop(job.model, job.commit, job.path)
        return "failed", (Trouble.FAILED.value, "what arrived is not what the hub has (another hash)")
    return "done", None


def _meter(pipe: Connection) -> type:
    """Return a class with the parts of a progress bar that huggingface_hub calls, which says what it hears."""

    class Meter:
        """A progress bar without a screen."""

        def __init__(self, *_: Any, **more: Any) -> None:
            self.total = more.get("total")
            self._heard, self._said_at = 0, 0.0

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def update(self, size: float | None = 1) -> None:
            """Hear of bytes."""
            self._heard += int(size or 0)
            if self._heard and time.monotonic() - self._said_at >= SAY_S:
                pipe.send(("bytes", self._heard))
                self._heard, self._said_at = 0, time.monotonic()

        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *_, **__: None

    return Meter


def _tell_waits(pipe: Connection) -> None:
    """Say when the hub asks to wait: nothing arrives then, and nothing is wrong."""
    utils = importlib.import_module("huggingface_hub.utils")
    http: Any = importlib.import_module("huggingface_hub.utils._http")

    def hear(response: Any) -> None:
        value = str(response.headers.get("Retry-After") or "")
        if response.status_code == 429 and value.isdigit():
            pipe.send(("wait", float(value)))

    def client() -> Any:
        made = http.default_client_factory()
        made.event_hooks = {**made.event_hooks, "response": [hear]}
        return made

    utils.set_client_factory(client)
