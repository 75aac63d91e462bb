# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Boxes behind an edge: gateways of other hosts at which a gateway in front of them finds its models."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import addresses, checks
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway.models import VARIABLE as MODELS
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway.models import Model

VARIABLE = "gateway_boxes"
CERTIFICATES = "gateway_box_certificates"
_TLS_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
_PEM = re.compile(r"(-----BEGIN CERTIFICATE-----\n([A-Za-z0-9+/=]{1,76}\n)+-----END CERTIFICATE-----\n)+")


@dataclass(frozen=True)
class Box:
    """The gateway of another host. tls_name is the name that its certificate bears; without one it speaks plain HTTP."""

    endpoint: str
    tls_name: str = ""


def parse(entries: Any) -> tuple[Box, ...]:
    """Return the boxes as written; the first mistake is a FleetError that names its place."""
    boxes = tuple(_parse(entry, f"{VARIABLE}[{at}]") for at, entry in enumerate(checks.items(entries, VARIABLE)))
    seen: set[str] = set()
    for at, box in enumerate(boxes):
        if box.endpoint in seen:
            fail(f"{VARIABLE}[{at}].endpoint", f"{box.endpoint} is listed twice.", "List each box once.")
        seen.add(box.endpoint)
    return boxes


def _parse(entry: Any, where: str) -> Box:
    if not isinstance(entry, Mapping) or set(entry) - set(Box.__dataclass_fields__) or not entry.get("endpoint"):
        fail(where, "it needs an endpoint, and may have a tls_name.", "Write endpoint: HOST:PORT.")
    name = entry.get("tls_name") or ""
    if name:
        remedy = "Write one that the certificate bears, such as gpu01."
        checks.matching(_TLS_NAME, name, f"{where}.tls_name", "name of a host", remedy)
    return Box(str(addresses.endpoint(entry["endpoint"], f"{where}.endpoint")), str(name))


def certificates(text: Any, boxes: Sequence[Box]) -> str:
    """Return the certificates that boxes are trusted by, in PEM."""
    pem = "".join(f"{line.strip()}\n" for line in str(text or "").splitlines() if line.strip())
    if pem and not _PEM.fullmatch(pem):
        fail(CERTIFICATES, "it is no list of certificates.", "Take PEM: BEGIN CERTIFICATE to END CERTIFICATE.")
    if not pem and any(box.tls_name for box in boxes):
        fail(CERTIFICATES, "it is empty, and boxes speak TLS.", "Put in their certificates, or that of their CA.")
    return pem


def check(boxes: Sequence[Box], models: Sequence[Model]) -> None:
    """Refuse a model that has an engine of this host and a box: they are asked in different ways."""
    known = {box.endpoint for box in boxes}
    for at, model in enumerate(models):
        here = [endpoint for endpoint in model.all_endpoints if endpoint not in known]
        if here and len(here) < len(model.all_endpoints):
            where = f"{MODELS}[{at}].endpoints"
            fail(where, f"{here[0]} is no box, and others are.", f"List it in {VARIABLE}, or take it out.")


def identity(model: str, endpoint: str, boxes: Mapping[str, Box]) -> str:
    """Return what an endpoint is counted and probed as: a box may serve one of its models and not another."""
    return f"{endpoint}/{model}" if endpoint in boxes else endpoint


def probe(model: str, endpoint: str, boxes: Mapping[str, Box]) -> str:
    """Return the address at which an endpoint says whether it serves the model."""
    return f"/v1/models/{model}?ready=true" if endpoint in boxes else "/health"
