# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bundle's images from the folder that holds them to a Docker that is a double: what is compared, and when."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import bundle
from ansible_collections.gpuserve.fleet.plugins.modules import bundle_images, bundle_manifest

NAME = "127.0.0.1:5000/proof:1"
CONFIG, MANIFEST = "sha256:" + "a" * 64, "sha256:" + "b" * 64


class Docker:
    """A double: knows images by name, and gives the archive's image an identity when it loads one."""

    def __init__(self, gives: str) -> None:
        self.images: dict[str, str] = {}
        self.gives = gives
        self.loads = 0

    def run(self, command: list[str], **_options: Any) -> tuple[int, str, str]:
        if command[1] == "load":
            assert Path(command[-1]).is_file()
            self.loads += 1
            self.images[NAME] = self.gives
            return 0, "", ""
        found = self.images.get(command[-1], "")
        return (0, f"{found}\n", "") if found else (1, "", "No such image")


def save(path: Path) -> None:
    """Write an archive as `docker save` does."""
    lists = {
        "manifest.json": [{"Config": f"blobs/sha256/{'a' * 64}", "RepoTags": [NAME], "Layers": ["blobs/sha256/cc"]}],
        "index.json": {"schemaVersion": 2, "manifests": [{"digest": MANIFEST, "size": 1}]},
    }
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w") as archive:
        for name, value in lists.items():
            data = json.dumps(value).encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def call(module: Any, capsys: pytest.CaptureFixture[str], **parameters: Any) -> dict[str, Any]:
    with patch_module_args(parameters), pytest.raises(SystemExit):
        module.main()
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> Docker:
    double = Docker(CONFIG)
    monkeypatch.setattr(AnsibleModule, "run_command", double.run)
    return double


@pytest.fixture
def made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A bundle of one package and one image."""
    save(tmp_path / bundle.archive_name(NAME))
    (tmp_path / "x.deb").write_text("x")
    assert call(bundle_manifest, capsys, path=str(tmp_path), images=[NAME])["changed"]
    return tmp_path


def sums(folder: Path) -> str:
    return hashlib.sha256((folder / bundle.SUMS).read_bytes()).hexdigest()


def test_the_manifest_names_every_file_and_every_identity(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read = bundle.read_sums((made / bundle.SUMS).read_text())
    assert read["x.deb"] == hashlib.sha256(b"x").hexdigest()
    assert sorted(read) == [bundle.archive_name(NAME), bundle.IMAGES, "x.deb"]
    (image,) = bundle.read_images((made / bundle.IMAGES).read_text())
    assert image == bundle.Image(NAME, "images/127.0.0.1_5000_proof_1.tar", (CONFIG, MANIFEST))
    again = call(bundle_manifest, capsys, path=str(made), images=[NAME])
    assert not again["changed"] and again["sums_sha256"] == sums(made)


@pytest.mark.parametrize("gives", [CONFIG, MANIFEST])
def test_an_image_is_loaded_once_by_whichever_store(
    made: Path, docker: Docker, capsys: pytest.CaptureFixture[str], gives: str
) -> None:
    docker.gives = gives
    given = {"url": f"file://{made}", "sums_sha256": sums(made)}
    assert call(bundle_images, capsys, **given)["loaded"] == [NAME]
    assert not call(bundle_images, capsys, **given)["changed"]
    assert docker.loads == 1


def test_an_archive_that_was_changed_is_never_loaded(
    made: Path, docker: Docker, capsys: pytest.CaptureFixture[str]
) -> None:
    with (made / bundle.archive_name(NAME)).open("ab") as file:
        file.write(b"x")
    answer = call(bundle_images, capsys, url=f"file://{made}")
    assert answer["failed"] and "is not the file that was bundled" in answer["msg"]
    assert docker.loads == 0


def test_sums_that_were_exchanged_with_the_rest_are_told_by_their_own_sum(
    made: Path, docker: Docker, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sums(made)
    (made / "x.deb").write_text("y")
    call(bundle_manifest, capsys, path=str(made), images=[NAME])
    answer = call(bundle_images, capsys, url=f"file://{made}", sums_sha256=before)
    assert answer["failed"] and f"{bundle.SUMS} is not the file that was bundled" in answer["msg"]
    assert docker.loads == 0


def test_an_image_that_docker_calls_otherwise_is_told(
    made: Path, docker: Docker, capsys: pytest.CaptureFixture[str]
) -> None:
    docker.gives = "sha256:" + "c" * 64
    answer = call(bundle_images, capsys, url=f"file://{made}")
    assert answer["failed"] and f"is {docker.gives}, and the bundle says {CONFIG}, {MANIFEST}" in answer["msg"]


def test_an_image_that_the_bundle_does_not_have_is_named(
    made: Path, docker: Docker, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = call(bundle_images, capsys, url=f"file://{made}", images=["vllm:1"])
    assert answer["failed"] and "the bundle has no vllm:1" in answer["msg"] and docker.loads == 0


def test_a_bundle_without_sums_for_its_list_is_not_believed() -> None:
    with pytest.raises(Exception, match="has no line for"):
        bundle.expected({}, bundle.IMAGES)


@pytest.mark.parametrize("text", ["{", "3", '[{"name": "x"}]', "[1]"])
def test_a_list_of_images_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Exception, match="is not the list that a bundle holds"):
        bundle.read_images(text)
