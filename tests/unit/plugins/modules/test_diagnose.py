# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module reads, on a tree of files and a daemon that is a table; what it shows, and what its bundle holds."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.diagnose import reader
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import docker_socket
from ansible_collections.gpuserve.fleet.plugins.modules import diagnose

TOKEN = "a-token-without-any-form"
LOG = ["INFO starting", f"torch.OutOfMemoryError: CUDA out of memory after asking with {TOKEN}"]
ENGINE = {
    "Id": "e1",
    "Names": ["/vllm-qwen"],
    "Labels": {"fleet.gpuserve.stack": "gpuserve", "fleet.gpuserve.model": "qwen"},
}
FOREIGN = {"Id": "f1", "Names": ["/somebody"], "Labels": {"fleet.gpuserve.stack": "other"}}
GATEWAY = {"Id": "g1", "Names": ["/gpuserve-gateway"], "Labels": {}}
ANSWERS: dict[str, Any] = {
    "/version": {"Version": "29.1.0"},
    "/containers/json?all=1": [ENGINE, FOREIGN, GATEWAY],
    "/containers/e1/json": {"State": {"Status": "exited", "ExitCode": 1}, "RestartCount": 0},
    "/containers/g1/json": {"State": {"Status": "running", "Health": {"Status": "healthy"}}},
}


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Lay a host's files out, and let no process run."""
    monkeypatch.setattr(AnsibleModule, "run_command", lambda *_given, **_options: (1, "", ""))
    monkeypatch.setattr(docker_socket, "get", lambda _path, endpoint: ANSWERS.get(endpoint))
    monkeypatch.setattr(docker_socket, "log", lambda _path, identity, _lines: LOG if identity == "e1" else [])
    stack = tmp_path / "stack"
    (stack / "proved").mkdir(parents=True)
    (stack / "env").mkdir()
    (stack / "env/qwen-1.env").write_text(f"HF_TOKEN='{TOKEN}'\n")
    (stack / "compose.yml").write_text("services: {}\n")
    (stack / "proved/plan.json").write_text(
        json.dumps({"services": [{"name": name, "container": f"vllm-{name}"} for name in ("qwen", "gone")]})
    )
    state = tmp_path / "state"
    state.mkdir()
    (state / "journal.json").write_text('{"doing": "bring-up"}')
    return {
        "name": "gpu01",
        "root": str(tmp_path / "root"),
        "project_dir": str(stack),
        "state_dir": str(state),
        "drain_dir": str(tmp_path / "drain"),
        "need_card": False,
    }


