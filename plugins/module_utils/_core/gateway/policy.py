# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be asked of an engine: caps on what costs it memory or time, and what only an operator sends unless it is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import checks
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spelling import meant

# Counts (sequences: prompts of a request times answers to each), but for those in bytes: the whole body, members that are lists
# (bad_words, stop, logit_bias ...), grammars and schemas.
CAPS = (
    "max_tokens",
    "n",
    "best_of",
    "sequences",
    "logprobs",
    "images",
    "body_bytes",
    "list_bytes",
    "schema_bytes",
    "schema_depth",
)
ALLOWED = (
    "chat_template",
    "prompt_embeds",
    "priority",
    "kv_transfer_params",
    "request_id",
    "regex",
    "ignore_eos",
    "media_urls",
    "media_options",
    "logits_processors",
    "vllm_xargs",
)
_MOST = 2**40


@dataclass(frozen=True)
class Policy:
    """Caps that are set, by their names, and what is allowed beside. What is unset is as the one above has it."""

    caps: tuple[tuple[str, int], ...] = ()
    allow: tuple[str, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """Return it for Lua; allow is there to be looked up in."""
        return {**dict(self.caps), **({"allow": dict.fromkeys(self.allow, 1)} if self.allow else {})}

    def as_entry(self) -> dict[str, Any]:
        """Return it as it is written."""
        return {**dict(self.caps), **({"allow": list(self.allow)} if self.allow else {})}


# Whoever sets none has that of the one above.
UNSET = Policy()


def parse(value: Any, where: str) -> Policy:
    """Return a policy as written; the first mistake is a FleetError that names its place."""
    if value is None or value == "":
        return UNSET
    if not isinstance(value, Mapping):
        fail(where, f"{checks.shown(value)} is no policy.", f"Write caps below it, such as {CAPS[0]}: 4096.")
    for setting in value:
        if setting not in (*CAPS, "allow"):
            known = ", ".join((*CAPS, "allow"))
            fail(
                f"{where}.{checks.shown(setting)}",
                "there is no such setting.",
                f"{meant(str(setting), (*CAPS, 'allow'))}Known are {known}.",
            )
    caps = tuple(
        (cap, checks.integer(value[cap], f"{where}.{cap}", 0, _MOST)) for cap in CAPS if value.get(cap) is not None
    )
    allow = tuple(
        checks.choice(one, f"{where}.allow", ALLOWED) for one in checks.items(value.get("allow"), f"{where}.allow")
    )
    return Policy(caps, tuple(dict.fromkeys(allow)))
