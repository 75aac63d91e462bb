# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which model each running container is of, and which ports it has, by Docker's list."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.containers import running


def container(labels: dict[str, str] | None, *published: int | None) -> dict[str, Any]:
    """Return a container as Docker lists it."""
    rows = [{"PrivatePort": 8000, **({"PublicPort": port} if port else {})} for port in published]
    return {"Labels": labels and {f"fleet.gpuserve.{name}": value for name, value in labels.items()}, "Ports": rows}


def row(model: str = "", port: int = 0, digest: str = "", ports: tuple[int, ...] = ()) -> dict[str, Any]:
    """Return what is told of one."""
    return {"model": model, "port": port, "digest": digest, "ports": list(ports)}


@pytest.mark.parametrize(
    ("labels", "published", "told"),
    [
        ({"model": "a", "port": "8001", "digest": "d"}, [8001], row("a", 8001, "d", (8001,))),
        ({"model": "a", "port": "8001"}, [9001, 8001], row("a", 8001, ports=(8001, 9001))),
        ({"model": "a", "port": "8001"}, [], row("a", 8001, ports=(8001,))),
        ({"model": "a", "port": ""}, [None], row("a")),
        ({"model": "a", "port": "8001 "}, [7000], row("a", ports=(7000,))),
        (None, [], row()),
    ],
    ids=["published", "another port too", "on the host's network", "not published", "a port that is none", "no labels"],
)
def test_a_container(labels: dict[str, str] | None, published: list[int | None], told: dict[str, Any]) -> None:
    assert running([container(labels, *published)]) == [told]


def test_the_list_is_in_the_order_of_models() -> None:
    found = running([container({"model": name, "port": port}) for name, port in (("b", "1"), ("a", "3"), ("a", "2"))])
    assert [(one["model"], one["port"]) for one in found] == [("a", 2), ("a", 3), ("b", 1)]


def test_docker_may_list_no_ports_at_all() -> None:
    assert running([{"Labels": None, "Ports": None}]) == [row()]
