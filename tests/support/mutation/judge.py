# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the unit tests of a package against its mutants: collected once, one process forked for each mutant, one at a time."""

from __future__ import annotations

import ast
import copy
import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import hypothesis
import pytest

from . import modules
from .operators import Mutant

# Such tests are not asked, nor are those that need longer than the subject allows: each would be most of the time of every survivor.
SLOW_FILES = ("*test_worlds.py",)
MEMORY_BYTES = 6 * 1024**3
SURVIVED = "survived"
UNREACHED = "no test reaches it"
ANEW = "anew"
BROKEN = "not a verdict: "


@dataclass
class Reach:
    """Which tests reach which block, and how long each takes; "import" stands for what runs before any test."""

    seconds: dict[str, float] = field(default_factory=dict)
    reached: dict[str, list[str]] = field(default_factory=dict)
    at_import: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Subject:
    """A package: its files as trees, its mutants, and the tests that judge them."""

    trees: dict[str, ast.Module]
    mutants: list[Mutant]
    tests: list[str]
    slow_s: float = 1.0


def judged(subject: Subject) -> Iterator[tuple[str, str]]:
    """Yield each mutant's key with the test that killed it, or why it lives, as soon as it is known."""
    anew: list[Mutant] = []
    by_key = {mutant.key: mutant for mutant in subject.mutants}
    seconds: dict[str, float] = {}
    for line in _forked(partial(_in_place, subject)):
        message = json.loads(line)
        if "seconds" in message:
            seconds = message["seconds"]
            if message["failed"]:
                raise SystemExit(f"These fail without any mutant: {', '.join(message['failed'])}")
        elif message["verdict"] == ANEW:
            anew.append(by_key[message["key"]])
        else:
            yield message["key"], message["verdict"]
    for mutant in anew:
        work = partial(_loaded_anew, subject, mutant, seconds)
        found = list(_forked(work, sum(seconds.values())))
        yield mutant.key, found[0] if found else "bound on time or memory"


def _forked(work: Callable[[Callable[[str], None]], None], expected_s: float | None = None) -> Iterator[str]:
    """Yield the lines that work writes in a process of its own, which may be ended by its bounds."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        quiet = os.open(os.devnull, os.O_RDWR)
        os.dup2(quiet, 1)
        if expected_s is not None:
            os.dup2(quiet, 2)
            seconds = int(3 * expected_s + 6)
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
            signal.alarm(20 * seconds + 60)
        try:
            work(partial(_write, writing))
        except BaseException as error:
            _write(writing, f"{BROKEN}{type(error).__name__}: {error}".replace("\n", " "))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as lines:
        for line in lines:
            if line.startswith(BROKEN):
                raise RuntimeError(line)
            yield line.rstrip("\n")
    os.waitpid(pid, 0)


def _write(descriptor: int, text: str) -> None:
    os.write(descriptor, f"{text}\n".encode())


def _pytest(tests: list[str], plugin: object) -> int:
    with tempfile.TemporaryDirectory() as folder:
        return int(
            pytest.main(
                ["-q", "-x", "-s", f"--basetemp={folder}/t", *(f"--ignore-glob={file}" for file in SLOW_FILES), *tests],
                plugins=[plugin],
            )
        )


class Settings:
    """Examples that are the same each time and are not made smaller: whether one fails is all that counts."""

    def pytest_sessionstart(self) -> None:
        hypothesis.settings.register_profile(
            "mutation",
            hypothesis.settings.get_profile("any machine"),
            derandomize=True,
            database=None,
            max_examples=30,
            phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
        )
        hypothesis.settings.load_profile("mutation")


class Judge(Settings):
    """Takes the place of pytest's loop: the tests are collected, and each mutant is tried in a fork of this process."""

    def __init__(self, subject: Subject, write: Callable[[str], None]) -> None:
        self.subject = subject
        self.write = write

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            self.write(json.dumps({"seconds": {}, "failed": ["collection"]}))
            return True
        reach = self.reach(session.items)
        self.write(json.dumps({"seconds": reach.seconds, "failed": reach.failed}))
        if not reach.failed:
            for mutant in self.subject.mutants:
                self.write(json.dumps({"key": mutant.key, "verdict": self.verdict(mutant, session.items, reach)}))
        return True

    def reach(self, items: list[pytest.Item]) -> Reach:
        at_import = sorted(modules.hits())
        found = Reach(at_import=at_import)

        def work(write: Callable[[str], None]) -> None:
            for item in items:
                modules.hits().clear()
                begun = time.process_time()
                failed = _fails(item)
                row = (item.nodeid, time.process_time() - begun, failed, sorted(modules.hits()))
                write(json.dumps(row))

        for line in _forked(work, 1200):
            name, seconds, failed, hit = json.loads(line)
            found.failed += [name] if failed else []
            if seconds <= self.subject.slow_s:
                found.seconds[name] = seconds
                for block in hit:
                    found.reached.setdefault(block, []).append(name)
        return found

    def verdict(self, mutant: Mutant, items: list[pytest.Item], reach: Reach) -> str:
        tree = self.subject.trees[mutant.path]
        changed = mutant.applied(tree)
        assert changed is not None
        block = f"{mutant.path}:{mutant.block}"
        names = set(reach.reached.get(block, []) if mutant.block else reach.seconds)
        chosen = sorted((i for i in items if i.nodeid in names), key=lambda item: reach.seconds[item.nodeid])

        def work(write: Callable[[str], None]) -> None:
            try:
                if not modules.change_in_place(mutant, tree, changed):
                    write(ANEW)
                    return
            except Exception as error:  # what a changed table raises while it is made is a mutant found
                write(f"at import: {type(error).__name__}")
                return
            modules.forget_results()
            write(next((item.nodeid for item in chosen if _fails(item)), SURVIVED))

        if mutant.block and not chosen and block not in reach.at_import:
            return UNREACHED
        found = list(_forked(work, sum(reach.seconds[name] for name in names)))
        verdict = found[0] if found else "bound on time or memory"
        # What ran while tests were collected, or is kept in another table, shows only when all is loaded anew.
        return ANEW if verdict == SURVIVED and (not mutant.block or block in reach.at_import) else verdict


def _fails(item: pytest.Item) -> bool:
    from _pytest.runner import runtestprotocol

    return any(report.failed for report in runtestprotocol(item, log=False, nextitem=None))


def _in_place(subject: Subject, write: Callable[[str], None]) -> None:
    modules.hits()
    trees = {path: modules.instrumented(path, copy.deepcopy(tree)) for path, tree in subject.trees.items()}
    modules.install({modules.module_name(p): compile(t, str(modules.CORE / p), "exec") for p, t in trees.items()})
    if _pytest(subject.tests, Judge(subject, write)) > 1:
        _write(2, "pytest did not come to the mutants")


class First(Settings):
    """Runs the quick tests first, leaves out the slow ones, and notes the first that fails."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds = seconds
        self.failed = ""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((i for i in items if i.nodeid in self.seconds), key=lambda item: self.seconds[item.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid


def _loaded_anew(subject: Subject, mutant: Mutant, seconds: dict[str, float], write: Callable[[str], None]) -> None:
    changed = mutant.applied(subject.trees[mutant.path])
    assert changed is not None
    modules.install({modules.module_name(mutant.path): compile(changed, str(modules.CORE / mutant.path), "exec")})
    sys.dont_write_bytecode = True
    first = First(seconds)
    code = _pytest(subject.tests, first)
    write(SURVIVED if code == 0 else first.failed or "at import")
