# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change of many hosts in steps: who goes first, how many at a time, when it stops, and what is told of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet import last_applied
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet.claim import Claim
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import whole_number

STEPS = "gpuserve_rollout_steps"
CANARIES = "gpuserve_canaries"
RESUME = "gpuserve_resume"
MAX_FAILED = "gpuserve_max_failed"
_SHARE = re.compile(r"([0-9]{1,3})\s*%")
_MOST_NAMED = 6
_IN_USE = "Wait until it has ended: two runs would each take the other's hosts for lost."
_LOST = "it came to no end: out of reach, or interrupted."
_NOT_BEGUN = "it was not there when its turn came: out of reach before, or failed before."


@dataclass(frozen=True)
class Step:
    """How many hosts change at once: a number of them, or a share of all, at least one."""

    hosts: int = 0
    percent: int = 0

    def of(self, total: int) -> int:
        """Return how many of so many hosts that is."""
        return self.hosts or max(1, total * self.percent // 100)


@dataclass(frozen=True)
class Journal:
    """How far a rollout is, by host: done with what it was asked for (a digest), failed with a reason, or begun and neither yet.

    run is the one that writes in it, or wrote last.
    """

    done: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()
    started: tuple[str, ...] = ()
    run: Claim | None = None

    @classmethod
    def read(cls, data: Any) -> Journal:
        """Read what is kept; what has another shape counts as nothing."""
        if not isinstance(data, Mapping) or not isinstance(data.get("hosts"), Sequence):
            return cls()
        done, failed = data.get("done"), data.get("failed")
        return cls(
            {str(host): str(asked) for host, asked in done.items()} if isinstance(done, Mapping) else {},
            {str(host): str(reason) for host, reason in failed.items()} if isinstance(failed, Mapping) else {},
            tuple(str(host) for host in data["hosts"]),
            tuple(str(host) for host in data.get("started") or ()),
            Claim.read(data.get("run")),
        )

    def data(self) -> dict[str, Any]:
        """Return what is kept."""
        return {
            "hosts": list(self.hosts),
            "done": dict(self.done),
            "failed": dict(self.failed),
            "started": list(self.started),
            "run": self.run.data() if self.run else None,
        }

    def with_started(self, hosts: Iterable[str]) -> Journal:
        """Return the journal with hosts whose turn has come."""
        return replace(self, started=tuple(sorted({*self.started, *hosts})))

    def after(self, steps: Sequence[Sequence[str]], most_failed: int) -> Journal:
        """Return the journal once the turn of these steps is over.

        A host that began and came to no end failed, and so did those of a step that none of them began: the step proved nothing. After
        more failures than are allowed nobody's turn came.
        """
        failed = dict(self.failed)
        over: set[str] = set()
        for step in steps:
            began = [host for host in step if host in self.started or host in self.done or host in failed]
            lost = [host for host in began if host not in self.done and host not in failed]
            failed |= dict.fromkeys(lost, _LOST) if began else dict.fromkeys(step, _NOT_BEGUN)
            over.update(step)
            if len(over & set(failed)) > most_failed:
                break
        return replace(self, failed=failed)

    @property
    def lost(self) -> tuple[str, ...]:
        """Return the hosts that began and came to no end."""
        return tuple(host for host in self.started if host not in self.done and host not in self.failed)

    def with_done(self, hosts: Iterable[str], asked: Mapping[str, str]) -> Journal:
        """Return the journal with those of a step's hosts that came to its end: each has what it was asked for, unless it failed."""
        done = {host: asked.get(host, "") for host in hosts if host not in self.failed}
        return replace(self, done={**self.done, **done})

    def with_failed(self, host: str, reason: str) -> Journal:
        """Return the journal with a host that failed."""
        done = {name: asked for name, asked in self.done.items() if name != host}
        return replace(self, done=done, failed={**self.failed, host: reason})

    @property
    def is_unfinished(self) -> bool:
        """Whether a host is left that was not changed, or failed."""
        return any(host not in self.done for host in self.hosts)


@dataclass(frozen=True)
class Rollout:
    """The order of hosts and how many of them each step takes; those that an earlier run is done with are left out."""

    hosts: tuple[str, ...]
    batches: tuple[int, ...]
    skipped: tuple[str, ...] = ()


def steps_of(hosts: Sequence[str], batches: Sequence[int], before: str = "") -> list[list[str]]:
    """Return the hosts of each step; with a host, of those before its own."""
    found: list[list[str]] = []
    begin = 0
    for size in batches:
        step = list(hosts[begin : begin + size])
        if not step or before in step:
            break
        found.append(step)
        begin += size
    return found


def unfinished(journal: Journal) -> str:
    """Return what a person should know of a rollout that did not reach its end."""
    done = sum(host in journal.done for host in journal.hosts)
    lost = f", {', '.join(journal.lost[:_MOST_NAMED])} came to no end" if journal.lost else ""
    return f"A rollout before is unfinished ({done} of {len(journal.hosts)} hosts done{lost}): -e {RESUME}=true goes on there."


def parse_steps(value: Any, where: str = STEPS) -> tuple[Step, ...]:
    """Return the steps as written, such as [1, 25%, 100%]; the last one repeats until all hosts are done."""
    written = value if isinstance(value, (list, tuple)) else [value]
    if not written:
        fail(where, "it is empty.", "Write [1, 25%, 100%], or [100%] for all hosts at once.")
    return tuple(_step(step, f"{where}[{index}]") for index, step in enumerate(written))


def _step(value: Any, where: str) -> Step:
    share = _SHARE.fullmatch(value.strip()) if isinstance(value, str) else None
    if share:
        percent = int(share.group(1))
        if percent == 0:
            fail(
                where,
                "a step of 0 % changes no host, and would never end.",
                "Take 1 for a single host, or leave it out.",
            )
        if percent > 100:
            fail(where, f"{percent} % is more than all hosts.", "Take 100% at most.")
        return Step(percent=percent)
    whole = whole_number(value)
    if whole is None or whole < 0:
        fail(where, f"{repr(value)[:40]} is no step.", "Write a number of hosts, or a share such as 25%.")
    if whole == 0:
        fail(where, "a step of 0 hosts changes none, and would never end.", "Take 1, or leave it out.")
    return Step(hosts=whole)


def plan(
    hosts: Sequence[str],
    steps: Sequence[Step],
    canaries: Collection[str] = (),
    journal: Journal | None = None,
    asked: Mapping[str, str] | None = None,
    together: Collection[Collection[str]] = (),
) -> Rollout:
    """Return who changes when. canaries go first; with a journal, a host is left out that has what is asked of it already.

    Hosts that serve a model together change together: a step that has no room for all of them takes none, but for one that would be empty.
    A resumed rollout goes on with the step that it stopped in: steps are taken of all hosts, whether or not they are done.
    """
    units = bound(hosts, together)
    first = [unit for unit in units if any(host in canaries for host in unit)]
    ordered = [*first, *(unit for unit in units if unit not in first)]
    done = journal.done if journal else {}
    skipped = [unit for unit in ordered if all(host in done and done[host] == (asked or {}).get(host) for host in unit)]
    left = [unit for unit in ordered if unit not in skipped]
    sizes: list[int] = []
    # What is done already fills the steps from the first one on.
    queue = [(unit, 0) for unit in skipped] + [(unit, len(unit)) for unit in left]
    at = 0
    while queue:
        room = steps[min(at, len(steps) - 1)].of(len(hosts))
        at += 1
        size = 0
        taken = 0
        while queue and (taken == 0 or taken + len(queue[0][0]) <= room):
            unit, changes = queue.pop(0)
            taken += len(unit)
            size += changes
        if size:
            sizes.append(size)
    return Rollout(_hosts_of(left), tuple(sizes), _hosts_of(skipped))


def bound(hosts: Sequence[str], together: Collection[Collection[str]]) -> list[tuple[str, ...]]:
    """Return the hosts in their order, those that serve a model together as one; a host of two groups binds both."""
    found: list[set[str]] = []
    for host in hosts:
        unit = {host}.union(*(group for group in together if host in group)) & set(hosts)
        for other in [one for one in found if one & unit]:
            found.remove(other)
            unit |= other
        found.append(unit)
    at = {host: place for place, host in enumerate(hosts)}
    return sorted((tuple(sorted(unit, key=at.__getitem__)) for unit in found), key=lambda unit: at[unit[0]])


def _hosts_of(units: Sequence[Sequence[str]]) -> tuple[str, ...]:
    return tuple(host for unit in units for host in unit)


def begun(
    before: Journal, hosts: Sequence[str], asked: Mapping[str, str], is_resumed: bool, is_limited: bool
) -> Journal:
    """Return the journal as a run begins it: one that goes on, or is for some hosts only, keeps what the others have."""
    if not is_resumed and not is_limited:
        return Journal(hosts=tuple(hosts))
    all_hosts = tuple(dict.fromkeys((*before.hosts, *hosts)))
    again = () if is_resumed else tuple(hosts)
    done = {host: had for host, had in before.done.items() if host not in again and asked.get(host, had) == had}
    # A failure counts in the run that saw it.
    return Journal(done, {}, all_hosts)


def told(kept: int, whys: Mapping[str, str]) -> list[str]:
    """Return what a person reads of how hosts were found: how many have nothing to be done, and why others are looked at whole.

    whys has a reason for each host that is left; empty where none was looked for, as in a dry run. Who changed the inventory knows that.
    One host alone says it itself.
    """
    found = kept + len(whys)
    said = f"Nothing to do on {kept} of {_hosts(found)}: as the last run left {_them(kept)}."
    lines = [said] if kept and found > 1 else []
    by_reason: dict[str, list[str]] = {}
    for host, why in whys.items():
        if why not in ("", last_applied.NO_RECORD, last_applied.OTHER_WISH):
            by_reason.setdefault(why, []).append(host)
    for why, hosts in by_reason.items():
        more = f" and {len(hosts) - _MOST_NAMED} more" if len(hosts) > _MOST_NAMED else ""
        lines.append(f"{', '.join(hosts[:_MOST_NAMED])}{more}: {why}.")
    return lines


def _them(count: int) -> str:
    return "it" if count == 1 else "them"


def check_alone(journal: Journal, run: Claim, is_gone: Callable[[Claim], bool]) -> None:
    """Fail where another run of this controller is at the same journal and has not ended."""
    other = journal.run
    if other is not None and other.run != run.run and other.controller == run.controller and not is_gone(other):
        fail("", f"these hosts are being changed by {other} (process {other.pid}).", _IN_USE)


def is_stopped(journal: Journal, most_failed: int) -> bool:
    """Return whether no further host may be changed."""
    return len(journal.failed) > most_failed


def end_screen(journal: Journal, most_failed: int) -> list[str]:
    """Return what a person reads of a rollout in which hosts failed: which and why, who has what, and how to go on."""
    failed, done = sorted(journal.failed), len(journal.done)
    left = sum(host not in journal.done and host not in journal.failed for host in journal.hosts)
    count = f"{len(failed)} failure{'' if len(failed) == 1 else 's'}"
    if is_stopped(journal, most_failed):
        lines = [f"stopped: {count}, and {MAX_FAILED} allows {most_failed}."]
    else:
        lines = [f"ended: {count}, which {MAX_FAILED} ({most_failed}) allows."]
    lines += [f"  {host:<12} {' '.join(journal.failed[host].split())}" for host in failed[:_MOST_NAMED]]
    lines += [f"  and {len(failed) - _MOST_NAMED} more"] if len(failed) > _MOST_NAMED else []
    lines.append(f"{_hosts(done)} with the new set, {len(failed)} failed, {left} not touched.")
    lines.append(f"Go on: -e {RESUME}=true     Back: playbooks/rollback.yml -l HOSTS, for those with the new set")
    return lines


def _hosts(count: int) -> str:
    return f"{count} host{'' if count == 1 else 's'}"
