# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Merge our options into a daemon.json that others write too, check them, and say what a change costs.

Three sides: what the file says, what we want, and what we wrote last time. A default of ours never overrides a value
that someone else set; an option of ours that is no longer wanted goes away again, unless someone changed it since.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import credentials
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import daemon_values

Path = tuple[str, ...]
Leaves = dict[Path, Any]

# Lists where several parties each add their own entries; every other list is one value.
UNION_LISTS: frozenset[Path] = frozenset({("insecure-registries",), ("registry-mirrors",), ("dns",), ("labels",)})
# What dockerd takes over on SIGHUP (dockerd reference, "Configuration reload behavior"); the rest needs a restart.
RELOADABLE = frozenset(
    {
        "authorization-plugins",
        "debug",
        "default-runtime",
        "insecure-registries",
        "labels",
        "live-restore",
        "max-concurrent-downloads",
        "max-concurrent-uploads",
        "max-download-attempts",
        "registry-mirrors",
        "runtimes",
        "shutdown-timeout",
    }
)
# Drivers that know max-size and max-file; options of one driver make containers of another fail to start.
_ROTATING_DRIVERS = frozenset({"json-file", "local"})
_BUILT_IN_RUNTIMES = frozenset({"runc", "io.containerd.runc.v2"})
_CONCEALED = "sha256"


@dataclass(frozen=True)
class Merge:
    """The merged options, the leaves that are ours, and the defaults that gave way."""

    options: dict[str, Any]
    ours: Leaves
    kept: tuple[str, ...]


@dataclass(frozen=True)
class HostState:
    """What the checks need to know about the host."""

    swarm_active: bool = False
    hosts_flag: bool = False
    files: frozenset[str] = field(default_factory=frozenset)


