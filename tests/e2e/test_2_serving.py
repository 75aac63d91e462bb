# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The main job, with the real vLLM: `make demo`'s path, a second run, a killed engine, and taking it all away."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from typing import Any

import pytest
import yaml

from ansible_collections.gpuserve.fleet.tests.e2e.conftest import CHECKOUT, LAB, Box, command, play

MODELS = ["llama", "qwen", "mistral"]
SCREEN = 48  # lines
SITE_TAGS = sorted(
    {
        tag
        for play in yaml.safe_load((CHECKOUT / "playbooks/site.yml").read_text(encoding="utf-8"))
        for task in play.get("tasks", [])
        for tag in task["tags"]
    }
)


def call(url: str, body: dict[str, Any] | None = None) -> tuple[int, str]:
    """Return the status and the text of an answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_the_demonstration_ends_with_a_table_and_three_answers(box: Box) -> None:
    run = command(LAB, "demo", "up")
    assert run.code == 0
    print(f"the first play and its preparation took {run.seconds:.0f} s")
    for name in MODELS:
        # The play's own last screen has a row a model, too; the demonstration's table is the one with its addresses.
        row = next(line for line in run.text.splitlines() if line.split()[:1] == [name] and box.url in line)
        assert row.count(" GiB") == 2, "planned and measured memory stand in the table"
        assert any(line.strip().startswith(f"{name}: ") for line in run.text.splitlines()), "what the model said"
    assert "make demo-down" in run.text


def test_the_report_measures_what_was_planned(box: Box) -> None:
    report = json.loads(box.run("cat", "/var/lib/gpuserve/report.json"))
    assert sorted(model["name"] for model in report["models"]) == sorted(MODELS)
    for model in report["models"]:
        assert model["planned_bytes"] > 256 << 20
        assert model["measured_bytes"] > 256 << 20


def test_the_gateway_lists_and_routes(box: Box) -> None:
    status, text = call(f"{box.url}/v1/models")
    assert status == 200
    assert sorted(model["id"] for model in json.loads(text)["data"]) == sorted(MODELS)
    for name in MODELS:
        status, text = call(f"{box.url}/v1/completions", {"model": name, "prompt": "Hello", "max_tokens": 4})
        assert status == 200
        answer = json.loads(text)
        assert answer["model"] == name
        assert answer["usage"]["completion_tokens"] >= 1


def test_an_engine_itself_asks_for_the_key_that_only_the_gateway_has(box: Box) -> None:
    key = json.loads(command(LAB, "demo", "prepare").text.partition("\n{")[2].join(["{", ""]))["vllm_stack_api_key"]
    asked = (
        "import sys, urllib.request, urllib.error\n"
        "request = urllib.request.Request('http://127.0.0.1:8001/v1/models', headers={'Authorization': sys.argv[1]})\n"
        "try: print(urllib.request.urlopen(request, timeout=30).status)\n"
        "except urllib.error.HTTPError as error: print(error.code)\n"
    )
    assert box.run("python3", "-c", asked, "none") == "401"
    assert box.run("python3", "-c", asked, f"Bearer {key}") == "200"
    # Neither Docker nor a list of processes shows it.
    assert key not in box.run("sh", "-c", "docker inspect $(docker ps -aq); ps axww")


def test_a_stream_comes_in_pieces(box: Box) -> None:
    body = {"model": "qwen", "prompt": "Once", "max_tokens": 40, "ignore_eos": True, "stream": True}
    status, text = call(f"{box.url}/v1/completions", body)
    assert status == 200
    events = [line for line in text.splitlines() if line.startswith("data: ")]
    assert events[-1] == "data: [DONE]"
    # Random weights make half characters, which an engine keeps until they are whole: fewer pieces than tokens.
    assert len(events) >= 8


def test_anthropic_s_messages_are_answered(box: Box) -> None:
    body = {"model": "qwen", "max_tokens": 4, "messages": [{"role": "user", "content": "Hello"}]}
    status, text = call(f"{box.url}/v1/messages", body)
    assert status == 200
    answer = json.loads(text)
    assert (answer["type"], answer["role"], answer["model"]) == ("message", "assistant", "qwen")
    assert answer["usage"]["output_tokens"] >= 1


def test_an_unknown_model_is_refused(box: Box) -> None:
    status, text = call(f"{box.url}/v1/completions", {"model": "nobody", "prompt": "Hello"})
    assert status == 404
    assert "nobody" in text


def test_images_were_pulled_by_digest(box: Box) -> None:
    names = box.run("docker", "ps", "--format", "{{.Names}}").split()
    images = box.run("docker", "inspect", "--format", "{{.Name}} {{.Config.Image}}", *names).splitlines()
    assert sum(row.startswith("/vllm-") for row in images) == len(MODELS)
    assert all("@sha256:" in row for row in images)


def test_a_second_run_changes_nothing(box: Box) -> None:
    started = box.started()
    run = play()
    assert run.code == 0
    assert run.recap()["changed"] == 0
    assert box.started() == started
    assert "serves 3 models" in run.text and "curl " in run.text, "it ends with what serves and a request to paste"
    assert len(run.text.splitlines()) <= 2 * SCREEN
    print(f"the second run took {run.seconds:.0f} s")


@pytest.mark.parametrize("more", [["--check", "--diff"], []], ids=["check", "real"])
@pytest.mark.parametrize("tag", SITE_TAGS)
def test_each_tag_runs_alone_on_a_host_that_serves(box: Box, tag: str, more: list[str]) -> None:
    before = box.started()
    run = play("--tags", tag, *more, ANSIBLE_DISPLAY_OK_HOSTS="1")
    assert run.code == 0
    assert run.recap()["changed"] == 0
    assert box.started() == before
    assert "Check the models and the memory plan" in run.text, "the checks run under every tag"


def test_only_a_killed_engine_is_started_again(box: Box) -> None:
    started = box.started()
    box.run("docker", "kill", "vllm-qwen")
    run = play()
    assert run.code == 0
    again = box.started()
    assert {name for name in again if again[name] != started.get(name)} == {"vllm-qwen"}
    status, text = call(f"{box.url}/v1/completions", {"model": "qwen", "prompt": "Hello", "max_tokens": 2})
    assert status == 200, text
    print(f"starting one engine again took {run.seconds:.0f} s")


def test_taking_it_down_leaves_nothing_of_ours(box: Box) -> None:
    run = command(LAB, "demo", "down")
    assert run.code == 0
    for kind in ("container", "volume"):
        name = box.container if kind == "container" else f"{box.container}-docker"
        there = subprocess.run(["docker", kind, "inspect", name], capture_output=True, check=False)
        assert there.returncode != 0, f"{kind} {name} is still there"
