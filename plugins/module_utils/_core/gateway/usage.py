# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What clients used, from the lines that a gateway keeps by day: summed by key, model and day or month, for people and for machines."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import checks, keys

Span = Literal["day", "month"]
SPANS: tuple[Span, ...] = ("day", "month")
FORMATS = ("table", "csv", "json")
SUM = "sum"
_MONTH = re.compile(r"20[0-9]{2}-[0-9]{2}")
_DAY = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}")
_FILE = re.compile(r"usage-(20[0-9]{2}-[0-9]{2})-([A-Za-z0-9][A-Za-z0-9._@-]{0,63})\.jsonl")
# What a key's line adds up, as the gateway writes it.
_COUNTS = ("requests", "prompt_tokens", "cached_tokens", "output_tokens", "audio_ms", "estimated")


@dataclass(frozen=True)
class Used:
    """What one key used of one model in one span: a day (2027-01-31) or a month (2027-01).

    Cached tokens are among the prompt's. Of `estimated` requests the engine never told: their clients had left.
    """

    span: str
    key: str
    model: str
    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    audio_ms: int = 0
    estimated: int = 0

    def plus(self, other: Used) -> Used:
        """Return the sum of two, under the names of this one."""
        return Used(self.span, self.key, self.model, *(getattr(self, one) + getattr(other, one) for one in _COUNTS))


@dataclass(frozen=True)
class Request:
    """What is asked for: summed by what, from which day to which, of which key; empty is all."""

    by: Span = "month"
    since: str = ""
    until: str = ""
    key: str = ""

    def wants_file(self, name: str) -> bool:
        """Tell whether a file of this name can hold a line that is asked for."""
        match = _FILE.fullmatch(name)
        if match is None:
            return False
        month, key = match.groups()
        return (
            (not self.key or key == self.key)
            and self.since[:7] <= month
            and (not self.until or month <= self.until[:7])
        )

    def wants(self, day: str) -> bool:
        """Tell whether a day is asked for."""
        return self.since <= day and (not self.until or day <= self.until)


def request(by: Any, since: Any, until: Any, key: Any) -> Request:
    """Return what variables ask for; a month stands for its first day, or its last."""
    return Request(
        by=cast(Span, checks.choice(by, "usage_by", SPANS)),
        since=_bound(since, "usage_since", "-01"),
        until=_bound(until, "usage_until", "-31"),
        key=keys.check_name(key, "usage_key") if key else "",
    )


def _bound(value: Any, where: str, day: str) -> str:
    text = str(value or "")
    if _MONTH.fullmatch(text) and 1 <= int(text[5:]) <= 12:
        return text + day
    keys.expiry(text, where)
    return text


def read(text: str, wanted: Request) -> Used | None:
    """Return a line of a file as it counts here, None for one that is not asked for or is none."""
    try:
        line = json.loads(text)
    except ValueError:
        return None
    if not isinstance(line, Mapping):
        return None
    day, key, model = (str(line.get(name, "")) for name in ("day", "key", "model"))
    counts = [line.get(name, 0) for name in _COUNTS]
    if (
        not _DAY.fullmatch(day)
        or not key
        or not model
        or not all(isinstance(count, int) and not isinstance(count, bool) and count >= 0 for count in counts)
    ):
        return None
    if not wanted.wants(day) or (wanted.key and key != wanted.key):
        return None
    return Used(day if wanted.by == "day" else day[:7], key, model, *counts)


def summed(used: Iterable[Used]) -> list[Used]:
    """Return one entry a span, key and model, in this order."""
    found: dict[tuple[str, str, str], Used] = {}
    for one in used:
        name = (one.span, one.key, one.model)
        found[name] = found[name].plus(one) if name in found else one
    return [found[name] for name in sorted(found)]


def from_rows(rows: Iterable[Mapping[str, Any]]) -> list[Used]:
    """Return what several hosts told, summed."""
    return summed(Used(**{name: row[name] for name in Used.__dataclass_fields__}) for row in rows)


def as_row(used: Used) -> dict[str, Any]:
    """Return an entry as plain data."""
    return asdict(used)


def report(used: Sequence[Used], form: Any) -> str:
    """Return the entries in one of FORMATS."""
    match checks.choice(form, "usage_format", FORMATS):
        case "csv":
            return _csv(used)
        case "json":
            return json.dumps([as_row(one) for one in used], indent=2) + "\n"
        case _:
            return _table(used)


def _csv(used: Sequence[Used]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(Used.__dataclass_fields__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(as_row(one) for one in used)
    return out.getvalue()


def _table(used: Sequence[Used]) -> str:
    if not used:
        return "Nothing was used.\n"
    whole = Used(SUM, "", "")
    for one in used:
        whole = whole.plus(one)
    span = "month" if _MONTH.fullmatch(used[0].span) else "day"
    rows: list[tuple[str, ...]] = [
        (span, "key", "model", "requests", "prompt", "cached", "output", "audio, s", "estimated")
    ]
    rows += [_cells(one) for one in (*used, *([whole] if len(used) > 1 else []))]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return "".join(f"{_line(row, widths)}\n" for row in rows)


def _cells(one: Used) -> tuple[str, ...]:
    counts = (one.requests, one.prompt_tokens, one.cached_tokens, one.output_tokens)
    audio = f"{one.audio_ms / 1000:,.1f}" if one.audio_ms else "-"
    return (one.span, one.key, one.model, *(f"{count:,}" for count in counts), audio, str(one.estimated or "-"))


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    # Names to the left, figures to the right.
    cells = [
        cell.ljust(width) if at < 3 else cell.rjust(width)
        for at, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
