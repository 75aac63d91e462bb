# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What clients used, by key and model: figures, files, budgets, and streams that are asked for it unnoticed."""

from __future__ import annotations

import datetime
import json
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
    assert "a day's 20 tokens" in refused.json["error"]["message"]
    assert ask("key-for-everything").status == 200
    day = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    file = budgets.folder / "usage" / f"usage-{day}.jsonl"

    def written() -> list[dict[str, Any]]:
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    # Of the day's file the container takes up what it had counted.
    budgets.wait_for(lambda: any(line["key"] == "early" and line["output_tokens"] >= 8 for line in written()), 20)
    budgets.docker("restart", "--time", "5", "CONTAINER")
    budgets.wait_until_it_serves()
    assert ask("key-that-lasts").status == 429
    assert {line["day"] for line in written()} == {day}
