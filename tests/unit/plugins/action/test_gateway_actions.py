# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gateway's actions do on the controller; a host is what a test says it is."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader

from ansible_collections.gpuserve.fleet.plugins.action import gateway_config, gateway_keys
from ansible_collections.gpuserve.fleet.plugins.module_utils._core import access_keys
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import keys
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import private_files, this_run
from ansible_collections.gpuserve.fleet.tests.unit.plugins.module_utils._core.gateway.settings import SECRET, settings

FACTS: dict[str, Any] = {"has_compose": True, "kept_image": "image", "first_key_sha256": "", "saved": None}


@pytest.fixture(autouse=True)
def one_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let each test be a run of its own."""
    monkeypatch.setattr(this_run, "folder", lambda name: tmp_path / "run" / name)


class Controller:
    """A controller with a folder beside its inventory, and one host."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key_dir, self.keys_file = folder / "keys", folder / "gateway-keys.yml"
        self.facts = dict(FACTS)
        self.payloads: list[dict[str, Any]] = []
        self.reads = 0
        self.play_context = SimpleNamespace(no_log=False)
        # What the connection would show at -vvv.
        self.shown: list[dict[str, Any]] = []

    def _host(self, module_args: dict[str, Any], **_more: Any) -> dict[str, Any]:
        answer = self._answer(module_args)
        if not self.play_context.no_log:
            self.shown.append(answer)
        return answer

    def _answer(self, module_args: dict[str, Any]) -> dict[str, Any]:
        if module_args["state"] == "read":
            self.reads += 1
            return {"facts": self.facts, "invocation": {}}
        self.payloads.append(json.loads(module_args["payload"]))
        return {"changed": True, "reload": True, "restart": False, "invocation": {"module_args": module_args}}

    def run(self, action: Any = gateway_config, check_mode: bool = False, **args: Any) -> dict[str, Any]:
        given = {"keys_file": str(self.keys_file), "key_dir": str(self.key_dir), **args}
        task = SimpleNamespace(args=given, check_mode=check_mode, async_val=0, diff=True, environment=None, _role=None)
        connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/nowhere"), _play_context=self.play_context)
        plugin = action.ActionModule(task, connection, SimpleNamespace(), DataLoader(), None, None)
        plugin._execute_module = self._host
        answer: dict[str, Any] = plugin.run(task_vars={"inventory_hostname": "box"})
        return answer

    def change(self, **change: Any) -> dict[str, Any]:
        return self.run(gateway_keys, change=change)


@pytest.fixture
def controller(tmp_path: Path) -> Controller:
    return Controller(tmp_path)


def test_a_first_key_lies_in_a_file_and_its_digest_goes_to_the_host(controller: Controller) -> None:
    answer = controller.run(settings=settings())
    path = controller.key_dir / "box"
    key = private_files.read(path)
    assert answer["key_made"] and answer["key_file"] == str(path) and len(key) >= access_keys.SHORTEST
    assert path.stat().st_mode & 0o777 == 0o600 and controller.key_dir.stat().st_mode & 0o777 == 0o700
    assert key not in json.dumps(answer) and key not in json.dumps(controller.payloads)
    assert controller.payloads[0]["first_key_sha256"] == keys.digest(key)
    assert keys.digest(key) not in json.dumps(answer)


def test_the_host_is_not_asked_again_for_what_the_check_found(controller: Controller) -> None:
    controller.facts["first_key_sha256"] = "e" * 64
    answer = controller.run(settings=settings(), state="checked")
    assert "e" * 64 not in json.dumps(answer) and controller.reads == 1
    controller.run(settings=settings())
    assert controller.reads == 1 and controller.payloads[0]["first_key_sha256"] == "e" * 64
    # Once: a change of keys may have come between.
    controller.facts["first_key_sha256"] = "d" * 64
    controller.run(settings=settings())
    assert controller.reads == 2 and controller.payloads[1]["first_key_sha256"] == "d" * 64


def test_a_host_without_a_first_key_is_not_asked_again_either(controller: Controller) -> None:
    controller.run(settings=settings(), state="checked")
    assert controller.run(settings=settings())["key_made"] and controller.reads == 1


