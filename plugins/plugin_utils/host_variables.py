# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host's variables, checked by everything that knows something of them: names, types, each part, and the parts together."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.parsing.dataloader import DataLoader

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import credentials, yaml_words
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.benchmark import comparison
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine import flags, vllm
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet import rollout
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import config, registry
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import parse_gpus
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import daemon_options, daemon_values
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.inventory import limits, mistakes, names, values
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.ports import MODELS, NO_RULES, PortRules
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import ModelSpec, check_preset, parse_models
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack import secrets
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import parse_written_size
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import collection_variables
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.key_registry import Registry

SIZES = ("vllm_stack_reserved", "vllm_stack_min_headroom", "vllm_stack_tolerance", "vllm_stack_image_disk")
# What goes into daemon.json as it is.
DAEMON_OPTIONS = ("docker_engine_options", "docker_engine_log_options")
# What ends in files and command lines that every account of a host reads.
_SHOWN_TO_OTHERS = re.compile(r"_(repository_url|repository_key_url|repository_key|hub_endpoint)$")
# Where engines are while the gateway alone is looked at: their ports are checked against its own as ports of models.
_ELSEWHERE = "engine.invalid"
# What the engines come to, whatever is written: site.yml hands it over.
_HANDED_OVER = ("gateway_models", "gateway_prove")
_KEYS_FILE = "gateway_keys_file"
# The template of a variable by its name and value; a FleetError where it can't be had.
Template = Callable[[str, Any], Any]


def names_and_options(raw: Mapping[str, Any], template: Template) -> list[FleetError]:
    """Return the variables that look like ours and are none, and what is wrong with those of playbooks."""
    typed = _typed(collection_variables.playbooks(), raw, template)[1]
    return mistakes.merged(_unknown_names(raw, template), typed)


def _unknown_names(raw: Mapping[str, Any], template: Template) -> list[FleetError]:
    try:
        others = template(names.OTHERS, raw.get(names.OTHERS, []))
    except FleetError:
        # It is a variable of playbooks, and said with them.
        others = []
    return list(names.unknown(raw, collection_variables.known(), others if isinstance(others, list) else []))


def all_mistakes(
    host: str, raw: Mapping[str, Any], template: Template, loader: DataLoader, need_models: bool
) -> list[FleetError]:
    """Return what is wrong with a host's variables, in the order in which a person would mend it."""
    read, typed = _typed(collection_variables.specifications(), raw, template)
    refused = [
        FleetError(name, said[0], said[1])
        for name, value in read.items()
        if _SHOWN_TO_OTHERS.search(name) and (said := credentials.refusal(name, value))
    ]
    of_playbooks = _typed(collection_variables.playbooks(), raw, template)[0]
    found = mistakes.merged(
        names_and_options(raw, template),
        typed,
        _daemon_options(read),
        refused,
        _steps(of_playbooks),
        _acceptance(of_playbooks),
    )
    if not need_models and MODELS not in raw:
        return found
    wrong = {mistakes.variable(error) for error in found}
    parts = _Parts(host, {**collection_variables.declared(loader), **raw}, template, loader, wrong)
    return mistakes.merged(found, parts.mistakes())


def _typed(
    specifications: Mapping[str, Mapping[str, Any]], raw: Mapping[str, Any], template: Template
) -> tuple[dict[str, Any], list[FleetError]]:
    """Return the values that are written of what is specified, and what can't be read or is of another type."""
    written = {name: spec for specs in specifications.values() for name, spec in specs.items() if name in raw}
    read, broken = _templated({name: raw[name] for name in written if name not in _HANDED_OVER}, template)
    typed = list(values.mistakes({name: written[name] for name in read}, read))
    right = {name: read[name] for name in read if name not in {mistakes.variable(error) for error in typed}}
    return read, mistakes.merged(broken, typed, limits.mistakes(written, right))


def _daemon_options(read: Mapping[str, Any]) -> list[FleetError]:
    """Return what dockerd could not read of what is for daemon.json; what is no mapping, or no list, is said already."""
    found: list[FleetError] = []
    for name in DAEMON_OPTIONS:
        options = read.get(name)
        if isinstance(options, Mapping):
            unread = daemon_options.mistakes(options, name)
            found += mistakes.merged(unread, daemon_values.mistakes(options, f"{name}.{{}}".format))
    pools = {"default-address-pools": read.get("docker_engine_address_pools")}
    return [*found, *daemon_values.mistakes(pools, "docker_engine_address_pools".format)]


def _acceptance(read: Mapping[str, Any]) -> list[FleetError]:
    """Return what is wrong with what hosts are held to once they were changed."""
    given = read.get("benchmark_thresholds", [])
    try:
        # What is no list is said by its type.
        if isinstance(given, list):
            comparison.thresholds(given)
        if yaml_words.truth(read.get("gpuserve_acceptance")) and not given:
            fail(
                "gpuserve_acceptance",
                "it is on, and benchmark_thresholds says of no model what it has to reach.",
                "Set them in the group_vars of each card, or leave it off.",
            )
    except FleetError as error:
        return [error]
    return []


