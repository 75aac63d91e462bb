# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors that the project publishes are those of the code, and within what it promises."""

from __future__ import annotations

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB
from tests.bench.memory_model_doc import PAGE, renewed
from tests.bench.plan import REFERENCE, Row, leave_one_model_out, rows, summary

DATA = rows()


def test_the_page_has_the_table_that_the_code_makes() -> None:
    text = PAGE.read_text()
    assert renewed(text) == text, "docs/memory-model.md is out of date: run `make docs-memory-model`"


def test_the_reference_rows_are_within_the_promise() -> None:
    errors = summary([row.error_mib for row in DATA if row.source == REFERENCE])
    assert errors["rows"] == 23
    assert errors["p95_mib"] <= 96
    assert errors["worst_under_mib"] <= 64


def test_a_model_never_seen_is_within_128_mib() -> None:
    assert summary(leave_one_model_out(DATA))["p95_mib"] <= 128


@pytest.mark.parametrize("row", DATA, ids=lambda row: f"{row.model}-{row.load.max_num_seqs}-{row.extra}")
def test_cache_tokens_are_those_of_the_engines_log(row: Row) -> None:
    pool = row.shape.kv_pool(1 if row.load.fp8_cache else row.shape.dtype_bytes)
    assert pool.tokens(row.kv_bytes, row.load.max_model_len, row.load.max_num_batched_tokens) == row.kv_tokens


@pytest.mark.parametrize("row", [row for row in DATA if not row.load.lora_slots], ids=lambda row: row.model)
def test_weights_are_within_half_a_percent_of_the_engines_log(row: Row) -> None:
    # The log rounds to 0.01 GiB, which is all of the difference for the smallest models.
    # AWQ's packed layout takes a little more than its bits and scales.
    tolerance = 0.01 if row.shape.quantization == "awq" else 0.005
    assert row.shape.weights_bytes() / GIB == pytest.approx(row.weights_gib, rel=tolerance, abs=0.006)
