# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Boxes behind an edge, as its variables have them, and what nginx and Lua are handed of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import gateway_files
from ansible_collections.gpuserve.fleet.tests.unit.plugins.module_utils._core.gateway.settings import gateway

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
BOXES = [{"endpoint": "192.0.2.1:8000"}, {"endpoint": "192.0.2.2:8443", "tls_name": "gpu02"}]
MODELS: list[dict[str, Any]] = [
    {"name": "qwen", "endpoints": ["192.0.2.1:8000", "192.0.2.2:8443"], "api_key": "key-of-the-edge"},
    {"name": "yi", "endpoints": ["192.0.2.2:8443"], "api_key": "key-of-the-edge"},
    {"name": "own", "endpoints": ["127.0.0.1:8001"]},
]
EDGE = {"boxes": BOXES, "box_certificates": PEM, "models": MODELS, "auth": False}


def test_a_box_is_counted_probed_and_drained_by_model() -> None:
    data = json.loads(gateway_files.render(gateway(**EDGE, draining=["192.0.2.2:8443"])).files["data.json"])
    assert [model["all"] for model in data["models"]] == [
        ["192.0.2.1:8000/qwen", "192.0.2.2:8443/qwen"],
        ["192.0.2.2:8443/yi"],
        ["127.0.0.1:8001"],
    ]
    assert [model["on_boxes"] for model in data["models"]] == [True, True, False]
    # One file of the drain folder is for all models of a box.
    assert data["watched"]["192.0.2.2:8443/qwen"] == data["watched"]["192.0.2.2:8443/yi"] == "192.0.2.2:8443"
    assert data["draining"] == {"192.0.2.2:8443/qwen": 1, "192.0.2.2:8443/yi": 1}


def test_nginx_verifies_the_boxes_that_speak_tls() -> None:
    rendered = gateway_files.render(gateway(**EDGE))
    text = rendered.files["nginx.conf"]
    assert rendered.files["boxes.pem"] == PEM
    assert "proxy_ssl_trusted_certificate boxes.pem;" in text and "proxy_ssl_verify on;" in text
    assert "proxy_pass http://gw_0_0/;" in text and "proxy_pass https://gw_0_1/;" in text
    assert "proxy_pass https://gw_1_0/v1/models/yi?ready=true;" in text
    assert "proxy_pass http://gw_2_0/health;" in text
    # At requests and at probes of both models.
    assert text.count("proxy_ssl_name gpu02;") == 4
    assert "key-of-the-edge" not in text


def test_a_gateway_without_boxes_is_what_it_was() -> None:
    rendered = gateway_files.render(gateway())
    assert "proxy_ssl" not in rendered.files["nginx.conf"] and "boxes.pem" not in rendered.files
    assert "error_page 429" not in rendered.files["nginx.conf"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"boxes": [{"endpoint": "gpu01"}]}, "gateway_boxes[0].endpoint: 'gpu01' is no endpoint."),
        ({"boxes": ["gpu01:8000"]}, "gateway_boxes[0]: it needs an endpoint"),
        (
            {"boxes": [*BOXES, {"endpoint": "192.0.2.1:8000"}]},
            "gateway_boxes[2].endpoint: 192.0.2.1:8000 is listed twice.",
        ),
        (
            {"boxes": [{"endpoint": "192.0.2.1:8000", "tls_name": "a;b"}]},
            "gateway_boxes[0].tls_name: 'a;b' is no name of a host.",
        ),
        ({"box_certificates": ""}, "gateway_box_certificates: it is empty, and boxes speak TLS."),
        ({"box_certificates": "ssl_verify off;"}, "gateway_box_certificates: it is no list of certificates."),
        (
            {"models": [{"name": "qwen", "endpoints": ["192.0.2.1:8000", "127.0.0.1:8001"]}]},
            "gateway_models[0].endpoints: 127.0.0.1:8001 is no box, and others are.",
        ),
    ],
)
def test_a_mistake_is_refused_by_name(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(FleetError) as caught:
        gateway(**{**EDGE, **changed})
    assert said in str(caught.value)
