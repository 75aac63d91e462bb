# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is taken down with a stack: its own by name or by folder, and nothing of another's."""

from __future__ import annotations

from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.removal import Removal, choose


def container(identity: str, stack: str | None, project: str = "", folder: str = "", name: str = "") -> dict[str, Any]:
    labels = {
        "fleet.gpuserve.stack": stack,
        "com.docker.compose.project": project,
        "com.docker.compose.project.working_dir": folder,
    }
    return {
        "Id": identity,
        "Labels": {key: value for key, value in labels.items() if value},
        **({"Names": [f"/{name}"]} if name else {}),
    }


def network(identity: str, project: str) -> dict[str, Any]:
    return {"Id": identity, "Labels": {"com.docker.compose.project": project}}


def test_its_own_by_name_and_by_folder_and_the_networks_of_their_projects() -> None:
    found = choose(
        "llm",
        "/opt/llm",
        [
            container("1", "llm", "llm", "/elsewhere"),
            container("2", "before", "before", "/opt/llm"),
            container("3", "other", "other", "/opt/other", "vllm-x"),
            container("4", None, "llm", "/opt/llm"),
        ],
        [network("n1", "llm"), network("n2", "before"), network("n3", "other"), {"Id": "n4", "Labels": None}],
    )
    assert found == Removal(("1", "2"), ("n1", "n2"), ("vllm-x (other)",))


def test_a_network_that_is_left_alone_goes_with_its_project() -> None:
    assert choose("llm", "/opt/llm", [], [network("n1", "llm"), network("n2", "x")]).networks == ("n1",)


def test_a_container_without_a_project_brings_no_other_project_s_network() -> None:
    assert choose("llm", "/opt/llm", [container("1", "llm")], [network("n1", "llm"), {"Id": "n2"}]).networks == ("n1",)


def test_others_are_named_in_order_and_by_their_id_where_they_have_no_name() -> None:
    others = [container("f" * 64, "z", name="b"), container("0123456789abcdef", "y"), container("2", "x", name="a")]
    assert choose("llm", "/opt/llm", others, []).others == ("0123456789ab (y)", "a (x)", "b (z)")
