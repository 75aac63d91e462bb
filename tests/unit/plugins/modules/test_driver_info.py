# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shell of driver_info on trees of files, with the answers of dpkg-query, apt-cache and modinfo given: no process runs."""

from __future__ import annotations

import ctypes
import datetime
import json
import os
import platform
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import gpu
from ansible_collections.gpuserve.fleet.plugins.modules import driver_info
from ansible_collections.gpuserve.fleet.tests.support.host_trees import KERNEL, HostTree, installed, rtx_5090

VERSION = "595.84.01"
REPOSITORY = "https://developer.download.nvidia.com/compute/cuda/repos/debian13/x86_64"
NAMES = ("nvidia-driver-cuda", "nvidia-kernel-open-dkms", "libcuda1", "libnvidia-ml1")


class Host:
    """A tree, and what its programs would answer."""

    def __init__(self, tree: HostTree, dpkg: str = "", madison: str = "") -> None:
        self.tree, self.dpkg, self.madison, self.asked = tree, dpkg, madison, [""]

    def run(self, command: list[str], *_arguments: Any, **_options: Any) -> tuple[int, str, str]:
        """Answer as the program does."""
        self.asked.append(" ".join(command))
        if "modinfo" in command[0]:
            return self.tree.modinfo(["modinfo", *command[1:]])
        return 0, {"dpkg-query": self.dpkg, "apt-cache": self.madison}[command[0].rsplit("/", 1)[-1]], ""


