# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The official clients of OpenAI and Anthropic through the gateway."""

from __future__ import annotations

from typing import Any

import anthropic
import openai
import pytest

KEY = "key-for-everything"


@pytest.fixture
def client(gateway: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0)


def say(client: openai.OpenAI, model: str, **more: Any) -> Any:
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": "who?"}], **more)


@pytest.mark.parametrize("model", ["qwen", "yi", "twin"])
def test_chat_goes_to_the_model_named(client: openai.OpenAI, model: str) -> None:
    assert say(client, model).choices[0].message.content == f"I am {model}."


def test_an_alias_reaches_the_engine_under_its_own_name(client: openai.OpenAI) -> None:
    answer = say(client, "Qwen/Qwen2.5-3B-Instruct", extra_body={"nested": {"kept": [1, 2.5, None, "ü"]}})
    assert answer.model == "qwen"


def test_direct_addresses(gateway: Any) -> None:
    for base in (f"{gateway.url}/m/yi/v1", f"{gateway.url}/v1/yi"):
        assert (
            say(openai.OpenAI(base_url=base, api_key=KEY, max_retries=0), "yi").choices[0].message.content == "I am yi."
        )


def test_stream_completion_and_embeddings(client: openai.OpenAI) -> None:
    parts = [part.choices[0].delta.content for part in say(client, "qwen", stream=True, max_tokens=4)]
    assert parts == ["0 ", "1 ", "2 ", "3 "]
    assert client.completions.create(model="yi", prompt="x").choices[0].text == "I am yi."
    embeddings = client.embeddings.create(model="qwen", input="x", encoding_format="float")
    assert embeddings.data[0].embedding == [0.25, -0.5]


def test_models_have_a_status(client: openai.OpenAI, gateway: Any) -> None:
    gateway.wait_for(lambda: gateway.ask("GET", "/health").json["models"]["gone"] == "down")
    status = {model.id: model.model_extra["status"] for model in client.models.list() if model.model_extra}
    assert status == {
        "qwen": "ready",
        "Qwen/Qwen2.5-3B-Instruct": "ready",
        "yi": "ready",
        "twin": "ready",
        "swap": "ready",
        "gone": "down",
    }
    ready = client.models.list(extra_query={"ready": "true"})
    assert "gone" not in {model.id for model in ready}
    assert client.models.retrieve("qwen").id == "qwen"


def test_errors_have_the_classes_that_clients_know(client: openai.OpenAI, gateway: Any) -> None:
    with pytest.raises(openai.NotFoundError, match="there are: qwen, yi, twin, swap, gone") as unknown:
        say(client, "gpt-4o")
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.AuthenticationError) as denied:
        say(openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="key-of-nobody", max_retries=0), "qwen")
    assert denied.value.code == "invalid_api_key"
    with pytest.raises(openai.InternalServerError) as gone:
        say(client, "gone")
    assert gone.value.code == "model_unavailable"
    with pytest.raises(openai.BadRequestError):
        say(client, "qwen", extra_body={"model": 7})
    with pytest.raises(openai.UnprocessableEntityError):
        say(client, "qwen", extra_body={"stub_status": 422})


def test_anthropic_s_client_with_x_api_key(gateway: Any) -> None:
    client = anthropic.Anthropic(base_url=gateway.url, api_key=KEY, max_retries=0)
    message = client.messages.create(model="yi", max_tokens=8, messages=[{"role": "user", "content": "who?"}])
    assert message.content[0].text == "I am yi."
    with pytest.raises(anthropic.AuthenticationError):
        anthropic.Anthropic(base_url=gateway.url, api_key="key-of-nobody", max_retries=0).messages.create(
            model="yi", max_tokens=8, messages=[{"role": "user", "content": "who?"}]
        )
