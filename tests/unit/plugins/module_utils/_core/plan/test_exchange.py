# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measurements that are handed on: nothing private leaves, nothing that is not an export comes in, and a host's own count first."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan import exchange
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.calibration import Calibration, learn
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import MIB
from ansible_collections.gpuserve.fleet.plugins.modules.memory_plan import plan
from tests.bench.plan import GUIDE

CARD = "NVIDIA GeForce RTX 5090"
DIGEST = "sha256:" + "a" * 64
IMAGE = f"vllm/vllm-openai@{DIGEST}"
MIRROR = f"registry.corp.example:5000/team/vllm@{DIGEST}"
PUBLIC = {str(model["model"]) for model in GUIDE}


def planned(image: str = IMAGE, **change: Any) -> dict[str, Any]:
    asked = {"models": GUIDE, "gpus": [{"name": CARD, "uuid": "GPU-abc"}], "preset": "balanced", "device": "cuda"}
    return plan({**asked, "engine_version": "0.33.0", "image": image, "calibration": {}, "proved": {}, **change})


def store_of(found: dict[str, Any], off_by: int, image: str = IMAGE, store: Any = None) -> dict[str, Any]:
    store = store or {}
    for gpu in found["gpus"]:
        for model in gpu["models"]:
            store = learn(store, CARD, image, model, model["total_bytes"] - model["traffic_bytes"] + off_by)
    return json.loads(json.dumps(store))  # type: ignore[no-any-return]


def entry(**change: Any) -> dict[str, Any]:
    return {
        "gpu": CARD,
        "image": DIGEST,
        "model": "Qwen/Qwen2.5-3B-Instruct",
        "args": ["--max-model-len", "1536", "--dtype", "half", "--enforce-eager"],
        "fixed_bytes": [7 * MIB],
        "errors_bytes": [-2 * MIB],
        **change,
    }


def text_of(*entries: Any) -> str:
    return json.dumps(exchange.document(entries))


def test_what_one_host_measured_plans_another_as_well_as_itself() -> None:
    measured = store_of(planned(MIRROR), 200 * MIB, MIRROR)
    document, left_out = exchange.export([measured], PUBLIC)
    assert left_out == [] and len(document["starts"]) == len(GUIDE)
    elsewhere = exchange.take({}, exchange.read(json.dumps(document), "file"))
    # The other host pulls the same image from elsewhere.
    by_others, by_itself = planned(calibration=elsewhere), planned(MIRROR, calibration=measured)
    assert by_others["gpus"] == by_itself["gpus"] != planned()["gpus"]
    assert by_others["calibration"] == {"starts": len(GUIDE), "most_bytes": 200 * MIB, "least_bytes": 200 * MIB}


def test_nothing_that_somebody_chose_is_in_a_file() -> None:
    private = [
        entry(model="acme/unreleased"),
        entry(model="/srv/models/acme"),
        entry(image="registry.corp.example/vllm:latest"),
        entry(args=["--lora-modules", "acme=/srv/adapters/acme"]),
        entry(args=["--chat-template", "/srv/acme.jinja"]),
        entry(args=["--max-model-len", "1536", "acme"]),
        entry(args=["--speculative-config", '{"model": "/srv/acme"}']),
        entry(args=["--revision", "acme-branch"]),
        entry(args=["--allowed-media-domains", "acme.example"]),
        entry(args=["--served-model-name=acme"]),
        entry(args=["acme"]),
        entry(gpu="acme card"),
    ]
    store = {"starts": {str(number): {**one, "image": one["image"]} for number, one in enumerate(private)}}
    mirrored = entry(image=MIRROR, args=["--max-model-len", "9"])
    store["starts"]["mirrored"] = {**mirrored, "note": "acme"}
    document, left_out = exchange.export([store], PUBLIC)
    assert not re.search("acme|corp|srv", json.dumps(document))
    assert [start["args"] for start in document["starts"]] == [["--max-model-len", "9"]]
    told = exchange.summary(document, left_out)
    assert told[0] == "Kinds of start in it: 1."
    assert "Left out, for they may be private: acme/unreleased. calibration_models takes public ones in." in told
    assert "Left out, a start of Qwen/Qwen2.5-3B-Instruct: its flag --lora-modules says more than a number." in told
    # Two have the same reason.
    assert len(told) == len(private)


def test_a_model_is_named_once_its_owner_says_that_it_is_public() -> None:
    store = {"starts": {"k": entry(model="acme/open")}}
    assert exchange.export([store], PUBLIC)[0]["starts"] == []
    assert len(exchange.export([store], {"acme/open"})[0]["starts"]) == 1


def test_hosts_with_the_same_start_make_one_entry_of_what_used_most() -> None:
    def store(*sizes: int) -> dict[str, Any]:
        return {"starts": {"k": entry(fixed_bytes=list(sizes), errors_bytes=[size - 100 for size in sizes])}}

    document, _ = exchange.export([store(*range(1, 9)), store(50, 4), {}, None], PUBLIC)
    (start,) = document["starts"]
    assert start["fixed_bytes"] == [3, 4, 4, 5, 6, 7, 8, 50]
    assert start["errors_bytes"] == [-97, -96, -96, -95, -94, -93, -92, -50]