@pytest.fixture
def tree(tmp_path: Path) -> HostTree:
    return rtx_5090(HostTree(tmp_path)).write("etc/os-release", 'ID=debian\nVERSION_ID="13"\nPRETTY_NAME="Debian 13"\n')


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the module as Ansible would and return what it answers."""

    def run(host: Host, check: bool = False, **arguments: Any) -> dict[str, Any]:
        monkeypatch.setattr(AnsibleModule, "get_bin_path", lambda _self, name, **_options: f"/usr/bin/{name}")
        monkeypatch.setattr(AnsibleModule, "run_command", lambda _self, *args, **named: host.run(*args, **named))
        monkeypatch.setattr(platform, "release", lambda: KERNEL)
        monkeypatch.setattr(platform, "machine", lambda: "x86_64")
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        values = {"root": str(host.tree.root), "_ansible_check_mode": check, **arguments}
        with patch_module_args(values), pytest.raises(SystemExit):
            driver_info.main()
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer

    return run


def dpkg(version: str, status: str = "ii ") -> str:
    return "".join(f"{name}\t{version}-1\t{status}\n" for name in NAMES)


def madison(*versions: str) -> str:
    return "".join(f"{name} | {version}-1 | {REPOSITORY}  Packages\n" for name in NAMES for version in versions)


def test_only_reads_where_nothing_is_asked_for(tree: HostTree, call: Any) -> None:
    answer = call(Host(tree))
    assert not answer["changed"] and "choice" not in answer
    assert answer["cards"][0]["name"] == "NVIDIA GeForce RTX 5090"
    assert answer["decision"]["reason"] == "no NVIDIA driver is installed"
    assert answer["installed"] == {"source": "", "branch": 0, "version": "", "held": []}


def test_a_bare_host_gets_a_choice_a_plan_and_after_the_lists_were_read_targets(tree: HostTree, call: Any) -> None:
    host = Host(tree, madison=madison("610.57.04", VERSION))
    assert "targets" not in call(host, request={})
    assert not any("madison" in command for command in host.asked)
    answer = call(host, request={}, candidates=True)
    assert answer["choice"]["branch"] == 595
    assert answer["targets"]["install"] == [f"nvidia-driver-cuda={VERSION}-1", f"nvidia-kernel-open-dkms={VERSION}-1"]
    assert "Pin: version 595.*" in answer["choice"]["preferences"]


def test_the_default_is_what_the_repository_really_has(tree: HostTree, call: Any) -> None:
    answer = call(Host(tree, madison=madison("620.11.01", VERSION)), request={}, candidates=True)
    assert answer["choice"]["branch"] == 620


def test_a_driver_that_is_there_needs_nothing(tree: HostTree, call: Any) -> None:
    host = Host(installed(tree, VERSION), dpkg(VERSION, "hi "))
    answer = call(host, request={"extra_packages": ["libcuda1=595.*"]})
    assert answer["plan"] == {"missing": [], "headers": [], "touched": False}
    assert any(command.endswith(" libcuda1") for command in host.asked)
    assert answer["installed"] == {"source": "cuda_repo", "branch": 595, "version": VERSION, "held": sorted(NAMES)}


FILES = {"preferences": "/etc/apt/nvidia.pref", "unattended": "/etc/apt/51nvidia", "sources": "/etc/apt/nvidia.sources"}


def test_the_pin_is_due_until_both_of_its_files_hold_their_texts(tree: HostTree, call: Any) -> None:
    host = Host(installed(tree, VERSION), dpkg(VERSION))
    answer = call(host, request={"branch": 595}, files=FILES)
    assert "pin" in answer["due"]
    preferences, unattended = answer["pins"]
    assert preferences["content"].startswith("# Written by gpuserve.fleet.nvidia_driver.\n")
    assert "Pin: version 595.*" in preferences["content"]
    for pin in (preferences, unattended):
        if pin["content"]:
            tree.write(pin["path"].lstrip("/"), pin["content"].strip() + "\n")
    assert "pin" not in call(host, request={"branch": 595}, files=FILES)["due"]
    tree.write(FILES["unattended"].lstrip("/"), "// another text\n")
    assert "pin" in call(host, request={"branch": 595}, files=FILES)["due"]
    # Whoever names no files is told of none.
    assert "due" not in call(host, request={"branch": 595})


def test_another_entry_for_the_repository_is_due_to_go(tree: HostTree, call: Any) -> None:
    packages = dpkg(VERSION)
    tree.write(FILES["sources"].lstrip("/"), "Types: deb\n")
    # Ours is what the packages come from.
    assert "source" not in call(Host(installed(tree, VERSION), packages), request={}, files=FILES)["due"]
    other = Host(tree, f"{packages}cuda-keyring\t1.1-1\tii \n")
    assert "source" in call(other, request={}, files=FILES)["due"]


def test_a_driver_that_nvml_does_not_answer_for_is_due(
    tree: HostTree, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(installed(tree, VERSION), dpkg(VERSION))
    answers = {"status": 0, "devices": 1, "driver_version": VERSION, "names": []}
    monkeypatch.setattr(gpu, "nvml", lambda: answers)
    assert "driver" not in call(host, request={}, files=FILES, nvml=True)["due"]
    monkeypatch.setattr(gpu, "nvml", lambda: {**answers, "status": 18})
    assert "driver" in call(host, request={}, files=FILES, nvml=True)["due"]


def test_a_refusal_is_a_sentence_and_names_its_variable(tree: HostTree, call: Any) -> None:
    answer = call(Host(installed(tree, VERSION), dpkg(VERSION, "hi ")), request={"branch": 610})
    assert answer["failed"] and answer["field"] == "nvidia_driver_allow_held"
    assert "libcuda1, libnvidia-ml1, nvidia-driver-cuda, nvidia-kernel-open-dkms are on hold" in answer["msg"]


def test_a_dry_run_on_lists_that_are_not_there_has_no_targets(tree: HostTree, call: Any) -> None:
    answer = call(Host(tree), check=True, request={}, candidates=True)
    assert answer["targets"] == {"install": [], "due": []}
    assert call(Host(tree), request={}, candidates=True)["failed"]


def test_a_branch_that_ends_is_warned_of(tree: HostTree, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Later(datetime.date):
        @classmethod
        def today(cls) -> Any:
            return cls(2027, 1, 15)

    monkeypatch.setattr(datetime, "date", Later)
    warned: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, text: warned.append(text))
    call(Host(installed(tree, VERSION), dpkg(VERSION)), request={})
    assert "NVIDIA's driver branch 595 (production branch) ends in 2027-03." in warned[0]


def test_what_the_libraries_say(tree: HostTree, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a card there is no library to load, which is an answer, too."""

    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    answer = call(Host(tree), nvml=True, cuda=True)
    assert answer["nvml"]["sentence"] == "libnvidia-ml.so.1 was not found"
    assert answer["cuda"] == {"status": -1, "version": 0, "sentence": "libcuda.so.1 was not found"}


class Libcuda:
    """The calls that are made of it."""

    def __init__(self, status: int) -> None:
        self.status = status

    def cuInit(self, _flags: int) -> int:
        return self.status

    def cuDriverGetVersion(self, version: Any) -> int:
        version._obj.value = 13000
        return 0


@pytest.mark.parametrize(
    ("status", "version", "sentence"),
    [
        (0, 13000, ""),
        (803, 0, "libcuda.so.1 is of another version than the loaded kernel module"),
        (100, 0, "CUDA finds no device"),
        (4711, 0, "cuInit answered 4711"),
    ],
)
def test_cuda_starts_as_engines_have_it_start(
    tree: HostTree, call: Any, monkeypatch: pytest.MonkeyPatch, status: int, version: int, sentence: str
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: Libcuda(status))
    assert call(Host(tree), cuda=True)["cuda"] == {"status": status, "version": version, "sentence": sentence}