def leaves(options: Mapping[str, Any], prefix: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield every value that is not a mapping, with the way to it."""
    for key, value in options.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*prefix, str(key)))
        else:
            yield (*prefix, str(key)), value


def _get(options: Mapping[str, Any], path: Path) -> Any:
    at: Any = options
    for key in path:
        if not isinstance(at, Mapping) or key not in at:
            return None
        at = at[key]
    return at


def _overlap(one: Path, other: Path) -> bool:
    """Tell whether one way leads to, or through, the other."""
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _blocked(options: Mapping[str, Any], path: Path) -> Path:
    """Name the value that stands where a mapping would have to, if there is one."""
    for length in range(1, len(path)):
        value = _get(options, path[:length])
        if value is not None and not isinstance(value, Mapping):
            return path[:length]
    return ()


def _set(options: dict[str, Any], path: Path, value: Any) -> None:
    at = options
    for key in path[:-1]:
        child = at.get(key)
        if not isinstance(child, dict):
            child = at[key] = {}
        at = child
    at[path[-1]] = copy.deepcopy(value)


def _delete(options: dict[str, Any], path: Path) -> None:
    if len(path) > 1:
        child = options.get(path[0])
        if isinstance(child, dict):
            _delete(child, path[1:])
            if not child:
                del options[path[0]]
        return
    options.pop(path[0], None)


def _without_entries(value: Any, entries: Any) -> list[Any]:
    mine = conceal(entries) if isinstance(entries, list) else []
    return [item for item in value if conceal(item) not in mine] if isinstance(value, list) else []


def conceal(value: Any, name: str = "") -> Any:
    """Put a digest in the place of every text that is a secret: enough to know it again, and nothing to steal."""
    if isinstance(value, str) and credentials.secrets(value, name):
        return {_CONCEALED: hashlib.sha256(value.encode()).hexdigest()}
    return [conceal(item, name) for item in value] if isinstance(value, list) else value


def without_empty(options: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what has no value: false, empty texts and lists, and mappings with nothing else in them."""
    values = {key: without_empty(value) if isinstance(value, Mapping) else value for key, value in options.items()}
    return {key: value for key, value in values.items() if value not in (None, False, "", [], {})}


def overlay(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay options over others, mappings key by key."""
    result: dict[str, Any] = dict(under)
    for key, value in over.items():
        there = result.get(key)
        both = isinstance(there, Mapping) and isinstance(value, Mapping)
        result[key] = overlay(there, value) if both else value  # type: ignore[arg-type]
    return result


def _is(there: Any, recorded: Any, path: Path) -> bool:
    return bool(conceal(there, path[-1]) == conceal(recorded, path[-1]))


def merge(
    current: Mapping[str, Any],
    required: Mapping[str, Any],
    defaults: Mapping[str, Any],
    ours: Leaves,
    keep: frozenset[Path] = frozenset(),
) -> Merge:
    """Lay required options over the file, and defaults where it says nothing; what is in `keep` is never removed again."""
    result: dict[str, Any] = copy.deepcopy(dict(current))
    wanted = dict(leaves(required))
    soft = {path: value for path, value in leaves(defaults) if not any(_overlap(path, other) for other in wanted)}
    kept: list[str] = []
    claimed: Leaves = {}

    for path, value in ours.items():
        if path in wanted or path in soft or path in keep:
            continue
        if path in UNION_LISTS:
            rest = _without_entries(_get(result, path), value)
            if rest:
                _set(result, path, rest)
            else:
                _delete(result, path)
        elif _is(_get(result, path), value, path):
            _delete(result, path)

    for path, value in wanted.items():
        there = _get(current, path)
        if path in UNION_LISTS and isinstance(value, list):
            foreign = _without_entries(there, ours.get(path))
            added = [item for item in value if item not in foreign]
            _set(result, path, foreign + added)
            claimed[path] = conceal(added, path[-1])
        else:
            _set(result, path, value)
            if there != value or path in ours:
                claimed[path] = conceal(value, path[-1])

    driver = _get(result, ("log-driver",))
    other_driver = driver is not None and ours.get(("log-driver",)) != driver and driver not in _ROTATING_DRIVERS
    for path, value in soft.items():
        there, blocked = _get(result, path), _blocked(result, path)
        if path[0] == "log-opts" and other_driver:
            if path in ours and _is(there, ours[path], path):
                _delete(result, path)
            continue
        if blocked:
            kept.append(f"{'.'.join(blocked)} stays {_get(result, blocked)!r}")
        elif there is None or (path in ours and _is(there, ours[path], path)):
            _set(result, path, value)
            claimed[path] = conceal(value, path[-1])
        elif there != value:
            kept.append(f"{'.'.join(path)} stays {there!r}")
    return Merge(options=result, ours=claimed, kept=tuple(kept))


def effect(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Say what the running daemon needs to take the change over: none, reload or restart."""
    changed = {key for key in {*before, *after} if before.get(key) != after.get(key)}
    if not changed:
        return "none"
    return "reload" if changed <= RELOADABLE else "restart"


def check_consent(before: Mapping[str, Any], after: Mapping[str, Any], containers_running: int) -> None:
    """Refuse a restart that would stop containers; with live-restore, which a reload turns on first, none stops."""
    if containers_running and effect(before, after) == "restart" and not after.get("live-restore"):
        changed = sorted(
            key for key in {*before, *after} if before.get(key) != after.get(key) and key not in RELOADABLE
        )
        fail(
            "docker_engine_allow_stopping_containers",
            f"Docker must restart to take over {', '.join(changed)}, and without live-restore that stops "
            f"{containers_running} running containers.",
            "Turn live-restore on in daemon.json to keep them, or set docker_engine_allow_stopping_containers: true. "
            "Nothing was changed.",
        )


def check(options: Mapping[str, Any], host: HostState, variables: Mapping[str, str], path: str) -> None:
    """Refuse what `dockerd --validate` lets through and a running daemon, or a container, then dies of."""

    def refuse(key: str, rest: str, problem: str, remedy: str) -> None:
        where = f"{variables[key]}{rest}" if key in variables else f"{path}: {key}{rest}"
        fail(where, problem, f"{remedy} Nothing was changed.")

    daemon_values.check(options, refuse)
    runtimes = options.get("runtimes")
    names = set(runtimes) if isinstance(runtimes, Mapping) else set()
    default_runtime = options.get("default-runtime")
    if default_runtime is not None and default_runtime not in names | _BUILT_IN_RUNTIMES:
        refuse(
            "default-runtime",
            "",
            f"no runtime is named {default_runtime!r}.",
            f"Define it under runtimes, or use one of {', '.join(sorted(names | {'runc'}))}.",
        )
    if isinstance(runtimes, Mapping):
        for name, runtime in runtimes.items():
            program = runtime.get("path") if isinstance(runtime, Mapping) else None
            if isinstance(program, str) and program.startswith("/") and program not in host.files:
                refuse(
                    "runtimes",
                    f".{name}.path",
                    f"{program} does not exist.",
                    "Install the program first, or correct the path.",
                )
    if options.get("live-restore") and host.swarm_active:
        refuse(
            "live-restore",
            "",
            "a node of a swarm can't keep containers through a restart of Docker.",
            "Set docker_engine_live_restore: false.",
        )
    if "hosts" in options and host.hosts_flag:
        refuse(
            "hosts",
            "",
            "the docker service already passes -H, and dockerd refuses to start with both.",
            "Remove one of the two.",
        )


def parse_ours(stored: Any) -> Leaves:
    """Read what we recorded last time; a record nobody can read counts as none."""
    found: Leaves = {}
    for entry in stored if isinstance(stored, list) else []:
        if isinstance(entry, Mapping) and isinstance(entry.get("path"), list):
            path = tuple(str(part) for part in entry["path"])
            found[path] = conceal(entry.get("value"), path[-1] if path else "")
    return found


def store_ours(ours: Leaves) -> list[dict[str, Any]]:
    """Write the record in a stable order."""
    return [{"path": list(path), "value": value} for path, value in sorted(ours.items())]


@dataclass(frozen=True)
class Asked:
    """What is asked of the file: options that win over it, those that give way to it, and names that stay in it."""

    required: dict[str, Any]
    defaults: dict[str, Any]
    keep: frozenset[Path]

    @classmethod
    def of(cls, arguments: Mapping[str, Any], swarm_active: bool) -> Asked:
        """Read the arguments of docker_daemon_config; one that is left out is empty."""
        defaults = without_empty(arguments.get("defaults") or {})
        if swarm_active:
            defaults.pop("live-restore", None)
        required = overlay(without_empty(arguments.get("if_set") or {}), arguments.get("required") or {})
        keep = frozenset(tuple(str(name).split(".")) for name in arguments.get("keep") or ())
        return cls(required, defaults, keep)

    def merged(self, before: Mapping[str, Any], record: Any) -> Merge:
        """Merge with the file's options and the record of which of them are ours."""
        return merge(before, self.required, self.defaults, parse_ours(record), self.keep)


def unchanged(asked: Asked, known: Mapping[str, Any]) -> Merge | None:
    """Return the merge where the `options` and the `record` that are known are that already."""
    found = asked.merged(known["options"], known["record"])
    return found if found.options == known["options"] and store_ours(found.ours) == known["record"] else None
