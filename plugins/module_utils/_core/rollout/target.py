# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set of services as it should be, with the plan that it was made from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import sockets
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.ports import HIGHEST_PORT
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout import proofs
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import Part, Service
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import SURGE_SUFFIX
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.compose import instance_of


@dataclass(frozen=True)
class Watched:
    """one engine to probe: its container, where it answers, what was planned for it on each of its cards."""

    name: str
    container: str
    image: str
    port: int
    gpus: tuple[str, ...]
    planned_bytes: int
    task: str = proofs.GENERATE  # what it is for, which decides how it is proved
    left: bool = False  # it is no part of the stack any more
    socket: str = ""  # where it answers in place of its port
    headless: bool = False  # it answers nowhere: it computes for the first host of its group
    digest: str = ""  # of what it is to run; empty where that is not known
    anew: bool = (
        False  # it is started again whatever it says: one that hangs without the others of its group is not waited for
    )

    @property
    def generates(self) -> bool:
        """Whether it makes tokens as its clients ask for them."""
        return self.task == proofs.GENERATE and not self.headless

    @property
    def where(self) -> int | str:
        """Where it answers: its port, or the path of its socket."""
        return self.socket or self.port

    @property
    def key(self) -> str:
        """What its service is called in a bring-up: a model that left may bear the name of one that is there."""
        return f"/{self.container}" if self.left else self.name

    def surge(self, offset: int) -> Watched:
        """Its surge instance, which listens `offset` ports above it, or on a socket of its own."""
        container = f"{self.container}{SURGE_SUFFIX}"
        if self.socket:
            return replace(self, container=container, socket=sockets.path(instance_of(container)))
        return replace(self, container=container, port=self.port + offset)

    def leaver(self) -> Service:
        """As a service that is to go."""
        return Service(self.key, "", self.port, self.gpus, 0, exact_kv=True, leaves=True)


@dataclass(frozen=True)
class Target:
    """What is to be: `entries` are compose_stack's services, `planned` the plan's models, both by name."""

    entries: Mapping[str, Mapping[str, Any]]
    planned: Mapping[str, Mapping[str, Any]]
    plan: Mapping[str, Any]
    endpoints: list[dict[str, Any]]
    services: tuple[Service, ...]
    watched: tuple[Watched, ...]

    @classmethod
    def of(cls, kept: Mapping[str, Any], anew: Collection[str] = ()) -> Target:
        """From a kept set, or from what the modules before this one returned: {"services", "plan", "endpoints"}. `anew` are models of
        which another host starts its part again."""
        entries = {entry["name"]: entry for entry in kept["services"]}
        planned = {
            model["name"]: model for gpu in kept["plan"]["gpus"] for model in gpu["models"] if model["name"] in entries
        }
        return cls(
            entries,
            planned,
            kept["plan"],
            kept.get("endpoints") or [],
            tuple(_service(entry, planned[name], name in anew) for name, entry in entries.items()),
            tuple(_watched(entry, planned[name], name in anew) for name, entry in entries.items()),
        )

    def anew_but(self, untouched: Collection[str], failed: Target) -> Target:
        """Return it to come back: parts of groups are started again, but for those that the set which failed had and left as they were."""
        kept = {name for name in untouched if failed.digests[name] == self.digests.get(name)}
        services = tuple(replace(one, anew=one.part is not None and one.name not in kept) for one in self.services)
        anew = {one.name for one in services if one.anew}
        return replace(
            self, services=services, watched=tuple(replace(one, anew=one.name in anew) for one in self.watched)
        )

    @property
    def digests(self) -> dict[str, str]:
        return {service.name: service.digest for service in self.services}

    @property
    def gpus(self) -> list[str]:
        """Every card of every model, in an order in which all runs take their locks."""
        return sorted({uuid for service in self.services for uuid in service.gpus})

    @property
    def as_result(self) -> dict[str, Any]:
        """What whoever comes after a bring-up needs of the set that was brought up."""
        return {
            "endpoints": self.endpoints,
            "services": [dict(entry) for entry in self.entries.values()],
            "plan": dict(self.plan),
            "generating": sorted(one.name for one in self.watched if one.generates),
            "at_boot": self._at_boot,
        }

    @property
    def _at_boot(self) -> str:
        """What makes the folders of its sockets before Docker starts, for systemd-tmpfiles."""
        instances = [instance_of(one.container) for one in self.watched if one.socket]
        return sockets.at_boot(instances) if instances else ""

    @property
    def containers(self) -> list[str]:
        return [str(entry["container"]) for entry in self.entries.values()]

    def services_with_surge(
        self, offset: int, listening: Collection[int], leavers: Collection[Watched]
    ) -> tuple[Service, ...]:
        """The services, each with whether a surge instance of it could have its name and its port."""
        names = {one.container for one in leavers}
        ports = {one.port for one in (*self.watched, *leavers) if not one.socket} | set(listening)

        def possible(service: Service) -> bool:
            if service.part is not None:
                return False  # its memory is on several hosts, and one part of two groups is of no use
            surge, network = self.watched_as(service.name).surge(offset), self.entries[service.name].get("network")
            has_port = network in (None, "bridge") and surge.port <= HIGHEST_PORT and surge.port not in ports
            return offset > 0 and bool(surge.socket or has_port) and surge.container not in {*names, *self.containers}

        return tuple(replace(service, surge=possible(service)) for service in self.services)

    def watched_as(self, name: str) -> Watched:
        return next(one for one in self.watched if one.name == name)


def part_of(entry: Mapping[str, Any]) -> Part | None:
    """Return which part of a group of hosts a service is; None where it is alone."""
    place = str(entry.get("group") or "")
    if not place:
        return None
    rank, _of, hosts = place.partition("/")
    return Part(f"{entry['name']}@{entry.get('meets', '')}", int(rank), int(hosts))


def _service(entry: Mapping[str, Any], model: Mapping[str, Any], anew: bool) -> Service:
    part = part_of(entry)
    return Service(
        name=entry["name"],
        digest=entry["digest"],
        port=int(entry["port"]),
        gpus=tuple(model["gpu_uuids"]),
        need_bytes=int(model["total_bytes"]),
        exact_kv=bool(model["exact_kv"]),
        weights_bytes=int(model.get("weights_bytes", 0)) * len(model["gpu_uuids"]),
        part=part,
        anew=anew and part is not None,
    )


def _task(model: Mapping[str, Any]) -> str:
    """What a planned model is for; one without a cache generates nothing, whatever an older plan says."""
    said = str(model.get("task") or proofs.GENERATE)
    return "embed" if said == proofs.GENERATE and not model["kv_cache_bytes"] else said


def _watched(entry: Mapping[str, Any], model: Mapping[str, Any], anew: bool) -> Watched:
    part = part_of(entry)
    return Watched(
        name=entry["name"],
        container=entry["container"],
        image=entry["image"],
        port=int(entry["port"]),
        gpus=tuple(model["gpu_uuids"]),
        planned_bytes=int(model["total_bytes"]),
        task=_task(model),
        socket=str(entry.get("socket", "")),
        headless=part is not None and part.is_headless,
        digest=str(entry["digest"]),
        anew=anew and part is not None,
    )
