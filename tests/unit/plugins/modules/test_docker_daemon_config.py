# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who can read daemon.json and the record of it, and what of a proxy's password is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gpuserve.fleet.plugins.modules import docker_daemon_config

SECRET = "pl4nted:w0rd"
PROXY = f"http://me:{SECRET}@proxy.example:3128"


@pytest.fixture(autouse=True)
def no_dockerd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the daemon's own look: this machine may have one, and no test here needs it."""
    monkeypatch.setattr(docker_daemon_config, "validate", lambda *_arguments: False)


class Host:
    """Two files below a temporary folder, and the module on them."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.file, self.record = folder / "etc" / "daemon.json", folder / "var" / "record.json"
        self.said = ""
        self._capsys = capsys

    def call(self, **parameters: Any) -> dict[str, Any]:
        """Run the module and return its answer; `said` is all that it printed."""
        with (
            patch_module_args(
                {"path": str(self.file), "record": str(self.record), "_ansible_diff": True, **parameters}
            ),
            pytest.raises(SystemExit),
        ):
            docker_daemon_config.main()
        streams = self._capsys.readouterr()
        self.said = streams.out + streams.err
        answer: dict[str, Any] = json.loads(streams.out)
        return answer

    def modes(self) -> tuple[int, ...]:
        return tuple(path.stat().st_mode & 0o777 for path in (self.file, self.record))


@pytest.fixture
def host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Host:
    return Host(tmp_path, capsys)


def test_a_new_file_is_as_docker_would_have_it_and_the_record_is_root_s(host: Host) -> None:
    assert host.call(required={"debug": True})["changed"]
    assert host.modes() == (0o644, 0o600)
    assert not host.call(required={"debug": True})["changed"]


def test_a_new_file_with_a_password_is_born_closed(host: Host) -> None:
    host.call(required={"proxies": {"http-proxy": PROXY}})
    assert host.modes() == (0o600, 0o600)
    assert json.loads(host.file.read_text())["proxies"]["http-proxy"] == PROXY


def test_a_file_keeps_the_mode_that_it_had(host: Host) -> None:
    host.file.parent.mkdir()
    host.file.write_text("{}")
    host.file.chmod(0o640)
    host.call(required={"debug": True})
    assert host.modes() == (0o640, 0o600)


def test_a_record_that_an_earlier_version_left_open_is_closed(host: Host) -> None:
    host.call(required={"debug": True})
    host.record.chmod(0o644)
    assert not host.call(required={"debug": True})["changed"]
    assert host.modes()[1] == 0o600


@pytest.mark.parametrize("there", [None, f'{{"proxies": {{"http-proxy": "{PROXY}"}}}}'])
@pytest.mark.parametrize(
    "wanted",
    [
        {"proxies": {"http-proxy": PROXY}},
        {"bip": "10.0.0.1/24"},
        # Refused: what is said then must not hold it either.
        {"proxies": {"http-proxy": PROXY}, "log-opts": {"max-size": PROXY}},
    ],
)
def test_no_answer_diff_record_or_refusal_holds_a_password(
    host: Host, there: str | None, wanted: dict[str, Any]
) -> None:
    if there:
        host.file.parent.mkdir()
        host.file.write_text(there)
    host.call(required=wanted, _ansible_verbosity=4)
    assert "w0rd" not in host.said and "pl4nted" not in host.said
    assert not host.record.exists() or "w0rd" not in host.record.read_text()


def test_what_has_no_value_is_not_written_and_a_swarm_gets_no_live_restore(host: Host) -> None:
    host.call(
        if_set={"features": {"cdi": True}, "data-root": "", "registry-mirrors": []},
        defaults={"live-restore": True, "log-driver": "local"},
        swarm_active=True,
    )
    assert json.loads(host.file.read_text()) == {"features": {"cdi": True}, "log-driver": "local"}