def test_it_is_made_once(controller: Controller) -> None:
    controller.run(settings=settings())
    key = private_files.read(controller.key_dir / "box")
    controller.facts["first_key_sha256"] = keys.digest(key)
    answer = controller.run(settings=settings())
    assert not answer["key_made"] and answer["key_file"] and private_files.read(controller.key_dir / "box") == key


def test_a_run_that_ended_before_the_host_had_it_is_taken_up(controller: Controller) -> None:
    controller.run(settings=settings())
    key = private_files.read(controller.key_dir / "box")
    assert controller.run(settings=settings())["key_made"] is False
    assert controller.payloads[-1]["first_key_sha256"] == keys.digest(key)


def test_the_key_of_another_controller_is_left_alone(controller: Controller) -> None:
    controller.facts["first_key_sha256"] = "e" * 64
    answer = controller.run(settings=settings())
    assert (answer["key_made"], answer["key_file"]) == (False, "")
    assert json.loads(controller.payloads[0]["files"]["data.json"])["keys"].keys() == {"e" * 64}


@pytest.mark.parametrize("changed", [{"auth": False}, {"keys": [{"name": "mine", "key": SECRET}]}])
def test_nobody_gets_a_first_key_who_needs_none(controller: Controller, changed: dict[str, Any]) -> None:
    controller.facts["first_key_sha256"] = "e" * 64
    answer = controller.run(settings=settings(**changed))
    assert not answer["key_made"] and not controller.key_dir.exists()
    assert "e" * 64 not in json.dumps(controller.payloads)


def test_check_mode_makes_no_key(controller: Controller) -> None:
    assert controller.run(settings=settings(), check_mode=True)["key_made"] and not controller.key_dir.exists()


def test_no_key_in_the_clear_reaches_the_host_or_a_result(controller: Controller) -> None:
    answer = controller.run(settings=settings(keys=[{"name": "mine", "key": SECRET}]))
    assert SECRET not in json.dumps(controller.payloads) and SECRET not in json.dumps(answer)
    assert "payload" not in json.dumps(answer)


def test_a_mistake_is_refused_before_the_host_is_asked(controller: Controller) -> None:
    controller.facts = {}
    answer = controller.run(settings=settings(port=0), state="checked")
    assert answer["failed"] and answer["field"] == "gateway_port" and answer["msg"].endswith("Nothing was changed.")


def test_a_host_where_it_cannot_run_is_left_as_it_is(controller: Controller) -> None:
    controller.facts["listening"] = {"8000": "caddy (pid 7)"}
    answer = controller.run(settings=settings(), state="checked")
    assert answer["failed"] and "gateway_port: 8000 is already taken" in answer["msg"] and controller.payloads == []
    assert answer["msg"].endswith("Nothing was changed.")


def test_checking_warns(controller: Controller) -> None:
    answer = controller.run(settings=settings(), state="checked")
    assert answer["kept_image"] and "in the clear" in answer["warnings"][0] and controller.payloads == []
    assert (answer["uid"], answer["gid"]) == (0, 0)


def test_files_get_the_group_of_the_account(controller: Controller) -> None:
    controller.run(settings=settings(uid=999, gid=995))
    assert controller.payloads[0]["folders"] == {"engine_keys": [0, 995], "usage": [999, 995]}
    assert controller.payloads[0]["group"] == 995 and 'user: "999:995"' in controller.payloads[0]["compose"]


def test_an_option_that_is_none_is_named(controller: Controller) -> None:
    assert "colour: there is no such option" in controller.run(settings=settings(), colour="red")["msg"]


def test_keys_change_without_the_rest(controller: Controller) -> None:
    controller.facts["saved"] = {**settings(port=8443), "uid": 850}
    del controller.facts["saved"]["keys"]
    controller.change(add="team-a", models="qwen")
    answer = controller.run(settings=settings(models=[], keys=[{"name": "mine", "key": SECRET}]), use_saved=True)
    assert answer["url"] == "http://127.0.0.1:8443"
    written = json.loads(controller.payloads[0]["files"]["data.json"])["keys"]
    assert written.keys() == {
        keys.digest(SECRET),
        keys.digest(private_files.read(controller.key_dir / "clients" / "team-a")),
    }


