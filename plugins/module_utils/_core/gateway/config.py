# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that the gateway's variables decide, parsed once and checked: what renders takes it as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any, Literal, cast

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import (
    addresses,
    boxes,
    checks,
    keys,
    models,
    policy,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway.addresses import Endpoint
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway.boxes import Box
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway.keys import Key
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway.models import Model
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway.policy import Policy

Tls = Literal["off", "self_signed", "files"]
TLS: tuple[Tls, ...] = ("off", "self_signed", "files")
# Below it a process needs a capability to listen.
FIRST_FREE_PORT = 1024
# The port; workers that are not root; their folders in /tmp.
LOW_PORT_CAPABILITIES = ("NET_BIND_SERVICE", "SETUID", "SETGID", "CHOWN")
# Figures kept of a key and model (today's and all), and what one takes in a zone of nginx at most: its name and a node of 128 bytes or 256.
USAGE_ENTRIES = 12
USAGE_ENTRY_BYTES = 320
# systemd gives these to units with DynamicUser=, whoever else may have them (systemd's UIDS-GIDS).
DYNAMIC_USERS = (61184, 65519)
# Each has room for the one before: a body, one key's, all of them, the /tmp that they lie in, the container that has it.
_SIZES = ("max_body", "max_key_bytes", "max_bytes", "tmp_size", "memory")
_API_PATH = re.compile(r"/[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,400}")
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_TLS_NAME = re.compile(r"(\*\.)?[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
_ORIGIN = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?")


@dataclass(frozen=True)
class Gateway:
    """The gateway of one host. Each field is the role's variable of that name, less its prefix."""

    models: tuple[Model, ...]
    boxes: tuple[Box, ...]
    box_certificates: str
    keys: tuple[Key, ...]
    auth: bool
    image: str
    address: str
    port: int
    paths: tuple[str, ...]
    queue_factor: int
    tls: Tls
    tls_certificate: str
    tls_key: str
    tls_name: str
    redirect_port: int
    hsts_max_age_s: int
    acme_dir: str
    cors_origins: tuple[str, ...]
    policy: Policy
    sticky: str
    slow_start_s: int
    draining: tuple[str, ...]
    drain_dir: str
    metrics_address: str
    max_body: str
    max_key_bytes: str
    max_bytes: str
    read_timeout_s: int
    check_interval_s: int
    workers: str
    worker_connections: int
    tmp_size: str
    memory: str
    usage_months: int
    uid: int
    gid: int

    @property
    def listener(self) -> Endpoint:
        """Where clients come in."""
        return Endpoint(self.address, self.port)

    @property
    def redirector(self) -> Endpoint | None:
        """Where plain HTTP is sent on to TLS."""
        return Endpoint(self.address, self.redirect_port) if self.redirect_port else None

    @property
    def url(self) -> str:
        """What the host itself asks the gateway at."""
        return f"{'http' if self.tls == 'off' else 'https'}://{self.listener.local}"

    @property
    def has_low_port(self) -> bool:
        """Whether nginx has to begin as root, to listen."""
        ports = (self.port, self.redirect_port, *(one.port for one in self.model_listeners.values()))
        return any(0 < port < FIRST_FREE_PORT for port in ports)

    @property
    def account(self) -> str:
        """Which user and group the container runs as. An account that is still to be made has no number yet."""
        return "0:0" if self.has_low_port else f"{self.uid}:{self.gid}"

    @property
    def box_at(self) -> dict[str, Box]:
        """The boxes by where they are reached."""
        return {box.endpoint: box for box in self.boxes}

    @property
    def usage_megabytes(self) -> int:
        """How much memory nginx shares for what clients used: room for each key with each model.

        In steps: a reload with another size starts empty, and takes up what the files have.
        """
        entries = (len(self.keys) + 1) * (len(self.models) + 1) * USAGE_ENTRIES
        needed = -(-entries * USAGE_ENTRY_BYTES // 2**20)
        return max(4, 1 << (needed - 1).bit_length())

    @property
    def listeners(self) -> dict[str, Endpoint]:
        """Where the gateway listens on the host, by the variable that says so."""
        found = {"gateway_port": self.listener}
        if self.redirector:
            found["gateway_redirect_port"] = self.redirector
        if self.metrics_address:
            found["gateway_metrics_address"] = addresses.endpoint(self.metrics_address, "gateway_metrics_address")
        return found | self.model_listeners

    @property
    def model_listeners(self) -> dict[str, Endpoint]:
        """Where it listens for one model alone, by the setting that says so."""
        found = {f"gateway_models[{at}].address": model.address for at, model in enumerate(self.models)}
        return {where: addresses.endpoint(address, where) for where, address in found.items() if address}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a careful operator would choose otherwise."""
        if self.listener.is_loopback:
            return ()
        if not self.auth:
            return (
                f"gateway_auth is false and the gateway listens on {self.listener}: anyone who reaches this address can use every "
                "model. Set gateway_auth: true, or gateway_address: 127.0.0.1.",
            )
        if self.tls == "off":
            return (
                f"gateway_tls is off and the gateway listens on {self.listener}: keys and prompts cross the network in the clear. "
                "Set gateway_tls: self_signed or files, or gateway_address: 127.0.0.1 behind a proxy that speaks TLS.",
            )
        return ()

    def with_keys(self, more: tuple[Key, ...]) -> Gateway:
        """Return the same gateway with other keys."""
        return replace(self, keys=more)


def parse(settings: Mapping[str, Any], more_keys: Any = (), host_name: str = "") -> Gateway:
    """Return the gateway that a host's variables describe; the first mistake is a FleetError that names its variable.

    settings holds them without the prefix gateway_, more_keys the entries of gateway_keys_file.
    """
    missing = sorted({field.name for field in fields(Gateway)} - set(settings))
    if missing:
        fail(f"gateway_{missing[0]}", "it isn't set.", "Leave the role's defaults in place.")
    parsed_models = models.parse(settings["models"])
    names = [name for model in parsed_models for name in model.names]
    parsed_boxes = boxes.parse(settings["boxes"])
    gateway = Gateway(
        models=parsed_models,
        boxes=parsed_boxes,
        box_certificates=boxes.certificates(settings["box_certificates"], parsed_boxes),
        keys=_keys(settings["keys"], more_keys, names),
        auth=checks.flag(settings["auth"], "gateway_auth"),
        paths=_paths(settings["paths"]),
        sticky=_sticky(settings["sticky"]),
        policy=policy.parse(settings["policy"], "gateway_policy"),
        draining=tuple(
            str(addresses.engine(one, "gateway_draining"))
            for one in checks.items(settings["draining"], "gateway_draining")
        ),
        drain_dir=checks.path(settings["drain_dir"], "gateway_drain_dir", "/run/draining"),
        uid=_number(settings["uid"]),
        gid=_number(settings["gid"]),
        **_listening(settings),
        **_encryption(settings, host_name),
        **_engine(settings),
    )
    _check_ports(gateway)
    boxes.check(gateway.boxes, gateway.models)
    return gateway


def _keys(written: Any, more: Any, names: list[str]) -> tuple[Key, ...]:
    inventory = keys.parse(written, names)
    registry = keys.parse(more, names, "gateway_keys_file")
    for index, key in enumerate(registry):
        for other in inventory:
            if key.name.lower() == other.name.lower() or key.sha256 == other.sha256:
                fail(
                    f"gateway_keys_file[{index}]",
                    f"{key.name} is in gateway_keys already, as {other.name}.",
                    "Take it out of one of them.",
                )
    return inventory + registry


def _paths(value: Any) -> tuple[str, ...]:
    where, remedy = "gateway_paths", "Write one such as /v1/completions."
    return tuple(
        checks.matching(_API_PATH, path, where, "path of an engine", remedy) for path in checks.items(value, where)
    )


def _sticky(value: Any) -> str:
    if not value:
        return ""
    return checks.matching(
        _HEADER, value, "gateway_sticky", "name of a header", 'Write one such as X-Session, or "key".'
    )


def bears_name(host_name: str) -> bool:
    """Return whether a host's name can stand in a certificate."""
    return _TLS_NAME.fullmatch(host_name) is not None


def _number(value: Any) -> int:
    where, (low, high) = "gateway_uid", DYNAMIC_USERS
    uid = checks.integer(value, where, 0, 2**31 - 1)
    if low <= uid <= high or uid == 65534:
        fail(
            where,
            f"{uid} is a number that systemd or others give to somebody else, too ({low} to {high} are dynamic users').",
            "Leave it at 0 for an account of the host's system range, or take one below.",
        )
    return uid


def _listening(settings: Mapping[str, Any]) -> dict[str, Any]:
    metrics = settings["metrics_address"]
    return {
        "image": checks.matching(
            _IMAGE, settings["image"], "gateway_image", "image", "Write one such as openresty/openresty:TAG."
        ),
        "address": addresses.host(settings["address"], "gateway_address"),
        "port": checks.integer(settings["port"], "gateway_port", 1, 65535),
        "redirect_port": checks.integer(settings["redirect_port"], "gateway_redirect_port", 0, 65535),
        "metrics_address": str(addresses.endpoint(metrics, "gateway_metrics_address")) if metrics else "",
        "cors_origins": _origins(settings["cors_origins"]),
    }


def _origins(value: Any) -> tuple[str, ...]:
    where, found = "gateway_cors_origins", []
    for origin in checks.items(value, where):
        if origin != "*" and not _ORIGIN.fullmatch(str(origin)):
            fail(
                where,
                f"{checks.shown(origin)} is no origin.",
                'Write scheme, host and port as browsers send them, such as https://chat.example.org, or "*".',
            )
        found.append(str(origin).lower())
    return tuple(found)


def _encryption(settings: Mapping[str, Any], host_name: str) -> dict[str, Any]:
    tls = cast(Tls, checks.choice(settings["tls"], "gateway_tls", TLS))
    name = str(settings["tls_name"] or host_name)
    given = {"tls_certificate": str(settings["tls_certificate"] or ""), "tls_key": str(settings["tls_key"] or "")}
    if tls == "files":
        for variable, value in given.items():
            if not value:
                fail(f"gateway_{variable}", "it is empty.", "Name a file on the host: gateway_tls is files.")
            checks.path(value, f"gateway_{variable}", "/etc/ssl/private/ai.pem")
    if tls == "self_signed":
        try:
            name = addresses.host(name, "gateway_tls_name")
        except FleetError:
            checks.matching(
                _TLS_NAME,
                name,
                "gateway_tls_name",
                "name of a host",
                "Write one such as ai.example.org, or an address.",
            )
    return {
        "tls": tls,
        **given,
        "tls_name": name,
        "hsts_max_age_s": checks.integer(settings["hsts_max_age_s"], "gateway_hsts_max_age_s", 0, 10**9),
        "acme_dir": checks.path(settings["acme_dir"], "gateway_acme_dir", "/var/lib/gpuserve/acme"),
    }


def _engine(settings: Mapping[str, Any]) -> dict[str, Any]:
    workers = str(settings["workers"])
    if workers != "auto":
        workers = str(checks.integer(workers, "gateway_workers", 1, 1024))
    sizes = {name: checks.size_bytes(settings[name], f"gateway_{name}") for name in _SIZES}
    for smaller, larger in pairwise(_SIZES):
        if sizes[smaller] > sizes[larger]:
            fail(
                f"gateway_{smaller}",
                f"{settings[smaller]} is more than gateway_{larger}, {settings[larger]}, has room for.",
                f"Lower it, or raise gateway_{larger}.",
            )
    whole = {
        "queue_factor": (0, 1000),
        "slow_start_s": (0, 86_400),
        "read_timeout_s": (1, 864_000),
        "check_interval_s": (1, 3600),
        "worker_connections": (64, 1_000_000),
        "usage_months": (1, 120),
    }
    return {
        "workers": workers,
        **{name: str(settings[name]) for name in _SIZES},
        **{name: checks.integer(settings[name], f"gateway_{name}", *bounds) for name, bounds in whole.items()},
    }


def _check_ports(gateway: Gateway) -> None:
    """Each port once; an engine on this host keeps its own."""
    if gateway.redirect_port and gateway.tls == "off":
        fail(
            "gateway_redirect_port",
            "it sends requests to TLS, and gateway_tls is off.",
            "Set gateway_tls, or leave it 0.",
        )
    taken: dict[str, Endpoint] = {}
    for variable, listener in gateway.listeners.items():
        for owner, other in taken.items():
            if listener.meets(other):
                fail(variable, f"{listener} is already {owner}'s.", "Take another port.")
        taken[variable] = listener
    ports = [listener.port for listener in taken.values()]
    for where, listener in gateway.model_listeners.items():
        # nginx tells by the port alone which model is meant.
        if ports.count(listener.port) > 1:
            fail(where, f"the gateway listens on {listener.port} elsewhere, too.", "Take another port.")
    for index, model in enumerate(gateway.models):
        where = f"gateway_models[{index}].endpoints"
        for one in model.all_endpoints:
            engine = addresses.engine(one, where)
            for owner, listener in taken.items():
                if isinstance(engine, Endpoint) and listener.meets(engine):
                    fail(where, f"{engine} is the gateway's own, by {owner}.", "Take another port for one of them.")
