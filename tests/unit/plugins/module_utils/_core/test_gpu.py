# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cards as people and drivers name them: what a process can use, what others hold, and what is no card."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import Gpu, named_gpu, named_gpus, parse_gpus

MIB, GIB = 1024**2, 1024**3


def card(**change: Any) -> Gpu:
    return parse_gpus([{"name": "a card", "memory_total_bytes": "24GiB", **change}])[0]


def test_a_card_of_the_catalogue_needs_its_name_alone() -> None:
    assert parse_gpus([{"name": "RTX 5090"}, {"name": "Tesla T4"}]) == (
        Gpu(0, "catalogue-0", "NVIDIA GeForce RTX 5090", 32113 * MIB, None, "12.0"),
        Gpu(1, "catalogue-1", "Tesla T4", 14929 * MIB, None, "7.5"),
    )


def test_what_the_host_says_goes_before_the_catalogue() -> None:
    entry = {
        "name": "NVIDIA L4",
        "index": "3",
        "uuid": "GPU-a",
        "memory_total_bytes": 20 * GIB,
        "memory_free_bytes": 12 * GIB,
        "compute_capability": "8.6",
    }
    assert parse_gpus([entry]) == (Gpu(3, "GPU-a", "NVIDIA L4", 20 * GIB, 12 * GIB, "8.6", 8 * GIB),)


@pytest.mark.parametrize(
    ("held", "others"),
    [
        (0, 0),
        (128 * MIB - 1, 0),
        (128 * MIB, 128 * MIB),
        (128 * MIB + 1, 256 * MIB),
        (256 * MIB, 256 * MIB),
    ],
)
def test_what_others_hold_is_counted_in_whole_steps(held: int, others: int) -> None:
    assert card(memory_free_bytes=24 * GIB - held).foreign_bytes == others


@pytest.mark.parametrize(
    ("processes", "others"),
    [
        ([{"container": "c1", "used_bytes": 3 * GIB}], GIB),
        ([{"container": None, "used_bytes": 3 * GIB}], 4 * GIB),
        ([{"container": "c1", "used_bytes": 3 * GIB}, {"container": "c2", "used_bytes": GIB}], 0),
        # A driver that does not say what an engine holds does not say what others do.
        ([{"container": "c1", "used_bytes": None}], 0),
        (["a process"], 4 * GIB),
        ("processes", 4 * GIB),
        (None, 4 * GIB),
    ],
)
def test_what_a_container_holds_is_no_others(processes: Any, others: int) -> None:
    assert card(memory_free_bytes=20 * GIB, processes=processes).foreign_bytes == others


def test_of_a_host_s_memory_nothing_is_foreign() -> None:
    assert card(uuid="cpu", memory_free_bytes=GIB).foreign_bytes == 0
    assert card(uuid="cpu").is_cpu
    assert not card().is_cpu


def test_what_others_leave() -> None:
    found = Gpu(0, "u", "n", 24 * GIB, None, "", foreign_bytes=4 * GIB, reserved_bytes=3 * GIB)
    assert found.left_bytes == 17 * GIB
    assert Gpu(0, "u", "n", GIB, None, "", foreign_bytes=4 * GIB).left_bytes == 0


@pytest.mark.parametrize(("written", "numbers"), [("8.9", (8, 9)), ("12.0", (12, 0)), ("", None)])
def test_capabilities(written: str, numbers: tuple[int, int] | None) -> None:
    assert card(compute_capability=written).capability == numbers


