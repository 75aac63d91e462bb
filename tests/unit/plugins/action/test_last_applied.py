# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host is asked for, told by one digest, and who is left to a rollout where hosts are as the last run left them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.gpuserve.fleet.plugins.action import inventory_check, last_applied, rollout
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet.last_applied import NO_RECORD
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import asked
from ansible_collections.gpuserve.fleet.tests.support.trusted import trusted

MODEL = {"name": "qwen", "model": "Qwen/Qwen2.5-3B-Instruct", "port": 8001}
EDGE_KEY = "an-edge-key-of-enough-letters"
RIGHT: dict[str, Any] = {"vllm_stack_models": [MODEL], "gateway_keys": [{"name": "edge", "key": EDGE_KEY}]}
HOSTS = ("gpu01", "gpu02", "gpu03", "gpu04")
CONNECTION: Any = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/nowhere"))
CONTEXT: Any = SimpleNamespace()


def digests(
    folder: Path,
    more: dict[str, Any] | None = None,
    play: dict[str, Any] | None = None,
    edges: tuple[str, ...] = (),
    everywhere: dict[str, Any] | None = None,
) -> dict[str, str]:
    """Return what each host is asked for, where gpu01 has more variables than the others."""
    loader = DataLoader()
    raw: dict[str, dict[str, Any]] = {}
    for at, host in enumerate(HOSTS, 1):
        own = {"inventory_dir": str(folder), "playbook_dir": str(folder), "inventory_hostname": host, **RIGHT}
        own |= {"ansible_host": f"192.0.2.{at}", **(everywhere or {})}
        raw[host] = trusted({**own, **(more or {} if host == "gpu01" else {})})
    raw |= {edge: {"gpuserve_edge_key": EDGE_KEY} for edge in edges}
    hostvars = SimpleNamespace(raw_get=raw.__getitem__)
    groups = {"all": [*HOSTS], "gpu_hosts": [*HOSTS], **({"edge": [*edges]} if edges else {})}
    variables = {"groups": groups, "hostvars": hostvars, **raw["gpu02"], **(play or {})}
    task: Any = SimpleNamespace(
        args={"hosts": "gpu_hosts", "need_models": True, "asked": True}, check_mode=False, async_val=0, diff=False,
        environment=None, _role=None,
    )  # fmt: skip
    asked._content.cache_clear()
    plugin = inventory_check.ActionModule(task, CONNECTION, CONTEXT, loader, Templar(loader, {}), None)
    answer = plugin.run(task_vars=variables)
    assert not answer.get("failed"), answer["msg"]
    found: dict[str, str] = answer["asked"]
    return found


@pytest.mark.parametrize(
    "more",
    [
        {"vllm_stack_preset": "aggressive"},
        {"vllm_stack_models": [{**MODEL, "max_num_seqs": 24}]},
        {"gateway_port": 9000},
        {"ansible_host": "192.0.2.9"},
        {"vllm_stack_hf_token": "hf_0123456789"},
        {"gateway_cors_origins": ["https://chat.example"]},
    ],
    ids=str,
)
def test_each_variable_counts_for_its_host_and_for_no_other(tmp_path: Path, more: dict[str, Any]) -> None:
    before, after = digests(tmp_path), digests(tmp_path, more)
    assert all(before.values())
    assert [host for host in HOSTS if before[host] != after[host]] == ["gpu01"]


def test_hosts_differ_though_the_same_is_asked_of_them(tmp_path: Path) -> None:
    assert len(set(digests(tmp_path).values())) == len(HOSTS)


@pytest.mark.parametrize(
    "more",
    [
        {"gpuserve_rollout_steps": [2]},
        {"gpuserve_max_failed": 2},
        {"gpuserve_take_over": True},
        {"gpuserve_full_run": True},
        {"ansible_user": "operator"},
    ],
    ids=str,
)
def test_how_a_rollout_goes_is_no_wish(tmp_path: Path, more: dict[str, Any]) -> None:
    assert digests(tmp_path) == digests(tmp_path, more)


