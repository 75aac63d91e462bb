# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a test run's Pythons keep of what they compile out of zip archives."""

from __future__ import annotations

import importlib.util
import zipfile
import zipimport
from pathlib import Path
from types import ModuleType

import pytest

from ansible_collections.gpuserve.fleet.tests.support.lab.boxes import KEEPS_CODE


@pytest.fixture
def keeps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """Return the file that Pythons read at their start, with a folder of its own."""
    monkeypatch.setenv("GPUSERVE_LAB_CODE", str(tmp_path / "code"))
    monkeypatch.setattr(zipimport, "_compile_source", zipimport._compile_source)  # type: ignore[attr-defined]
    spec = importlib.util.spec_from_file_location("keeps_code", KEEPS_CODE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "code").mkdir()
    return module


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
    (kept,) = Path(keeps.FOLDER).iterdir()
    kept.write_bytes(damaged)
    assert value(tmp_path, "SAID = 1") == 1
    assert kept.read_bytes() != damaged


def test_a_folder_that_is_not_there_is_no_failure(keeps: ModuleType, tmp_path: Path) -> None:
    Path(keeps.FOLDER).rmdir()
    assert value(tmp_path, "SAID = 1") == 1
