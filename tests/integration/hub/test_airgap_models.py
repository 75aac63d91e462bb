# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights of models in a bundle: made from the hub's double by the playbook's tasks, unpacked where there is no hub, started offline."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from huggingface_hub import snapshot_download

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import bundle
from ansible_collections.gpuserve.fleet.plugins.modules import bundle_models, model_fetch
from ansible_collections.gpuserve.fleet.tests.support.hub.repositories import Repository, is_lfs, small_llama
from ansible_collections.gpuserve.fleet.tests.support.hub.server import Hub, serving

CHECKOUT = Path(__file__).resolve().parents[3]
PLAY = Path(__file__).with_name("airgap.yml")
IDS = ("acme/small", "acme/gated")


def call(module: Any, capsys: pytest.CaptureFixture[str], **arguments: Any) -> dict[str, Any]:
    """Run a module as Ansible would."""
    with patch_module_args(arguments), pytest.raises(SystemExit):
        module.main()
    answer: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return answer


def make(folder: Path, hub: Hub) -> str:
    """Make a bundle of two models and return the sum of its sums."""
    variables = {
        "airgap_folder": str(folder / "bundle"),
        "airgap_models": [{"name": model.partition("/")[2], "model": model} for model in IDS],
        "airgap_hub_endpoint": hub.endpoint,
        "airgap_hf_token": "hf_may",
        "ansible_async_dir": str(folder / "async"),
        "ansible_python_interpreter": sys.executable,
    }
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    command = [program, "-i", "localhost,", str(PLAY), "-e", json.dumps(variables)]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    environment |= {"ANSIBLE_DISPLAY_OK_HOSTS": "1", "TMPDIR": str(folder)}
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hf_may" not in done.stdout + done.stderr and not list(folder.glob("gpuserve-fetch-*"))
    found = re.search(r"sums=([0-9a-f]{64})", done.stdout)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a bundle that was made once, the sum of its sums, and what the hub had."""
    folder = tmp_path_factory.mktemp("outside")
    repositories = {
        "acme/small": Repository(small_llama(2)),
        "acme/gated": Repository(small_llama(), gated="manual", accepted=("hf_may",)),
    }
    with serving(repositories) as hub:
        sums = make(folder, hub)
        # Once more, and nothing of the bundle is another.
        assert make(folder, hub) == sums
    return folder / "bundle", sums, repositories


@pytest.fixture
def carried(bundled: Any, tmp_path: Path) -> Path:
    """Carry the bundle to a disk without links."""
    outside, sums, _repositories = bundled
    inside = tmp_path / "inside"
    for name in [bundle.SUMS, *bundle.read_sums((outside / bundle.SUMS).read_text())]:
        (inside / name).parent.mkdir(parents=True, exist_ok=True)
        (inside / name).write_bytes((outside / name).read_bytes())
    assert hashlib.sha256((inside / bundle.SUMS).read_bytes()).hexdigest() == sums
    return inside


def test_sha256sum_itself_finds_every_file(carried: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--quiet", "--strict", bundle.SUMS], cwd=carried, check=True)
    assert {path.name.partition("@")[0] for path in (carried / "model_info").iterdir()} == {
        "acme--small",
        "acme--gated",
    }


def test_engines_find_every_file_offline_by_commit_and_by_branch(
    bundled: Any, carried: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _outside, sums, repositories = bundled
    arguments = {
        "url": f"file://{carried}",
        "sums_sha256": sums,
        "cache_dir": str(tmp_path / "cache"),
        "keep_free_bytes": 0,
    }
    dry = call(bundle_models, capsys, **arguments, _ansible_check_mode=True)
    assert dry["changed"] and not (tmp_path / "cache").exists()
    done = call(bundle_models, capsys, **arguments)
    assert done["changed"] and done["loaded"] == [
        f"{model}@{repositories[model].commit}" for model in sorted(IDS, reverse=True)
    ]
    assert not call(bundle_models, capsys, **arguments)["changed"]

    for model in IDS:
        commit, files = repositories[model].commit, repositories[model].files
        found = [
            snapshot_download(model, revision=at, cache_dir=tmp_path / "cache/huggingface/hub", local_files_only=True)
            for at in (commit, "main")
        ]
        assert found[0] == found[1] and found[0].endswith(commit)
        for path in files:
            if is_lfs(path) or path.endswith(".json"):
                assert Path(found[0], path).read_bytes() == files[path]
                assert Path(found[0], path).is_symlink() and Path(found[0], path).stat().st_mode & 0o777 == 0o644

    # The step before the engines' start asks nobody: there is nobody.
    models: list[dict[str, Any]] = []
    for path in (carried / "model_info").iterdir():
        info = json.loads(path.read_text())
        models.append({"name": info["id"].partition("/")[2], "model": info["id"], "info": info})
    fetched = call(
        model_fetch,
        capsys,
        models=models,
        endpoint="http://127.0.0.1:9",
        cache_dir=str(tmp_path / "cache"),
        keep_free_bytes=0,
    )
    assert not fetched["work"] and not fetched.get("failed")


def test_what_was_changed_on_its_way_is_refused_and_nothing_of_it_is_used(
    bundled: Any, carried: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = {"url": f"file://{carried}", "sums_sha256": bundled[1], "cache_dir": str(tmp_path / "cache")}
    weights = max((carried / "models").rglob("blobs/*"), key=lambda path: path.stat().st_size)
    whole = weights.read_bytes()
    for changed in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1])):
        weights.write_bytes(changed)
        answer = call(bundle_models, capsys, **arguments, keep_free_bytes=0)
        assert answer["failed"] and f"{weights.name} is not the file that was bundled" in answer["msg"]
    assert not list((tmp_path / "cache").rglob(weights.name)) and not list(
        (tmp_path / "cache").rglob("*.gpuserve-part")
    )
    weights.unlink()
    assert "can't be read" in call(bundle_models, capsys, **arguments, keep_free_bytes=0)["msg"]
    weights.write_bytes(whole)
    assert call(bundle_models, capsys, **arguments, keep_free_bytes=0)["changed"]
    # With another list of sums nothing is read at all.
    (carried / bundle.SUMS).write_text("")
    assert "SHA256SUMS is not the file that was bundled" in call(bundle_models, capsys, **arguments)["msg"]


def test_a_full_disk_and_a_model_that_is_not_there_are_told_first(
    bundled: Any, carried: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = {"url": f"file://{carried}", "cache_dir": str(tmp_path / "cache")}
    answer = call(bundle_models, capsys, **arguments, keep_free_bytes=2**60)
    assert answer["failed"] and "of weights are missing there" in answer["msg"]
    answer = call(bundle_models, capsys, **arguments, models=["acme/other"])
    assert "the bundle has no acme/other; it has acme/gated, acme/small." in answer["msg"]
    assert not (tmp_path / "cache").exists()
    assert call(bundle_models, capsys, **arguments, models=["acme/gated"])["loaded"] == [
        f"acme/gated@{bundled[2]['acme/gated'].commit}"
    ]
