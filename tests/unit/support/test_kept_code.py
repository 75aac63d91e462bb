# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a test run's Pythons keep of the modules that Ansible sends."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
import zipfile
import zipimport
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible import constants
from ansible.executor import module_common
from ansible.module_utils import basic
from ansible_compat import config
from molecule.provisioner import ansible_playbook as provisioner

from ansible_collections.gpuserve.fleet.tests.support.lab.boxes import KEEPS_CODE
from ansible_collections.gpuserve.fleet.tests.support.lab.common import CHECKOUT

SOURCES = [*(CHECKOUT / "plugins").rglob("*.py"), *Path(basic.__file__).parent.rglob("*.py")]


@pytest.fixture
def keeps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModuleType]:
    """Return the file that Pythons read at their start, with a folder of its own."""
    monkeypatch.setenv("GPUSERVE_LAB_CODE", str(tmp_path / "code"))
    monkeypatch.setattr(zipimport, "_compile_source", zipimport._compile_source)  # type: ignore[attr-defined]
    finders = list(sys.meta_path)
    spec = importlib.util.spec_from_file_location("keeps_code", KEEPS_CODE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "code").mkdir()
    yield module
    sys.meta_path[:] = finders


def value(folder: Path, text: str) -> object:
    """Return what a module in an archive says."""
    archive = folder / f"{abs(hash(text))}.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("kept_in_zip.py", text)
    names: dict[str, object] = {}
    exec(zipimport.zipimporter(str(archive)).get_code("kept_in_zip"), names)
    return names["SAID"]


def test_what_is_compiled_once_is_read_the_next_time(
    keeps: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert value(tmp_path, "SAID = 1") == 1
    monkeypatch.setattr(keeps, "_compile", None)
    assert value(tmp_path, "SAID = 1") == 1
    with pytest.raises(TypeError):
        value(tmp_path, "SAID = 2")


def test_another_source_is_another_code(keeps: ModuleType, tmp_path: Path) -> None:
    assert [value(tmp_path, f"SAID = {number}") for number in (1, 2, 1)] == [1, 2, 1]
    assert len(list(Path(keeps.FOLDER).iterdir())) == 2


@pytest.mark.parametrize("damaged", [b"", b"nonsense", b"\xe9\x01\x00\x00\x00"], ids=["empty", "nonsense", "a number"])
def test_a_damaged_file_is_compiled_anew(keeps: ModuleType, tmp_path: Path, damaged: bytes) -> None:
    assert value(tmp_path, "SAID = 1") == 1
    (file,) = Path(keeps.FOLDER).iterdir()
    file.write_bytes(damaged)
    assert value(tmp_path, "SAID = 1") == 1
    assert file.read_bytes() != damaged


def test_a_folder_that_is_not_there_is_no_failure(keeps: ModuleType, tmp_path: Path) -> None:
    Path(keeps.FOLDER).rmdir()
    assert value(tmp_path, "SAID = 1") == 1


def found(tree: ast.Module) -> tuple[set[Any], set[Any]]:
    """Return what Ansible finds in a tree: what it sends along, and what of that may be missing."""
    finder = module_common.ModuleDepFinder("ansible_collections.gpuserve.fleet.plugins.modules.some", tree)
    return finder.submodules, finder.optional_imports


def test_of_all_that_is_sent_the_imports_alone_say_the_same_as_the_whole(keeps: ModuleType) -> None:
    whole = [found(ast.parse(path.read_bytes())) for path in SOURCES]
    assert [found(keeps.imports_alone(ast.parse(path.read_bytes()))) for path in SOURCES] == whole
    assert any(optional for _all, optional in whole), "some are deeper than the module's own"


def test_a_source_is_parsed_once_for_its_imports(keeps: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_common, "_compile_module_ast", module_common._compile_module_ast)
    keeps.keep_imports(module_common)
    text = "import os\ntry:\n    from ansible.module_utils.basic import Some\nexcept ImportError:\n    Some = None\n"
    first = found(module_common._compile_module_ast("some", text))
    assert first == ({("ansible", "module_utils", "basic", "Some")},) * 2
    monkeypatch.setattr(keeps, "imports_alone", None)
    assert found(module_common._compile_module_ast("some", text)) == first


def test_what_is_to_be_changed_is_changed_once_it_is_loaded_and_nothing_else_is(keeps: ModuleType) -> None:
    finder = keeps.Changer()
    sys.meta_path.insert(0, finder)
    assert finder.find_spec("ansible.executor.play_iterator") is None
    spec = finder.find_spec("ansible.executor.module_common")
    assert finder.find_spec("ansible.executor.module_common") is None, "else the way to it would never end"
    builder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(builder)
    assert builder._compile_module_ast is not module_common._compile_module_ast
    assert builder._compile_module_ast.__module__ == "keeps_code"


def test_a_playbook_that_waits_looks_a_hundred_times_a_second(keeps: ModuleType) -> None:
    assert vars(constants)["DEFAULT_INTERNAL_POLL_INTERVAL"] == 0.001, "what Ansible has it at"
    spec = keeps.Changer().find_spec("ansible.constants")
    changed = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(changed)
    assert vars(changed)["DEFAULT_INTERNAL_POLL_INTERVAL"] == 0.01


def test_molecule_asks_once_for_an_ansible_playbook(keeps: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    playbook = provisioner.AnsiblePlaybook
    monkeypatch.setattr(playbook, "_validate_backend", lambda _self, backend: asked.append(backend))
    keeps.ask_once(provisioner)
    for backend in ("ansible-playbook", "ansible-playbook", "ansible-navigator"):
        playbook._validate_backend(playbook.__new__(playbook), backend)
    assert asked == ["ansible-playbook", "ansible-navigator"]


def test_settings_are_read_anew_once_something_of_them_changes(
    keeps: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[list[str]] = []

    def answer(command: list[str], **_options: object) -> str:
        asked.append(command)
        return f"FORKS(default) = {len(asked)}"

    monkeypatch.setattr(subprocess, "check_output", answer)
    monkeypatch.setattr(config, "subprocess", subprocess)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANSIBLE_CONFIG", raising=False)
    keeps.keep_settings(config)

    def forks() -> object:
        return config.AnsibleConfig()["FORKS"]

    assert [forks(), forks()] == [1, 1]
    (tmp_path / "ansible.cfg").write_text("[defaults]\nforks = 20\n")
    assert [forks(), forks()] == [2, 2]
    monkeypatch.setenv("ANSIBLE_FORKS", "7")
    assert [forks(), forks()] == [3, 3]
    theirs = vars(config)["subprocess"]
    assert theirs.check_output(["something", "else"]) == "FORKS(default) = 4"
    assert theirs.run is subprocess.run
