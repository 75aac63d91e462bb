# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who lies on which card and how much cache each gets, with models that are numbers: nothing is left where somebody wants more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import Gpu
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan import placement
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.placement import fit, fit_all, place


@dataclass(frozen=True)
class Item:
    """A model that needs `fixed` bytes and `each` for a request, as far as placement asks."""

    index: int
    fixed_bytes: int
    each: int = 10
    seqs: int = 8
    priority: int = 1
    pinned_kv_bytes: int | None = None
    gpus: tuple[str, ...] = ()
    cards: int = 1
    cached: bool = True
    not_on: tuple[str, ...] = ()
    name: str = field(default="")

    @property
    def spec(self) -> Any:
        return SimpleNamespace(name=self.name or f"m{self.index}", gpus=self.gpus, priority=self.priority)

    @property
    def load(self) -> Any:
        return SimpleNamespace(max_num_seqs=self.seqs, tensor_parallel=self.cards)

    @property
    def shape(self) -> Any:
        return SimpleNamespace(has_kv_cache=self.cached)

    @property
    def floor_bytes(self) -> int:
        return self.each if self.pinned_kv_bytes is None else self.pinned_kv_bytes

    @property
    def need_bytes(self) -> int:
        return self.fixed_bytes + self.floor_bytes

    def kv_bytes(self, requests: float) -> int:
        return int(self.each * requests)

    def on(self, uuid: str) -> Item | None:
        return None if uuid in self.not_on else self


def shares(budget: int, *items: Any) -> tuple[list[int], int]:
    kv, short = fit(items, budget)
    return [kv[item.index] for item in items], short


@pytest.mark.parametrize(
    ("budget", "items", "kv", "short"),
    [
        # One gets all that its requests can use, and no more.
        (1000, [Item(0, 100)], [80], 0),
        (180, [Item(0, 100)], [80], 0),
        (179, [Item(0, 100)], [79], 0),
        (110, [Item(0, 100)], [10], 0),
        # The least that must be there is short by a byte.
        (109, [Item(0, 100)], [10], 1),
        (0, [Item(0, 100), Item(1, 50)], [10, 10], 170),
        # Of one priority every model gets the same number of requests, as far as it wants them.
        (240, [Item(0, 100), Item(1, 100, each=30, seqs=1)], [10, 30], 0),
        (280, [Item(0, 100), Item(1, 100)], [40, 40], 0),
        (290, [Item(0, 100), Item(1, 100, seqs=2)], [70, 20], 0),
        # A higher priority is filled first, a lower one keeps its floor.
        (280, [Item(0, 100, priority=2), Item(1, 100)], [70, 10], 0),
        (300, [Item(0, 100, priority=2), Item(1, 100)], [80, 20], 0),
        (300, [Item(0, 100), Item(1, 100, priority=5)], [20, 80], 0),
        # What is pinned stays, and what has no cache gets none.
        (1000, [Item(0, 100, pinned_kv_bytes=35), Item(1, 100)], [35, 80], 0),
        (1000, [Item(0, 100, each=0, cached=False), Item(1, 100)], [0, 80], 0),
    ],
)
def test_a_card_is_shared_out(budget: int, items: list[Item], kv: list[int], short: int) -> None:
    assert shares(budget, *items) == (kv, short)


def test_halves_of_requests_are_shared_finely() -> None:
    # 61 bytes for two models of 10 a request: three requests and a sixty-fourth each.
    kv, short = shares(200 + 61, Item(0, 100, each=640), Item(1, 100, each=640))
    assert (kv, short) == ([640, 640], 1219)
    kv, _why = shares(2000 + 2000, Item(0, 1000, each=640), Item(1, 1000, each=640))
    assert kv == [1000, 1000]


def cards(*left: int, **more: Any) -> list[Gpu]:
    return [Gpu(at, f"u{at}", "card", size, None, "9.0", **more) for at, size in enumerate(left)]


