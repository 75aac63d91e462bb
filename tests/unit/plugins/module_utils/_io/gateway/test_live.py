# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has live, in a folder of the test; openssl is what a test says it is."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway import live

SAID = "X509v3 Subject Alternative Name: \n    DNS:gpu01, IP Address:127.0.0.1\nnotAfter=Jan  1 00:00:00 2027 GMT\n"


def openssl(ends_soon: bool) -> live.Run:
    """Return what answers as openssl does of a certificate."""

    def run(command: list[str]) -> tuple[int, str, str]:
        if "-checkend" in command:
            assert command[-1] == str(30 * 86_400)
            return int(ends_soon), "", ""
        return 0, SAID, ""

    return run


def put(folder: Path, **files: str) -> None:
    """Put files into the live set."""
    place = folder / "conf" / "live"
    place.mkdir(parents=True)
    for name, text in files.items():
        (place / name.replace("_", ".")).write_text(text)


@pytest.mark.parametrize("ends_soon", [False, True])
def test_what_is_live_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends_soon: bool) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: "/usr/bin/openssl")
    put(tmp_path, data_json='{"models": []}', router_lua="return 1", nginx_conf="events {}", tls_crt="PEM")
    (tmp_path / "compose.yml").write_text("services: {}")
    assert live.read_live(tmp_path, openssl(ends_soon)) == {
        "there": True,
        "data": {"models": []},
        "code": {"router.lua": hashlib.sha256(b"return 1").hexdigest()},
        "files": {
            "nginx.conf": hashlib.sha256(b"events {}").hexdigest(),
            "compose.yml": hashlib.sha256(b"services: {}").hexdigest(),
        },
        "certificate": {
            "names": ["DNS:gpu01", "IP:127.0.0.1"],
            "ends": "Jan  1 00:00:00 2027 GMT",
            "ends_soon": ends_soon,
        },
    }


def test_a_host_without_a_gateway_and_files_that_went_bad(tmp_path: Path) -> None:
    nothing = {"there": False, "data": {}, "code": {}, "files": {}, "certificate": {}}
    assert live.read_live(tmp_path, openssl(False)) == nothing
    for number, text in enumerate(("{", "[]")):
        put(tmp_path / str(number), data_json=text)
        assert live.read_live(tmp_path / str(number), openssl(False)) == {**nothing, "there": True}


def test_without_openssl_nothing_is_said_of_a_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    put(tmp_path, tls_crt="PEM")
    assert live.read_live(tmp_path, openssl(True))["certificate"] == {}
