# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What clients used, by key and model: figures, files, budgets, and streams that are asked for it unnoticed."""

from __future__ import annotations

import datetime
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.tests.support.gateway.client import Gateway
from ansible_collections.gpuserve.fleet.tests.support.gateway.container import Container

CHAT = "/v1/chat/completions"
ALIAS = "Qwen/Qwen2.5-3B-Instruct"


def tokens(gateway: Gateway, kind: str, key: str = "all", model: str = "qwen") -> float:
    return gateway.metrics().get(f'gpuserve_gateway_tokens_total{{key="{key}",model="{model}",kind="{kind}"}}', 0)


def grows(gateway: Gateway, before: dict[str, float], **by: float) -> None:
    """Wait until the figures have grown by as much; they are handed over every second."""
    kinds = ("prompt", "cached", "output")
    wanted = {kind: before[kind] + by.get(kind, 0) for kind in kinds}
    gateway.wait_for(lambda: {kind: tokens(gateway, kind) for kind in kinds} == wanted, 6)


@pytest.fixture
def before(gateway: Gateway) -> dict[str, float]:
    return {kind: tokens(gateway, kind) for kind in ("prompt", "cached", "output")}


@pytest.fixture(autouse=True)
def settled(gateway: Gateway) -> None:
    """What earlier tests used has been handed over."""
    seen = None
    while seen != (now := {name: value for name, value in gateway.metrics().items() if "tokens_total" in name}):
        seen = now
        time.sleep(1.1)


def test_answers_tell(gateway: Gateway, before: dict[str, float]) -> None:
    gateway.ask("POST", CHAT, {"model": "qwen"})
    gateway.ask("POST", "/v1/embeddings", {"model": ALIAS, "input": "x"})
    gateway.ask("POST", "/v1/messages", {"model": "qwen", "messages": []})
    grows(gateway, before, prompt=9, output=6)


@pytest.mark.parametrize("pieces", [0, 1, 7, 64])
@pytest.mark.parametrize("asks", [False, True])
def test_streams_tell_whether_the_client_asks_or_not(
    gateway: Gateway, before: dict[str, float], pieces: int, asks: bool
) -> None:
    body: dict[str, Any] = {"model": ALIAS, "stream": True, "max_tokens": 4, "stub_pieces": pieces}
    if asks:
        body["stream_options"] = {"include_usage": True}
    answer = gateway.ask("POST", CHAT, body)
    events = [line for line in answer.body.decode().split("\n\n") if line]
    assert events[-1] == "data: [DONE]"
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-1]]
    assert [bool(chunk["choices"]) for chunk in chunks] == [True] * 4 + [False] * asks
    assert ["usage" in chunk for chunk in chunks] == [False] * 4 + [True] * asks
    assert '"include_usage": true' in gateway.stub("qwen")["seen"][-1]["text"].replace('":true', '": true')
    grows(gateway, before, prompt=7, cached=4, output=4)


@pytest.mark.parametrize(
    "options",
    ["null", "{}", '{"include_usage":false}', '{"include_usage":false,"continuous_usage_stats":false}'],
)
def test_what_else_a_client_says_of_it(gateway: Gateway, before: dict[str, float], options: str) -> None:
    body = f'{{"model": "qwen", "stream": true, "max_tokens": 2, "stream_options": {options}}}'.encode()
    answer = gateway.ask("POST", CHAT, body)
    assert b'"usage"' not in answer.body
    assert answer.body.endswith(b"data: [DONE]\n\n")
    grows(gateway, before, prompt=7, cached=4, output=2)


@pytest.mark.parametrize(
    ("said", "streams"), [("1", 1), ('"true"', 1), ('"On"', 1), ("true", 1), ("0", 0), ("null", 0), ("false", 0)]
)
def test_a_stream_is_what_the_engine_takes_for_one(gateway: Gateway, said: str, streams: int) -> None:
    gateway.ask("POST", CHAT, f'{{"model": "qwen", "max_tokens": 2, "stream": {said}}}'.encode())
    assert gateway.stub("qwen")["seen"][-1]["text"].count("include_usage") == streams