@pytest.fixture(autouse=True)
def budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The budget of a card is all of it."""
    monkeypatch.setattr(placement, "budget_on", lambda preset, gpu: gpu.usable_bytes)


def placed(items: Sequence[Any], gpus: list[Gpu]) -> tuple[dict[int, tuple[str, ...]], list[str]]:
    return place(items, gpus, "balanced")


@pytest.mark.parametrize(
    ("items", "sizes", "where"),
    [
        # Spread: the largest first, each onto the card with most left.
        ([Item(0, 40), Item(1, 60)], (100, 100), {0: ("u1",), 1: ("u0",)}),
        ([Item(0, 40), Item(1, 60)], (100, 120), {0: ("u0",), 1: ("u1",)}),
        ([Item(0, 50), Item(1, 50), Item(2, 30)], (100, 100), {0: ("u0",), 1: ("u1",), 2: ("u0",)}),
        # Packed where only that fits: two small ones on one card leave the other to the large one.
        ([Item(0, 90), Item(1, 40), Item(2, 40)], (100, 100), {0: ("u0",), 1: ("u1",), 2: ("u1",)}),
        # Packed where only that fits: onto the card with the least that holds it.
        ([Item(0, 40), Item(1, 40), Item(2, 60)], (100, 70), {2: ("u1",), 0: ("u0",), 1: ("u0",)}),
        # What the user names is placed first, and there.
        ([Item(0, 90), Item(1, 20, gpus=("0",))], (100, 100), {0: ("u1",), 1: ("u0",)}),
        ([Item(0, 20, gpus=("u1",)), Item(1, 20, gpus=("1",))], (100, 100), {0: ("u1",), 1: ("u1",)}),
        # A model over two cards takes the two with most left.
        ([Item(0, 50, cards=2)], (100, 120, 110), {0: ("u1", "u2")}),
        # A card that a model can't run on is none for it.
        ([Item(0, 50, not_on=("u0",))], (100, 90), {0: ("u1",)}),
        # Of equal ones the name decides, so that a plan is the same each time.
        ([Item(0, 50, name="b"), Item(1, 50, name="a")], (100, 90), {1: ("u0",), 0: ("u1",)}),
    ],
)
def test_which_card_each_lands_on(items: list[Item], sizes: tuple[int, ...], where: dict[int, tuple[str, ...]]) -> None:
    assert placed(items, cards(*sizes)) == (where, [])


def test_what_fits_on_no_way_is_placed_as_evenly_as_it_goes() -> None:
    assert placed([Item(0, 90), Item(1, 90), Item(2, 90)], cards(100, 100))[0] == {0: ("u0",), 1: ("u1",), 2: ("u0",)}


def test_more_cards_than_there_are_is_a_reason() -> None:
    found, reasons = placed([Item(0, 10, cards=3)], cards(100, 100))
    assert found == {0: ("u0", "u1")}
    assert reasons == ["m0 asks for 3 cards (tensor_parallel_size) and 2 are there."]
    _placed, reasons = placed([Item(0, 10, cards=2, gpus=("1",))], cards(100, 100))
    assert reasons == ["m0 asks for 2 cards (tensor_parallel_size) and 1 are there."]


def test_a_host_without_a_card_is_a_reason() -> None:
    assert placed([Item(0, 10)], []) == (
        {},
        ["No card to plan for: none answers on the host, and vllm_stack_gpus names none."],
    )


def test_a_card_that_is_not_there_is_named() -> None:
    with pytest.raises(FleetError) as caught:
        placed([Item(3, 10, gpus=("1", "7"))], cards(100, 100))
    assert str(caught.value) == "vllm_stack_models[3].gpus: the host has no GPU 7. Take from 0, 1."


def test_a_model_over_two_cards_has_as_much_cache_on_each_as_the_fullest_gives() -> None:
    wide: Any = Item(0, 100, cards=2)
    small: Any = Item(1, 100)
    found = fit_all({"u0": [wide, small], "u1": [wide]}, {"u0": 280, "u1": 1000})
    assert found == {"u0": ({0: 40, 1: 40}, 0), "u1": ({0: 40}, 0)}


def test_cards_without_a_model_over_two_are_fitted_each_by_itself() -> None:
    one: Any = Item(0, 100)
    two: Any = Item(1, 100)
    found = fit_all({"u0": [one], "u1": [two]}, {"u0": 150, "u1": 1000})
    assert found == {"u0": ({0: 50}, 0), "u1": ({1: 80}, 0)}
