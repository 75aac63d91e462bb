# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kinds of worlds, each drawn from a seed: any that could be, slow ones, flaky ones, and calm ones in which nothing befalls anybody."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.log import Phase
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import Container
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import Limits, Service
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB
from ansible_collections.gpuserve.fleet.tests.support.worlds.hands import Manners
from ansible_collections.gpuserve.fleet.tests.support.worlds.host import BEGAN, Box, Event, Host

SURGE_OFFSET = 1000
LIMITS = Limits(
    start_timeout_s=300,
    stall_timeout_s=60,
    phase_limits_s={Phase.LOADING: 200.0, Phase.LISTENING: 100.0, None: 100.0},
    drain_s=20,
    stop_s=60,
)


@dataclass
class World:
    """A host, how things behave on it, and what a bring-up is to do there."""

    seed: int
    host: Host
    manners: Manners
    limits: Limits
    order: str


@dataclass(frozen=True)
class Chances:
    """How likely it is that something befalls a host in a bring-up."""

    foreign_process: float = 0.3
    port: float = 0.05
    vanish: float = 0.03
    usurp: float = 0.02
    hand: float = 0.02
    nvml: float = 0.05
    misread: float = 0.05
    docker: float = 0.15
    dies: float = 0.1
    overfull: float = 0.1
    leaves: float = 0.2
    moves: float = 0.1


def any_world(seed: int) -> World:
    """Whatever could be."""
    return _random(seed, Manners(bad=0.25, refused=0.02, stuck=0.003, excess_bytes=(0, 0, 100)), Chances())


def flaky_world(seed: int) -> World:
    """One in which every tenth probe goes unanswered."""
    return _random(seed, Manners(bad=0.1, missed=0.1), replace(Chances(), nvml=0.3, misread=0.3))


def slow_world(seed: int) -> World:
    """One in which starts, ends and requests take longer than anybody's patience."""
    manners = Manners(load_s=(100.0, 280.0), warm_s=(20.0, 90.0), stop_s=(30.0, 50.0), act_s=3.0)
    world = _random(seed, manners, replace(Chances(), docker=0.05))
    for box in world.host.boxes():
        box.requests *= 30
    return world