@pytest.mark.parametrize(
    "more",
    [
        {"gpuserve_before_host": "before.yml"},
        {"gpuserve_after_host": "after.yml"},
        {"vllm_stack_engine_image_renew": True},
        {"gateway_image_renew": True},
    ],
    ids=str,
)
def test_where_each_run_does_something_nothing_is_asked_for_as_before(tmp_path: Path, more: dict[str, Any]) -> None:
    (tmp_path / "before.yml").write_text("[]")
    assert digests(tmp_path, more)["gpu01"] == ""
    assert digests(tmp_path, more)["gpu02"] != ""


def test_files_of_the_controller_count_by_what_is_in_them(tmp_path: Path) -> None:
    keys = tmp_path / ".gpuserve" / "gateway-keys.yml"
    keys.parent.mkdir()
    known = [digests(tmp_path)]
    # The file of keys is named by a default, beside the inventory.
    for text in ("[]\n", "\n[]\n"):
        keys.write_text(text)
        known.append(digests(tmp_path))
    for text in ("one", "two"):
        (tmp_path / "ca.crt").write_text(text)
        known.append(digests(tmp_path, {"gpuserve_box_ca": "ca.crt"}))
    assert len({found["gpu01"] for found in known}) == len(known)


def test_a_variable_that_can_not_be_read_here_leaves_its_host_without_a_digest() -> None:
    def template(name: str, value: Any) -> Any:
        if "facts" in str(value):
            raise FleetError(name, "it is undefined.", "Set it.")
        return value

    wishes = asked.Asked({"gateway_uid": "{{ facts.uid }}", "gateway_port": 8000}, lambda _raw: template)
    assert wishes.digest({}, "a host with defaults alone", {}) != ""
    assert wishes.digest({"gateway_port": "{{ facts.port }}"}, "a host", {}) == ""


def test_a_play_that_imports_ours_counts_with_its_variables(tmp_path: Path) -> None:
    before = digests(tmp_path)
    assert digests(tmp_path, play={"vllm_stack_preset": "aggressive"})["gpu03"] != before["gpu03"]
    assert digests(tmp_path, play={"somebodys_own": "aggressive"}) == before


def test_edges_and_the_code_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digests(tmp_path)
    assert digests(tmp_path, edges=("edge01",))["gpu02"] != before["gpu02"]
    monkeypatch.setattr(asked, "code", lambda: "another version")
    assert digests(tmp_path)["gpu02"] != before["gpu02"]


def test_what_is_placed_on_a_host_counts_for_it(tmp_path: Path) -> None:
    changed: set[int] = set()
    for name in "abcdefgh":
        by_rule = {"vllm_stack_models": [MODEL, {**MODEL, "name": name, "port": 8002, "placement": {"hosts": 1}}]}
        before = digests(tmp_path, everywhere=by_rule)
        after = digests(tmp_path, {"gpuserve_quarantine": "Xid 79"}, everywhere=by_rule)
        changed.add(len([host for host in HOSTS[1:] if before[host] != after[host]]))
    # Some of them were on the host that is out of service by now, and are on another one: only that has another wish.
    assert changed == {0, 1}


