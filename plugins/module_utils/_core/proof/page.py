# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a proof showed, for people: a few lines at the terminal, and the page docs/gpu-proof.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.proof.steps import STEPS
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.proof.verdict import AIMS
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.text import harmless

_SECONDS = (
    ("ready_cold_s", "all at once, compile caches empty"),
    ("ready_parallel_s", "all at once, warm"),
    ("ready_slowest_alone_s", "the slowest alone, warm"),
    ("ready_serial_s", "one after the other, warm"),
)
_MEMORY = (
    ("planned_mib", "planned, before the first start"),
    ("ready_mib", "NVML, ready"),
    ("loaded_mib", "NVML, after 64 requests, 16 at once"),
    ("saturated_mib", "NVML, after the most that it takes at once"),
    ("plan_error_mib", "the last less the plan"),
)
_RATES = (
    ("tokens_per_s", "tokens/s, 16 at once, CUDA graphs"),
    ("eager_tokens_per_s", "tokens/s, 16 at once, eager"),
    ("tokens_over_eager", "ratio"),
    ("ttft_p50_ms", "first token through the gateway, p50, ms"),
    ("gateway_ttft_added_ms", "what the gateway adds to it, ms"),
)


def screen(host: str, line: Mapping[str, Any]) -> list[str]:
    """Return what is shown at the end of a run."""
    done = len(STEPS) - len(line["not_run"])
    lines = [f"{host}   {done} of {len(STEPS)} steps of the proof are done   {line.get('card', '')}"]
    for aim in AIMS:
        value = line[aim.key]
        state = "not run" if value is None else "missed" if aim.is_missed(value) else "met"
        lines.append(f"  {state:<8}{aim.text}{'' if value is None else f': {value:g}'}")
    for name, reason in line["failed"].items():
        lines.append(f"  failed  {name}: {harmless(str(reason), 400)}")
    if line["not_run"]:
        lines.append(f"  not run {', '.join(line['not_run'])}: run prove.yml again, it goes on there")
    return lines


def page(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return the page of one or several proofs, the newest first."""
    parts = [
        "# What a proof on a real card showed",
        "Made by a script (`make docs-gpu-proof`) from the lines that `make gpu-proof` ended with, kept in tests/data/proofs; every figure"
        " is measured. `playbooks/prove.yml` runs the same steps on a box of yours and writes the same page (`-e prove_page=proof.md`).",
    ]
    return "\n\n".join([*parts, *(_proof(line) for line in lines)]) + "\n"


def _proof(line: Mapping[str, Any]) -> str:
    names = list(line["planned_mib"])
    parts = [f"## {line.get('date', 'no date')}: {line.get('card', 'no card')}", _where(line), _verdict(line)]
    parts += [
        _table(["from the run's start to the last first token", "s"], _seconds(line)),
        _models(names, "memory, MiB", _MEMORY, line),
        _models(names, "speed", _RATES, line),
        _benchmark(line["benchmark"]),
        _events(line),
    ]
    return "\n\n".join(part for part in parts if part)


def _where(line: Mapping[str, Any]) -> str:
    budget = ", ".join(f"{size:,} MiB" for size in line.get("card_budget_mib", []))
    usable = ", ".join(f"{size:,} MiB" for size in line.get("card_usable_mib", []))
    return (
        f"Driver {line.get('driver', '?')} (CUDA {line.get('cuda', '?')}), Docker {line.get('docker', '?')}, image "
        f"`{line.get('image', '?')}`, gateway `{line.get('gateway_image', '?')}`, Linux {line.get('kernel', '?')}, "
        f"{line.get('cores', '?')} cores, {line.get('memory_gib', '?')} GiB. The plan could have {budget} of the card's {usable}"
        f"{': ' + line['note'] if line.get('note') else ''}."
    )


def _verdict(line: Mapping[str, Any]) -> str:
    rows = []
    for aim in AIMS:
        value = line[aim.key]
        rows.append(
            [f"`{aim.key}`", aim.text.removeprefix(aim.key).strip(), _cell(value), _state(aim.is_missed(value), value)]
        )
    told = [_table(["figure", "aim", "measured", ""], rows)]
    if line["failed"]:
        told.append(
            "Failed: " + "; ".join(f"{name}: {harmless(str(why), 300)}" for name, why in line["failed"].items()) + "."
        )
    told.append(f"Not run: {', '.join(line['not_run'])}." if line["not_run"] else "Every step was run.")
    return "\n\n".join(told)


def _state(missed: bool, value: Any) -> str:
    return "not run" if value is None else "missed" if missed else "met"


def _seconds(line: Mapping[str, Any]) -> list[list[str]]:
    return [[what, _cell(line[key])] for key, what in _SECONDS if line[key] is not None]


def _models(names: Sequence[str], title: str, rows: Iterable[tuple[str, str]], line: Mapping[str, Any]) -> str:
    cells = [[what, *(_cell(line[key].get(name)) for name in names)] for key, what in rows if line[key]]
    return _table([title, *names], cells) if cells else ""


def _benchmark(runs: Mapping[str, Mapping[str, Any]]) -> str:
    keys = (
        ("tokens_per_s", "tokens/s"),
        ("success", "success"),
        ("ttft_p50_ms", "first token p50, ms"),
        ("itl_p50_ms", "between tokens p50, ms"),
        ("e2e_p95_ms", "whole p95, ms"),
    )
    rows = [[name, *(_cell(run.get(key)) for key, _title in keys)] for name, run in runs.items()]
    return _table(["`benchmark.yml`, profile guide", *(title for _key, title in keys)], rows) if rows else ""


def _events(line: Mapping[str, Any]) -> str:
    told = []
    if line["requests"] is not None:
        told.append(
            f"While a flag of the smallest model was changed and rolled back, clients made {line['requests']:,} requests of it through the"
            f" gateway: {line['requests_lost']} lost, the slowest took {line['slowest_request_s']:g} s."
        )
    if line["rolled_back"] is not None:
        told.append(
            "The rollback brought the set before."
            if line["rolled_back"]
            else "The rollback did not bring the set before."
        )
    for name, named in line["faults_named"].items():
        what = next(step.what for step in STEPS if step.name == name)
        told.append(f"Fault: {what}. `diagnose.yml` {'named it' if named else 'did not name it'}.")
    for name, said in line["answers"].items():
        told.append(
            f'{name}, with its own weights, asked through the gateway for the capital of France: "{harmless(said, 300)}"'
        )
    if took := line.get("steps_s"):
        each = ", ".join(f"{step.name} {took[step.name]:.0f}" for step in STEPS if step.name in took)
        told.append(f"The steps took {sum(took.values()) / 60:.1f} minutes; seconds of each: {each}.")
    if line["left_behind"] is not None:
        told.append(
            f"After the teardown there is left: {', '.join(line['left'])}."
            if line["left"]
            else "The teardown left nothing of ours."
        )
    return "\n".join(f"- {one}" for one in told)


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(titles)} |", f"|---|{'---:|' * (len(titles) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value < 100:
        return f"{value:g}"
    return f"{value:,.0f}" if isinstance(value, (int, float)) else str(value)