def run(given: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    with patch_module_args(given), pytest.raises(SystemExit):
        diagnose.main()
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_what_is_wrong_is_named_of_ours_alone(places: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    answer = run(places, capsys)
    assert [(one["rule"], one["subject"]) for one in answer["findings"]] == [
        ("unfinished", "stack"),
        ("container_missing", "engine vllm-gone"),
        ("out_of_memory", "engine qwen"),
    ]
    assert answer["status"] == "fail" and not answer["changed"]
    assert answer["table"][0] == "gpu01   fail" and TOKEN not in json.dumps(answer)


def test_an_engine_of_several_hosts_is_known_by_its_label(
    places: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def get(_path: str, endpoint: str) -> Any:
        answer: Any = ANSWERS.get(endpoint)
        of_one = isinstance(answer, dict) and "State" in answer
        return {**answer, "Config": {"Labels": {"fleet.gpuserve.group": "1/2"}}} if of_one else answer

    monkeypatch.setattr(docker_socket, "get", get)
    found = next(one for one in run(places, capsys)["findings"] if one["subject"] == "engine qwen")
    assert "its group of hosts makes no token until all of them start it again" in found["text"]


@pytest.mark.parametrize(
    ("place", "proved", "made", "silent"),
    [
        ("0/2", (False, ""), [7, 7], True),
        ("0/2", (True, ""), [7, 8], False),
        # Busy with others' requests, or of another key: neither is silent.
        ("0/2", (False, ""), [7, 8], False),
        ("0/2", (False, "401 Unauthorized"), [7, 7], False),
        # The other hosts have no API to ask, and one alone is known by its health.
        ("1/2", (False, ""), [7, 7], False),
        ("", (False, ""), [7, 7], False),
    ],
)
def test_the_first_one_of_several_hosts_is_asked_for_a_token(
    places: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    proved: tuple[bool, str],
    made: list[int],
    silent: bool,
) -> None:
    figures = iter(made)

    class Engine:
        def __init__(self, where: int | str, model: str, _key: str) -> None:
            assert (where, model) == (8001, "qwen")

        def proves(self, _task: str, timeout_s: float) -> tuple[bool, str]:
            assert timeout_s == reader.TOKEN_S
            return proved

        def figures(self) -> dict[str, float]:
            return {"generation_tokens_total": next(figures)}

    engine: dict[str, Any] = ENGINE
    labels = {**engine["Labels"], **({"fleet.gpuserve.group": place} if place else {}), "fleet.gpuserve.port": "8001"}
    healthy = {"Status": "running", "Health": {"Status": "healthy"}}
    answers = {
        **ANSWERS,
        "/containers/json?all=1": [{**ENGINE, "Labels": labels}],
        "/containers/e1/json": {"State": healthy, "Config": {"Labels": labels}},
    }
    monkeypatch.setattr(docker_socket, "get", lambda _path, endpoint: answers.get(endpoint))
    monkeypatch.setattr(reader, "Engine", Engine)
    found = [one["rule"] for one in run(places, capsys)["findings"] if one["subject"] == "engine qwen"]
    assert found == (["group_silent"] if silent else [])


def test_a_daemon_that_does_not_answer_is_the_one_finding(
    places: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_socket, "get", lambda _path, _endpoint: None)
    (Path(places["state_dir"]) / "journal.json").unlink()
    answer = run({**places, "docker_socket": places["root"] + "/docker.sock"}, capsys)
    assert [one["text"] for one in answer["findings"]] == ["Docker is not there or does not run: it has no socket"]


def test_a_bundle_is_closed_and_holds_no_secret(
    places: dict[str, Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bundle = tmp_path / "support.tar.gz"
    answer = run({**places, "bundle": str(bundle)}, capsys)
    assert answer["changed"] and bundle.stat().st_mode & 0o777 == 0o600
    with tarfile.open(bundle) as archive:
        texts = {member.name: archive.extractfile(member).read().decode() for member in archive.getmembers()}  # type: ignore[union-attr]
    assert sorted(texts) == sorted(f"gpuserve-support/{name}" for name in answer["bundle_files"])
    assert "CUDA out of memory" in texts["gpuserve-support/logs/vllm-qwen.log"]
    assert TOKEN not in "".join(texts.values()) and not any("env" in name.split("/")[-1].split(".") for name in texts)


def test_a_dry_run_writes_no_bundle_and_a_place_without_room_is_named(
    places: dict[str, Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bundle = tmp_path / "support.tar.gz"
    assert (
        run({**places, "bundle": str(bundle), "_ansible_check_mode": True}, capsys)["changed"] and not bundle.exists()
    )
    (tmp_path / "file").write_text("")
    answer = run({**places, "bundle": str(tmp_path / "file/support.tar.gz")}, capsys)
    assert answer["failed"] and answer["msg"].startswith(f"bundle: {tmp_path}/file/support.tar.gz can't be written")


def test_an_upgrade_that_was_interrupted_is_known_by_the_mark_that_the_playbook_leaves(
    places: dict[str, Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "state/journal.json").unlink()
    mark = tmp_path / "elsewhere"
    found = []
    for there in (False, True):
        if there:
            mark.touch()
        answer = run({**places, "upgrade_mark": str(mark)}, capsys)
        found.append([one["rule"] for one in answer["findings"] if one["rule"] == "unfinished"])
    assert found == [[], ["unfinished"]]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"services": 3}', "[]", '{"services": ["vllm-qwen", {}]}'])
def test_a_record_of_the_proved_set_that_is_none_names_no_container(
    places: dict[str, Any], capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (Path(places["project_dir"]) / "proved/plan.json").write_text(text)
    assert "container_missing" not in [one["rule"] for one in run(places, capsys)["findings"]]


def test_a_bring_up_whose_note_was_cut_off_is_unfinished_as_well(
    places: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    (Path(places["state_dir"]) / "journal.json").write_text('{"doing": "bri')
    assert "unfinished" in [one["rule"] for one in run(places, capsys)["findings"]]