def test_the_code_is_read_once_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("plugins/a.py", "roles/r/tasks/main.yml", "galaxy.yml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(asked, "COLLECTION", tmp_path)
    found = set()
    for changed in ("", "plugins/a.py", "roles/r/tasks/main.yml", "galaxy.yml"):
        if changed:
            (tmp_path / changed).write_text("changed")
        asked.code.cache_clear()
        asked._content.cache_clear()
        found.add(asked.code())
    asked.code.cache_clear()
    assert len(found) == 4


def compared(
    answer: dict[str, Any], commands: list[str] | None = None, hosts: tuple[str, ...] = ("gpu01",), **arguments: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the action hands to its module, and what it answers; commands takes what else it has the host run."""
    task: Any = SimpleNamespace(args={"state": "compared", "asked": "wish", **arguments}, async_val=0, check_mode=False)
    loader = DataLoader()
    plugin: Any = last_applied.ActionModule(task, CONNECTION, CONTEXT, loader, Templar(loader, {}), None)
    handed: dict[str, Any] = {}

    def on_host(module_args: dict[str, Any], **_more: Any) -> dict[str, Any]:
        handed.update(module_args)
        return dict(answer)

    plugin._execute_module = on_host
    plugin._low_level_execute_command = (commands if commands is not None else []).append
    return handed, plugin.run(task_vars={"inventory_hostname": "gpu01", "ansible_play_hosts_all": hosts})


DIFFERS = {"changed": False, "as_before": False, "why": "something"}


def test_facts_of_models_are_asked_for_too() -> None:
    wishes = {
        compared(DIFFERS, facts=facts)[0]["asked"]
        for facts in ({}, {"qwen": {"commit": "a"}}, {"qwen": {"commit": "b"}})
    }
    assert len(wishes) == 3
    # Where nothing is known of what is asked for, facts make it no wish.
    assert compared(DIFFERS, asked="", facts={"qwen": {}})[0]["asked"] == ""


def test_paths_of_the_host_are_those_that_variables_name() -> None:
    naming = [
        [{"name": "qwen", "model": "/srv/models/qwen", "extra_args": ["--chat-template=/srv/templates/a.jinja"]}],
        ["/srv/templates:/templates:ro"],
        "/etc/letsencrypt/live/gateway/fullchain.pem",
        "",
    ]
    assert compared(DIFFERS, naming=naming)[0]["paths"] == [
        "/etc/letsencrypt/live/gateway/fullchain.pem",
        "/srv/models/qwen",
        "/srv/templates",
        "/srv/templates/a.jinja",
    ]


def test_a_key_is_handed_over_to_ask_with_and_never_to_be_noted(tmp_path: Path) -> None:
    (tmp_path / "gpu01").write_text("sk-first\n")
    key_file = str(tmp_path / "gpu01")
    handed = compared(DIFFERS, key="", key_file=key_file, api_key="of-the-engines")[0]
    assert (handed["key"], handed["key_is_first"]) == ("sk-first", True)
    handed = compared(DIFFERS, key="sk-chosen", key_file=key_file)[0]
    assert (handed["key"], "key_is_first" in handed) == ("sk-chosen", False)
    handed = compared(DIFFERS, state="recorded", key="sk-chosen", key_file=key_file, api_key="of-the-engines")[0]
    assert not {"key", "api_key", "key_is_first"} & set(handed)


def test_a_copy_is_handed_over_by_its_checksum(tmp_path: Path) -> None:
    (tmp_path / "gpu01.crt").write_text("certificate")
    copies = {"/there": str(tmp_path / "gpu01.crt"), "/absent": str(tmp_path / "gpu02.crt")}
    assert compared(DIFFERS, copies=copies)[0]["copies"] == {
        "/there": hashlib.sha256(b"certificate").hexdigest(),
        "/absent": "",
    }


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"failed": True, "msg": "No module named docker", "rc": 1}, "No module named docker"),
        # The stack's Python, of a host on which nothing was installed yet.
        ({"failed": True, "msg": "The module interpreter was not found.", "rc": 127}, NO_RECORD),
    ],
)
def test_a_comparison_that_fails_is_a_difference_and_leaves_no_note(answer: dict[str, Any], why: str) -> None:
    commands: list[str] = []
    told = compared(answer, commands, state_dir="/srv/a state")[1]
    assert (told.get("failed"), told["as_before"], told["why"]) == (None, False, why)
    assert commands == ["rm -f '/srv/a state/last_applied.json'"]


def test_a_host_that_an_edge_keeps_out_is_not_as_before() -> None:
    edges: list[dict[str, Any]] = [
        {"_gateway_edge": "edge01", "drained": ["gpu02"]},
        {"_gateway_edge": "edge02", "unreachable": True},
    ]
    assert compared(DIFFERS, edges=edges)[0]["differs"] == ""
    edges[0]["drained"] = ["gpu02", "gpu01"]
    handed = compared(DIFFERS, edges=edges)[0]
    assert handed["differs"] == "edge01 sends it no new requests" and "edges" not in handed


def test_a_host_that_is_as_before_shows_what_it_serves(capsys: pytest.CaptureFixture[str]) -> None:
    access = {"address": "0.0.0.0", "port": 8000, "tls": "off", "auth": False, "key_file": ""}
    answer = {
        "as_before": True,
        "why": "",
        "endpoints": [{"name": "qwen"}],
        "generating": ["qwen"],
        "report": [],
        "access": access,
    }
    compared(answer)
    shown = capsys.readouterr().out
    assert "gpu01 is as the last run left it: nothing to do there.\n" in shown
    assert "gpu01 serves 1 model   http://gpu01:8000/v1\n" in shown and "curl" in shown
    # One of several has a line.
    compared(answer, hosts=HOSTS)
    shown = capsys.readouterr().out
    assert shown.strip() == "gpu01 is as the last run left it, and serves 1 model   http://gpu01:8000/v1"


def narrowed(journal: Path, as_before: dict[str, str], **arguments: Any) -> dict[str, Any]:
    """Return the order that is left, where as_before has why each host is not as before, empty for one that is."""
    raw = {
        host: {"group_names": ["gpu_hosts"], "_site_before": {"as_before": not why, "why": why}}
        for host, why in as_before.items()
    }
    hosts = [f"gpu{at:02d}" for at in range(40)]
    hostvars = SimpleNamespace(raw_get=lambda host: raw.get(host, {}))
    given = {"hosts": hosts, "journal": str(journal), "asked": dict.fromkeys(hosts, "wish"), **arguments}
    task: Any = SimpleNamespace(args={"state": "narrowed", **given}, check_mode=False, async_val=0)
    loader = DataLoader()
    plugin = rollout.ActionModule(task, CONNECTION, CONTEXT, loader, Templar(loader, {}), None)
    answer: dict[str, Any] = plugin.run(task_vars={"hostvars": hostvars})
    return answer


def begun(path: Path, done: dict[str, str] | None = None) -> Path:
    journal = path / "rollout.json"
    hosts = [f"gpu{at:02d}" for at in range(40)]
    journal.write_text(json.dumps({"hosts": hosts, "done": done or {}, "failed": {}, "started": [], "run": None}))
    return journal


def test_hosts_that_are_left_go_in_steps_of_their_own(tmp_path: Path) -> None:
    differing = {f"gpu{at:02d}": "container vllm-qwen differs" if at in (5, 6, 30, 39) else "" for at in range(40)}
    answer = narrowed(begun(tmp_path), differing)
    assert answer["hosts"] == ["gpu05", "gpu06", "gpu30", "gpu39"]
    assert answer["batches"] == [1, 1, 2]
    assert len(answer["kept"]) == 36
    assert answer["notes"] == [
        "Nothing to do on 36 of 40 hosts: as the last run left them.",
        "gpu05, gpu06, gpu30, gpu39: container vllm-qwen differs.",
    ]
    assert len(json.loads((tmp_path / "rollout.json").read_text())["done"]) == 36


def test_a_host_that_nobody_compared_is_left(tmp_path: Path) -> None:
    answer = narrowed(begun(tmp_path), {"gpu00": ""})
    assert (answer["kept"], len(answer["hosts"]), answer["batches"]) == (["gpu00"], 39, [1, 9, 29])
    assert answer["notes"] == ["Nothing to do on 1 of 40 hosts: as the last run left it."]


def test_nothing_is_left_where_all_are_as_before(tmp_path: Path) -> None:
    answer = narrowed(begun(tmp_path), {f"gpu{at:02d}": "" for at in range(40)})
    assert (answer["hosts"], answer["batches"]) == ([], [1])
    assert answer["notes"] == ["Nothing to do on 40 of 40 hosts: as the last run left them."]


def test_a_rollout_that_goes_on_leaves_out_who_is_done_or_as_before(tmp_path: Path) -> None:
    done = {f"gpu{at:02d}": "wish" for at in range(11)}
    answer = narrowed(begun(tmp_path, done), {"gpu20": ""}, resume=True)
    assert answer["kept"] == ["gpu20"]
    assert set(answer["skipped"]) == set(done)
    assert sum(answer["batches"]) == len(answer["hosts"]) == 28


def test_a_host_alone_has_no_journal(tmp_path: Path) -> None:
    answer = narrowed(tmp_path / "rollout.json", {"gpu00": ""}, hosts=["gpu00"], is_rollout=False)
    assert (answer["hosts"], answer["kept"], answer["notes"]) == ([], ["gpu00"], [])
    assert not (tmp_path / "rollout.json").exists()