def _random(seed: int, manners: Manners, chances: Chances) -> World:
    rng = random.Random(seed)
    host = Host(rng, gpus=tuple(f"GPU-{at}" for at in range(rng.choice([1, 1, 1, 2, 3]))))
    for uuid in host.gpus:
        host.total[uuid], host.foreign[uuid] = 32 * GIB, rng.choice([0, 0, 1, 3]) * GIB
        host.moved[uuid] = host.foreign_moved[uuid] = BEGAN - 100
    host.services = _services(rng, host, chances)
    used = dict.fromkeys(host.gpus, 0)
    for service in host.services:
        host.main[service.name] = _before(rng, host, service, used, chances)
        host.surge[service.name] = Box()
    if rng.random() < chances.leaves:
        _leaver(rng, host, used)
    host.events = _events(rng, host, chances)
    host.live_restore = rng.random() < 0.5
    inexact = any(not service.exact_kv for service in host.services)
    limits = replace(
        LIMITS,
        parallel=1 if inexact else rng.choice([1, 2, 3, 6]),
        at_once=rng.choice([0, 0, 1, 2]),
        switch_s=rng.choice([0.0, 5.0]),
        tolerance_bytes=rng.choice([None, GIB // 2]),
    )
    return _blind(World(seed, host, manners, limits, rng.choice(["smallest_first", "largest_first", "listed"])))


def _blind(world: World) -> World:
    """Have some hosts be such that nobody can tell there what others hold on a card, or what any process does."""
    lot = random.Random(f"blind {world.seed}").random()
    world.host.tells_foreign, world.host.tells_apart = lot >= 0.2, lot >= 0.1
    if not world.host.tells_apart:
        world.limits = replace(world.limits, parallel=1)  # as concurrency.choose has it
    return world


def _services(rng: random.Random, host: Host, chances: Chances) -> tuple[Service, ...]:
    room = {uuid: host.total[uuid] - host.foreign[uuid] - GIB for uuid in host.gpus}
    services: list[Service] = []
    for at in range(rng.randint(1, 6)):
        wide = rng.random() < 0.15 and len(host.gpus) > 1
        gpus = tuple(rng.sample(host.gpus, 2)) if wide else (rng.choice(host.gpus),)
        need = int(rng.uniform(1, 12) * GIB)
        if any(room[uuid] < need for uuid in gpus) and rng.random() >= chances.overfull:
            continue
        for uuid in gpus:
            room[uuid] -= need
        exact = rng.random() < 0.8
        services.append(Service(f"m{at}", f"d{at}", 8001 + at, gpus, need, exact, surge=exact and rng.random() < 0.5))
    return tuple(services or [Service("m0", "d0", 8001, host.gpus[:1], 4 * GIB, exact_kv=True, surge=True)])


def _before(rng: random.Random, host: Host, service: Service, used: dict[str, int], chances: Chances) -> Box:
    """What was there of a service before: nothing, an old one, itself, and all that can be left of them."""
    kind = rng.choice(
        ["absent", "absent", "old", "old", "same", "exited", "created", "starting", "restarting", "foreign", "sleeping"]
    )
    size = int(service.need_bytes * rng.choice([1, 1, 0.7, 1.3]))
    gpus = service.gpus if rng.random() >= chances.moves else (rng.choice(host.gpus),)
    running = kind in ("old", "same", "starting", "sleeping")
    if kind != "old":
        gpus = service.gpus
    if running and any(host.total[uuid] - host.foreign[uuid] - used[uuid] < size for uuid in gpus):
        kind = "absent"
        running = False
    digest = "before" if kind == "old" else service.digest
    box = Box(digest=digest, port=service.port, gpus=gpus, exact=service.exact_kv)
    if kind == "old" and rng.random() < 0.2:
        box.port = 7001 + int(service.name[1:])
    if running:
        for uuid in gpus:
            used[uuid] += size
        box.policy = rng.choice(["unless-stopped", "unless-stopped", "no"]) if service.exact_kv else "no"
        box.requests, box.hold_bytes = rng.choice([0, 0, 3]), size
        host.run(box, 1.0, 0.0)
        box.started, box.ready_at = host.now - 1000, host.now - 900
        box.sleeping = kind == "sleeping"
        if kind == "starting":
            box.started, box.load_s, box.ready_at = host.now - 20, 60.0, host.now + rng.uniform(10, 100)
            box.hold_bytes, box.policy = service.need_bytes, "no"
        if rng.random() < chances.dies:
            box.die_at = host.now + rng.uniform(0, 300)
    elif kind == "exited":
        box.state, box.exit_code = Container.EXITED, 1
    elif kind == "created":
        box.state = Container.CREATED
    elif kind == "restarting":
        box.state, box.policy, box.digest = (
            Container.RESTARTING,
            "unless-stopped",
            rng.choice([service.digest, "before"]),
        )
    elif kind == "foreign":
        box = Box(Container.RUNNING, foreign=True)
    else:
        box = Box()
    return box


def _leaver(rng: random.Random, host: Host, used: dict[str, int]) -> None:
    uuid = rng.choice(host.gpus)
    size = min(int(rng.uniform(1, 8) * GIB), host.total[uuid] - host.foreign[uuid] - used[uuid])
    if size < GIB:
        return
    used[uuid] += size
    taken = {box.port for box in host.main.values()}
    port = rng.choice([port for port in (8001, 8002, 8003, 8009) if port not in taken])
    box = Box(
        digest="gone", port=port, gpus=(uuid,), policy="unless-stopped", hold_bytes=size, requests=rng.choice([0, 3])
    )
    host.run(box, 1.0, 0.0)
    box.started, box.ready_at = host.now - 1000, host.now - 900
    host.main["/vllm-gone"] = box
    host.services += (Service("/vllm-gone", "", port, (uuid,), 0, exact_kv=True, leaves=True),)


def _events(rng: random.Random, host: Host, chances: Chances) -> list[Event]:
    def later(seconds: float) -> float:
        return host.now + rng.uniform(0, seconds)

    events = []
    for uuid in host.gpus:
        if rng.random() < chances.foreign_process:
            at = later(300)
            events.append(Event(at, "take", uuid, int(rng.uniform(0.2, 8) * GIB)))
            if rng.random() < 0.6:
                events.append(Event(at + rng.uniform(1, 200), "give", uuid))
    for service in host.services:
        if rng.random() < chances.port:
            events.append(Event(later(100), "port", size=service.port))
        if rng.random() < chances.port:
            events.append(Event(later(100), "port", size=service.port + SURGE_OFFSET))
        for kind, chance in (("vanish", chances.vanish), ("usurp", chances.usurp), ("hand", chances.hand)):
            if rng.random() < chance:
                events.append(Event(later(200), kind, service.name))
    if rng.random() < chances.nvml:
        events.append(Event(later(100), "nvml", size=rng.choice([1, 5, 60])))
    if rng.random() < chances.misread:
        events.append(Event(later(200), "misread", size=rng.choice([0, 31]) * GIB))
    if rng.random() < chances.docker:
        events.append(Event(later(200), "docker"))
    return sorted(events, key=lambda event: event.at)


def calm_world(seed: int) -> World:
    """One in which nothing befalls anybody: old sets and new ones that fit one after the other, in every way that a list can change."""
    rng = random.Random(seed)
    host = Host(rng, gpus=tuple(f"GPU-{at}" for at in range(rng.choice([1, 1, 1, 2]))))
    for uuid in host.gpus:
        host.total[uuid], host.foreign[uuid] = 32 * GIB, 0
        host.moved[uuid] = host.foreign_moved[uuid] = BEGAN - 100
    names = [f"m{at}" for at in range(rng.randint(2, 5))]
    new, old = _fitting(rng, host, names), _fitting(rng, host, names)
    if rng.random() < 0.6:
        old = {name: new[name] for name in new}  # an upgrade of the image: sizes stay
    ports = list(range(8001, 8001 + len(names)))
    old_ports = list(ports)
    if rng.random() < 0.2:
        rng.shuffle(old_ports)
    services = []
    for at, name in enumerate(names):
        host.surge[name] = Box()
        if name in new:
            gpu, need = new[name]
            services.append(Service(name, f"d{at}", ports[at], (gpu,), need, exact_kv=True, surge=True))
            host.main[name] = Box()
        if name in old and (name not in new or rng.random() < 0.85):
            gpu, size = old[name]
            box = Box(digest="before", port=old_ports[at], gpus=(gpu,), policy="unless-stopped", hold_bytes=size)
            host.run(box, 1.0, 0.0)
            box.started, box.ready_at, box.requests = host.now - 1000, host.now - 900, rng.choice([0, 3])
            key = name if name in new else f"/vllm-{name}"
            host.main[key] = box
            if name not in new:
                services.append(Service(key, "", box.port, (gpu,), 0, exact_kv=True, leaves=True))
    host.services = tuple(services)
    limits = replace(LIMITS, parallel=rng.choice([1, 2, 3, 6]), switch_s=rng.choice([0.0, 5.0]), drain_s=60)
    return _blind(World(seed, host, Manners(), limits, rng.choice(["smallest_first", "largest_first", "listed"])))


def _fitting(rng: random.Random, host: Host, names: list[str]) -> dict[str, tuple[str, int]]:
    """A card and a size for each of these models, as long as there is room."""
    room = {uuid: host.total[uuid] - GIB for uuid in host.gpus}
    found = {}
    for name in names:
        uuid, need = rng.choice(host.gpus), int(rng.uniform(1, 12) * 4) * GIB // 4
        if need <= room[uuid]:
            room[uuid] -= need
            found[name] = (uuid, need)
    return found


KINDS: dict[str, Callable[[int], World]] = {
    "any": any_world,
    "flaky": flaky_world,
    "slow": slow_world,
    "calm": calm_world,
}