def test_where_engines_are_met_follows_them_and_all_else_stays(controller: Controller) -> None:
    model = {
        "name": "qwen",
        "endpoints": ["127.0.0.1:8001"],
        "api_key": "the-key-that-they-still-ask-for",
        "max_num_seqs": 9,
    }
    controller.facts["saved"] = settings(models=[model, {**model, "name": "yi", "endpoints": ["127.0.0.1:8002"]}])
    socket = "unix:/run/gpuserve/engines/sockets/qwen/http"
    ahead = {**model, "api_key": "another", "max_num_seqs": 1, "standby": [socket], "listener_uid": 0}
    controller.run(settings=settings(models=[]), use_saved=True, follow=[ahead])
    kept = json.loads(controller.payloads[0]["settings"])["models"]
    assert kept[0] == {**model, "standby": [socket], "listener_uid": 0}
    assert kept[1]["endpoints"] == ["127.0.0.1:8002"]
    assert socket in controller.payloads[0]["files"]["data.json"]


def test_a_model_whose_engine_comes_to_its_port_has_no_address_of_the_gateways(controller: Controller) -> None:
    socket = "unix:/run/gpuserve/engines/sockets/qwen/http"
    model = {"name": "qwen", "endpoints": [socket], "address": "127.0.0.1:8001"}
    controller.facts["saved"] = settings(models=[model])
    ahead = {"name": "qwen", "endpoints": [socket], "standby": ["127.0.0.1:8001"], "listener_uid": 0}
    controller.run(settings=settings(models=[]), use_saved=True, follow=[ahead])
    assert json.loads(controller.payloads[0]["settings"])["models"] == [ahead]


def test_the_keys_of_engines_that_a_host_kept_are_not_shown_by_the_connection(controller: Controller) -> None:
    controller.facts["saved"] = settings()
    controller.facts["saved"]["models"][0]["api_key"] = "an-engine-key-0123456789"
    controller.run(settings=settings(models=[]), use_saved=True)
    assert controller.payloads and "an-engine-key" not in json.dumps(controller.shown)
    assert controller.play_context.no_log is False, "what comes after is shown"


def test_a_host_without_a_gateway_says_so(controller: Controller) -> None:
    assert "no gateway has been set up on this host" in controller.run(settings=settings(), use_saved=True)["msg"]


def test_a_first_key_stays_beside_those_that_are_added_and_goes_by_its_name(controller: Controller) -> None:
    first = "f" * 64
    controller.facts.update(first_key_sha256=first, saved=settings())
    refused = controller.run(settings=settings(), use_saved=True, change={"revoke": "default"})
    assert "default is the only key" in refused["msg"] and controller.payloads == []
    controller.change(add="team-a")
    controller.run(settings=settings(), use_saved=True)
    assert first in controller.payloads[-1]["files"]["data.json"] and not controller.payloads[-1]["first_key_gone"]
    controller.run(settings=settings(), use_saved=True, change={"revoke": "default"})
    assert first not in controller.payloads[-1]["files"]["data.json"] and controller.payloads[-1]["first_key_gone"]


def test_a_first_key_is_rotated(controller: Controller) -> None:
    controller.facts.update(first_key_sha256="f" * 64, saved=settings())
    answer = controller.run(settings=settings(), use_saved=True, change={"rotate": "default"})
    assert answer["key_made"] and controller.payloads[0]["first_key_sha256"] == keys.digest(
        private_files.read(controller.key_dir / "box")
    )


def test_a_key_that_no_gateway_would_take_is_refused_before_it_is_listed(controller: Controller) -> None:
    controller.facts["saved"] = settings()
    answer = controller.run(
        settings=settings(), use_saved=True, state="checked", change={"add": "team-a", "models": "nothing"}
    )
    assert "there is no model 'nothing'" in answer["msg"] and not controller.keys_file.exists()