def _steps(read: Mapping[str, Any]) -> list[FleetError]:
    """Return what is wrong with the steps in which hosts change."""
    try:
        if rollout.STEPS in read:
            rollout.parse_steps(read[rollout.STEPS])
    except FleetError as error:
        return [error]
    return []


def own_part(host: str, variables: Mapping[str, Any], template: Template, loader: DataLoader) -> str:
    """Return what hosts with equal variables still differ in: keys that are for some hosts only, and a name that no certificate bears."""
    try:
        path = str(template(_KEYS_FILE, variables[_KEYS_FILE]) or "")
        mine = registry.for_host(Registry(Path(path), loader).entries(), host) if path else []
    except FleetError:
        return host
    return f"{mine}{'' if config.bears_name(host) else host}"


def _templated(given: Mapping[str, Any], template: Template) -> tuple[dict[str, Any], list[FleetError]]:
    read: dict[str, Any] = {}
    broken: list[FleetError] = []
    for name, value in given.items():
        try:
            read[name] = template(name, value)
        except FleetError as error:
            broken.append(error)
    return read, broken


class _Parts:
    """Models, cards, sizes, secrets and the gateway of a host, and everybody's ports. What is wrong already is not read again."""

    def __init__(
        self, host: str, variables: Mapping[str, Any], template: Template, loader: DataLoader, wrong: set[str]
    ) -> None:
        self.host = host
        self.variables = variables
        self.template = template
        self.loader = loader
        self.wrong = wrong

    def mistakes(self) -> list[FleetError]:
        """Return the first mistake of each part."""
        found: list[FleetError] = []
        checks: tuple[Callable[[], Any], ...] = (
            self._preset,
            *(
                (lambda name=name: parse_written_size(self._value(name), name))
                for name in SIZES
                if name not in self.wrong
            ),
            self._gpus,
            self._version,
            self._engines,
        )
        for check in checks:
            try:
                check()
            except FleetError as error:
                found.append(error)
        return found

    def _value(self, name: str) -> Any:
        return self.template(name, self.variables[name])

    def _preset(self) -> None:
        if "vllm_stack_preset" not in self.wrong:
            check_preset(self._value("vllm_stack_preset"))

    def _gpus(self) -> None:
        if "vllm_stack_gpus" not in self.wrong:
            parse_gpus(self._value("vllm_stack_gpus"))

    def _version(self) -> None:
        if "vllm_stack_engine_version" not in self.wrong:
            vllm.profile(str(self._value("vllm_stack_engine_version") or ""))

    def _engines(self) -> None:
        """Check the models, then the gateway in front of them, then who listens where."""
        if MODELS in self.wrong:
            return
        written = self._value(MODELS)
        specs = parse_models(written, NO_RULES)
        for index, spec in enumerate(specs):
            flags.check(spec.extra_args, f"{MODELS}[{index}]")
            flags.read(spec.extra_args, f"{MODELS}[{index}]")
        self._secrets(specs)
        if any(name.startswith("gateway_") for name in self.wrong):
            return
        gateway = self._gateway(specs)
        if "vllm_stack_surge_offset" in self.wrong:
            return
        network, offset = self._value("vllm_stack_network"), int(self._value("vllm_stack_surge_offset"))
        taken = {variable: listener.port for variable, listener in gateway.listeners.items()}
        if "vllm_stack_reserved_ports" in self.variables and self._value("vllm_stack_reserved_ports"):
            taken = self._value("vllm_stack_reserved_ports")
        parse_models(written, PortRules.read(taken, offset if network == "bridge" else 0))

    def _secrets(self, specs: Sequence[ModelSpec]) -> None:
        shown = [name for spec in specs for name in _names(spec)]
        for variable in secrets.VARIABLES.values():
            if variable not in self.wrong:
                secrets.check_chosen(self._value(variable), variable, shown)

    def _gateway(self, specs: Sequence[ModelSpec]) -> config.Gateway:
        models = [
            {
                "name": spec.name,
                "aliases": list(spec.aliases),
                "adapters": [str(adapter["name"]) for adapter in spec.lora_adapters],
                "endpoints": [f"{_ELSEWHERE}:{spec.port}"],
            }
            for spec in specs
        ]
        settings = {**self._settings(), "models": models}
        path = str(self._value("gateway_keys_file") or "")
        more = registry.for_host(Registry(Path(path), self.loader).entries(), self.host) if path else []
        return config.parse(settings, more, self.host)

    def _settings(self) -> dict[str, Any]:
        written = self.variables["_gateway_settings"]
        return {name: self.template(f"gateway_{name}", value) for name, value in written.items() if name != "models"}


def _names(spec: ModelSpec) -> Iterable[str]:
    return (spec.name, *spec.aliases, *(str(adapter["name"]) for adapter in spec.lora_adapters))
