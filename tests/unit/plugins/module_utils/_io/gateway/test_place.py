# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is put on the gateway's host: on real files, with a docker and an nginx that say what a test tells them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway import place, sets
from ansible_collections.gpuserve.fleet.tests.support.disk import FullDisk, picture

DIGEST, ENGINE_KEY = "a" * 64, "engine-key-of-yi"


def data(*names: str) -> str:
    return json.dumps(
        {"generation": "one", "keys": {f"{index:064x}": {"name": name} for index, name in enumerate(names)}}
    )


class Host:
    """A host's folders, and a judge."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.folder = root / "gateway"
        self.commands: list[list[str]] = []
        self.verdict: tuple[int, str, str] = (0, "", "")
        self.files = {"nginx.conf": "worker_processes 1;\n", "router.lua": "-- one\n", "data.json": data("team-a")}
        self.files["engine_keys.conf"] = f"{ENGINE_KEY}\n"
        self.changes: dict[str, Any] = {}
        monkeypatch.setattr(place, "TMPFILES", root / "tmpfiles.conf")
        monkeypatch.setattr(place, "SYSTEMD", root)

    def run(self, argv: list[str]) -> tuple[int, str, str]:
        self.commands.append(argv)
        # What nginx is asked about is there whole, and closed.
        for name, text in self.files.items():
            staged = self.folder / "conf" / "candidate" / name
            assert staged.read_text() == text and staged.stat().st_mode & 0o777 == 0o640
        return self.verdict

    def put(self, check_mode: bool = False) -> dict[str, Any]:
        payload = {
            "files": self.files,
            "quiet": ["router.lua", "engine_keys.conf"],
            "compose": "name: gpuserve-gateway\n",
            "settings": "{}\n",
            "group": 0,
            "trial": ["docker", "run"],
            "tls": {"kind": "off"},
            "folders": {"usage": [os.getuid(), os.getgid()]},
            "drain_dir": str(self.root / "draining"),
            "socket_dir": str(self.root / "engines" / "sockets"),
            "acme_dir": "",
            "first_key_sha256": DIGEST,
            "first_key_gone": False,
            **self.changes,
        }
        return place.Place(self.folder, payload, self.run, check_mode).put()

    def live(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in (self.folder / "conf" / "live").iterdir()}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def test_a_whole_configuration_goes_live_once_nginx_has_accepted_it(host: Host) -> None:
    answer = host.put()
    assert answer["changed"] and answer["reload"] and answer["restart"] and host.commands == [["docker", "run"]]
    assert host.live() == host.files
    assert sorted(path.name for path in (host.folder / "conf").iterdir()) == ["live"]
    assert (host.root / "draining").is_dir() and "draining 0755 root root" in (host.root / "tmpfiles.conf").read_text()


def test_the_folder_of_sockets_is_behind_one_that_only_root_gets_through(host: Host) -> None:
    # As Docker leaves it where a container came first.
    (host.root / "engines").mkdir(mode=0o755)
    host.put()
    assert (host.root / "engines").stat().st_mode & 0o777 == 0o700
    assert (host.root / "engines" / "sockets").stat().st_mode & 0o777 == 0o755
    lines = (host.root / "tmpfiles.conf").read_text().splitlines()
    assert "d /run/gpuserve/engines 0700 root root -" in lines


def test_folders_of_the_account_are_its_own_and_closed_to_others(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.put()
    usage = host.folder / "usage"
    assert usage.stat().st_mode & 0o777 == 0o750 and not host.put()["changed"]
    usage.chmod(0o755)
    assert host.put(check_mode=True)["changed"] and usage.stat().st_mode & 0o777 == 0o755
    assert host.put()["changed_files"] == [str(usage)] and usage.stat().st_mode & 0o777 == 0o750
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "fchown", lambda _folder, uid, gid: given.append((uid, gid)))
    host.changes["folders"] = {"usage": [os.getuid(), os.getgid() + 1]}
    assert host.put()["changed_files"] == [str(usage)] and given == [(os.getuid(), os.getgid() + 1)]


def test_a_second_time_nothing_is_asked_or_changed(host: Host) -> None:
    host.put()
    before = {path: path.stat().st_mtime_ns for path in host.root.rglob("*")}
    host.commands.clear()
    answer = host.put()
    assert not answer["changed"] and not answer["reload"] and not answer["restart"] and answer["changed_files"] == []
    assert host.commands == [] and before == {path: path.stat().st_mtime_ns for path in host.root.rglob("*")}


def test_what_nginx_refuses_is_kept_apart_and_what_ran_runs_on(host: Host) -> None:
    host.put()
    served, compose = host.live(), (host.folder / "compose.yml").read_text()
    host.files = {**host.files, "nginx.conf": "nonsense\n"}
    host.changes = {"compose": "name: other\n", "drain_dir": str(host.root / "other")}
    host.verdict = (1, "", 'nginx: [emerg] unknown directive "nonsense"\nnginx: test failed\n')
    with pytest.raises(FleetError) as caught:
        host.put()
    assert 'unknown directive "nonsense"' in str(caught.value) and "What ran before runs on unchanged" in str(
        caught.value
    )
    assert host.live() == served and (host.folder / "compose.yml").read_text() == compose
    assert not (host.root / "other").exists()
    assert (host.folder / "conf" / "candidate" / "nginx.conf").read_text() == "nonsense\n"


def test_check_mode_foretells_and_writes_nothing(host: Host) -> None:
    assert host.put(check_mode=True)["changed"] and not host.folder.exists() and host.commands == []
    host.put()
    host.files["nginx.conf"] = "worker_processes 2;\n"
    before = host.live()
    answer = host.put(check_mode=True)
    assert answer["changed_files"] == ["nginx.conf"] and host.live() == before


def test_files_of_models_that_are_gone_go(host: Host) -> None:
    host.put()
    (host.folder / "conf" / "live" / "upstream-0.conf").write_text("old\n")
    answer = host.put()
    assert answer["changed_files"] == ["upstream-0.conf"] and host.live() == host.files


def test_no_diff_holds_a_key_or_a_digest(host: Host) -> None:
    host.put()
    host.files = {**host.files, "engine_keys.conf": "another-engine-key\n", "data.json": data("team-a", "team-b")}
    host.changes = {"first_key_sha256": "b" * 64, "settings": '{"api_key": "another-engine-key"}\n'}
    shown = json.dumps(host.put()["diff"])
    assert "team-b" in shown and "another-engine-key" not in shown and ENGINE_KEY not in shown
    assert not re.search(r"[0-9a-f]{64}", shown)


def test_long_files_that_are_shipped_have_no_text_in_a_diff(host: Host) -> None:
    answer = host.put()
    assert "-- one" not in json.dumps(answer["diff"]) and "router.lua" in json.dumps(answer["diff"])


def test_secrets_are_closed(host: Host) -> None:
    host.put()
    modes = {path.name: path.stat().st_mode & 0o777 for path in host.folder.rglob("*")}
    assert modes["settings.json"] == 0o600 and modes["default-key.sha256"] == 0o600
    assert modes["live"] == 0o750 and modes["engine_keys.conf"] == 0o640 and modes["data.json"] == 0o640


def test_a_live_set_that_others_may_read_is_put_anew(host: Host) -> None:
    host.put()
    key = host.folder / "conf" / "live" / "engine_keys.conf"
    key.chmod(0o644)
    assert host.put()["changed"] and key.stat().st_mode & 0o777 == 0o640
    assert not host.put()["changed"]


def test_a_swap_that_was_cut_short_is_taken_back(host: Host) -> None:
    host.put()
    conf = host.folder / "conf"
    (conf / "live").rename(conf / "live.old")
    assert not host.put()["changed"] and host.live() == host.files


def test_a_draft_that_somebody_else_made_is_not_written_through(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine\n")
    (tmp_path / ".file.draft").symlink_to(victim)
    sets.put(tmp_path / "file", b"secret\n", 0o600)
    assert victim.read_text() == "mine\n" and (tmp_path / "file").read_text() == "secret\n"


def test_a_first_key_that_is_revoked_leaves_no_digest(host: Host) -> None:
    host.put()
    host.changes = {"first_key_sha256": "", "first_key_gone": True}
    assert host.put()["changed"] and not (host.folder / "default-key.sha256").exists()
    assert not host.put()["changed"]


def test_a_disk_that_fills_at_any_byte_leaves_what_was_there(host: Host) -> None:
    host.put()
    before = picture(host.root)
    host.files = {
        name: f"{text}#\n" if name != "data.json" else data("team-a", "team-b") for name, text in host.files.items()
    }
    host.changes = {"compose": "name: another\n", "settings": "{1: 2}\n", "first_key_sha256": "b" * 64}
    refused = 0
    for room in range(0, 5000, 7):
        with pytest.MonkeyPatch.context() as patch:
            FullDisk(patch, room)
            try:
                host.put()
                break
            except OSError:
                refused += 1
        assert picture(host.root) == before
    assert refused > 20 and host.live() == host.files and (host.folder / "compose.yml").read_text() == "name: another\n"