def test_keys_are_added_rotated_revoked_and_listed(controller: Controller) -> None:
    added = controller.change(add="team-a", requests_per_minute="60")
    path = controller.key_dir / "clients" / "team-a"
    key = private_files.read(path)
    assert added["changed"] and added["key_file"] == str(path) and key not in json.dumps(added)
    assert key not in controller.keys_file.read_text() and keys.digest(key) in controller.keys_file.read_text()
    assert controller.change(rotate="team-a")["changed"] and private_files.read(path) != key
    assert not controller.change()["changed"] and "team-a" in controller.change()["table"][1]
    assert controller.change(revoke="team-a")["table"][1:] == [] and not path.exists()
    refused = controller.change(revoke="team-a")
    assert (
        refused["failed"] and "team-a is no key" in refused["msg"] and refused["msg"].endswith("Nothing was changed.")
    )


def test_a_dry_run_of_a_change_writes_nothing(controller: Controller) -> None:
    answer = controller.run(gateway_keys, check_mode=True, change={"add": "team-a"})
    assert answer["changed"] and not controller.keys_file.exists() and not controller.key_dir.exists()


def test_a_comparison_tells_names_and_no_key_and_makes_none(controller: Controller) -> None:
    mine = settings(keys=[{"name": "mine", "key": SECRET}])
    controller.run(settings=mine)
    payload = controller.payloads.pop()
    files = payload["files"]
    sums = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}
    code = {name: digest for name, digest in sums.items() if name.endswith(".lua")}
    others = {name: digest for name, digest in sums.items() if name not in {*code, "data.json"}}
    others["compose.yml"] = hashlib.sha256(payload["compose"].encode()).hexdigest()
    live = {"there": True, "data": json.loads(files["data.json"]), "code": code, "files": others, "certificate": {}}
    controller.facts |= {"saved": {**mine, "keys": None}, "live": live, "is_running": True}
    assert controller.run(settings=mine, state="compared")["differences"] == []

    other = settings(keys=[{"name": "mine", "key": f"{SECRET}x"}, {"name": "new", "key": f"{SECRET}y"}], port=8443)
    answer = controller.run(settings=other, state="compared")
    assert [(row["what"], row["host"]) for row in answer["differences"]] == [
        ("gateway_port", str(mine["port"])),
        ("gateway key mine", "other in key"),
        ("gateway key new", "none"),
    ]
    told = json.dumps(answer)
    assert SECRET not in told and keys.digest(SECRET) not in told and keys.digest(f"{SECRET}x") not in told

    # By hand: a file of each kind, and a gateway that is stopped. What a variable explains is told once, by its name.
    edited = {**json.loads(files["data.json"]), "sticky": "by hand"}
    controller.facts |= {"live": {**live, "data": edited, "files": {**others, "nginx.conf": "0"}}, "is_running": False}
    answer = controller.run(settings={**mine, "sticky": "key"}, state="compared")
    assert [row["what"] for row in answer["differences"]] == [
        "gateway_sticky",
        "gateway's data.json",
        "gateway's nginx.conf",
        "gateway: container",
    ]
    controller.facts |= {"live": live, "is_running": True}

    # Where nobody wrote a key, the first one counts by the digest that the host has, whoever made it.
    data = json.loads(files["data.json"])
    data["keys"] = {"d" * 64: {**data["keys"][keys.digest(SECRET)], "name": keys.FIRST}}
    controller.facts |= {"first_key_sha256": "d" * 64, "live": {**live, "data": data}}
    assert controller.run(settings=settings(), state="compared")["differences"] == []
    controller.facts["live"] = {"there": False, "data": {}, "code": {}, "files": {}, "certificate": {}}
    assert [row["what"] for row in controller.run(settings=settings(), state="compared")["differences"]] == ["gateway"]
    assert controller.payloads == [] and not controller.key_dir.exists()


def test_a_comparison_shows_no_key_of_engines_that_the_host_kept(controller: Controller) -> None:
    saved = settings()
    saved["models"][0]["api_key"] = "an-engine-key-0123456789"
    live = {"there": False, "data": {}, "code": {}, "files": {}, "certificate": {}}
    controller.facts |= {"saved": saved, "live": live, "is_running": True}
    answer = controller.run(settings=settings(), state="compared")
    assert "an-engine-key" not in json.dumps([answer, controller.shown])