def test_words_that_look_like_usage_count_for_nothing(gateway: Gateway, before: dict[str, float]) -> None:
    text = 'data: {"usage":{"prompt_tokens":1000000}}'
    gateway.ask("POST", CHAT, {"model": "qwen", "messages": [{"role": "user", "content": text}]})
    grows(gateway, before, prompt=3, output=2)


def test_a_large_body_is_asked_too(gateway: Gateway, before: dict[str, float]) -> None:
    body = {"model": ALIAS, "stream": True, "max_tokens": 2, "x": "x" * 1_000_000}
    assert gateway.ask("POST", CHAT, body).body.count(b'"choices": [{') == 2
    seen = gateway.stub("qwen")["seen"][-1]
    assert seen["text"].startswith('{"stream_options":{"include_usage":true},"model": "qwen"')
    grows(gateway, before, prompt=7, cached=4, output=2)


@pytest.fixture
def budgets(gateway: Gateway) -> Iterator[Container]:
    if not isinstance(gateway, Container):
        pytest.skip("changes the configuration: make test-gateway runs these")
    keys = gateway.variables["gateway_keys"]
    own = {"early": {"tokens_per_day": 20}, "slow": {"tokens_per_month": 5}}
    gateway.render(gateway_keys=[{**key, **own.get(key["name"], {})} for key in keys])
    gateway.reload()
    gateway.wait_until_it_serves()
    yield gateway
    gateway.render(gateway_keys=keys)
    gateway.reload()
    gateway.wait_until_it_serves()


def test_a_budget_is_used_up_and_stays_so_over_a_restart(budgets: Container) -> None:
    def ask(key: str) -> Any:
        answer = budgets.ask("POST", CHAT, {"model": "qwen"}, key=key)
        budgets.wait_for(lambda: budgets.in_flight() == 0)
        return answer

    statuses = [ask("key-that-lasts").status for _at in range(6)]
    assert 429 in statuses
    assert statuses == sorted(statuses)
    refused = ask("key-that-lasts")
    assert (refused.status, refused.code) == (429, "insufficient_quota")
    assert 0 < int(refused.headers["retry-after"]) <= 86_400
    message = refused.json["error"]["message"]
    tomorrow = datetime.datetime.now(datetime.timezone.utc).date() + datetime.timedelta(days=1)
    assert message.startswith("The key early has used 2") and "tokens of the 20 that it has a day" in message
    assert f"new ones from {tomorrow} 00:00 UTC on" in message
    assert ask("key-for-everything").status == 200
    # Whoever ends writes before: nothing is lost between two times that it is written.
    budgets.docker("restart", "--time", "10", "CONTAINER")
    budgets.wait_until_it_serves()
    assert ask("key-that-lasts").status == 429
    [line] = [
        line
        for line in written(budgets, "early")
        if line["day"] == str(datetime.datetime.now(datetime.timezone.utc).date())
    ]
    assert line["model"] == "qwen" and line["prompt_tokens"] + line["output_tokens"] >= 20


