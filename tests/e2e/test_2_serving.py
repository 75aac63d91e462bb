# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The main job, with the real vLLM: `make demo`'s path, a second run, a killed engine, and taking it all away."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import sockets
from ansible_collections.gpuserve.fleet.tests.e2e.conftest import CHECKOUT, ENVIRONMENT, LAB, Box, Run, command, play
from ansible_collections.gpuserve.fleet.tests.support.lab import answers
from ansible_collections.gpuserve.fleet.tests.support.release import installed

CHAT, EMBEDDING, RANDOM = MODELS = ["smollm2", "minilm", "qwen-random"]
SCREEN = 48  # lines
SITE_TAGS = sorted(
    {
        tag
        for name in ("site.yml", "tasks/serve.yml")
        for play in yaml.safe_load((CHECKOUT / "playbooks" / name).read_text(encoding="utf-8"))
        for task in play.get("tasks", [play])
        for tag in task.get("tags", [])
    }
)


def call(box: Box, path: str, body: dict[str, Any] | None = None, key: str | None = None) -> tuple[int, str]:
    """Return the status and the text of an answer, asked with the key that a client has."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {box.key if key is None else key}"}
    request = urllib.request.Request(f"{box.url}{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_the_demonstration_ends_with_answers_a_table_and_how_to_stop(box: Box) -> None:
    run = command(LAB, "demo", "up")
    assert run.code == 0
    print(f"the first play and its preparation took {run.seconds:.0f} s")
    assert box.url in run.text
    # The play's own last screen has a row a model, too; the demonstration's comes after the recap.
    last = run.text.split("PLAY RECAP", 1)[1].splitlines()
    table = last[next(place for place, line in enumerate(last) if "memory planned" in line) :]
    for name in MODELS:
        row = next(line for line in table if line.split()[:1] == [name])
        assert row.count(" GiB") == 2, "planned and measured memory stand in the table"
        told = next(
            place for place, line in enumerate(last) if line.startswith((f"  {name} was asked", f"  {name} looked"))
        )
        assert last[told + 1].strip(" '\""), "what the model said"
    answer = last[next(place for place, line in enumerate(last) if answers.QUESTION in line) + 1]
    assert answers.ANSWER in answer, "a real model answers in English"
    nearest = [line for line in run.text.splitlines() if line.split()[:1] == ["nearest"]]
    assert len(nearest) == 1
    assert answers.NEAREST in nearest[0], "what means the same is found without a word in common"
    assert "make demo-down" in run.text


def test_the_report_measures_what_was_planned(box: Box) -> None:
    report = json.loads(box.run("cat", "/var/lib/gpuserve/report.json"))
    assert sorted(model["name"] for model in report["models"]) == sorted(MODELS)
    for model in report["models"]:
        assert model["planned_bytes"] > 256 << 20
        assert model["measured_bytes"] > 256 << 20


def test_the_gateway_lists_and_routes(box: Box) -> None:
    status, text = call(box, "/v1/models")
    assert status == 200
    assert sorted(model["id"] for model in json.loads(text)["data"]) == sorted(MODELS)
    for name in (CHAT, RANDOM):
        status, text = call(box, "/v1/completions", {"model": name, "prompt": "Hello", "max_tokens": 4})
        assert status == 200
        answer = json.loads(text)
        assert answer["model"] == name
        assert answer["usage"]["completion_tokens"] >= 1
    status, text = call(box, "/v1/embeddings", {"model": EMBEDDING, "input": "Hello"})
    assert status == 200
    answer = json.loads(text)
    assert answer["model"] == EMBEDDING
    assert len(answer["data"][0]["embedding"]) == 384


def test_the_gateway_asks_for_the_key(box: Box) -> None:
    assert call(box, "/v1/models", key="none")[0] == 401
    assert box.key_file.stat().st_mode & 0o077 == 0


def test_an_answer_is_right_and_the_same_every_time(box: Box) -> None:
    client = answers.Client(box.url, box.key)
    said = [client.chat(CHAT, answers.QUESTION) for _attempt in range(2)]
    assert answers.ANSWER in said[0]
    assert said[0] == said[1]


def test_an_embedding_knows_a_cat_from_a_truck(box: Box) -> None:
    client = answers.Client(box.url, box.key)
    kitten, truck = client.similarities(EMBEDDING, "a cat", ["a kitten", "a truck"])
    assert kitten > 0.7
    assert truck < 0.4
    # What the engine derives from the model's own files is what was planned: no longer text gets in.
    status, text = call(box, "/v1/embeddings", {"model": EMBEDDING, "input": "word " * 300})
    assert status == 400 and "256" in text


def test_the_guide_s_benchmark_measures_what_embeds_on_both_ways(box: Box, tmp_path: Path) -> None:
    """The whole profile, by vLLM's own client: a hundred requests of a model that embeds take seconds."""
    told = tmp_path / "benchmark.json"
    variables = {"benchmark_profile": "guide", "benchmark_models": EMBEDDING, "benchmark_json": str(told)}
    run = command("ansible-playbook", "-i", "inventories/demo", "playbooks/benchmark.yml", "-e", json.dumps(variables))
    assert run.code == 0
    runs = json.loads(told.read_text())["demo"]["runs"]
    assert [one["way"] for one in runs] == ["engine", "gateway"]
    for one in runs:
        assert not one["skipped"], one["skipped"]
        assert one["result"]["success"] == 1 and one["result"]["tokens_per_s"] > 0
        assert one["load"]["requests"] == 100 and one["load"]["concurrency"] == 10
    print(f"the benchmark took {run.seconds:.0f} s")


