# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""deb_source with the real apt on a tree of its own: what others left, what must be refused, and what is on the disk afterwards."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import apt_sources, deb_repository, openpgp
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import apt
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles
from ansible_collections.gpuserve.fleet.plugins.modules import deb_source
from ansible_collections.gpuserve.fleet.tests.support.stub_repository.__main__ import Keys

FLAT = "SHA256:\n e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 Packages\n"


@dataclass
class Host:
    """A tree of apt's files, a signed repository, and the module on them."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def parts(self) -> Path:
        return self.folder / "etc" / "sources.list.d"

    @property
    def path(self) -> str:
        return str(self.parts / "docker.sources")

    def url(self, signer: str = "good") -> str:
        return f"file:{self.folder}/{signer}"

    def content(self, signer: str = "good") -> str:
        return f"Types: deb\nURIs: {self.url(signer)}/\nSuites: /\nSigned-By: {self.folder}/keys/good.gpg\n"

    def call(self, **parameters: Any) -> dict[str, Any]:
        """Run the module and return its answer."""
        given = {"path": self.path, "content": self.content(), "variable": "url", "key_variable": "prints"}
        with patch_module_args({**given, **parameters}), pytest.raises(SystemExit):
            deb_source.main()
        answer: dict[str, Any] = json.loads(self.capsys.readouterr().out)
        return answer

    def disk(self) -> dict[str, str]:
        """What is on the disk below apt's folder."""
        return {str(path): path.read_text() for path in (self.folder / "etc").rglob("*") if path.is_file()}

    def apt_update(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["apt-get", "update"], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A flat repository without packages, signed by two keys."""
    folder = tmp_path_factory.mktemp("repository")
    home = tmp_path_factory.mktemp("gnupg")
    home.chmod(0o700)
    keys = Keys(home)
    (folder / "keys").mkdir()
    for name in ("good", "wrong"):
        keys.make(name)
        (folder / "keys" / f"{name}.asc").write_text(keys.export(name))
        (folder / "keys" / f"{name}.gpg").write_bytes(openpgp.dearmour(keys.export(name).encode()))
        (folder / name).mkdir()
        (folder / name / "Packages").write_text("")
        release = f"Suite: stub\nArchitectures: amd64\nDate: Thu, 26 Nov 2026 00:00:00 UTC\n{FLAT}"
        (folder / name / "InRelease").write_text(keys.sign(name, release))
    yield folder
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, capture_output=True)


@pytest.fixture
def host(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Host:
    """Apt pointed at a tree below a temporary folder."""
    for name in ("etc/sources.list.d", "etc/apt.conf.d", "state/lists/partial", "cache/archives/partial"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("good", "wrong", "keys"):
        (tmp_path / name).symlink_to(repository / name)
    (tmp_path / "etc/sources.list").write_text("")
    (tmp_path / "status").write_text("")
    settings = {
        "Dir::Etc": f"{tmp_path}/etc/",
        "Dir::State": f"{tmp_path}/state/",
        "Dir::State::status": f"{tmp_path}/status",
        "Dir::Cache": f"{tmp_path}/cache/",
        "APT::Sandbox::User": "root",
    }
    (tmp_path / "apt.conf").write_text("".join(f'{key} "{value}";\n' for key, value in settings.items()))
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    monkeypatch.setattr(apt_sources, "MAIN", f"{tmp_path}/etc/sources.list")
    monkeypatch.setattr(apt_sources, "PARTS", f"{tmp_path}/etc/sources.list.d")
    return Host(tmp_path, capsys)


# apt gives up on the second order only: with the other it warns, until the next file comes.
@pytest.mark.parametrize("name", ["zz-archive_uri-stub.list", "aa-archive_uri-stub.list"])
def test_the_entry_of_another_recipe_with_another_key_is_replaced(host: Host, name: str) -> None:
    old = host.parts / name
    old.write_text(f"deb [arch=amd64 signed-by={host.folder}/keys/wrong.gpg] {host.url()} /\n")
    answer = host.call()
    assert answer["changed"] and answer["replaced"] == [str(old)], answer
    assert not old.exists()
    done = host.apt_update()
    assert done.returncode == 0 and "W:" not in done.stderr, done.stderr
    again = host.call()
    assert not again["changed"] and not again["tried"]


def test_a_repository_signed_by_another_key_leaves_the_disk_as_it_was(host: Host) -> None:
    (host.parts / "other-name.list").write_text(f"deb {host.url('wrong')} /\n")
    before = host.disk()
    answer = host.call(content=host.content("wrong"))
    assert answer["failed"] and "Nothing was changed in apt's sources." in answer["msg"]
    assert "set prints to what the owner publishes" in answer["msg"]
    assert host.disk() == before


def test_an_entry_that_apt_can_t_read_is_named_before_anything_is_written(host: Host) -> None:
    (host.parts / "broken.list").write_text("deb nonsense\n")
    before = host.disk()
    answer = host.call()
    assert answer["failed"] and "/etc/apt/sources.list.d/broken.list" in answer["msg"], answer
    assert "Correct or remove the entry that apt names. Nothing was changed" in answer["msg"]
    assert host.disk() == before


def test_check_mode_says_what_would_go(host: Host) -> None:
    (host.parts / "x.list").write_text(f"deb {host.url()} /\n")
    before = host.disk()
    answer = host.call(_ansible_check_mode=True)
    assert answer["changed"] and answer["replaced"] and not answer["tried"]
    assert host.disk() == before


def test_the_key_comes_before_the_trial_and_what_belongs_to_the_entry_after_it(host: Host) -> None:
    armoured = (host.folder / "keys" / "good.asc").read_text()
    kept, pinned = host.folder / "etc" / "ours.gpg", host.folder / "etc" / "ours.pref"
    asked: dict[str, Any] = {
        "content": host.content().replace(f"{host.folder}/keys/good.gpg", str(kept)),
        "key": {
            "path": str(kept),
            "content": armoured,
            "fingerprints": list(openpgp.read_key(armoured.encode(), "x").fingerprints),
        },
        "files": [{"path": str(pinned), "content": "Package: *\n"}],
    }
    told = host.call(**asked, _ansible_check_mode=True)
    assert told["changed"] and len(told["diff"]) == 3 and not kept.exists() and not pinned.exists()
    answer = host.call(**asked)
    assert answer["changed"] and answer["tried"] and pinned.read_text() == "Package: *\n", answer
    assert kept.read_bytes() == (host.folder / "keys" / "good.gpg").read_bytes()
    assert host.call(**asked)["changed"] is False
    # What a probe reads says the same.
    whole = {"path": host.path, **asked}
    assert deb_repository.is_in_place(whole, apt.read(HostFiles(), [str(kept), str(pinned)]))
    # A file alone is a change, too.
    pinned.write_text("Package: other\n")
    assert not deb_repository.is_in_place(whole, apt.read(HostFiles(), [str(kept), str(pinned)]))
    again = host.call(**asked)
    assert again["changed"] and not again["tried"] and pinned.read_text() == "Package: *\n"


def test_a_key_that_is_not_the_expected_one_stops_before_the_entry(host: Host) -> None:
    before = host.disk()
    key = {
        "path": str(host.folder / "etc" / "ours.gpg"),
        "content": (host.folder / "keys" / "good.asc").read_text(),
        "fingerprints": ["A" * 40],
    }
    answer = host.call(key=key, files=[{"path": str(host.folder / "etc" / "x.pref"), "content": "x"}])
    assert answer["failed"] and "prints" in answer["msg"], answer
    assert host.disk() == before
