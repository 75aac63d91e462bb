# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway in front of many boxes: which of them serve which model, as each says itself, and by the plan where one is away."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import addresses, keys
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway.tasks import GENERATE

GROUP = "edge"
KEY = "gpuserve_edge_key"
ADDRESS = "gpuserve_address"
CA = "gpuserve_box_ca"
# What a file of ours says that keeps a box out of new requests; one that a person put there says something else.
DRAINED = "gpuserve.fleet: its engines change\n"
_FIGURE = re.compile(
    r'gpuserve_gateway_(?P<name>in_flight|endpoint_up)\{model="(?P<model>[^"]+)",endpoint="(?P<endpoint>[^"]+)"\} (?P<value>[0-9]+)'
)
Trust = Literal["off", "self_signed", "files"]


@dataclass(frozen=True)
class Served:
    """A model of a box: its name, its other names, the tokens that a request and its answer may have together, and what it is for."""

    name: str
    others: tuple[str, ...] = ()
    max_model_len: int | None = None
    task: str = ""
    # No engine of it answers there.
    is_down: bool = False


@dataclass(frozen=True)
class Box:
    """A host of engines as the inventory has it. tls is how its gateway speaks; planned is what it is to serve."""

    name: str
    address: str
    port: int
    tls: Trust = "off"
    tls_name: str = ""
    planned: tuple[Served, ...] = ()
    listens_at: str = "0.0.0.0"
    auth: bool = True
    # Digests of the keys that open all that it serves.
    opened_by: frozenset[str] = frozenset()
    quarantine: str = ""

    @property
    def endpoint(self) -> str:
        """Where the edge reaches it."""
        return str(addresses.Endpoint(self.address, self.port))

    def as_entry(self) -> dict[str, str]:
        """Return it as an entry of gateway_boxes."""
        return {"endpoint": self.endpoint, **({"tls_name": self.tls_name} if self.tls != "off" else {})}


@dataclass(frozen=True)
class Answer:
    """What a box said when the edge asked it for its models: the list, or why there is none."""

    models: tuple[Served, ...] = ()
    error: str = ""


def opened_by(entries: Sequence[Any]) -> frozenset[str]:
    """Return the digests of those keys that open all models for good; what is wrong with one is said by who checks them."""
    found = set()
    for entry in entries:
        if isinstance(entry, Mapping) and not entry.get("models") and not entry.get("expires"):
            found.add(str(entry.get("sha256") or keys.digest(str(entry.get("key") or ""))))
    return frozenset(found)


def certificate_name(host: str, tls: Trust, tls_name: str) -> str:
    """Return the name that a box is verified by.

    nginx compares names alone. Every certificate of ours bears localhost beside an address, and only those of the boxes are trusted.
    """
    name = tls_name or host
    is_address = ":" in name or name.replace(".", "").isdigit()
    return "localhost" if tls == "self_signed" and is_address else name


def read_list(listed: Mapping[str, Any]) -> tuple[Served, ...]:
    """Return the models of a gateway's /v1/models, each with all its names."""
    found: dict[str, Served] = {}
    for entry in listed.get("data") or ():
        name, root = str(entry["id"]), str(entry.get("root") or entry["id"])
        task, is_down = str(entry.get("task") or ""), entry.get("status") == "down"
        before = found.get(root, Served(root, (), entry.get("max_model_len"), task, is_down))
        others = before.others if name == root else (*before.others, name)
        found[root] = replace(before, others=others)
    return tuple(found.values())


def models(boxes: Sequence[Box], answers: Mapping[str, Answer]) -> list[dict[str, Any]]:
    """Return entries of gateway_models, each with the boxes that serve it.

    A box that is away keeps the models that it is planned for: the edge's own probe leaves it out until it is back. A name that not all
    boxes of a model know is none of its names, since half of its requests would fail.
    """
    at: dict[str, list[tuple[Box, Served]]] = {}
    for box in boxes:
        answer = answers.get(box.name, Answer(error="it was not asked"))
        for served in box.planned if answer.error else answer.models:
            at.setdefault(served.name, []).append((box, served))
    return [_entry(name, told, answers) for name, told in at.items()]


def generating(answers: Mapping[str, Answer]) -> list[str]:
    """Return the models that generate tokens, as the boxes say where they are up, so that an edge can be proved by one of each."""
    listed = [served for answer in answers.values() for served in answer.models]
    return sorted({served.name for served in listed if served.task == GENERATE and not served.is_down})


