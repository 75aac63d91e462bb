# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only an engine's own process may know: the stack's tokens and its model's variables, as a file that a shell reads.

A file is named after the digest of its engine, so that another secret is another file: the one that a running engine was started with
stays as it is until that engine is gone.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import access_keys
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import ModelSpec

# The stack's own, which are renewed: a set that is kept only to go back to keeps none of them.
HUB_TOKEN, API_KEY = "HF_TOKEN", "VLLM_API_KEY"
TOKENS = (HUB_TOKEN, API_KEY)
# Parameters of modules that are secrets, and the variables that they come from.
ENGINE_KEY = "vllm_stack_api_key"
VARIABLES = {"hf_token": "vllm_stack_hf_token", "api_key": ENGINE_KEY}
# Ansible blots a secret out of all that it prints; a short one would take half of every result with it.
SHORTEST = 8
HIDDEN = "********"
_NAMED = re.compile(r"\./(env/[A-Za-z0-9._-]+\.env)\b")


def of_model(spec: ModelSpec, hf_token: str, api_key: str) -> dict[str, str]:
    """Variables of one engine's process; what the model's own entry says comes last."""
    tokens = {HUB_TOKEN: hf_token, API_KEY: api_key}
    return {**{name: value for name, value in tokens.items() if value}, **spec.env}


def file_name(model: str, digest: str) -> str:
    """Where the secrets of one engine are, below the project's folder."""
    return f"env/{model}-{digest}.env"


def named_in(compose_text: str) -> frozenset[str]:
    """The secret files that a compose file of ours mounts."""
    return frozenset(_NAMED.findall(compose_text))


def render(values: Mapping[str, str]) -> str:
    """As a shell reads them."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in sorted(values.items()))


def parse(text: str) -> dict[str, str]:
    """Read what `render` wrote; what is nothing of the kind holds nothing."""
    try:
        words = shlex.split(text)
    except ValueError:
        return {}
    return {name: value for name, sign, value in (word.partition("=") for word in words) if sign}


def without_tokens(text: str) -> str:
    """The model's own variables alone."""
    return render({name: value for name, value in parse(text).items() if name not in TOKENS})


def with_tokens(text: str, present: Mapping[str, str]) -> str:
    """The model's own variables with the tokens that hold at present."""
    tokens = {name: value for name, value in present.items() if name in TOKENS}
    return render({**tokens, **parse(without_tokens(text))})


def masked(models: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Models as Ansible may show them: what their variables hold is nobody's business."""
    return [
        {**model, "env": dict.fromkeys(env, HIDDEN) if isinstance(env, Mapping) else HIDDEN}
        if (env := model.get("env"))
        else dict(model)
        for model in models
    ]


def check(value: str, variable: str, results: Iterable[str]) -> None:
    """Refuse a secret that Ansible would tear out of names and figures, of all that it prints and hands on."""
    if not value:
        return
    if len(value) < SHORTEST:
        fail(
            variable,
            f"it has {len(value)} characters, and Ansible would blot them out of every name and number that it prints.",
            f"Take a random one of {SHORTEST} characters at least, such as `openssl rand -hex 24` makes.",
        )
    if any(character in value for character in "\0\r\n"):
        fail(variable, "it holds a line end.", "Take it without what follows its last character.")
    if not re.fullmatch(r"[!-~]+", value):
        fail(variable, "it holds a blank or a letter that no header of a request can.", "Take it without that.")
    if any(value in text for text in results):
        fail(
            variable,
            "it is part of a name in the stack, which Ansible would blot out wherever it prints it.",
            "Take a random one, such as `openssl rand -hex 24` makes.",
        )


def check_chosen(value: str, variable: str, results: Iterable[str]) -> None:
    """Refuse a secret of the inventory; a key of engines is a key as the gateway's are. One that a host made for itself stays."""
    if variable == ENGINE_KEY and value:
        access_keys.check(value, variable, "the engines")
    check(value, variable, results)
