# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment of our modules: by checksums and wheels, whole or as it was, and no secret on a command line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gpuserve.fleet.plugins.modules import python_environment

REQUIREMENTS = Path(__file__).parents[4] / "roles" / "vllm_stack" / "files" / "requirements.txt"
PASSWORD = "s3cret-of-the-index"
INDEX = f"https://me:{PASSWORD}@index.example/simple"


class Pip:
    """Stands for Python and pip: notes what they are called with, makes the folder, and fails if told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[list[str]] = []
        self.environment: dict[str, str] = {}
        self.says = ""
        monkeypatch.setattr(AnsibleModule, "run_command", lambda _module, *given, **more: self.run(*given, **more))

    def run(self, command: list[str], environ_update: dict[str, str]) -> tuple[int, str, str]:
        self.calls.append(command)
        self.environment = environ_update
        Path(self.calls[0][-1], "bin").mkdir(exist_ok=True)
        return (1, "", self.says) if self.says and command[1] == "install" else (0, "", "")


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> Pip:
    return Pip(monkeypatch)


def call(capsys: pytest.CaptureFixture[str], path: Path, *pip_args: str) -> tuple[dict[str, Any], str]:
    """Run the module as Ansible would; return what it answers, read and as it stands."""
    requirements = path.parent / "requirements.txt"
    requirements.write_text("docker==7.2.0\n")
    arguments = {
        "path": str(path),
        "requirements": str(requirements),
        "python": "/usr/bin/python3",
        "pip_args": [*pip_args],
    }
    with patch_module_args(arguments), pytest.raises(SystemExit):
        python_environment.main()
    text = capsys.readouterr().out
    return json.loads(text), text


def test_only_wheels_with_a_checksum_are_taken(pip: Pip, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "venv"
    assert call(capsys, path)[0]["changed"]
    assert {"--require-hashes", "--only-binary=:all:"} <= set(pip.calls[1])
    assert (path / ".gpuserve").is_file() and (path / ".complete").read_text() == "docker==7.2.0\n"
    assert not call(capsys, path)[0]["changed"]
    assert len(pip.calls) == 2


def test_a_password_is_in_the_environment_of_pip_alone(
    pip: Pip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _answer, text = call(capsys, tmp_path / "venv", "--index-url", INDEX, "--pre")
    assert pip.environment == {"PIP_INDEX_URL": INDEX}
    assert "--pre" in pip.calls[1] and PASSWORD not in str(pip.calls)
    assert PASSWORD not in text

    pip.says = f"ERROR: 401 for {INDEX}/docker with {PASSWORD}"
    answer, text = call(capsys, tmp_path / "other", "--index-url", INDEX)
    assert answer["failed"] and "vllm_stack_pip_args" in answer["msg"]
    assert PASSWORD not in text


def test_a_failure_leaves_the_old_environment(pip: Pip, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "venv"
    path.mkdir()
    (path / ".complete").write_text("of an older release\n")
    pip.says = "no such package"
    assert "no such package" in call(capsys, path)[0]["msg"]
    assert (path / ".complete").read_text() == "of an older release\n"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["requirements.txt", "venv"]


def test_a_folder_of_others_stays(pip: Pip, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "venv"
    path.mkdir()
    (path / "of-the-team").touch()
    answer, _text = call(capsys, path)
    assert answer["failed"] and answer["field"] == "vllm_stack_venv"
    assert pip.calls == [] and (path / "of-the-team").exists()


LINE = re.compile(r"""[A-Za-z0-9_.-]+==[0-9.]+( ; python_version (<|>=) "3\.11")?( --hash=sha256:[0-9a-f]{64} ?)+""")


def test_every_package_of_ours_has_a_version_and_checksums() -> None:
    lines = re.sub(r"\\\n\s*", "", REQUIREMENTS.read_text()).splitlines()
    assert len(lines) > 20
    for line in lines:
        assert line.startswith("#") or LINE.fullmatch(line), line[:80]
