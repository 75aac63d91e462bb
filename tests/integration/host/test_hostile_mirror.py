# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mirror that lies, with real signatures: what it can make the machine that bundles believe, read or write. Nothing."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import openpgp
from ansible_collections.gpuserve.fleet.plugins.modules import apt_subset
from ansible_collections.gpuserve.fleet.tests.support.stub_repository.__main__ import Keys

DEB = b"a package\n"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def stanza(name: str = "docker-ce", filename: str = "./docker-ce.deb", data: bytes = DEB, **fields: str) -> str:
    values = {"Package": name, "Version": "1", "Filename": filename, "Size": str(len(data)), "SHA256": digest(data)}
    return "".join(f"{key}: {value}\n" for key, value in {**values, **fields}.items())


def release(**files: bytes) -> str:
    lines = "".join(f" {digest(data)} {len(data)} {name.replace('_', '.')}\n" for name, data in files.items())
    return f"Suite: stub\nArchitectures: amd64\nSHA256:\n{lines}"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keys]:
    """The owner's key and somebody else's."""
    home = tmp_path_factory.mktemp("gnupg")
    home.chmod(0o700)
    made = Keys(home)
    made.make("good")
    made.make("wrong")
    (home / "good.gpg").write_bytes(openpgp.dearmour(made.export("good").encode()))
    yield made
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, capture_output=True)


class Mirror:
    """A flat repository on the disk, and the module that copies it."""

    def __init__(self, folder: Path, keys: Keys, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.keys, self.capsys = folder / "mirror", keys, capsys
        self.copy = folder / "a" / "bundle"
        self.around = folder
        self.folder.mkdir()
        self.write("docker-ce.deb", DEB)
        self.publish(stanza())

    def write(self, name: str, data: bytes | str) -> None:
        (self.folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())

    def publish(self, index: str, signer: str = "good") -> None:
        self.write("Packages", index)
        self.write("InRelease", self.keys.sign(signer, release(Packages=index.encode())))

    def call(self, **parameters: Any) -> dict[str, Any]:
        given = {
            "url": f"file://{self.folder}",
            "path": str(self.copy),
            "keyring": str(self.keys.home / "good.gpg"),
            "packages": [{"name": "docker-ce"}],
        }
        with patch_module_args({**given, **parameters}), pytest.raises(SystemExit):
            apt_subset.main()
        answer: dict[str, Any] = json.loads(self.capsys.readouterr().out)
        return answer

    def written(self) -> list[str]:
        """Every file outside of the mirror: what the copy made."""
        return sorted(
            str(path.relative_to(self.around))
            for path in self.around.rglob("*")
            if path.is_file() and self.folder not in path.parents
        )


@pytest.fixture
def mirror(tmp_path: Path, keys: Keys, capsys: pytest.CaptureFixture[str]) -> Mirror:
    return Mirror(tmp_path, keys, capsys)


def test_an_honest_one_is_copied_once(mirror: Mirror) -> None:
    assert mirror.call()["packages"] == ["docker-ce=1"]
    assert mirror.written() == [f"a/bundle/{name}" for name in ("InRelease", "Packages", "docker-ce.deb")]
    assert not mirror.call()["changed"]


@pytest.mark.parametrize(
    "filename",
    [
        "/etc/cron.d/x",
        "../../../../etc/cron.d/x",
        "./../up.deb",
        "pool/../../up.deb",
        "pool//x.deb",
        ".",
        "pool\\x.deb",
        "",
    ],
)
def test_a_name_that_leads_out_of_the_copy_is_refused_though_it_is_signed(mirror: Mirror, filename: str) -> None:
    mirror.publish(stanza(filename=filename))
    answer = mirror.call()
    assert answer["failed"] and "which does not lie below it" in answer["msg"]
    assert mirror.written() == []


def test_an_index_that_another_key_signed_is_refused(mirror: Mirror) -> None:
    mirror.publish(stanza(), signer="wrong")
    answer = mirror.call()
    assert answer["failed"] and "is not signed by the expected key" in answer["msg"]
    assert mirror.written() == []


def test_an_index_that_nobody_signed_is_refused(mirror: Mirror) -> None:
    mirror.write("InRelease", release(Packages=stanza().encode()))
    assert "is not a signed file" in mirror.call()["msg"]
    assert mirror.written() == []


@pytest.mark.parametrize("before", [True, False])
def test_words_around_the_signed_text_are_refused(mirror: Mirror, before: bool) -> None:
    evil = stanza(data=b"evil\n")
    signed = (mirror.folder / "InRelease").read_text()
    unsigned = release(Packages=evil.encode())
    mirror.write("InRelease", f"{unsigned}\n{signed}" if before else f"{signed}\n{unsigned}")
    mirror.write("Packages", evil)
    mirror.write("docker-ce.deb", b"evil\n")
    answer = mirror.call()
    assert answer["failed"] and "holds more than one signed text" in answer["msg"]
    assert mirror.written() == []


def test_a_signed_text_that_was_changed_is_refused(mirror: Mirror) -> None:
    evil = stanza(data=b"evil\n").encode()
    signed = (mirror.folder / "InRelease").read_text()
    mirror.write("InRelease", signed.replace(digest(stanza().encode()), digest(evil)))
    mirror.write("Packages", evil)
    assert "is not signed by the expected key" in mirror.call()["msg"]
    assert mirror.written() == []


@pytest.mark.parametrize("name", ["Packages", "docker-ce.deb"])
def test_a_file_that_does_not_end_is_read_no_further_than_it_may_be_long(mirror: Mirror, name: str) -> None:
    with (mirror.folder / name).open("ab") as file:
        file.truncate(1 << 33)
    answer = mirror.call()
    assert answer["failed"] and "is longer than the" in answer["msg"]
    assert mirror.written() == []


def test_an_index_that_unpacks_to_more_than_it_says_is_refused(mirror: Mirror) -> None:
    bomb = gzip.compress(stanza().encode() + b"\n" * (64 << 20))
    mirror.write("Packages.gz", bomb)
    (mirror.folder / "Packages").unlink()
    text = release(Packages=stanza().encode(), Packages_gz=bomb)
    mirror.write("InRelease", mirror.keys.sign("good", text))
    answer = mirror.call()
    assert answer["failed"] and "unpacks to more than" in answer["msg"]
    assert mirror.written() == []


@pytest.mark.parametrize("size", ["-1", "1e9", "9" * 40, "0x10"])
def test_a_size_that_is_none_is_refused(mirror: Mirror, size: str) -> None:
    mirror.publish(stanza(Size=size))
    assert "for a size" in mirror.call()["msg"]


def test_packages_that_take_more_than_was_allowed_are_refused_before_they_are_fetched(mirror: Mirror) -> None:
    assert "max_bytes allows 5" in mirror.call(max_bytes=5)["msg"]
    assert mirror.written() == []


def test_a_package_that_is_another_one_is_refused(mirror: Mirror) -> None:
    mirror.write("docker-ce.deb", b"b package\n")
    assert "is not the file that the repository's index names" in mirror.call()["msg"]
    assert mirror.written() == []