def test_an_engine_itself_asks_for_the_key_that_only_the_gateway_has(box: Box) -> None:
    key = json.loads(command(LAB, "demo", "prepare").text.partition("\n{")[2].join(["{", ""]))["vllm_stack_api_key"]
    asked = (
        "import http.client, socket, sys\n"
        "line = http.client.HTTPConnection('127.0.0.1', 8001, timeout=30)\n"
        "if sys.argv[2:]: line.sock = socket.socket(socket.AF_UNIX); line.sock.connect(sys.argv[2])\n"
        "line.request('GET', '/v1/models', headers={'Authorization': sys.argv[1]})\n"
        "print(line.getresponse().status)\n"
    )
    engine = sockets.path(MODELS[0])
    assert box.run("python3", "-c", asked, "none", engine) == "401"
    assert box.run("python3", "-c", asked, f"Bearer {key}", engine) == "200"
    # At the model's own address the gateway answers, which asks for one of its keys; an ordinary account gets no further than that.
    assert box.run("python3", "-c", asked, f"Bearer {key}") == "401"
    assert box.run("python3", "-c", asked, f"Bearer {box.key}") == "200"
    assert "Permission denied" in box.run("sh", "-c", f"runuser -u nobody -- ls {sockets.FOLDER} 2>&1; true")
    assert box.run("docker", "inspect", "--format", "{{.HostConfig.NetworkMode}}", f"vllm-{MODELS[0]}") == "none"
    # Neither Docker nor a list of processes shows it.
    assert key not in box.run("sh", "-c", "docker inspect $(docker ps -aq); ps axww")


def test_a_stream_comes_in_pieces(box: Box) -> None:
    body = {"model": CHAT, "prompt": "Once", "max_tokens": 40, "ignore_eos": True, "stream": True}
    status, text = call(box, "/v1/completions", body)
    assert status == 200
    events = [line for line in text.splitlines() if line.startswith("data: ")]
    assert events[-1] == "data: [DONE]"
    # An engine that is behind puts two tokens into a piece.
    assert len(events) >= 8
    pieces = [json.loads(event.removeprefix("data: "))["choices"][0]["text"] for event in events[:-1]]
    assert sum(piece.isascii() and bool(piece.strip()) for piece in pieces) >= 8, "real words"


def test_anthropic_s_messages_are_answered(box: Box) -> None:
    body = {"model": CHAT, "max_tokens": 4, "messages": [{"role": "user", "content": "Hello"}]}
    status, text = call(box, "/v1/messages", body)
    assert status == 200
    answer = json.loads(text)
    assert (answer["type"], answer["role"], answer["model"]) == ("message", "assistant", CHAT)
    assert answer["usage"]["output_tokens"] >= 1


def test_an_unknown_model_is_refused(box: Box) -> None:
    status, text = call(box, "/v1/completions", {"model": "nobody", "prompt": "Hello"})
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


def test_the_installed_collection_has_nothing_to_change_where_the_checkout_served(box: Box, tmp_path: Path) -> None:
    """As somebody without a checkout: plan, preflight and a dry run of site.yml, from the tarball in an empty place."""
    installed.install(CHECKOUT, tmp_path)
    shutil.copytree(CHECKOUT / "inventories/demo", tmp_path / "inventory")
    # What is kept of models' files lies beside the inventory, and the key where the run before put it.
    names = {"GPUSERVE_DEMO": ENVIRONMENT["GPUSERVE_DEMO"]}
    before = box.started()
    runs = {
        name: installed.run(tmp_path, "ansible-playbook", "-i", "inventory", f"gpuserve.fleet.{name}", *more, **names)
        for name, more in {
            "plan": ["-e", "plan_ask_hosts=true"],
            "preflight": ["-e", "preflight_fail_on=never", "-e", '{"preflight_names": []}'],
            "site": ["--check", "--diff"],
        }.items()
    }
    for name, done in runs.items():
        print(name, done.stdout, done.stderr, sep="\n")
    assert {name: done.returncode for name, done in runs.items()} == {"plan": 0, "preflight": 0, "site": 0}
    assert Run(0, runs["site"].stdout, 0).recap()["changed"] == 0
    assert all(name in runs["plan"].stdout for name in MODELS)
    assert box.started() == before


def test_only_a_killed_engine_is_started_again(box: Box) -> None:
    started = box.started()
    box.run("docker", "kill", f"vllm-{RANDOM}")
    run = play()
    assert run.code == 0
    again = box.started()
    assert {name for name in again if again[name] != started.get(name)} == {f"vllm-{RANDOM}"}
    status, text = call(box, "/v1/completions", {"model": RANDOM, "prompt": "Hello", "max_tokens": 2})
    assert status == 200, text
    print(f"starting one engine again took {run.seconds:.0f} s")


def test_taking_it_down_leaves_nothing_of_ours(box: Box) -> None:
    run = command(LAB, "demo", "down")
    assert run.code == 0
    for kind in ("container", "volume"):
        name = box.container if kind == "container" else f"{box.container}-docker"
        there = subprocess.run(["docker", kind, "inspect", name], capture_output=True, check=False)
        assert there.returncode != 0, f"{kind} {name} is still there"
