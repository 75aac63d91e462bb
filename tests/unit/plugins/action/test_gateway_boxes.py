# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an edge is told of its boxes, and where a box is drained, by the inventory; what a host answers is what a test says."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.gpuserve.fleet.plugins.action import gateway_boxes_info, gateway_drain, gateway_serve
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import unreached
from ansible_collections.gpuserve.fleet.tests.support.trusted import trusted

KEY = "an-edge-key-of-enough-letters"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
LISTED = {"data": [{"id": "qwen", "root": "qwen", "max_model_len": 1536}]}
MODELS = [{"name": "qwen", "model": "Qwen/Qwen2.5-3B-Instruct", "aliases": ["q"]}]


class Controller:
    """A controller whose hosts answer what they are told to."""

    def __init__(self, hosts: dict[str, dict[str, Any]], answers: dict[str, Any] | None = None) -> None:
        self.raw = {
            host: {
                name: trusted(value)
                for name, value in {"inventory_dir": "/nowhere", "playbook_dir": "/nowhere", **variables}.items()
            }
            for host, variables in hosts.items()
        }
        self.answers = answers or {}
        # Which of the boxes an edge keeps out, as its module says it.
        self.drained: list[str] | None = None
        # Why a host is not reached.
        self.broken = ""
        self.asked: list[dict[str, Any]] = []

    def _host(self, module_args: dict[str, Any], **_more: Any) -> dict[str, Any]:
        if self.broken:
            raise AnsibleConnectionFailure(self.broken)
        self.asked.append(module_args)
        return {"changed": False, "answers": self.answers} | ({} if self.drained is None else {"drained": self.drained})

    def run(self, action: Any, host: str, check_mode: bool = False, **args: Any) -> dict[str, Any]:
        """Run an action for a host."""
        task: Any = SimpleNamespace(
            args=args,
            check_mode=check_mode,
            async_val=0,
            diff=False,
            environment=None,
            _role=None,
            delegate_to="edge01",
        )
        connection: Any = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/nowhere"))
        loader = DataLoader()
        plugin = action.ActionModule(task, connection, SimpleNamespace(), loader, Templar(loader, {}), None)
        plugin._execute_module = self._host
        groups = {"gpu_hosts": [name for name in self.raw if name != "edge01"], "edge": ["edge01"]}
        hostvars = SimpleNamespace(raw_get=self.raw.__getitem__)
        answer: dict[str, Any] = plugin.run(
            task_vars={"inventory_hostname": host, "groups": groups, "hostvars": hostvars}
        )
        return answer


def box(at: int, **more: Any) -> dict[str, Any]:
    return {"ansible_host": f"192.0.2.{at}", "vllm_stack_models": MODELS, **more}


def test_an_edge_is_told_who_serves_what(tmp_path: Path) -> None:
    (tmp_path / "b.crt").write_text(CERTIFICATE)
    hosts = {
        "a": box(1),
        "b": box(2, gateway_tls="self_signed", gateway_port="{{ 8000 + 443 }}"),
        "c": box(3),
        "d": box(4, gateway_tls="self_signed"),
        "edge01": {},
    }
    controller = Controller(hosts, {"a": {"error": "connection refused"}, "b": {"listed": LISTED}})
    answer = controller.run(
        gateway_boxes_info, "edge01", key=KEY, certificate_dir=str(tmp_path), placement={}, quarantine={"c": "Xid 79"}
    )
    assert controller.asked == [
        {
            "key": KEY,
            "boxes": [
                {"name": "a", "endpoint": "192.0.2.1:8000"},
                {"name": "b", "endpoint": "192.0.2.2:8443", "tls_name": "b"},
            ],
            "certificates": CERTIFICATE,
        }
    ]
    assert answer["models"] == [
        {"name": "qwen", "endpoints": ["192.0.2.1:8000", "192.0.2.2:8443"], "max_model_len": 1536}
    ]
    assert answer["boxes"] == [{"endpoint": "192.0.2.1:8000"}, {"endpoint": "192.0.2.2:8443", "tls_name": "b"}]
    assert answer["box_certificates"] == CERTIFICATE
    assert [note.split()[0] for note in answer["notes"]] == ["a", "d"]
    assert "Run site.yml -l d first." in answer["notes"][1]
    assert KEY not in str(answer)


