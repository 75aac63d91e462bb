# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository and daemon.json that a host has by what a probe just read: nobody asks it again, and everything else it is asked."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.action import deb_source, docker_daemon_config
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import daemon_json, openpgp
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import apt, docker_engine
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles

ENTRY, PIN, OLD_KEY = (
    "/etc/apt/sources.list.d/our.sources",
    "/etc/apt/preferences.d/our.pref",
    "/etc/apt/trusted.gpg.d/old.gpg",
)
KEYRING = "/etc/apt/keyrings/our.gpg"
CONTENT = f"Types: deb\nURIs: https://mirror.example/debian\nSuites: trixie\nComponents: main\nSigned-By: {KEYRING}\n"
ASKED = {
    "path": ENTRY,
    "content": CONTENT,
    "replaces": ["https://old.example"],
    "variable": "a_url",
    "key_variable": "a_fingerprint",
    "files": [{"path": PIN, "content": "Package: *"}, {"path": OLD_KEY, "content": ""}],
}
PATHS = [PIN, OLD_KEY]
WENT = {"changed": True, "went": True}


def asked(action: Any, **arguments: Any) -> dict[str, Any]:
    """Return what an action answers; a host that is asked says that it went there."""
    task: Any = SimpleNamespace(args=arguments, async_val=0, check_mode=False)
    connection: Any = SimpleNamespace(_shell=SimpleNamespace(tmpdir="unused"))
    plugin = action.ActionModule(task, connection, SimpleNamespace(), None, None, None)
    plugin._execute_module = lambda module_args, task_vars: {**WENT, "asked": module_args}
    answer: dict[str, Any] = plugin.run(task_vars={})
    return answer


class Host:
    """A tree of files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.put(ENTRY, CONTENT)
        self.put(PIN, "Package: *\n")

    def put(self, name: str, text: str, mode: int = 0o644) -> None:
        path = self.root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def known(self, *more: str) -> dict[str, Any]:
        # As it comes over the wire.
        found: dict[str, Any] = json.loads(json.dumps(apt.read(HostFiles(str(self.root)), [*PATHS, *more])))
        return found


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_repository_that_is_there_is_not_asked_for_again(host: Host) -> None:
    answer = asked(deb_source, **ASKED, known=host.known())
    assert answer == {"changed": False, "tried": False, "replaced": [], "diff": []}


@pytest.mark.parametrize(
    ("name", "text", "mode"),
    [
        (ENTRY, CONTENT.replace("trixie", "bookworm"), 0o644),
        ("/etc/apt/sources.list", "deb http://mirror.example/debian trixie main\n", 0o644),
        ("/etc/apt/sources.list.d/other.list", "deb https://old.example/x trixie main\n", 0o644),
        # What may not be told may be anything.
        ("/etc/apt/sources.list.d/other.list", "deb https://me:pl4nted@else.example trixie main\n", 0o644),
        (PIN, "Package: other\n", 0o644),
        (PIN, "Package: *\n", 0o600),
        (OLD_KEY, "a key", 0o644),
    ],
)
def test_a_host_where_anything_differs_is_asked(host: Host, name: str, text: str, mode: int) -> None:
    host.put(name, text, mode)
    known = host.known()
    assert asked(deb_source, **ASKED, known=known)["went"] and "pl4nted" not in json.dumps(known)


def test_a_host_is_asked_where_nothing_is_known_of_it_or_it_is_to_be_read_again(host: Host) -> None:
    assert asked(deb_source, **ASKED, known={})["asked"] == ASKED
    assert asked(deb_source, **ASKED)["went"]
    assert asked(deb_source, **ASKED, known=host.known(), again=True)["went"]
    assert asked(deb_source, **{**ASKED, "files": [{"path": "/unread", "content": ""}]}, known=host.known())["went"]


def test_its_key_is_held_to_its_fingerprints(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    key = {"path": KEYRING, "url": "https://mirror.example/key", "fingerprints": ["ab"]}
    assert asked(deb_source, **ASKED, key=key, known=host.known(KEYRING))["went"]
    host.put(KEYRING, "not a key")
    assert asked(deb_source, **ASKED, key=key, known=host.known(KEYRING))["went"]
    read: list[bytes] = []

    def is_it(data: bytes, expected: list[str], _origin: str, _field: str) -> Any:
        read.append(data)
        assert expected == ["ab"]
        return SimpleNamespace(binary=data.removeprefix(b"armoured "))

    monkeypatch.setattr(openpgp, "check_key", is_it)
    host.put(KEYRING, "the key")
    assert not asked(deb_source, **ASKED, key=key, known=host.known(KEYRING))["changed"] and read == [b"the key"]
    given = {name: value for name, value in key.items() if name != "url"}
    same, other = ({**given, "content": f"armoured {text}"} for text in ("the key", "another"))
    assert not asked(deb_source, **ASKED, key=same, known=host.known(KEYRING))["changed"]
    assert asked(deb_source, **ASKED, key=other, known=host.known(KEYRING))["went"]


def test_a_damaged_answer_is_no_answer(host: Host) -> None:
    known = host.known()
    known["files"][PIN]["content"] = base64.b64encode(b"Package: *\n").decode()[:-3] + "!"
    assert asked(deb_source, **ASKED, known=known)["went"]


RECORD, DAEMON = "/var/lib/gpuserve/docker_daemon.json", "/etc/docker/daemon.json"
WANTED: dict[str, Any] = {
    "required": {"features": {"cdi": True}},
    "if_set": {"data-root": ""},
    "defaults": {"live-restore": True, "log-driver": "local"},
    "swarm_active": False,
}


def settled(host: Host, file: dict[str, Any], **wanted: Any) -> dict[str, Any]:
    """Return the answer where daemon.json holds what the first run made of a file, for what a second one wants of it."""
    merge = daemon_json.Asked.of(WANTED, swarm_active=False).merged(file, [])
    host.put(DAEMON, json.dumps(merge.options))
    host.put(RECORD, json.dumps(daemon_json.store_ours(merge.ours)), 0o600)
    known = docker_engine.read_daemon_json(HostFiles(str(host.root)))
    return asked(docker_daemon_config, **{**WANTED, **wanted}, known=json.loads(json.dumps(known)))


def test_daemon_json_that_has_its_options_is_not_read_again(host: Host) -> None:
    answer = settled(host, {"dns": ["192.0.2.1"], "log-driver": "journald"})
    assert (answer["changed"], answer["effect"]) == (False, "none")
    assert answer["options"]["dns"] == ["192.0.2.1"] and answer["kept"] == ["log-driver stays 'journald'"]


def test_it_is_where_an_option_came_or_went(host: Host) -> None:
    assert settled(host, {}, required={"features": {"cdi": True}, "debug": True})["went"]
    assert settled(host, {}, required={})["went"]
    assert settled(host, {}, if_set={"data-root": "/srv/docker"})["went"]
    assert settled(host, {}, swarm_active=True)["went"]


def test_it_is_where_it_is_not_to_be_told(host: Host) -> None:
    assert settled(host, {"proxies": {"http-proxy": "http://me:pl4nted@proxy.example"}})["went"]
    settled(host, {})
    files = HostFiles(str(host.root))
    assert docker_engine.read_daemon_json(files)["options"]["features"] == {"cdi": True}
    host.put(RECORD, "[]", 0o644)
    assert docker_engine.read_daemon_json(files) == {}
    host.put(RECORD, "[", 0o600)
    assert docker_engine.read_daemon_json(files) == {}
    host.put(RECORD, "[]", 0o600)
    host.put(DAEMON, "[]")
    assert docker_engine.read_daemon_json(files) == {}
