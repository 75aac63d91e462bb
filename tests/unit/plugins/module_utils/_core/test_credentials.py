# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import credentials
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError

PEM = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:s3cret@host/path", "https://***@host/path"),
        ("at http://me:p@ss:w0rd@proxy:3128, and http://host/x", "at http://***@proxy:3128, and http://host/x"),
        ("http://token@host/simple", "http://***@host/simple"),
        ("http://me:with/slash@host/simple", "http://***@host/simple"),
        ("'https://me:x@a' \"https://me:y@b\"", "'https://***@a' \"https://***@b\""),
        ("mail me@host, image registry.example/vllm@sha256:0", "mail me@host, image registry.example/vllm@sha256:0"),
        (f"it is {PEM} then", "it is *** then"),
    ],
)
def test_what_is_hidden_and_what_stays(text: str, shown: str) -> None:
    assert credentials.hidden(text) == shown


def test_no_error_of_ours_repeats_an_account() -> None:
    error = FleetError("url", "http://me:s3cret@host can't be read.", "Check it.")
    assert str(error) == f"{error.message} Check it." == "url: http://***@host can't be read. Check it."
    assert "s3cret" not in repr(error)


def test_a_password_is_collected_as_it_stands_and_as_it_is_meant() -> None:
    assert credentials.secrets(["http://me:a%2Fb%40long@host"]) == {
        "http://me:a%2Fb%40long@host",
        "me:a%2Fb%40long",
        "a%2Fb%40long",
        "a/b@long",
    }


def test_a_short_password_takes_no_words_with_it() -> None:
    assert "none" not in credentials.secrets("http://me:none@host")


def test_an_option_with_a_telling_name_holds_a_secret() -> None:
    options = {"log-opts": {"splunk-token": "0123456789", "splunk-url": "https://splunk.example"}, "max-size": "10m"}
    assert credentials.secrets(options) == {"0123456789"}
    assert credentials.redacted(options) == {
        "log-opts": {"splunk-token": "***", "splunk-url": "https://splunk.example"},
        "max-size": "10m",
    }


@pytest.mark.parametrize(
    ("variable", "value", "remedy"),
    [
        ("docker_engine_repository_url", "https://me:s3cret@mirror/docker", "/etc/apt/auth.conf.d"),
        ("docker_engine_repository_key_url", "https://me:s3cret@mirror/gpg", "in docker_engine_repository_key."),
        ("docker_engine_repository_key", PEM, "Give the public one."),
        ("vllm_stack_hub_endpoint", "https://me:s3cret@hub", "vllm_stack_hf_token"),
    ],
)
def test_a_refusal_names_the_variable_and_the_remedy(variable: str, value: str, remedy: str) -> None:
    (sentence,) = credentials.refusals({"other": "https://mirror/x", variable: value})
    assert sentence.startswith(f"{variable}: ")
    assert remedy in sentence
    assert "s3cret" not in sentence and "AAAA" not in sentence


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("https://me:s3cret@host", True),
        ("https://host", False),
        ({"a": "https://host", "b": ["https://host", {"c": "https://me:s3cret@host"}]}, True),
        ({"a": "https://host", "b": ("https://host",)}, False),
        (("https://host", "https://me:s3cret@host"), True),
        ({"https://me:s3cret@host": "a key is no value"}, False),
        ([], False),
        (7, False),
    ],
)
def test_an_account_is_found_wherever_it_stands(value: object, found: bool) -> None:
    assert credentials.is_in(value) is found


def test_a_private_key_is_collected_as_it_stands() -> None:
    assert credentials.secrets({"any": [f"{PEM}\n"]}) == {PEM, f"{PEM}\n"}


def test_an_address_of_no_repository_has_the_plain_remedy() -> None:
    (sentence,) = credentials.refusals({"vllm_stack_proxy": "http://me:s3cret@proxy"})
    assert sentence.endswith(" Write the address without them.")