def test_what_generates_is_known_from_the_boxes_where_it_is_up() -> None:
    def entry(name: str, task: str, status: str = "ready") -> dict[str, Any]:
        return {"id": name, "root": name, "task": task, "status": status}

    alias = {**entry("qwen", "generate"), "id": "q"}
    a = [entry("qwen", "generate"), alias, entry("bge", "embed"), entry("yi", "generate", "down")]
    # A box whose gateway is of a version before says nothing of what its models are for.
    hosts = {"a": box(1), "b": box(2), "edge01": {}}
    answers = {"a": {"listed": {"data": a}}, "b": {"listed": LISTED}}
    answer = Controller(hosts, answers).run(gateway_boxes_info, "edge01", key=KEY, placement={})
    assert answer["generating"] == ["qwen"]
    assert [model["name"] for model in answer["models"]] == ["qwen", "bge", "yi"]


def test_a_box_that_is_to_answer_for_no_model_is_in_no_route_and_nobody_misses_it() -> None:
    """As one that computes for the first host of its group, or has no model by its placement."""
    large = [{"name": "large", "model": "owner/large", "distributed": {"hosts": 2}}]
    hosts = {
        name: box(at, vllm_stack_models=large, gateway_tls=tls)
        for at, (name, tls) in enumerate({"a": "off", "b": "off", "c": "self_signed"}.items(), 1)
    }
    listed = {"data": [{"id": "large", "root": "large"}]}
    controller = Controller({**hosts, "edge01": {}}, {"a": {"listed": listed}, "b": {"error": "connection refused"}})
    answer = controller.run(gateway_boxes_info, "edge01", key=KEY, placement={"large": ["a"]})
    assert answer["models"] == [{"name": "large", "endpoints": ["192.0.2.1:8000"]}] and answer["notes"] == []


def test_an_edge_whose_boxes_are_all_away_is_refused_but_for_a_dry_run() -> None:
    controller = Controller({"a": box(1), "edge01": {}}, {"a": {"error": "timed out"}})
    answer = controller.run(gateway_boxes_info, "edge01", key=KEY)
    assert answer["failed"] and "none of the boxes answers edge01 (a: timed out)" in answer["msg"]
    assert answer["msg"].endswith("Nothing was changed.")
    dry = controller.run(gateway_boxes_info, "edge01", check_mode=True, key=KEY)
    assert [model["name"] for model in dry["models"]] == ["qwen"]


def test_a_ca_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    controller = Controller({"a": box(1, gateway_tls="files"), "edge01": {}})
    answer = controller.run(gateway_boxes_info, "edge01", ca=str(tmp_path / "ca.pem"))
    assert answer["failed"] and answer["msg"].startswith(f"gpuserve_box_ca: {tmp_path}/ca.pem can't be read")


def test_a_box_is_drained_by_where_edges_reach_it() -> None:
    controller = Controller({"a": box(1, gateway_port=9000), "b": box(2, gpuserve_address="fd00::2"), "edge01": {}})
    controller.run(gateway_drain, "a", state="drained", timeout_s=1)
    controller.run(gateway_drain, "b", state="returned")
    assert controller.asked == [
        {"state": "drained", "timeout_s": 1, "endpoint": "192.0.2.1:9000"},
        {"state": "returned", "endpoint": "[fd00::2]:8000"},
    ]


def test_which_boxes_an_edge_keeps_out_is_one_trip_and_told_by_their_names() -> None:
    controller = Controller({"a": box(1, gateway_port=9000), "b": box(2, gpuserve_address="fd00::2"), "edge01": {}})
    controller.drained = ["192.0.2.1:9000"]
    answer = controller.run(gateway_drain, "a", state="read", hosts=["b", "a"])
    assert controller.asked == [{"state": "read", "endpoints": ["[fd00::2]:8000", "192.0.2.1:9000"]}]
    assert answer["drained"] == ["a"]