def _entry(name: str, told: Sequence[tuple[Box, Served]], answers: Mapping[str, Answer]) -> dict[str, Any]:
    sure = [served for box, served in told if not answers.get(box.name, Answer(error="-")).error]
    known = sure or [served for _box, served in told]
    others = [other for other in known[0].others if all(other in served.others for served in known)]
    lengths = [served.max_model_len for served in known if served.max_model_len]
    entry: dict[str, Any] = {"name": name, "endpoints": [box.endpoint for box, _served in told]}
    # The box itself knows which of them are aliases: to the edge each is a name that is passed on as it came.
    entry |= {"adapters": others} if others else {}
    return entry | ({"max_model_len": min(lengths)} if lengths else {})


def under_way(metrics: str, endpoint: str) -> int:
    """Return how many requests an edge has at a box for models that another box answers for, by the edge's own figures.

    A model that no other box serves goes on being sent to the box: nobody waits for that to end.
    """
    at: dict[str, dict[str, int]] = {}
    up: dict[str, set[str]] = {}
    for line in metrics.splitlines():
        match = _FIGURE.fullmatch(line)
        if match is None:
            continue
        model, box = match["model"], match["endpoint"].rpartition("/")[0]
        if match["name"] == "in_flight":
            at.setdefault(model, {})[box] = int(match["value"])
        elif match["value"] == "1":
            up.setdefault(model, set()).add(box)
    return sum(boxes.get(endpoint, 0) for model, boxes in at.items() if up.get(model, set()) - {endpoint})


def notes(edge: str, boxes: Sequence[Box], answers: Mapping[str, Answer]) -> list[str]:
    """Return a sentence for each box that is not in the routes as it should be; one that is to answer for no model need not be there."""
    found = []
    for box in boxes:
        answer = answers.get(box.name, Answer(error="it was not asked"))
        if answer.error and box.planned:
            found.append(
                f"{box.name} did not answer {edge} at {box.endpoint} ({answer.error}): it is in the routes by its plan, and gets "
                "requests once it answers."
            )
    return found


def check_answers(edge: str, boxes: Sequence[Box], answers: Mapping[str, Answer]) -> None:
    """Refuse routes of which not one is known to lead anywhere."""
    if not any(not answer.error for answer in answers.values()):
        said = "; ".join(f"{box.name}: {answers[box.name].error}" for box in boxes if box.name in answers)
        fail(
            GROUP,
            f"none of the boxes answers {edge} ({said}).",
            f"Run site.yml for the boxes first, or set {ADDRESS} of each to where {edge} reaches it.",
        )


def mistakes(edges: Sequence[str], boxes: Sequence[Box], key: str, has_ca: bool) -> list[FleetError]:
    """Return what is wrong with edges and the boxes behind them before any host is touched."""
    names = {box.name for box in boxes}
    found = [
        FleetError(
            GROUP,
            f"{edge} is one of the boxes, too, and a host has one gateway.",
            "Take a host of its own for the edge; a box alone needs none.",
        )
        for edge in edges
        if edge in names
    ]
    in_service = [box for box in boxes if not box.quarantine]
    if not in_service:
        found.append(FleetError(GROUP, f"no box is in service behind {edges[0]}.", "Add hosts to gpu_hosts."))
    found += _reached_at_one(in_service)
    found += [error for box in in_service for error in _mistakes_of(box, key, has_ca)]
    return found


def _reached_at_one(boxes: Sequence[Box]) -> list[FleetError]:
    """Return a mistake for each endpoint that several boxes have: an edge would take them for one."""
    at: dict[str, list[str]] = {}
    for box in boxes:
        at.setdefault(box.endpoint, []).append(box.name)
    return [
        FleetError(
            ADDRESS,
            f"edges reach {', '.join(names[:-1])} and {names[-1]} at one address, {endpoint}.",
            "Give each its own, or another gateway_port.",
        )
        for endpoint, names in at.items()
        if len(names) > 1
    ]


def _mistakes_of(box: Box, key: str, has_ca: bool) -> list[FleetError]:
    found = []
    if addresses.is_loopback(box.listens_at):
        found.append(
            FleetError(
                "gateway_address",
                f"{box.name} listens on {box.listens_at} alone, where no edge reaches it.",
                "Set 0.0.0.0.",
            )
        )
    if box.tls == "files" and not has_ca:
        found.append(
            FleetError(CA, f"{box.name} has a certificate of yours, and nobody says whose.", "Name the CA's file.")
        )
    if not box.auth:
        return found
    if not key:
        remedy = f"Put a random key into {KEY} (`openssl rand -hex 24`), in a vault, and list it in gateway_keys of the boxes."
        found.append(FleetError(KEY, "it is missing, and boxes ask for a key.", remedy))
    elif keys.digest(key) not in box.opened_by:
        remedy = f'Set gateway_keys of the boxes to [{{name: edge, key: "{{{{ {KEY} }}}}"}}].'
        found.append(FleetError(KEY, f"{box.name} has no key of this value that opens all models.", remedy))
    return found
