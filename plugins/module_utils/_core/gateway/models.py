# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The models behind the gateway: their names, where engines serve them, and how much each may be asked at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import checks, policy
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway.addresses import endpoint, engine
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway.policy import UNSET, Policy
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway.tasks import TASKS
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spelling import meant

VARIABLE = "gateway_models"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")
_ENGINE_KEY = re.compile(r"[A-Za-z0-9._~+/=-]{8,256}")


@dataclass(frozen=True)
class Model:
    """One model as the gateway sees it. Zero is no limit."""

    name: str
    endpoints: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    adapters: tuple[str, ...] = ()
    standby: tuple[str, ...] = ()
    api_key: str = ""
    max_num_seqs: int = 0
    max_model_len: int | None = None
    # What it is for, which decides the paths that it is asked on; empty for all of them.
    task: str = ""
    policy: Policy = UNSET
    address: str = ""
    # Whose process has to listen at endpoints on loopback; None for anybody's.
    listener_uid: int | None = None

    @property
    def all_endpoints(self) -> tuple[str, ...]:
        """Endpoints in the order in which Lua numbers them: the standby ones come last."""
        return self.endpoints + self.standby

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that clients may ask for."""
        return (self.name, *self.aliases, *self.adapters)

    @property
    def at_once(self) -> int:
        """How many requests the model's engines work on at once; 0 where that is not known."""
        return self.max_num_seqs * len(self.endpoints)

    def queue(self, queue_factor: int) -> int:
        """Return how many requests the model takes at once, those that wait in its engines included; 0 is any number."""
        return self.at_once * (1 + queue_factor)


def parse(entries: Any) -> tuple[Model, ...]:
    """Return the models as written; the first mistake is a FleetError that names its place."""
    listed = checks.items(entries, VARIABLE)
    if not listed:
        fail(VARIABLE, "it is empty.", "Name at least one model with its endpoints.")
    models = tuple(_parse(entry, f"{VARIABLE}[{index}]") for index, entry in enumerate(listed))
    owners: dict[str, str] = {}
    for index, model in enumerate(models):
        for name in model.names:
            owner = owners.setdefault(name, f"{VARIABLE}[{index}]")
            if owner != f"{VARIABLE}[{index}]" or model.names.count(name) > 1:
                fail(
                    f"{VARIABLE}[{index}]",
                    f"{name} is already a name of {owner}.",
                    "Names, aliases and adapters must all differ.",
                )
    return models


def _parse(entry: Any, where: str) -> Model:
    if not isinstance(entry, Mapping) or not entry.get("name") or not entry.get("endpoints"):
        fail(where, "it needs a name and its endpoints.", "Write name: and endpoints: below it.")
    for setting in entry:
        if setting not in Model.__dataclass_fields__:
            known = ", ".join(Model.__dataclass_fields__)
            fail(
                f"{where}.{setting}",
                "there is no such setting.",
                f"{meant(str(setting), Model.__dataclass_fields__)}Known are {known}.",
            )
    name = checks.matching(
        _NAME, entry["name"], f"{where}.name", "name of a model", "Use letters, digits and . _ -, at most 64."
    )
    api_key = entry.get("api_key") or ""
    # What was written is a secret, also where it is a wrong one: no message repeats it.
    if api_key and not (isinstance(api_key, str) and _ENGINE_KEY.fullmatch(api_key)):
        fail(
            f"{where}.api_key",
            f"the engine's key of {name} holds what no key holds, or fewer than 8 characters.",
            "Use letters, digits and . _ ~ + / = -",
        )
    length = entry.get("max_model_len")
    return Model(
        name=name,
        endpoints=_endpoints(entry, "endpoints", where),
        aliases=_names(entry, "aliases", where),
        adapters=_names(entry, "adapters", where),
        standby=_endpoints(entry, "standby", where),
        api_key=str(api_key),
        max_num_seqs=checks.integer(entry.get("max_num_seqs") or 0, f"{where}.max_num_seqs", 0, 1_000_000),
        max_model_len=checks.integer(length, f"{where}.max_model_len", 1, 2**40) if length else None,
        task=checks.choice(entry["task"], f"{where}.task", TASKS) if entry.get("task") else "",
        policy=policy.parse(entry.get("policy"), f"{where}.policy"),
        listener_uid=None
        if entry.get("listener_uid") is None
        else checks.integer(entry["listener_uid"], f"{where}.listener_uid", 0, 2**31 - 1),
        address=str(endpoint(entry["address"], f"{where}.address")) if entry.get("address") else "",
    )


def _names(entry: Mapping[str, Any], setting: str, where: str) -> tuple[str, ...]:
    at, remedy = f"{where}.{setting}", "Use letters, digits and . _ : / -, at most 128."
    return tuple(
        checks.matching(_ALIAS, name, at, "name of a model", remedy) for name in checks.items(entry.get(setting), at)
    )


def _endpoints(entry: Mapping[str, Any], setting: str, where: str) -> tuple[str, ...]:
    at = f"{where}.{setting}"
    return tuple(str(engine(value, at)) for value in checks.items(entry.get(setting), at))
