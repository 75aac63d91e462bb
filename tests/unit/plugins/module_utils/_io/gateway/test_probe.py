# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read on the gateway's host, from a docker that answers as Docker 28 did."""

from __future__ import annotations

import json
import pwd
from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway import probe

CONTAINER = {
    "Id": "c0ffee",
    "State": {"Running": True},
    "Config": {"Labels": {"fleet.gpuserve.listen": "0.0.0.0:8000"}},
}


class Docker:
    """Docker's client: what is there answers, everything else ends with 1."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers

    def __call__(self, argv: list[str]) -> tuple[int, str, str]:
        answer = self.answers.get(argv[1])
        return (1, "", "no such object") if answer is None else (0, answer, "")


@pytest.fixture(autouse=True)
def quiet_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "ACCOUNT", "nobody-of-this-name")
    monkeypatch.setattr(probe, "listeners", lambda _files, ports, ours: dict.fromkeys(ports, "ours" if ours else "x"))


def test_the_account_is_told_by_its_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pwd, "getpwnam", lambda _name: SimpleNamespace(pw_uid=999, pw_gid=995))
    facts = probe.probe(tmp_path, "", [], [], Docker())
    assert (facts["uid"], facts["gid"]) == (999, 995)


def test_a_bare_host_has_nothing(tmp_path: Path) -> None:
    def absent(argv: list[str]) -> tuple[int, str, str]:
        raise FileNotFoundError(argv[0])

    facts = probe.probe(tmp_path, "image", [], ["/nowhere"], absent)
    assert facts == {
        "has_compose": False,
        "kept_image": "",
        "is_running": False,
        "listen": "",
        "listening": {},
        "missing": ["/nowhere"],
        "first_key_sha256": "",
        "uid": 0,
        "gid": 0,
    }


def test_a_host_with_a_gateway_tells_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "default-key.sha256").write_text(f"{'a' * 64}\n")
    (tmp_path / "settings.json").write_text('{"port": 8000}\n')
    docker = Docker(compose="2.40.3", image="[]", container=json.dumps([CONTAINER]))
    facts = probe.probe(tmp_path, "image", [8000], [str(tmp_path)], docker)
    assert (
        facts["has_compose"]
        and facts["kept_image"] == "image"
        and facts["is_running"]
        and facts["listen"] == "0.0.0.0:8000"
    )
    assert (facts["listening"], facts["missing"]) == ({8000: "ours"}, [])
    assert facts["first_key_sha256"] == "a" * 64
    assert probe.settings(tmp_path) == {"port": 8000} and probe.settings(tmp_path / "nowhere") is None


def test_what_a_task_prints_of_a_host_holds_no_engine_key(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text('{"models": [{"name": "qwen", "api_key": "planted-engine-key"}]}\n')
    docker = Docker(compose="2.40.3", image="[]", container=json.dumps([CONTAINER]))
    assert "planted-engine-key" not in json.dumps(probe.probe(tmp_path, "image", [8000], [], docker))


@pytest.mark.parametrize("answers", [{"compose": "2"}, {"compose": "2", "container": "[]"}])
def test_without_a_container_nobody_of_ours_listens(tmp_path: Path, answers: dict[str, str]) -> None:
    facts = probe.probe(tmp_path, "image", [8000], [], Docker(**answers))
    assert not facts["is_running"] and not facts["kept_image"] and facts["listening"] == {8000: "x"}


def test_a_container_without_labels_is_read(tmp_path: Path) -> None:
    bare = {**CONTAINER, "Config": {"Labels": None}}
    assert probe.probe(tmp_path, "", [], [], Docker(compose="2", container=json.dumps([bare])))["listen"] == ""


PINNED = f"openresty/openresty@sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("record", "digests", "kept"),
    [
        ({"openresty:1": PINNED}, f"sha256:1 {PINNED}", PINNED),
        # It was never kept, and no longer as it was kept.
        ({}, f"sha256:1 {PINNED}", ""),
        ({"openresty:1": PINNED}, None, ""),
        # One that was loaded from a file has no digest: there is nothing to keep.
        ({}, "sha256:1", "openresty:1"),
    ],
)
def test_an_image_is_kept_by_its_digest(tmp_path: Path, record: dict[str, str], digests: str | None, kept: str) -> None:
    (tmp_path / "images.json").write_text(json.dumps(record))
    asked: list[list[str]] = []

    def run(argv: list[str]) -> tuple[int, str, str]:
        asked.append(argv)
        return Docker(compose="2", **({} if digests is None else {"image": digests}))(argv)

    assert probe.probe(tmp_path, "openresty:1", [], [], run)["kept_image"] == kept
    assert [argv[-1] for argv in asked if argv[1] == "image"] == [record.get("openresty:1", "openresty:1")]


def test_a_record_that_was_cut_short_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "images.json").write_text("{")
    assert (
        probe.probe(tmp_path, "openresty:1", [], [], Docker(compose="2", image=f"sha256:1 {PINNED}"))["kept_image"]
        == ""
    )
