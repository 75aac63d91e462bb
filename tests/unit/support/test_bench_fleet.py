# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Benches of a fleet measure what they say: whole boxes by default steps, runs that changed nothing, a cache by prefixes."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import yaml

from ansible_collections.gpuserve.fleet.tests.bench import fleet_boxes
from ansible_collections.gpuserve.fleet.tests.bench.gateway import prefix_engine, prefixes
from ansible_collections.gpuserve.fleet.tests.bench.run_cost import Cost, unchanged
from ansible_collections.gpuserve.fleet.tests.support.edge_clients import Clients
from ansible_collections.gpuserve.fleet.tests.support.lab.boxes import Box

RECAP = """fatal: changed=0 is no recap
PLAY RECAP *****
a : ok=3    changed=0    unreachable=0    failed=0
b : ok=3    changed=2    unreachable=0    failed=0
c : ok=3    changed=0    unreachable=0    failed=0
"""


def test_a_run_s_recap_says_on_how_many_hosts_nothing_changed() -> None:
    assert unchanged(RECAP) == 2


def test_boxes_of_the_bench_are_the_scenario_s_but_whole_and_by_default_steps(tmp_path: Path) -> None:
    names = (*fleet_boxes.BOXES, fleet_boxes.EDGE)
    made = {name: Box(name, name, "192.0.2.1", 22, "root", "key", "known") for name in names}
    fleet_boxes.write(tmp_path / "all.yml", made, fleet_boxes.BOXES, [fleet_boxes.EDGE], tmp_path)
    tree = yaml.safe_load((tmp_path / "all.yml").read_text())["all"]
    assert "gpuserve_rollout_steps" not in tree["vars"] and "$" not in json.dumps(tree)
    groups = tree["children"]
    assert list(groups["gpu_hosts"]["hosts"]) == list(groups["canary"]["hosts"]) == list(fleet_boxes.BOXES)
    assert groups["canary"]["vars"]["nvidia_driver_source"] == "host" and list(groups["edge"]["hosts"]) == [
        "bench-edge"
    ]


def test_runs_for_one_and_for_more_boxes_take_turns_and_the_least_of_each_counts(tmp_path: Path) -> None:
    ran: list[int] = []

    class Timed(fleet_boxes.Fleet):
        def run(self, path: Path, inventory: Path, *words: str) -> tuple[Cost, str]:
            # Before anything is measured.
            assert not ran and path == fleet_boxes.SITE and not words
            return Cost(1.0, 1.0, 1.0), ""

        def noop(self, count: int) -> float:
            ran.append(count)
            return 10.0 * count + len(ran)

        def change(self, count: int) -> float:
            return 30.0 * count

        @contextlib.contextmanager
        def asked(self) -> Iterator[Clients]:
            yield Clients("", Counter({"plain": 20, "stream": 10, "lost: 502": 2}))

    found = fleet_boxes.figures(Timed(tmp_path, tmp_path, tmp_path, ""))
    assert ran == [1, 2, 4] * fleet_boxes.ROUNDS
    assert found == {"lost": 2, "noop_4_over_1": round(43 / 11, 2), "change_4_over_1": 4.0}


def test_a_replica_computes_what_follows_the_first_block_that_it_does_not_have() -> None:
    cache = prefix_engine.PrefixCache(kept=3)
    text = [f"word{at}" for at in range(32)]
    assert cache.take([*text, "a", "question"]) == 34
    # The two blocks of the text are there, the question is none.
    assert cache.take([*text, "another"]) == 1
    # What follows another beginning is another block.
    assert cache.take(["else", *text[1:]]) == 32
    # Three blocks are kept: of the first text the first one has gone, and with it what follows.
    assert cache.take(text) == 32
    assert (cache.asked, cache.had) == (34 + 33 + 32 + 32, 32)


def test_a_chat_s_tokens_are_the_words_of_its_messages() -> None:
    assert prefix_engine.words_of({"messages": [{"content": "a text"}, {"content": "question"}]}) == [
        "a",
        "text",
        "question",
    ]


def test_no_replica_keeps_all_texts_and_all_replicas_do() -> None:
    blocks = prefixes.TEXTS * prefixes.TEXT_TOKENS / prefix_engine.BLOCK_TOKENS
    assert prefix_engine.KEPT_BLOCKS < blocks < prefix_engine.KEPT_BLOCKS * len(prefixes.REPLICAS)
    skewed = prefixes.order("skewed")
    assert skewed == prefixes.order("skewed") and 0.4 < skewed.count(0) / len(skewed) < 0.6
