# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a run ends: one screen, and a request that can be pasted."""

from __future__ import annotations

from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import closing
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB

MODELS: list[dict[str, Any]] = [
    {"name": "embed", "max_num_seqs": None, "generates": False},
    {
        "name": "qwen",
        "max_num_seqs": 24,
        "max_model_len": 32768,
        "planned_bytes": 9 * GIB,
        "measured_bytes": 8 * GIB,
        "generates": True,
    },
]
ACCESS: dict[str, Any] = {"address": "0.0.0.0", "port": 8000, "tls": "off", "auth": True, "key_file": "/keys/my box"}


def screen(models: list[dict[str, Any]] | None = None, **access: Any) -> str:
    return "\n".join(closing.render("gpu01", MODELS if models is None else models, {**ACCESS, **access}, "192.0.2.10"))


def test_it_says_what_serves_where_and_with_which_key() -> None:
    text = screen()
    assert text.startswith("gpu01 serves 2 models   http://192.0.2.10:8000/v1\n")
    assert "  qwen   24 requests at once of up to 32,768 tokens  8.00 GiB (planned 9.00 GiB)" in text
    assert "Key: /keys/my box (on this controller; only your account reads it)." in text
    assert "Next: playbooks/keys.yml" in text
    assert len(text.splitlines()) < 24 and max(map(len, text.splitlines())) <= 140


def test_the_request_is_for_a_model_that_generates_and_takes_the_key_from_its_file() -> None:
    text = screen()
    assert """Authorization: Bearer $(cat '/keys/my box')" """.strip() in text
    assert (
        """http://192.0.2.10:8000/v1/completions -d '{"model": "qwen", "prompt": "Hello, I am", "max_tokens": 32}'"""
        in text
    )


def test_a_model_that_only_embeds_is_asked_for_an_embedding() -> None:
    assert """/v1/embeddings -d '{"model": "embed", "input": "Hello"}'""" in screen(MODELS[:1])


def test_keys_of_the_inventory_are_not_repeated() -> None:
    text = screen(key_file="")
    assert "one of gateway_keys" in text and "Bearer $KEY" in text


def test_an_open_gateway_is_said_to_be_one() -> None:
    text = screen(auth=False)
    assert "gateway_auth is false" in text and "Authorization" not in text


def test_a_certificate_that_nobody_signed_is_taken() -> None:
    text = screen(tls="self_signed")
    assert "https://192.0.2.10:8000/v1" in text and "curl -k " in text


def test_a_gateway_on_loopback_is_reached_through_the_host() -> None:
    text = screen(address="127.0.0.1")
    assert "http://127.0.0.1:8000/v1" in text and "ssh -L 8000:127.0.0.1:8000 gpu01" in text


def test_no_model_is_no_request() -> None:
    assert screen([]).startswith("gpu01 serves 0 models") and "curl" not in screen([])


def test_nobody_comes_in_at_a_host_that_computes_for_others() -> None:
    assert closing.render("gpu02", [], {}, "192.0.2.11") == [
        "gpu02 answers for no model itself: it computes for the first host of its group."
    ]
