# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is pulled, run and kept, by a Docker whose registry and tags move."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gpuserve.fleet.plugins.modules import image_pin

TAG = "acme/web:1"
FIRST, SECOND = (f"acme/web@sha256:{letter * 64}" for letter in "ab")
Call = Callable[..., dict[str, Any]]


class Docker:
    """A host's images by name, what a registry has, and what was pulled."""

    def __init__(self) -> None:
        self.here: dict[str, str] = {}
        self.registry: dict[str, str] = {TAG: FIRST, FIRST: FIRST}
        self.pulled: list[str] = []
        self.installed = True

    def run(self, command: list[str], **_options: Any) -> tuple[int, str, str]:
        """Answer as the command does."""
        if not self.installed:
            raise FileNotFoundError(command[0])
        image = command[-1]
        if command[1] == "pull":
            self.pulled.append(image)
            if image not in self.registry:
                return 1, "", "Error response from daemon: no route to host\n"
            self.here[image] = self.here[self.registry[image]] = self.registry[image]
            return 0, f"{image}\n", ""
        found = self.here.get(image)
        return (0, f"sha256:id {found}\n", "") if found is not None else (1, "", "No such image")


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> Docker:
    """Return a host without images."""
    found = Docker()
    monkeypatch.setattr(AnsibleModule, "run_command", found.run)
    return found


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    """Return the module as Ansible calls it."""

    def calling(image: str = TAG, check: bool = False, **change: Any) -> dict[str, Any]:
        record = str(tmp_path / "state" / "images.json")
        given = {"image": image, "variable": "gateway_image", "record": record, "_ansible_check_mode": check, **change}
        with patch_module_args(given), pytest.raises(SystemExit):
            image_pin.main()
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer

    return calling


def test_a_tag_runs_as_what_it_stood_for_first(docker: Docker, call: Call, tmp_path: Path) -> None:
    first = call()
    assert (first["changed"], first["image"], first["present"]) == (True, FIRST, True)
    record = tmp_path / "state" / "images.json"
    assert json.loads(record.read_text()) == {TAG: FIRST} and record.stat().st_mode & 0o777 == 0o600
    # Somebody pushes another image under the tag, and somebody pulls it.
    docker.registry |= {TAG: SECOND, SECOND: SECOND}
    docker.here |= {TAG: SECOND, SECOND: SECOND}
    again = call()
    assert (again["changed"], again["image"]) == (False, FIRST)
    # All unused images go: the same one comes back.
    docker.here.clear()
    assert (call()["image"], docker.pulled) == (FIRST, [TAG, FIRST])


def test_what_a_tag_stands_for_now_is_taken_when_somebody_says_so(docker: Docker, call: Call) -> None:
    call()
    docker.registry |= {TAG: SECOND, SECOND: SECOND}
    renewed = call(renew=True)
    assert (renewed["changed"], renewed["image"]) == (True, SECOND)
    assert (call()["image"], call()["changed"]) == (SECOND, False)
    assert call(renew=True)["changed"] is False


def test_another_tag_is_pulled_by_its_own_name(docker: Docker, call: Call) -> None:
    call()
    docker.registry |= {"acme/web:2": SECOND}
    assert call("acme/web:2")["image"] == SECOND
    assert call()["image"] == FIRST


def test_one_that_was_loaded_from_a_file_is_run_by_its_name(docker: Docker, call: Call, tmp_path: Path) -> None:
    docker.here[TAG] = ""
    answer = call()
    assert (answer["changed"], answer["image"], docker.pulled) == (False, TAG, [])
    assert not (tmp_path / "state").exists()


def test_renewing_where_no_registry_answers_takes_what_was_loaded(
    docker: Docker, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, text: warned.append(text))
    call()
    docker.registry.clear()
    docker.here[TAG] = ""
    assert call(renew=True)["image"] == TAG
    assert call()["image"] == TAG
    assert warned == [
        "acme/web:1 can't be pulled (Error response from daemon: no route to host): what the host has under that name is taken."
    ]


def test_one_that_says_its_digest_is_what_it_says(docker: Docker, call: Call, tmp_path: Path) -> None:
    assert call(FIRST)["image"] == FIRST
    assert call(FIRST, renew=True)["image"] == FIRST
    assert docker.pulled == [FIRST]
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("change", [{"check": True}, {"pull": False}])
def test_looking_pulls_and_keeps_nothing(docker: Docker, call: Call, tmp_path: Path, change: dict[str, bool]) -> None:
    assert call(**change) == {**call(**change), "changed": False, "image": TAG, "present": False}
    docker.here[TAG] = FIRST
    assert call(**change)["image"] == FIRST
    docker.installed = False
    assert call(**change)["present"] is False
    assert (docker.pulled, (tmp_path / "state").exists()) == ([], False)


def test_one_that_is_gone_is_told_with_both_names(docker: Docker, call: Call) -> None:
    docker.registry.clear()
    assert call()["msg"] == (
        "gateway_image: acme/web:1 can't be pulled: Error response from daemon: no route to host. "
        "Correct it, or let the host reach its registry."
    )
    docker.registry |= {TAG: FIRST}
    call()
    docker.registry = {TAG: SECOND}
    docker.here.clear()
    answer = call()
    assert answer["failed"] and answer["msg"].startswith(
        f"gateway_image: {FIRST}, which acme/web:1 stood for when it was first pulled, is not on the host and can't be pulled"
    )
    assert answer["msg"].endswith("or take what the tag stands for now with -e gateway_image_renew=true.")