def test_a_start_of_its_own_takes_the_place_of_an_imported_one() -> None:
    found = planned()
    shared, _ = exchange.export([store_of(found, 900 * MIB)], PUBLIC)
    imported = exchange.take({}, shared["starts"])
    assert all(start["imported"] for start in imported["starts"].values())
    own = store_of(found, 10 * MIB, store=imported)
    assert not any(start.get("imported") for start in own["starts"].values())
    assert Calibration.read(own, IMAGE).error([CARD]) == {
        "starts": len(GUIDE),
        "most_bytes": 10 * MIB,
        "least_bytes": 10 * MIB,
    }
    # What it has measured itself no file takes away, and what was imported is not handed on.
    assert exchange.take(own, shared["starts"]) == {"starts": own["starts"]}
    assert exchange.export([imported], PUBLIC)[0]["starts"] == []


def test_an_import_replaces_the_one_before_and_an_empty_one_takes_it_back() -> None:
    own = {"starts": {"k": entry(model="own/model")}}
    first = exchange.take(own, [entry(), entry(model="a/b")])
    assert [start["model"] for start in first["starts"].values()] == ["Qwen/Qwen2.5-3B-Instruct", "a/b", "own/model"]
    assert [s["model"] for s in exchange.take(first, [entry(model="c/d")])["starts"].values()] == ["c/d", "own/model"]
    assert exchange.take(first, [])["starts"] == Calibration.read(own, "?").starts
    assert exchange.take(first, [entry(), entry(model="a/b")]) == first


def test_a_host_keeps_no_more_than_it_would_by_itself() -> None:
    own = {"starts": {str(number): entry(model=f"own/{number}", args=["--x", "1"]) for number in range(150)}}
    taken = exchange.take(own, [entry(model=f"other/{number}") for number in range(100)])["starts"]
    assert len(taken) == 200
    assert sum(start["model"].startswith("own/") for start in taken.values()) == 150


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "file: it is no JSON."),
        ("[" * 100000, "file: it is no JSON."),
        ("[]", "file: it is no export of calibration."),
        ('{"starts": {}}', "file: it is no export of calibration."),
        (json.dumps({**exchange.document([]), "version": 2}), "file: it is of version 2, and this collection reads 1."),
        (json.dumps({**exchange.document([]), "version": True}), "file: it is of version True, and"),
        (json.dumps({**exchange.document([]), "more": 1}), "file: it has other parts than format, version and starts."),
        (json.dumps({**exchange.document([]), "starts": {}}), "file: it has other parts than"),
        (text_of(*[entry()] * 201), "file: it holds 201 starts, and a host keeps 200."),
        (" " * (1024 * 1024 + 1), "file: it is larger than 1 MiB."),
        (text_of(entry(), 7), r"file: starts\[1\]: it has other fields than args, errors_bytes"),
        (text_of(entry(host="gpu01")), r"file: starts\[0\]: it has other fields"),
        (text_of(entry(gpu="\x1b[31mNVIDIA")), "its gpu is no name of a card"),
        (text_of(entry(image="vllm/vllm-openai:latest")), "its image is no digest of an image"),
        (text_of(entry(model="../../etc/passwd")), "its model is no hub id"),
        (text_of(entry(args="--x")), "its args are no list of up to 100 texts"),
        (text_of(entry(args=["--x"] * 101)), "its args are no list"),
        (text_of(entry(args=["--x", "$(reboot)"])), "its flag --x says more than a number"),
        (text_of(entry(fixed_bytes=[])), "its fixed_bytes are no list of 1 to 8 sizes"),
        (text_of(entry(fixed_bytes=[0])), "its fixed_bytes are no list"),
        (text_of(entry(fixed_bytes=[True])), "its fixed_bytes are no list"),
        (text_of(entry(fixed_bytes=[1e9])), "its fixed_bytes are no list"),
        (text_of(entry(fixed_bytes=[1 << 41])), "its fixed_bytes are no list"),
        (text_of(entry(errors_bytes=[-(1 << 41)])), "its errors_bytes are no list"),
        (text_of(entry(errors_bytes=[1, 2])), "are not of one length"),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence_and_a_remedy(text: str, said: str) -> None:
    with pytest.raises(FleetError, match=said) as caught:
        exchange.read(text, "file")
    assert len(str(caught.value)) < 250 and str(caught.value).isprintable() and caught.value.remedy


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*entry(), "starts"]), inner),
        max_leaves=12,
    )
)
def test_whatever_a_file_holds_it_is_read_or_refused(content: Any) -> None:
    for text in (
        json.dumps(content),
        text_of(content),
        text_of({**entry(), **content}) if isinstance(content, dict) else "0",
    ):
        try:
            exchange.take({}, exchange.read(text, "file"))
        except FleetError as error:
            assert str(error).startswith("file: ")


def test_what_a_host_knows_is_a_line_a_kind_of_start() -> None:
    assert exchange.table("box", {}) == ["box   no start was measured yet"]
    store = store_of(planned(), 100 * MIB)
    store = store_of(planned(), 1300 * MIB, store=store)
    lines = exchange.table("box", store)
    assert lines[0] == f"box   {len(GUIDE)} kinds of start" and len(lines) == 1 + len(GUIDE)
    for model, line in zip(GUIDE, lines[1:], strict=True):
        assert line.split() == [
            str(model["model"]),
            *CARD.split(),
            *["2", "measured", "used", "+1,300", "MiB", "of", "plan", "at", "most"],
        ]