@pytest.mark.parametrize(
    ("cards", "where", "words"),
    [
        ("L4", "vllm_stack_gpus", "it must be a list of cards."),
        (7, "vllm_stack_gpus", "it must be a list of cards."),
        ([7], "vllm_stack_gpus[0]", "it has no name."),
        ([{"name": "L4"}, {"name": ""}], "vllm_stack_gpus[1]", "it has no name."),
        ([{"name": "GTX 970"}], "vllm_stack_gpus[0].name", "the catalogue has no card 'GTX 970'."),
        ([{"name": "x", "memory_total_bytes": 0}], "vllm_stack_gpus[0].memory_total_bytes", "0 is no size of a card."),
        ([{"name": "L4", "index": -1}], "vllm_stack_gpus[0].index", "-1 is no number of a card."),
        ([{"name": "L4", "index": True}], "vllm_stack_gpus[0].index", "True is no number of a card."),
        ([{"name": "L4", "compute_capability": "12"}], "vllm_stack_gpus[0].compute_capability", "'12' is none."),
        ([{"name": "L4", "compute_capability": "120.0"}], "vllm_stack_gpus[0].compute_capability", "'120.0' is none."),
        ([{"name": "L4"}, {"name": "L4", "index": 0}], "vllm_stack_gpus[1].index", "0 is another card's too."),
        ([{"name": "L4", "uuid": "a"}] * 2, "vllm_stack_gpus[1].index", "is another card's too."),
        (
            [{"name": "L4", "uuid": "a"}, {"name": "L4", "uuid": "b"}, {"name": "L4", "uuid": "b"}],
            "vllm_stack_gpus[2].uuid",
            "b is another card's too.",
        ),
    ],
)
def test_what_is_no_card_is_named_by_its_place(cards: Any, where: str, words: str) -> None:
    if where.endswith("[1].index") and "0 is" not in words:
        cards = [{**entry, "index": 4} for entry in cards]
    with pytest.raises(FleetError) as caught:
        parse_gpus(cards)
    assert caught.value.where == where
    assert words in caught.value.what


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("rtx-5090", "NVIDIA GeForce RTX 5090"),
        ("RTX5090", "NVIDIA GeForce RTX 5090"),
        ("5070ti", "NVIDIA GeForce RTX 5070 Ti"),
        ("4080super", "NVIDIA GeForce RTX 4080 SUPER"),
        ("4080", "NVIDIA GeForce RTX 4080"),
        ("h200", "NVIDIA H200"),
        ("H100", "NVIDIA H100 80GB HBM3"),
        ("A100 40GB", "NVIDIA A100-SXM4-40GB"),
        ("t4", "Tesla T4"),
        ("RTX PRO 6000", "NVIDIA RTX PRO 6000 Blackwell Workstation Edition"),
        ("A10", "NVIDIA A10"),
        ("nvidia a6000", "NVIDIA RTX A6000"),
        ("Quadro RTX A6000", "NVIDIA RTX A6000"),
        ("NVIDIA L4 GPU", "NVIDIA L4"),
        ("RTX 6000 Ada", "NVIDIA RTX 6000 Ada Generation"),
    ],
)
def test_names_that_people_write(written: str, name: str) -> None:
    assert parse_gpus([{"name": written}])[0].name == name


@pytest.mark.parametrize("written", ["A100", "nvidia", "rtx"])
def test_a_name_of_several_cards_that_differ_is_none(written: str) -> None:
    with pytest.raises(FleetError):
        parse_gpus([{"name": written}])


def test_a_misspelt_card_is_asked_for_by_its_whole_name() -> None:
    with pytest.raises(FleetError) as caught:
        parse_gpus([{"name": "GeForce RTX 5O90"}])
    assert caught.value.remedy == "Did you mean NVIDIA GeForce RTX 5090? Else give its memory_total_bytes."
    with pytest.raises(FleetError) as caught:
        parse_gpus([{"name": "a toaster"}])
    assert caught.value.remedy.startswith("Give its memory_total_bytes, or take one of NVIDIA GeForce RTX 5090, ")


@pytest.mark.parametrize("cards", [b"L4", "L4", {"name": "L4"}, None])
def test_what_is_no_list_of_cards_is_said_to_be_none(cards: Any) -> None:
    with pytest.raises(FleetError, match="it must be a list of cards") as caught:
        parse_gpus(cards)
    assert caught.value.where == "vllm_stack_gpus"


def test_a_card_without_any_memory_is_none() -> None:
    with pytest.raises(FleetError, match="is no size of a card"):
        card(memory_total_bytes=0)


def test_cards_in_a_few_words() -> None:
    assert [gpu.name for gpu in named_gpus("5090, h200", "plan_gpu")] == ["NVIDIA GeForce RTX 5090", "NVIDIA H200"]
    assert [gpu.index for gpu in named_gpus("5090,5090", "plan_gpu")] == [0, 1]


@pytest.mark.parametrize(
    ("words", "what"), [("5091", "the catalogue has no card '5091'."), (" , ", "it names no card.")]
)
def test_words_that_name_no_card_are_said_by_their_variable(words: str, what: str) -> None:
    with pytest.raises(FleetError) as refused:
        named_gpus(words, "plan_gpu")
    assert (refused.value.where, refused.value.what) == ("plan_gpu", what)


def test_where_one_card_is_asked_for_two_are_none() -> None:
    with pytest.raises(FleetError, match="the catalogue has no card '5090,4090'"):
        named_gpu("5090,4090", "gpu")
