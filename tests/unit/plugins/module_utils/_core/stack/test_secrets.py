# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secret files as a shell reads them, without tokens and with others; secrets that can't be used."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import parse_models
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack import secrets

names = some.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
values = some.text(some.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


def test_the_model_s_own_variables_come_last() -> None:
    spec = parse_models([{"name": "a", "model": "o/m", "env": {"NOTE": "1"}}])[0]
    assert secrets.of_model(spec, "hf", "key") == {"HF_TOKEN": "hf", "VLLM_API_KEY": "key", "NOTE": "1"}
    assert secrets.of_model(spec, "", "") == {"NOTE": "1"}


@given(some.dictionaries(names, values))
def test_what_is_written_is_read_again(variables: dict[str, str]) -> None:
    assert secrets.parse(secrets.render(variables)) == variables


@pytest.mark.parametrize("text", ["", "'", "words and no more", "\\"])
def test_what_is_no_such_file_holds_nothing(text: str) -> None:
    assert secrets.parse(text) == {}


def test_tokens_are_taken_out_and_the_present_ones_put_in() -> None:
    text = secrets.render({"HF_TOKEN": "old", "VLLM_API_KEY": "old", "NOTE": "a b"})
    assert secrets.without_tokens(text) == "NOTE='a b'\n"
    present = {"HF_TOKEN": "new", "NOTE": "another model's", "OTHER": "as well"}
    assert secrets.parse(secrets.with_tokens(text, present)) == {"HF_TOKEN": "new", "NOTE": "a b"}


def test_files_are_found_by_what_mounts_them() -> None:
    name = secrets.file_name("qwen2.5-3b", "0123abcd")
    assert name == "env/qwen2.5-3b-0123abcd.env"
    text = (
        f'source: "./{name}"\n- "./env/of_before.env:/run/gpuserve/env:ro"\nsource: /srv/env/x.env\n"./env/../y.env"\n'
    )
    assert secrets.named_in(text) == {name, "env/of_before.env"}


@pytest.mark.parametrize(
    ("value", "said", "remedy"),
    [
        (
            "x" * 7,
            "it has 7 characters, and Ansible would blot them out of every name and number that it prints.",
            "Take a random one of 8 characters at least, such as `openssl rand -hex 24` makes.",
        ),
        ("x" * 8 + "\n", "it holds a line end.", "Take it without what follows its last character."),
        ("x" * 8 + "\r", "it holds a line end.", "Take it without what follows its last character."),
        ("x" * 8 + "\0", "it holds a line end.", "Take it without what follows its last character."),
        (
            "tinyllama",
            "it is part of a name in the stack, which Ansible would blot out wherever it prints it.",
            "Take a random one, such as `openssl rand -hex 24` makes.",
        ),
    ],
)
def test_a_secret_that_can_t_be_used(value: str, said: str, remedy: str) -> None:
    with pytest.raises(FleetError) as told:
        secrets.check(value, "vllm_stack_api_key", ["", "vllm-tinyllama:"])
    assert (told.value.message, told.value.remedy) == (f"vllm_stack_api_key: {said}", remedy)
    assert told.value.where == "vllm_stack_api_key"


@pytest.mark.parametrize("value", ["", "x" * 8])
def test_one_that_can(value: str) -> None:
    secrets.check(value, "vllm_stack_api_key", ["vllm-tinyllama:"])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("x" * 23, "has 23 characters, which can be guessed from its digest."),
        ("no key, for a header ends words there", "holds what no key holds."),
        ("x" * 257, "holds what no key holds."),
    ],
)
def test_a_key_of_engines_that_somebody_chose_is_a_key_as_the_gateway_s_are(value: str, said: str) -> None:
    with pytest.raises(FleetError) as told:
        secrets.check_chosen(value, "vllm_stack_api_key", ["vllm-tinyllama:"])
    assert told.value.message == f"vllm_stack_api_key: the key of the engines {said}"
    assert value not in str(told.value)


def test_what_a_host_made_for_itself_and_other_secrets_are_as_long_as_they_are() -> None:
    secrets.check("x" * 8, "vllm_stack_api_key", [])
    for value in ("", "x" * 24, "x" * 256):
        secrets.check_chosen(value, "vllm_stack_api_key", [])
    secrets.check_chosen("hf_short", "vllm_stack_hf_token", [])


def test_what_is_a_secret_of_the_whole_stack() -> None:
    assert secrets.VARIABLES == {"hf_token": "vllm_stack_hf_token", "api_key": "vllm_stack_api_key"}
    assert secrets.TOKENS == ("HF_TOKEN", "VLLM_API_KEY")


def test_models_are_shown_without_what_their_variables_hold() -> None:
    models: list[dict[str, Any]] = [
        {"name": "a", "env": {"KEY": "planted"}},
        {"name": "b", "env": "planted"},
        {"name": "c"},
        {"env": {}},
    ]
    assert secrets.masked(models) == [
        {"name": "a", "env": {"KEY": "********"}},
        {"name": "b", "env": "********"},
        {"name": "c"},
        {"env": {}},
    ]
    assert models[0]["env"] == {"KEY": "planted"}
