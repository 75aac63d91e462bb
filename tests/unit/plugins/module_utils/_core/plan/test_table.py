# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan as text."""

from __future__ import annotations

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.table import BAR_CELLS, cells, render
from tests.bench.plan import plan_host


def test_a_bar_is_as_long_as_its_share_and_never_vanishes() -> None:
    assert cells(50, 100).count("█") == BAR_CELLS // 2
    assert cells(1, 10**9).strip() != ""
    assert cells(0, 100).strip() == ""
    assert set(cells(50, 100, unicode=False)) == {"#", " "}
    assert all(len(cells(share, 100)) == BAR_CELLS for share in range(101))


def test_every_model_has_a_row_and_the_rest_is_shown() -> None:
    plan = plan_host([{"name": "NVIDIA GeForce RTX 5090"}])
    text = render("gpu01", plan, {})
    for name in ("tinyllama", "qwen", "yi", "small", "free"):
        assert f"\n  {name}" in text
    assert "31.36 GiB usable" in text
    assert "preset balanced" in text


def test_other_presets_are_named_where_they_do_not_fit() -> None:
    plan = plan_host([{"name": "NVIDIA GeForce RTX 5090"}])
    other = {**plan, "feasible": False, "preset": "conservative"}
    assert "With preset conservative: does not fit." in render("gpu01", plan, {"conservative": other})


def test_no_line_of_the_table_is_wider_than_the_terminal() -> None:
    plan = plan_host([{"name": "NVIDIA GeForce RTX 5090"}])
    for width in (72, 96, 112, 132):
        text = render("gpu01", plan, {"auto": plan}, width=width)
        assert max(len(line) for line in text.splitlines()) <= width
        assert text.count("weights ") == 4
        assert "requests of 2,048" in text


def test_what_does_not_fit_shows_the_remedy_and_which_presets_hold_it() -> None:
    plan = plan_host([{"name": "NVIDIA GeForce RTX 5090"}])
    tight = {**plan, "feasible": False, "preset": "conservative", "reasons": ["a needs 1.00 GiB more. Do this."]}
    text = render("gpu01", tight, {"conservative": tight, "balanced": plan})
    assert "does not fit: a needs 1.00 GiB more. Do this." in text
    assert "With preset balanced: fits; requests at once: " in text
    assert "full-length requests of max_num_seqs" not in text


def test_cards_are_numbered_where_there_are_several() -> None:
    plan = plan_host([{"name": "NVIDIA L40S", "uuid": "a"}, {"name": "L40S", "uuid": "b"}])
    text = render("gpu01", plan, {})
    assert "gpu01   GPU 0   NVIDIA L40S" in text
    assert "gpu01   GPU 1   NVIDIA L40S" in text


def test_a_bar_of_the_whole_is_full() -> None:
    assert cells(100, 100) == "█" * BAR_CELLS and cells(200, 100) == "█" * BAR_CELLS
    assert cells(100, 100, unicode=False) == "#" * BAR_CELLS


def test_what_keeps_no_tokens_has_no_cache_to_speak_of() -> None:
    plan = plan_host([{"name": "NVIDIA GeForce RTX 5090"}])
    gpu = plan["gpus"][0]
    first, *others = gpu["models"]
    encoder = {**first, "kv_cache_bytes": 0, "kv_cache_tokens": 0, "max_concurrency": 0.0}
    text = render("gpu01", {**plan, "gpus": [{**gpu, "models": [encoder, *others]}]}, {})
    (row,) = [line for line in text.splitlines() if line.startswith(f"  {first['name']} ")]
    assert "no KV cache" in row and "tokens" not in row and "request" not in row
    (other,) = [line for line in text.splitlines() if line.startswith(f"  {others[0]['name']} ")]
    assert f"{others[0]['kv_cache_tokens']:,} tokens" in other and "no KV cache" not in other


def test_a_row_that_just_fits_is_one_line() -> None:
    plan = plan_host([{"name": "NVIDIA GeForce RTX 5090"}])
    rows = [line for line in render("gpu01", plan, {}, width=400).splitlines() if " kv " in line]
    wide = max(len(row) for row in rows)

    def bars(width: int) -> int:
        text = render("gpu01", plan, {}, unicode=False, width=width)
        return max(line.count("#") for line in text.splitlines())

    shown = [line for line in render("gpu01", plan, {}, width=wide).splitlines() if " kv " in line]
    assert shown == rows
    assert bars(wide) > bars(wide - 1)
