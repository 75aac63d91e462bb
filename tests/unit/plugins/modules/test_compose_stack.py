# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module that renders a stack, on a real disk: validated beside what is there, swapped whole, and as it was on any failure."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import powerless
from ansible_collections.gpuserve.fleet.plugins.modules import bringup, compose_stack
from tests.bench.plan import GUIDE, plan_host
from tests.support.disk import FullDisk, picture

PLAN = plan_host([{"name": "NVIDIA GeForce RTX 5090", "uuid": "GPU-abc"}])
KEY, NEXT_KEY = "a-long-random-key-0123456789", "another-long-key-9876543210"


class Compose:
    """Docker Compose as a double: its word on what it is shown, and what it was shown."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refuses = ""
        self.asked: list[dict[str, tuple[str, str]]] = []
        monkeypatch.setattr(AnsibleModule, "run_command", lambda _module, command: self.answer(command))

    def answer(self, command: list[str]) -> tuple[int, str, str]:
        """What run_command returns."""
        if command[0] == "ip":
            own = command[-1] == "192.0.2.1"
            return 0, "2: eth1    inet 192.0.2.1/24 brd 192.0.2.255 scope global eth1" if own else "", ""
        draft = Path(command[command.index("-f") + 1])
        self.asked.append(picture(draft.parent))
        assert command[command.index("--project-directory") + 1] == str(draft.parent)
        return (1, "", self.refuses) if self.refuses else (0, "", "")


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Compose]:
    mask = os.umask(0o022)
    yield Compose(monkeypatch)
    # The module closes what it makes, for its whole process.
    assert os.umask(mask) in (0o022, 0o077)


def call(capsys: pytest.CaptureFixture[str], folder: Path, check: bool = False, **change: Any) -> dict[str, Any]:
    """Run the module as Ansible would and return what it answers."""
    arguments = {
        "models": GUIDE,
        "plan": PLAN,
        "image": "vllm/vllm-openai@sha256:0",
        "project_dir": str(folder / "stack"),
        "cache_dir": str(folder / "cache"),
        "api_key": KEY,
        "_ansible_check_mode": check,
        **change,
    }
    with patch_module_args(arguments), pytest.raises(SystemExit):
        compose_stack.main()
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_a_set_is_put_there_closed_and_a_second_time_nothing_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], docker: Compose
) -> None:
    answer = call(capsys, tmp_path)
    assert answer["changed"] and answer["changed_services"] == [model["name"] for model in GUIDE]
    stack = picture(tmp_path / "stack")
    assert stack["compose.yml"][0] == "0o600" and stack["env"][0] == "0o700"
    digests = {service["name"]: service["digest"] for service in answer["services"]}
    for name, digest in digests.items():
        assert stack[f"env/{name}-{digest}.env"] == ("0o600", f"VLLM_API_KEY={KEY}\n")
    assert len(stack) == 3 + len(GUIDE), "no draft is left"
    assert ".gpuserve" in stack and (tmp_path / "cache" / "vllm" / ".gpuserve").exists()
    assert (tmp_path / "cache" / "huggingface").is_dir()
    assert len(docker.asked) == 1
    assert not call(capsys, tmp_path)["changed"]
    assert len(docker.asked) == 1


def test_files_that_differ_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], docker: Compose) -> None:
    first = call(capsys, tmp_path)
    files = sorted(f"env/{service['name']}-{service['digest']}.env" for service in first["services"])
    assert first["changed_files"] == ["compose.yml", *files] and call(capsys, tmp_path)["changed_files"] == []
    (tmp_path / "stack" / files[0]).write_text("VLLM_API_KEY=another\n")
    (tmp_path / "stack" / files[1]).unlink()
    assert call(capsys, tmp_path, check=True)["changed_files"] == files[:2]


def test_what_it_warns_of_is_shown_without_a_word_on_how_it_was_handed_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], docker: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other tests of this process are a controller, which shows warnings itself.
    monkeypatch.setattr("ansible.module_utils._internal.is_controller", False)
    answer = call(capsys, tmp_path, transport="tcp", docker_version="26.1.5")
    assert "moby issue 45610" in str(answer["warnings"])
    assert not answer.get("deprecations")


def test_an_engine_of_several_hosts_meets_the_others_at_an_address_of_this_host(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], docker: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ansible.module_utils._internal.is_controller", False)
    member = {"rank": 0, "address": "192.0.2.1", "master_address": "192.0.2.1"}
    given: dict[str, Any] = {"models": [{**GUIDE[0], "distributed": {"hosts": 2, "member": member}}]}
    answer = call(capsys, tmp_path, **given)
    assert "GLOO_SOCKET_IFNAME: eth1" in answer["content"] and answer["services"][0]["group"] == "0/2"
    assert "Whoever reaches them may run code" in str(answer["warnings"])

    elsewhere: dict[str, Any] = {
        "models": [{**GUIDE[0], "distributed": {"hosts": 2, "member": {**member, "address": "192.0.2.7"}}}]
    }
    before = picture(tmp_path)
    assert call(capsys, tmp_path, **elsewhere)["msg"] == (
        "gpuserve_address: 192.0.2.7 is on no interface of this host. Write the address that it has itself. Nothing was changed."
    )
    assert picture(tmp_path) == before
    # A preview may be made where the address is not.
    assert "GLOO_SOCKET_IFNAME" not in call(capsys, tmp_path, check=True, **elsewhere)["content"]


def test_the_host_s_journal_has_no_word_of_what_it_was_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], docker: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[str] = []
    monkeypatch.setattr(AnsibleModule, "log", lambda _module, text, log_args=None: logged.append(f"{text} {log_args}"))
    models = [{**GUIDE[0], "env": {"AWS_SECRET_ACCESS_KEY": "a-secret-of-a-model"}}, *GUIDE[1:]]
    # Ansible says so of every task that has no no_log, whatever the module asks for.
    assert call(capsys, tmp_path, models=models, _ansible_no_log=False)["changed"]
    assert logged and "a-secret-of-a-model" not in "".join(logged)


def test_what_compose_judges_is_the_whole_set_and_none_of_it_is_there_yet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], docker: Compose
) -> None:
    call(capsys, tmp_path)
    assert sorted(docker.asked[0]) == sorted(name for name in picture(tmp_path / "stack") if name != ".gpuserve")


def test_a_refused_set_leaves_the_disk_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], docker: Compose
) -> None:
    call(capsys, tmp_path)
    before = picture(tmp_path)
    docker.refuses = "time=now level=warning\nservices.yi.volumes.3 \x1b[2Jmust be a string\n"
    answer = call(capsys, tmp_path, api_key=NEXT_KEY, image="vllm/vllm-openai@sha256:1")
    assert answer["failed"]
    assert "refuses the rendered stack: services.yi.volumes.3 \\x1b[2Jmust be a string" in answer["msg"]
    assert answer["msg"].endswith("Nothing was changed.")
    after = {name: entry for name, entry in picture(tmp_path).items() if not name.startswith("cache/")}
    assert after == {name: entry for name, entry in before.items() if not name.startswith("cache/")}


def test_a_disk_that_fills_at_any_byte_leaves_it_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], docker: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(capsys, tmp_path)
    call(capsys, tmp_path, api_key=NEXT_KEY, check=True)
    before = picture(tmp_path / "stack")
    size = len(before["compose.yml"][1].encode())
    for room in (0, 1, size - 1, size, size + 10, size + 45, size + 90, size + 150):
        with monkeypatch.context() as patch:
            disk = FullDisk(patch, room)
            answer = call(capsys, tmp_path, api_key=NEXT_KEY)
            if not disk.refused:
                break
        assert answer["failed"] and "can't be written (No space left on device)" in answer["msg"]
        assert picture(tmp_path / "stack") == before
    assert not call(capsys, tmp_path)["changed"]


def failing_rename(last: int) -> Callable[..., None]:
    """A renaming that fails once, where as many as `last` have put something in its place before."""
    rename, moved = os.rename, []

    def fail(source: Any, target: Any, **named: Any) -> None:
        if not named and ".before" not in str(source):
            moved.append(str(target))
            if len(moved) == last + 1:
                raise OSError(5, "Input/output error")
        rename(source, target, **named)

    return fail


def test_a_rename_that_fails_is_undone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], docker: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(capsys, tmp_path)
    before = picture(tmp_path / "stack")
    for at in range(len(GUIDE) + 1):
        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", failing_rename(at))
            answer = call(capsys, tmp_path, api_key=NEXT_KEY)
        assert answer["failed"] and "Input/output error" in answer["msg"]
        assert picture(tmp_path / "stack") == before


def test_a_file_of_the_same_name_comes_back_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], docker: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = call(capsys, tmp_path)
    digest = next(service["digest"] for service in answer["services"] if service["name"] == "yi")
    (tmp_path / "stack" / "env" / f"yi-{digest}.env").write_text("VLLM_API_KEY=of-a-rollback\n")
    before = picture(tmp_path / "stack")
    rename = os.rename

    def fail(source: Any, target: Any, **named: Any) -> None:
        if str(target).endswith("/compose.yml"):
            raise OSError(5, "Input/output error")
        rename(source, target, **named)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", fail)
        assert call(capsys, tmp_path)["failed"]
    assert picture(tmp_path / "stack") == before
    assert call(capsys, tmp_path)["changed"]
    assert (tmp_path / "stack" / "env" / f"yi-{digest}.env").read_text() == f"VLLM_API_KEY={KEY}\n"


def test_another_key_is_another_file_and_the_one_in_use_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], docker: Compose
) -> None:
    call(capsys, tmp_path)
    there = set(picture(tmp_path / "stack"))
    call(capsys, tmp_path, api_key=NEXT_KEY)
    after = picture(tmp_path / "stack")
    assert there < set(after)
    assert sum(KEY in text for _mode, text in after.values()) == len(GUIDE), "engines that run still read theirs"
    assert sum(NEXT_KEY in text for _mode, text in after.values()) == len(GUIDE)


def test_a_model_s_variables_are_in_its_file_and_nowhere_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], docker: Compose
) -> None:
    models = [{**GUIDE[0], "env": {"AWS_SECRET_ACCESS_KEY": "plant3d-$x 'y'"}}, *GUIDE[1:]]
    answer = call(capsys, tmp_path, models=models, api_key="")
    assert "plant3d" not in json.dumps(answer)
    assert answer["invocation"]["module_args"]["models"][0]["env"] == {"AWS_SECRET_ACCESS_KEY": "********"}
    refused = call(capsys, tmp_path, models=[{**models[0], "port": 1}])
    assert refused["failed"] and "plant3d" not in json.dumps(refused)
    holding = [name for name, (_mode, text) in picture(tmp_path / "stack").items() if "plant3d" in text]
    assert len(holding) == 1 and holding[0].startswith("env/tinyllama-")
    assert len([name for name in picture(tmp_path / "stack") if name.endswith(".env")]) == 1


@pytest.mark.parametrize("name", ["api_key", "hf_token"])
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("vllm", "it has 4 characters"),
        ("8001", "it has 4 characters"),
        ("tinyllama", "it is part of a name"),
        ("gpuserve", "it is part of a name"),
        ("long-enough-key\n", "it holds a line end"),
    ],
)
def test_a_key_that_ansible_would_tear_out_of_results_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], docker: Compose, name: str, value: str, said: str
) -> None:
    change: dict[str, Any] = {name: value}
    answer = call(capsys, tmp_path, **change)
    assert answer["failed"]
    assert answer["field"] == f"vllm_stack_{name}"
    assert answer["msg"].startswith(f"vllm_stack_{name}: {said}")
    assert value not in json.dumps(answer["invocation"])
    assert not (tmp_path / "stack").exists()


def test_a_dry_run_asks_nobody_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], docker: Compose
) -> None:
    answer = call(capsys, tmp_path, check=True)
    assert answer["changed"] and KEY not in json.dumps(answer["diff"])
    assert docker.asked == [] and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "variable"), [("stack", "project_dir"), ("cache", "cache_dir")])
def test_a_folder_that_others_may_write_in_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], docker: Compose, name: str, variable: str
) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name).chmod(0o777)
    answer = call(capsys, tmp_path)
    assert answer["failed"] and answer["msg"].startswith(f"vllm_stack_{variable}: {tmp_path}/{name}")
    assert "is not root's alone: every account may write in" in answer["msg"]
    assert list((tmp_path / name).iterdir()) == [] and docker.asked == []


def test_a_model_s_folder_that_is_not_there_or_that_an_engine_can_t_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], docker: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "weights"
    models = [{**GUIDE[0], "model": str(weights)}, *GUIDE[1:]]
    answer = call(capsys, tmp_path, models=models)
    assert f"vllm_stack_models[0].model: {weights} is not on the host." in answer["msg"]
    weights.mkdir()
    (weights / "model.safetensors").touch(0o600)
    monkeypatch.setattr(powerless, "_may", lambda found, wanted: found.st_size != 0)
    answer = call(capsys, tmp_path, models=models)
    assert "model.safetensors belongs to uid" in answer["msg"] and "the engine can't read it" in answer["msg"]
    assert f"chown -R root:root {weights}" in answer["msg"]
    monkeypatch.undo()


def test_a_cache_that_an_engine_could_not_write_to_is_known_before_anything_is_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], docker: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(capsys, tmp_path)["changed"]
    cache = next((tmp_path / "cache" / "vllm").glob("qwen-*"))
    before = picture(tmp_path / "stack")
    closed = cache.stat().st_ino
    monkeypatch.setattr(powerless, "_may", lambda found, wanted: found.st_ino != closed or not wanted & 0o2)
    answer = call(capsys, tmp_path, api_key=NEXT_KEY)
    assert answer["msg"].startswith(f"vllm_stack_cache_dir: {cache} belongs to uid")
    assert "the engine can't write in it" in answer["msg"] and f"chown -R root:root {cache}" in answer["msg"]
    assert picture(tmp_path / "stack") == before


def test_a_plan_that_does_not_fit_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], docker: Compose
) -> None:
    answer = call(capsys, tmp_path, plan={"feasible": False})
    assert answer["msg"] == "plan: it does not fit. Plan again with what its reasons say. Nothing was changed."


def test_a_model_that_left_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], docker: Compose) -> None:
    models = [{**model, "port": 8001 + at} for at, model in enumerate(GUIDE)]
    call(capsys, tmp_path, models=models)
    answer = call(capsys, tmp_path, models=models[1:])
    assert (answer["removed_services"], answer["changed_services"]) == (["tinyllama"], [])


def test_an_engine_gets_the_same_time_to_end_from_compose_and_from_a_bring_up() -> None:
    defaults = [
        yaml.safe_load(module.DOCUMENTATION)["options"]["stop_grace_s"]["default"]
        for module in (compose_stack, bringup)
    ]
    assert defaults == [30, 30]
