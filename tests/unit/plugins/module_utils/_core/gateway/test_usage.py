# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What clients used: lines of files, sums, and the three forms that they are told in."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import usage

ALL = usage.Request()


def line(day: str = "2027-01-30", key: str = "team-a", model: str = "qwen", **counts: Any) -> str:
    return json.dumps({"day": day, "key": key, "model": model, "requests": 1, "prompt_tokens": 100, **counts})


def used(*lines: str, wanted: usage.Request = ALL) -> list[usage.Used]:
    return usage.summed(one for one in (usage.read(text, wanted) for text in lines) if one)


def test_lines_are_summed_by_span_key_and_model() -> None:
    lines = (
        line(),
        line("2027-01-31", output_tokens=7),
        line("2027-02-01"),
        line(key="b"),
        line(model="yi", audio_ms=1500),
    )
    months = used(*lines)
    assert [(one.span, one.key, one.model, one.requests, one.prompt_tokens, one.output_tokens) for one in months] == [
        ("2027-01", "b", "qwen", 1, 100, 0),
        ("2027-01", "team-a", "qwen", 2, 200, 7),
        ("2027-01", "team-a", "yi", 1, 100, 0),
        ("2027-02", "team-a", "qwen", 1, 100, 0),
    ]
    days = used(*lines, wanted=usage.Request(by="day"))
    assert [one.span for one in days if (one.key, one.model) == ("team-a", "qwen")] == [
        "2027-01-30",
        "2027-01-31",
        "2027-02-01",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "7",
        "{}",
        line("yesterday"),
        line(key=""),
        line(requests=-1),
        line(requests="7"),
        line(requests=True),
        line(requests=1.5),
    ],
)
def test_what_is_no_line_counts_for_nothing(text: str) -> None:
    assert usage.read(text, ALL) is None


def test_what_is_asked_for() -> None:
    wanted = usage.request("day", "2027-01-31", "2027-02", "team-a")
    days = ("2027-01-30", "2027-01-31", "2027-02-28", "2027-03-01")
    assert [one.span for one in used(*map(line, days), line("2027-02-02", "b"), wanted=wanted)] == [
        "2027-01-31",
        "2027-02-28",
    ]
    names = {
        "usage-2027-01-team-a.jsonl": True,
        "usage-2027-02-team-a.jsonl": True,
        "usage-2026-12-team-a.jsonl": False,
        "usage-2027-03-team-a.jsonl": False,
        "usage-2027-01-b.jsonl": False,
        "usage-2027-01-team-a.jsonl.new-7": False,
        "../usage-2027-01-team-a.jsonl": False,
        "other.jsonl": False,
    }
    assert {name: wanted.wants_file(name) for name in names} == names
    assert ALL.wants_file("usage-2027-01-a.b@c-d.jsonl")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("week", "", "", ""), "usage_by: there is no 'week'. Take one of day, month."),
        (("day", "2027-13", "", ""), "usage_since: '2027-13' is no day."),
        (("day", "", "January", ""), "usage_until: 'January' is no day."),
        (("day", "", "", "../x"), "usage_key: '../x' is no name of a key."),
    ],
)
def test_what_nobody_can_ask_for(asked: tuple[str, str, str, str], message: str) -> None:
    with pytest.raises(FleetError) as refused:
        usage.request(*asked)
    assert message in str(refused.value)


def test_hosts_are_summed() -> None:
    rows = [usage.as_row(one) for one in used(line(estimated=1), line(key="b"))]
    total = usage.from_rows([*rows, *rows])
    assert [(one.key, one.requests, one.estimated) for one in total] == [("b", 2, 0), ("team-a", 2, 2)]


def test_a_table_for_people() -> None:
    text = usage.report(
        used(line(prompt_tokens=1234567, cached_tokens=12), line(key="b", model="whisper", audio_ms=90500)), "table"
    )
    assert text.splitlines() == [
        "month    key     model    requests     prompt  cached  output  audio, s  estimated",
        "2027-01  b       whisper         1        100       0       0      90.5          -",
        "2027-01  team-a  qwen            1  1,234,567      12       0         -          -",
        "sum                              2  1,234,667      12       0      90.5          -",
    ]
    assert usage.report(used(line(), wanted=usage.Request(by="day")), "table").startswith("day ")
    assert usage.report([], "table") == "Nothing was used.\n"


def test_csv_and_json_for_machines() -> None:
    told = used(line(), line(model='a,"b"'))
    rows = list(csv.DictReader(io.StringIO(usage.report(told, "csv"))))
    assert [row["model"] for row in rows] == ['a,"b"', "qwen"]
    assert rows[1] == {name: str(value) for name, value in usage.as_row(told[1]).items()}
    assert usage.from_rows(json.loads(usage.report(told, "json"))) == told
    assert usage.report([], "csv").count("\n") == 1 and json.loads(usage.report([], "json")) == []
    with pytest.raises(FleetError, match="usage_format: there is no 'xml'"):
        usage.report(told, "xml")