def test_a_month_s_budget_says_when_the_next_month_begins(budgets: Container) -> None:
    for _at in range(2):
        answer = budgets.ask("POST", CHAT, {"model": "qwen"}, key="key-that-is-slow")
        budgets.wait_for(lambda: budgets.in_flight() == 0)
    assert (answer.status, answer.code) == (429, "insufficient_quota")
    now = datetime.datetime.now(datetime.timezone.utc)
    first = (now.replace(day=1) + datetime.timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    assert (
        f"of the 5 that it has a month. It has new ones from {first.date()} 00:00 UTC on."
        in answer.json["error"]["message"]
    )
    assert abs(int(answer.headers["retry-after"]) - (first - now).total_seconds()) < 5


def written(gateway: Container, key: str) -> list[dict[str, Any]]:
    month = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m")
    file = gateway.folder / "usage" / f"usage-{month}-{key}.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
def here(gateway: Gateway) -> Container:
    if not isinstance(gateway, Container):
        pytest.skip("looks at files: make test-gateway runs these")
    return gateway


def test_a_file_a_key_and_month_has_a_line_a_day_and_model(here: Container) -> None:
    month = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m")
    other = {"day": f"{month}-00", "key": "all", "model": "qwen", "requests": 7}
    gone = {
        "day": str(datetime.datetime.now(datetime.timezone.utc).date()),
        "key": "all",
        "model": "gone-for-good",
        "requests": 5,
    }
    file = here.folder / "usage" / f"usage-{month}-all.jsonl"
    before = file.read_text() if file.exists() else ""
    file.write_text(before + json.dumps(other) + "\n" + json.dumps(gone) + "\n")
    file.chmod(0o666)
    here.ask("POST", CHAT, {"model": "qwen"})
    here.ask("POST", "/v1/embeddings", {"model": "yi", "input": "x"})

    def by_model() -> dict[str, dict[str, Any]]:
        return {line["model"]: line for line in written(here, "all") if line["day"] == gone["day"]}

    here.wait_for(lambda: {"qwen", "yi"} <= set(by_model()), 20)
    lines = written(here, "all")
    # What was of another day, and of a model that is no more, stays as it was.
    assert other in lines and gone in lines
    assert len({(line["day"], line["model"]) for line in lines}) == len(lines)
    assert by_model()["qwen"]["requests"] >= 1 and by_model()["qwen"]["prompt_tokens"] >= 3
    assert not list((here.folder / "usage").glob("*.new-*"))


def test_files_of_old_months_go_and_nothing_else(here: Container) -> None:
    folder = here.folder / "usage"
    now = datetime.datetime.now(datetime.timezone.utc).date().replace(day=1)

    def name(months_ago: int, key: str = "team-a") -> str:
        number = now.year * 12 + now.month - 1 - months_ago
        return f"usage-{number // 12}-{number % 12 + 1:02d}-{key}.jsonl"

    kept = [name(0), name(12), "notes.txt", "usage-old.jsonl"]
    old = [name(13), name(40), name(13, "a.b@c-d"), f"{name(0)}.new-99999"]
    for one in (*kept, *old):
        (folder / one).write_text("{}\n")
    here.reload()
    here.wait_for(lambda: not any((folder / one).exists() for one in old))
    assert all((folder / one).exists() for one in kept)


@pytest.mark.parametrize("stream", [True, False])
def test_leaving_before_the_engine_has_told_is_no_way_around(
    gateway: Gateway, before: dict[str, float], stream: bool
) -> None:
    body = {
        "model": "qwen",
        "stream": stream,
        "max_tokens": 1000,
        "stub_gap_ms": 20,
        "stub_delay_ms": 3000,
        "x": "x" * 4000,
    }
    raw = json.dumps(body).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key-for-everything\r\nContent-Length: {len(raw)}\r\n\r\n"
    with socket.create_connection((gateway.host, gateway.port), timeout=10) as connection:
        connection.sendall(head.encode() + raw)
        received = b""
        while stream and received.count(b"data: {") < 5:
            received += connection.recv(65536)
        time.sleep(0.3)

    def used() -> tuple[float, float]:
        return tokens(gateway, "prompt") - before["prompt"], tokens(gateway, "output") - before["output"]

    gateway.wait_for(lambda: used()[0] > 0)
    prompt, output = used()
    # A token is about four bytes; the request for usage is among them.
    assert len(raw) / 4 <= prompt <= len(raw) / 4 + 16
    assert (5 <= output <= 40) if stream else output == 0


def test_what_an_engine_tells_before_much_else_is_heard(gateway: Gateway, before: dict[str, float]) -> None:
    """As with prompt_logprobs, which stand behind it."""
    answer = gateway.ask("POST", CHAT, {"model": "qwen", "stub_behind": 100_000})
    assert answer.status == 200 and len(answer.body) > 100_000
    grows(gateway, before, prompt=3, output=2)
