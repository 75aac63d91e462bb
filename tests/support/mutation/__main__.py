# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many changes of the core its unit tests notice: `python -m ...mutation [PACKAGE...]`, a line a package and one of JSON.

mutmut 3 follows this collection's link to itself without end, names what it changes by path where we import by
`ansible_collections`, and changes no table; cosmic-ray starts a process a mutant. So this one is ours.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from .judge import SURVIVED, UNREACHED, Subject, judged
from .modules import CORE
from .operators import Mutant, mutants

TESTS = CORE.parents[2] / "tests" / "unit" / "plugins" / "module_utils" / "_core"
TOP = "top"
BOUND = 85.0
# Tables of published figures and of texts for people: a test could only say the same once more.
TABLES = ("models/catalogue.py", "models/defaults.py", "models/published.py", "spec_reference.py")
EQUIVALENT = Path(__file__).with_name("equivalent.tsv")


@dataclass(frozen=True)
class Score:
    """What came of a package's mutants."""

    package: str
    killed: int
    judged: int
    equivalent: int
    all: int
    survivors: list[str]

    @property
    def percent(self) -> float:
        return 100 * self.killed / self.judged if self.judged else 100.0

    def line(self) -> str:
        return (
            f"{self.package:10} {self.percent:5.1f} %  {self.killed} of {self.judged} killed "
            f"({self.equivalent} equivalent left out; sample of {self.all})"
        )


def packages() -> list[str]:
    return [TOP, *sorted(path.name for path in CORE.iterdir() if path.is_dir() and path.name != "__pycache__")]


def trees(package: str) -> dict[str, ast.Module]:
    paths = CORE.glob("*.py") if package == TOP else (CORE / package).rglob("*.py")
    names = sorted(str(path.relative_to(CORE)) for path in paths)
    return {name: ast.parse((CORE / name).read_text()) for name in names if name not in TABLES}


def tests(package: str) -> list[str]:
    return [str(path) for path in sorted(TESTS.glob("test_*.py"))] if package == TOP else [str(TESTS / package)]


def equivalent() -> set[tuple[str, str, str]]:
    """Return what can't be told from the original, each with its reason in the file: path, scope, change."""
    rows = [line.split("\t") for line in EQUIVALENT.read_text().splitlines() if line and not line.startswith("#")]
    return {(path, scope, what) for path, scope, what, _why in rows}


def digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


class Kept:
    """Verdicts of earlier runs: each holds as long as its file is the same, and a survivor's as long as the tests are too."""

    def __init__(self, path: Path, package: str, slow_s: float) -> None:
        self.path = path
        files = sorted(
            path
            for name in tests(package)
            for path in (Path(name).rglob("*.py") if Path(name).is_dir() else [Path(name)])
        )
        self.tests = digest(*(path.read_bytes() for path in files), str(slow_s).encode())
        self.rows: dict[str, dict[str, str]] = json.loads(path.read_text()) if path.exists() else {}

    def verdict(self, mutant: Mutant, file: str) -> str | None:
        row = self.rows.get(mutant.key)
        if row is None or row["file"] != file:
            return None
        lives = row["verdict"] in (SURVIVED, UNREACHED)
        return None if lives and row["tests"] != self.tests else row["verdict"]

    def keep(self, mutant: Mutant, file: str, verdict: str) -> None:
        self.rows[mutant.key] = {"file": file, "tests": self.tests, "verdict": verdict}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.rows, indent=0, sort_keys=True))


def drawn(every: list[Mutant], sample: int, seed: int) -> list[Mutant]:
    """Return as many as were asked for, by a number of each that other changes of its file do not move."""
    seen: Counter[tuple[str, str, str]] = Counter()
    numbered = []
    for mutant in every:
        name = (mutant.path, mutant.scope, mutant.what)
        numbered.append((digest(str((seed, name, seen[name])).encode()), mutant))
        seen[name] += 1
    chosen = [mutant for _order, mutant in sorted(numbered, key=lambda pair: pair[0])[:sample]]
    return sorted(chosen, key=lambda mutant: (mutant.path, mutant.line))


def measured(package: str, sample: int, seed: int, folder: Path, only: str, slow_s: float) -> Score:
    found = trees(package)
    files = {name: digest((CORE / name).read_bytes()) for name in found}
    same = equivalent()
    every = [mutant for name, tree in found.items() for mutant in mutants(name, tree) if only in name]
    there = {(mutant.path, mutant.scope, mutant.what) for mutant in every}
    for path, scope, what in sorted(same - there if not only else ()):
        if path in found:
            print(f"{EQUIVALENT.name}: {path} {scope} has no such mutant any more: {what}", file=sys.stderr)
    sampled = drawn(every, sample, seed)
    left_out = [mutant for mutant in sampled if (mutant.path, mutant.scope, mutant.what) in same]
    chosen = [m for m in sampled if m not in left_out and m.applied(found[m.path]) is not None]
    kept = Kept(folder / f"{package}.json", package, slow_s)
    verdicts = {mutant.key: kept.verdict(mutant, files[mutant.path]) for mutant in chosen}
    open_ones = {mutant.key: mutant for mutant in chosen if verdicts[mutant.key] is None}
    if open_ones:
        for number, (key, verdict) in enumerate(
            judged(Subject(found, list(open_ones.values()), tests(package), slow_s)), 1
        ):
            verdicts[key] = verdict
            kept.keep(open_ones[key], files[open_ones[key].path], verdict)
            if number % 25 == 0:
                print(f"{package}: {number} of {len(open_ones)}", file=sys.stderr, flush=True)
    survivors = [m for m in chosen if verdicts[m.key] in (SURVIVED, UNREACHED, None)]
    lines = [f"{m.path}:{m.line}\t{m.scope}\t{m.what}\t{verdicts[m.key]}" for m in survivors]
    return Score(package, len(chosen) - len(survivors), len(chosen), len(left_out), len(every), lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", help=f"of {', '.join(packages())}; all without one")
    parser.add_argument("--sample", type=int, default=300, help="mutants a package, drawn with the seed")
    parser.add_argument("--seed", type=int, default=12)
    parser.add_argument("--slow", type=float, default=1.0, help="a test that needs more seconds is not asked")
    parser.add_argument("--file", default="", help="only files whose path holds this")
    parser.add_argument("--survivors", action="store_true", help="print each survivor")
    chosen = parser.parse_args()
    cache = Path(os.environ.get("GPUSERVE_CACHE", Path.home() / ".cache" / "gpuserve-fleet")) / "mutation"
    # Tests are compiled once for all the processes, outside of the work tree.
    sys.pycache_prefix, sys.dont_write_bytecode = str(cache / "pyc"), False
    scores = []
    for package in chosen.packages or packages():
        score = measured(package, chosen.sample, chosen.seed, cache, chosen.file, chosen.slow)
        scores.append(score)
        print(score.line(), flush=True)
        if chosen.survivors:
            print("\n".join(f"  {line}" for line in score.survivors), flush=True)
    print(
        json.dumps(
            {"seed": chosen.seed, "sample": chosen.sample, "percent": {s.package: round(s.percent, 1) for s in scores}}
        )
    )
    return 0 if all(score.percent >= BOUND for score in scores) else 1


if __name__ == "__main__":
    sys.exit(main())