def test_an_edge_that_can_not_be_read_keeps_nobody_out_and_nobody_waits_for_what_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    warned: list[str] = []
    monkeypatch.setattr(gateway_drain, "Display", lambda: SimpleNamespace(system_warning=warned.append))
    controller = Controller({"a": box(1), "edge01": {}})
    controller.broken = "Connection timed out"
    answer = controller.run(gateway_drain, "a", state="read", hosts=["a"])
    assert (answer["drained"], answer["reached"], answer.get("failed"), warned) == ([], False, None, [])


TOLD = "Warning: Permanently added it.\nssh: connect to host 192.0.2.9 port 22: No route to host"
REASON = "ssh: connect to host 192.0.2.9 port 22: No route to host"


def test_an_edge_that_is_not_reached_holds_up_no_box(monkeypatch: pytest.MonkeyPatch) -> None:
    warned: list[str] = []
    monkeypatch.setattr(gateway_drain, "Display", lambda: SimpleNamespace(system_warning=warned.append))
    controller = Controller({"a": box(1), "b": box(2), "edge01": {}})
    answers = []
    for host, controller.broken in (("a", "Connection timed out"), ("b", "No route to host")):
        answers += [controller.run(gateway_drain, host, state=state) for state in ("drained", "returned")]
    assert all(answer["reached"] is False and answer["changed"] is False for answer in answers)
    assert not any(answer.get("failed") or answer.get("unreachable") for answer in answers)
    # Whichever box it is and whatever was tried, so that Ansible says each once a run.
    assert warned[:2] == warned[2:] and all(text.startswith("edge01 was not reached. ") for text in warned)


@pytest.mark.parametrize(
    "said",
    [
        f"Failed to connect to the host via ssh: {TOLD}",
        f'Data could not be sent to remote host "192.0.2.9". Make sure this host can be reached over ssh: {TOLD}\r\n',
        f"Data could not be sent. Make sure this host can be reached over ssh: Failed to connect to the host via ssh: {REASON}.",
        REASON,
    ],
)
def test_why_a_host_was_not_reached_is_what_ssh_said_last(said: str) -> None:
    assert unreached.reason(AnsibleConnectionFailure(said)) == REASON


def test_why_a_host_was_not_reached_is_never_empty() -> None:
    assert unreached.reason(OSError()) == "OSError"
    # A connection that was kept open, and whose host stopped answering.
    silent = AnsibleConnectionFailure("Failed to connect to the host via ssh: ")
    assert unreached.reason(silent) == "ssh gave no reason"


def test_an_edge_that_may_be_down_is_told_and_any_other_is_unreachable() -> None:
    controller = Controller({"a": box(1), "edge01": {}})
    controller.broken = f"Failed to connect to the host via ssh: {TOLD}"
    answer = controller.run(gateway_boxes_info, "edge01", key=KEY, may_be_down=True)
    assert (answer["reached"], answer["why"], answer["models"]) == (False, REASON, []) and not answer.get("failed")
    with pytest.raises(AnsibleConnectionFailure):
        controller.run(gateway_boxes_info, "edge01", key=KEY)


@pytest.mark.parametrize(
    ("host", "others"),
    [("edge01", ["192.0.2.11:443", "192.0.2.12:8000"]), ("edge02", ["192.0.2.10:8000", "192.0.2.12:8000"]), ("a", [])],
)
def test_an_edge_is_told_of_the_others_and_a_box_of_none(host: str, others: list[str]) -> None:
    raw: dict[str, dict[str, Any]] = {
        "a": box(1),
        "edge01": {"ansible_host": "192.0.2.10"},
        "edge02": {"ansible_host": "192.0.2.11", "gateway_port": trusted("{{ 443 }}")},
        "edge03": {"ansible_host": "192.0.2.12"},
    }
    loader = DataLoader()
    part: Any = SimpleNamespace()
    action = gateway_serve.ActionModule(part, part, part, loader, Templar(loader, {}), None)
    groups = {"gpu_hosts": ["a"], "edge": ["edge01", "edge02", "edge03"]}
    variables = {"inventory_hostname": host, "groups": groups, "hostvars": SimpleNamespace(raw_get=raw.__getitem__)}
    assert action._others(variables) == others
    assert action._others({**variables, "groups": {}}) == []
