# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release: the same bytes from the same files, lists that are true, and a bill of materials of all that roles install."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import tarfile
from pathlib import Path

import pytest
import yaml

from ansible_collections.gpuserve.fleet.tests.support.release import build, galaxy, sbom, tarball

FILES = {"README.md": b"read me", "roles/a/tasks/main.yml": b"---\n", "plugins/b.py": b"x = 1\n"}


def packed(order: list[str], mtime: int, changed: dict[str, bytes] | None = None) -> bytes:
    """Return a tarball as ansible-galaxy leaves it, in the order in which a disk lists files."""
    listed = [
        {
            "name": name,
            "ftype": "file",
            "chksum_type": "sha256",
            "chksum_sha256": hashlib.sha256(FILES[name]).hexdigest(),
        }
        for name in order
    ]
    files = json.dumps({"files": listed, "format": 1}).encode()
    manifest = {"file_manifest_file": {"chksum_sha256": hashlib.sha256(files).hexdigest()}, "format": 1}
    contents = {"MANIFEST.json": json.dumps(manifest).encode(), "FILES.json": files} | {
        name: FILES[name] for name in order
    }
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for name, content in {**contents, **(changed or {})}.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.uname = len(content), mtime, "somebody"
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(plain.getvalue(), mtime=mtime)


def test_the_same_files_make_the_same_bytes_whenever_and_in_whatever_order() -> None:
    one = tarball.in_one_form(packed(list(FILES), 1), 1000)
    other = tarball.in_one_form(packed(list(reversed(FILES)), 2), 1000)
    assert one == other
    assert list(tarball.problems(one)) == []
    with tarfile.open(fileobj=io.BytesIO(one)) as archive:
        members = archive.getmembers()
    assert [member.name for member in members[:2]] == ["MANIFEST.json", "FILES.json"]
    assert {(member.mtime, member.uname, member.uid) for member in members} == {(1000, "", 0)}


def test_another_time_of_the_commit_makes_other_bytes() -> None:
    assert tarball.in_one_form(packed(list(FILES), 1), 1000) != tarball.in_one_form(packed(list(FILES), 1), 1001)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"README.md": b"read more"}, "README.md has another checksum"),
        ({"tests/secret.py": b""}, "tests/secret.py is in no list"),
        ({"FILES.json": b'{"files": []}'}, "FILES.json is not the one that MANIFEST.json names"),
    ],
)
def test_a_tarball_that_was_changed_is_seen(changed: dict[str, bytes], said: str) -> None:
    assert said in list(tarball.problems(packed(list(FILES), 1, changed)))


def test_the_time_of_a_release_can_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1234")
    assert build.epoch(Path("/nowhere")) == 1234


def test_a_release_that_the_changelog_does_not_know_is_refused(tmp_path: Path) -> None:
    (tmp_path / "changelogs").mkdir()
    (tmp_path / "changelogs/changelog.yaml").write_text("releases: {0.1.0: {}}\n")
    with pytest.raises(tarball.ReleaseError, match=r"has no 0\.2\.0\. Run `make changelog`"):
        build.check_changelog(tmp_path, "0.2.0")


def test_the_bill_names_each_package_that_the_modules_need_with_its_checksums() -> None:
    text = (galaxy.CHECKOUT / "roles/vllm_stack/files/requirements.txt").read_text()
    pinned = set(re.findall(r"^([\w.-]+)==([^ ;\\]+)", text, re.MULTILINE))
    found = [one for one in sbom.components(galaxy.CHECKOUT) if one.purl.startswith("pkg:pypi/")]
    assert pinned
    assert {(one.name, one.version) for one in found} == pinned
    assert sum(len(one.sha256) for one in found) == text.count("--hash=sha256:")


def test_the_bill_names_each_image_and_package() -> None:
    names = {one.name for one in sbom.components(galaxy.CHECKOUT)}
    for path in galaxy.CHECKOUT.glob("roles/*/defaults/main.yml"):
        for variable, value in (yaml.safe_load(path.read_text()) or {}).items():
            if variable.endswith("_image") and value and "{{" not in str(value):
                assert [name for name in names if str(value).startswith(name)], variable
    assert {"docker-ce", "containerd.io", "nvidia-container-toolkit", "nvidia-driver"} <= names


@pytest.mark.parametrize(
    ("image", "purl"),
    [
        ("docker.io/library/debian:13-slim", "pkg:docker/debian@13-slim"),
        (f"vllm/vllm-openai:v1@sha256:{'a' * 64}", f"pkg:docker/vllm/vllm-openai@sha256%3A{'a' * 64}"),
        ("registry.internal:5000/vllm", "pkg:docker/registry.internal:5000/vllm"),
    ],
)
def test_an_image_is_named_by_its_digest_where_it_has_one(image: str, purl: str) -> None:
    assert sbom.image("vllm_stack", image).purl == purl


def test_the_bill_is_what_readers_of_cyclonedx_expect() -> None:
    made = sbom.document(galaxy.CHECKOUT, "0.2.0", "2026-11-26T00:00:00Z")
    assert (made["bomFormat"], made["specVersion"], made["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", made["serialNumber"])
    refs = [component["bom-ref"] for component in made["components"]]
    assert len(refs) == len(set(refs))
    assert made["dependencies"][0]["dependsOn"] == refs
    assert made == sbom.document(galaxy.CHECKOUT, "0.2.0", "2026-11-26T00:00:00Z")
    for component in made["components"]:
        assert component["type"] in ("container", "library", "application") and component["purl"].startswith("pkg:")
