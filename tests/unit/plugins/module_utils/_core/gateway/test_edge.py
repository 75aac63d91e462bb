# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which boxes serve which model behind an edge, and what is wrong with an edge before anything changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import edge, keys

KEY = "an-edge-key-of-enough-letters"
QWEN = edge.Served("qwen", ("Qwen/Qwen2.5-3B-Instruct",), 1536)
A = edge.Box("a", "192.0.2.1", 8000, planned=(edge.Served("qwen"),), opened_by=frozenset({keys.digest(KEY)}))
B = replace(A, name="b", address="192.0.2.2", tls="self_signed", tls_name="b")
C = replace(A, name="c", address="fd00::3", port=8443)


def listed(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"object": "list", "data": list(entries)}


def test_a_list_of_models_is_read_with_all_their_names() -> None:
    models = edge.read_list(
        listed(
            {"id": "qwen", "root": "qwen", "max_model_len": 1536},
            {"id": "Qwen/Qwen2.5-3B-Instruct", "root": "qwen", "max_model_len": 1536},
            {"id": "yi", "root": "yi", "max_model_len": None},
        )
    )
    assert models == (QWEN, edge.Served("yi"))


def test_each_model_goes_to_the_boxes_that_serve_it() -> None:
    answers = {
        "a": edge.Answer((QWEN,)),
        "b": edge.Answer((replace(QWEN, max_model_len=1024), edge.Served("yi"))),
        "c": edge.Answer((edge.Served("yi"),)),
    }
    assert edge.models([A, B, C], answers) == [
        {
            "name": "qwen",
            "endpoints": ["192.0.2.1:8000", "192.0.2.2:8000"],
            "adapters": ["Qwen/Qwen2.5-3B-Instruct"],
            "max_model_len": 1024,
        },
        {"name": "yi", "endpoints": ["192.0.2.2:8000", "[fd00::3]:8443"]},
    ]


def test_a_name_that_one_box_lacks_is_no_name_of_the_model() -> None:
    answers = {"a": edge.Answer((QWEN,)), "b": edge.Answer((edge.Served("qwen", ("other",)),))}
    assert "adapters" not in edge.models([A, B], answers)[0]


def test_a_box_that_is_away_keeps_what_it_is_planned_for() -> None:
    answers = {"a": edge.Answer(error="connection refused"), "b": edge.Answer((QWEN,))}
    found = edge.models([A, B], answers)
    assert found == [
        {
            "name": "qwen",
            "endpoints": ["192.0.2.1:8000", "192.0.2.2:8000"],
            "adapters": ["Qwen/Qwen2.5-3B-Instruct"],
            "max_model_len": 1536,
        }
    ]
    assert edge.notes("edge01", [A, B], answers) == [
        "a did not answer edge01 at 192.0.2.1:8000 (connection refused): it is in the routes by its plan, and gets requests once it "
        "answers."
    ]


def test_routes_that_lead_nowhere_are_refused() -> None:
    with pytest.raises(FleetError, match=r"none of the boxes answers edge01 \(a: timed out"):
        edge.check_answers("edge01", [A], {"a": edge.Answer(error="timed out")})
    with pytest.raises(FleetError, match="none of the boxes answers edge01"):
        edge.check_answers("edge01", [], {})
    edge.check_answers("edge01", [A, B], {"a": edge.Answer(error="timed out"), "b": edge.Answer((QWEN,))})


@pytest.mark.parametrize(
    ("edges", "boxes", "key", "has_ca", "said"),
    [
        (["a"], [A], KEY, False, "edge: a is one of the boxes, too, and a host has one gateway."),
        (["e"], [], KEY, False, "edge: no box is in service behind e. Add hosts to gpu_hosts."),
        (["e"], [replace(A, quarantine="Xid 79")], KEY, False, "edge: no box is in service behind e."),
        (["e"], [replace(A, listens_at="127.0.0.1")], KEY, False, "gateway_address: a listens on 127.0.0.1 alone"),
        (["e"], [replace(A, tls="files")], KEY, False, "gpuserve_box_ca: a has a certificate of yours"),
        (["e"], [A], "", False, "gpuserve_edge_key: it is missing, and boxes ask for a key."),
        (["e"], [A], f"{KEY}-other", False, "gpuserve_edge_key: a has no key of this value that opens all models."),
    ],
)
def test_a_mistake_is_said_before_anything_changes(
    edges: list[str], boxes: list[edge.Box], key: str, has_ca: bool, said: str
) -> None:
    found = edge.mistakes(edges, boxes, key, has_ca)
    assert len(found) == 1 and said in str(found[0]), found
    assert not key or key not in str(found[0])


def test_what_is_right_is_no_mistake() -> None:
    assert edge.mistakes(["e"], [A, B, replace(C, tls="files")], KEY, True) == []
    # Boxes that ask for no key need none, and one in quarantine needs nothing.
    assert edge.mistakes(["e"], [replace(A, auth=False, opened_by=frozenset())], "", False) == []
    assert edge.mistakes(["e"], [A, replace(B, opened_by=frozenset(), quarantine="Xid 79")], KEY, False) == []


def test_a_key_for_some_models_or_until_a_day_is_no_edges_key() -> None:
    entries = [
        {"name": "edge", "key": KEY},
        {"name": "digest", "sha256": "1" * 64},
        {"name": "some", "sha256": "2" * 64, "models": ["qwen"]},
        {"name": "late", "sha256": "3" * 64, "expires": "2099-01-01"},
    ]
    assert edge.opened_by(entries) == {keys.digest(KEY), "1" * 64}


@pytest.mark.parametrize(
    ("host", "tls", "tls_name", "name"),
    [
        ("gpu01", "self_signed", "", "gpu01"),
        ("gpu01", "self_signed", "ai.example.org", "ai.example.org"),
        ("192.0.2.1", "self_signed", "", "localhost"),
        ("gpu01", "self_signed", "fd00::1", "localhost"),
        ("gpu01", "files", "ai.example.org", "ai.example.org"),
    ],
)
def test_a_box_is_verified_by_a_name(host: str, tls: Any, tls_name: str, name: str) -> None:
    assert edge.certificate_name(host, tls, tls_name) == name


METRICS = """# TYPE gpuserve_gateway_in_flight gauge
gpuserve_gateway_in_flight{model="qwen",endpoint="192.0.2.1:8000/qwen"} 3
gpuserve_gateway_in_flight{model="qwen",endpoint="192.0.2.2:8000/qwen"} 5
gpuserve_gateway_in_flight{model="yi",endpoint="192.0.2.1:8000/yi"} 4
gpuserve_gateway_in_flight{model="yi",endpoint="192.0.2.2:8000/yi"} 0
gpuserve_gateway_endpoint_up{model="qwen",endpoint="192.0.2.1:8000/qwen"} 1
gpuserve_gateway_endpoint_up{model="qwen",endpoint="192.0.2.2:8000/qwen"} 1
gpuserve_gateway_endpoint_up{model="yi",endpoint="192.0.2.1:8000/yi"} 1
gpuserve_gateway_endpoint_up{model="yi",endpoint="192.0.2.2:8000/yi"} 0
"""


def test_what_is_under_way_is_waited_for_where_another_box_can_take_over() -> None:
    assert edge.under_way(METRICS, "192.0.2.1:8000") == 3
    # Both models are up elsewhere.
    assert edge.under_way(METRICS, "192.0.2.2:8000") == 5
    assert edge.under_way(METRICS, "192.0.2.9:8000") == 0
    assert edge.under_way("", "192.0.2.1:8000") == 0
