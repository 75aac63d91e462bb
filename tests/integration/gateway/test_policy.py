# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What may be asked of an engine: caps, and what only an operator may send."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.tests.support.gateway.client import Gateway
from ansible_collections.gpuserve.fleet.tests.support.gateway.container import Container

CHAT = "/v1/chat/completions"


def schema(depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "string"}
    for _at in range(depth):
        found = {"oneOf": [found, {"type": "null"}]}
    return {"type": "json_schema", "json_schema": {"name": "a", "schema": found}}


def image(url: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}


REFUSED: dict[str, dict[str, Any]] = {
    "n": {"n": 16384},
    "best_of": {"best_of": 17},
    "logprobs": {"top_logprobs": 1000},
    "all logprobs": {"prompt_logprobs": -1},
    "metadata service": image("http://169.254.169.254/latest/meta-data/"),
    "https": image("https://example.org/a.png"),
    "file": image("file:///etc/passwd"),
    "odd scheme": image("DATA//x"),
    "short form": {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "http://10.0.0.1/"}]}]},
    "video": {
        "messages": [{"role": "user", "content": [{"type": "video_url", "video_url": {"url": "http://10.0.0.1/"}}]}]
    },
    "url beside detail": {"messages": [{"content": [{"image_url": {"detail": {"x": 1}, "url": "http://10.0.0.1/"}}]}]},
    "many images": {"messages": [{"content": [{"image_url": {"url": "data:image/png;base64,AA"}}] * 17}]},
    "nested schema": {"response_format": schema(40)},
    "nested schema elsewhere": {"structured_outputs": {"json": schema(40)}},
    "nested tools": {"tools": [{"function": {"parameters": schema(40)["json_schema"]["schema"]}}]},
    "nested functions": {"functions": [{"parameters": schema(40)["json_schema"]["schema"]}]},
    "nested format of a response": {"text": {"format": schema(40)["json_schema"]}},
    "many prompts": {"prompt": ["a"] * 129},
    "many prompts, escaped": {"prompt": ['a"]\\'] * 129},
    "many lists of tokens": {"prompt": [[1, 2]] * 129},
    "some prompts, often": {"prompt": ["a"] * 33, "n": 4},
    "some prompts, best of many": {"prompt": ["a"] * 33, "best_of": 4, "n": 1},
    "regex": {"structured_outputs": {"regex": "((a|aa)+)+$"}},
    "guided regex": {"guided_regex": "((a|aa)+)+$"},
    "bad words": {"bad_words": [f"w{number}" for number in range(100_000)]},
    "token ids": {"allowed_token_ids": list(range(5000))},
    "logit bias": {"logit_bias": {str(number): 1 for number in range(5000)}},
    "options of media": {"mm_processor_kwargs": {"fps": 10**9}},
    "options of reading media": {"media_io_kwargs": {"video": {"num_frames": 10**9}}},
    "a processor": {"logits_processors": ["os.system"]},
    "arguments of extensions": {"vllm_xargs": {"x": 1}},
    "a number as text": {"n": "16384"},
    "a number as text of another": {"max_tokens": "9"},
    "a flag for a number": {"n": True},
    "tokenizer's": {"chat_template_kwargs": {"tokenize": True}},
    "chat template": {"chat_template": "{{ x }}"},
    "chat template inside": {"chat_template_kwargs": {"chat_template": "{{ x }}"}},
    "prompt embeds": {"prompt_embeds": "AAAA"},
    "priority": {"priority": -(10**6)},
    "kv transfer": {"kv_transfer_params": {"do_remote_decode": True}},
    "request id": {"request_id": "somebody-else-s"},
    "min tokens": {"min_tokens": 30000, "ignore_eos": True},
    "min tokens with a one": {"min_tokens": 30000, "ignore_eos": 1},
    "min tokens with a word": {"min_tokens": 30000, "ignore_eos": "on"},
}
TAKEN: dict[str, dict[str, Any]] = {
    "min tokens to their end": {"min_tokens": 5, "ignore_eos": "off"},
    "a choice": {"structured_outputs": {"choice": ['"regex"', "b"]}},
    "few": {"n": 4, "logprobs": True, "top_logprobs": 5, "max_tokens": 100},
    "image": image("data:image/png;base64,iVBORw0KGgo"),
    "url in a text": {"messages": [{"role": "user", "content": 'see {"image_url": "http://example.org/"}'}]},
    "url of a tool": {"tools": [{"function": {"parameters": {"properties": {"url": {"type": "string"}}}}}]},
    "schema": {"response_format": schema(4)},
    "template arguments": {"chat_template_kwargs": {"enable_thinking": False}},
    "nothing said": {"priority": None, "chat_template": None, "n": None, "kv_transfer_params": None},
    "usual priority": {"priority": 0},
    "min tokens": {"min_tokens": 5},
    "stop": {"stop": ["a", "b"]},
    "prompts": {"prompt": ["a"] * 32, "n": 4},
    "tokens": {"prompt": list(range(5000))},
    "lists of tokens": {"prompt": [[1, 2], [3]]},
    "a text": {"text": "a" * 3000},
    "tools": {"tools": [{"function": {"parameters": schema(4)["json_schema"]["schema"]}}] * 200},
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("path", [CHAT, "/m/qwen/v1/chat/completions"])
def test_what_is_refused(gateway: Gateway, name: str, path: str) -> None:
    before = gateway.stub("qwen")["number"], gateway.stub("qwen")["seen"][-1:]
    answer = gateway.ask("POST", path, {"model": "qwen", **REFUSED[name]})
    assert (answer.status, answer.code) == (400, "parameter_not_allowed")
    assert answer.json["error"]["param"]
    assert (gateway.stub("qwen")["number"], gateway.stub("qwen")["seen"][-1:]) == before


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_taken(gateway: Gateway, name: str) -> None:
    assert gateway.ask("POST", CHAT, {"model": "qwen", **TAKEN[name]}).headers["x-stub-model"] == "qwen"


def test_names_are_read_as_the_engine_reads_them(gateway: Gateway) -> None:
    for body in (
        b'{"model":"qwen","\\u006e":16384}',
        b'{"model":"qwen","n":1,"n":16384}',
        b'{"model":"qwen","messages":[{"content":[{"image\\u005furl":{"\\u0075rl":"http://10.0.0.1/"}}]}]}',
        b'{"model":"qwen","n":1.6384e4}',
        b'{"model":"qwen","structured_outputs":{"\\u0072egex":"((a|aa)+)+$"}}',
        b'{"model":"qwen","chat_template_kwargs":{"chat\\u005ftemplate":"{{ x }}"}}',
        b'{"model":"qwen","\\u006e":"16384"}',
    ):
        assert gateway.ask("POST", CHAT, body).status == 400
    assert gateway.ask("POST", CHAT, b'{"model":"qwen","n":16384,"n":1}').status == 200


def test_a_source_of_anthropic_s(gateway: Gateway) -> None:
    def said(source: dict[str, str]) -> int:
        content = [{"type": "image", "source": source}]
        return gateway.ask(
            "POST", "/v1/messages", {"model": "qwen", "messages": [{"role": "user", "content": content}]}
        ).status

    assert said({"type": "url", "url": "http://10.0.0.1/"}) == 400
    assert said({"type": "base64", "media_type": "image/png", "data": "AAAA"}) == 200


@pytest.fixture
def widened(gateway: Gateway) -> Iterator[Container]:
    """A gateway with caps of its own, for all, a model and a key."""
    if not isinstance(gateway, Container):
        pytest.skip("changes the configuration: make test-gateway runs these")
    models, keys = gateway.variables["gateway_models"], gateway.variables["gateway_keys"]
    own = {"qwen": {"max_tokens": 1000, "allow": ["media_urls"]}, "yi": {"n": 2, "body_bytes": 2000}}
    gateway.render(
        gateway_policy={"n": 4, "allow": ["chat_template"]},
        gateway_models=[{**model, "policy": own.get(model["name"], {})} for model in models],
        gateway_keys=[{**key, "policy": {"max_tokens": 10, "n": 3}} if key["name"] == "early" else key for key in keys],
    )
    gateway.reload()
    gateway.wait_until_it_serves()
    yield gateway
    gateway.render(gateway_policy={}, gateway_models=models, gateway_keys=keys)
    gateway.reload()
    gateway.wait_until_it_serves()


def test_caps_of_all_of_a_model_and_of_a_key(widened: Container) -> None:
    def status(key: str = "key-for-everything", **body: Any) -> int:
        return widened.ask("POST", CHAT, {"model": "qwen", **body}, key=key).status

    assert [status(n=4), status(n=5)] == [200, 400]
    assert [status(model="yi", n=2), status(model="yi", n=3)] == [200, 400]
    assert [status(max_tokens=1000), status(max_tokens=1001), status(max_completion_tokens=1001)] == [200, 400, 400]
    assert [status("key-that-lasts", max_tokens=10), status("key-that-lasts", max_tokens=11)] == [200, 400]
    assert [status("key-that-lasts", n=3), status("key-that-lasts", n=4)] == [200, 400]
    assert status(chat_template="x") == 200
    assert status(**image("http://10.0.0.1/")) == 200
    assert status(model="yi", **image("http://10.0.0.1/")) == 400
    assert [status(model="yi", x="x" * size) for size in (1000, 3000)] == [200, 413]
