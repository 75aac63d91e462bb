# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In what a host differs from its inventory: driver, toolkit, image, engines and gateway, each difference with what ends it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.text import harmless

NONE = "none"
DRIVER = "site.yml --tags nvidia_driver"
TOOLKIT = "site.yml --tags nvidia_container_toolkit"
UPGRADE = "upgrade.yml"
STACK = "site.yml --tags vllm_stack"
GATEWAY = "site.yml --tags gateway"
TEARDOWN = "teardown.yml"
_TRANSPORT = "fleet.gpuserve.transport"
# Said in rows of their own, or in no row: what follows from them.
_TOLD = (
    "image",
    "command",
    "labels",
    "environment",
    "volumes",
    "healthcheck",
    "networks",
    "network_mode",
    "ports",
    "mem_limit",
)
_HEAD = ("what", "on the host", "in the inventory", "ended by")
_WIDEST = 60


@dataclass(frozen=True)
class Difference:
    """One thing in which a host differs: what it has, what the inventory says, and the playbook that brings it."""

    what: str
    host: str
    inventory: str
    brings: str


@dataclass(frozen=True)
class Engine:
    """A model as its service in a compose file, and the digest that changes with all that a running one would be replaced for."""

    service: Mapping[str, Any]
    digest: str


def installed_driver(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return version and branch by what driver_info found; a driver that came in no package is known by its library alone."""
    library = str((found.get("state") or {}).get("userspace") or "")
    if found["installed"].get("version") or not library:
        return dict(found["installed"])
    return {"version": library, "branch": int(library.partition(".")[0])}


def driver(
    branch: int, version: str, installed: Mapping[str, Any], decision: Mapping[str, Any]
) -> Iterator[Difference]:
    """Compare the driver with what nvidia_driver_* asks for. A branch of 0 and an empty version are any."""
    there = str(installed.get("version") or "")
    if not there:
        yield Difference("driver", NONE, version or (f"branch {branch}" if branch else "one"), DRIVER)
        return
    if branch and int(installed["branch"]) != branch:
        yield Difference("driver branch", str(installed["branch"]), str(branch), UPGRADE)
    if version and not _is_version(there, version):
        yield Difference("driver version", there, version, UPGRADE)
    if decision.get("action") not in (None, "", "none"):
        yield Difference("driver", f"needs {decision['action']}: {decision['reason']}", "one that works", DRIVER)


def toolkit(version: str, installed: Mapping[str, str], missing: Sequence[str]) -> Iterator[Difference]:
    """Compare the toolkit with its pin. missing is what apt would be asked for, by the role's own decision."""
    if missing:
        there = sorted(set(installed.values()))
        yield Difference("container toolkit", ", ".join(there) or NONE, version, UPGRADE if there else TOOLKIT)


def image(asked: str, proved: str) -> Iterator[Difference]:
    """Compare the engine's image, by digest where there is one, with that of the set that was proved."""
    if proved and asked != proved:
        yield Difference("engine image", proved, asked, STACK)


def engines(
    wanted: Mapping[str, Engine], proved: Mapping[str, Engine], running: Mapping[str, str] | None
) -> Iterator[Difference]:
    """Compare the engines of the inventory with the set that was proved and what runs of it: digests by model, None where unknown."""
    gone = TEARDOWN if not wanted else STACK
    for name in sorted({*wanted, *proved, *(running or {})}):
        subject = f"model {name}"
        if name not in wanted:
            yield Difference(subject, "served" if name in proved else "runs, not proved", NONE, gone)
        elif name not in proved:
            yield Difference(subject, NONE, "served", STACK)
        else:
            yield from _engine(subject, wanted[name], proved[name])
            if running is not None and running.get(name) != proved[name].digest:
                found = "another than was proved" if name in running else "does not run"
                yield Difference(f"{subject}: container", found, "the engine that was proved", STACK)


def names_only(wanted: Sequence[str], proved: Mapping[str, Engine]) -> Iterator[Difference]:
    """Compare which models are served, where nothing can be rendered to compare the rest with."""
    for name in sorted({*wanted} ^ {*proved}):
        there = name in proved
        yield Difference(f"model {name}", "served" if there else NONE, NONE if there else "served", STACK)


def stack_files(
    changed: Sequence[str], wanted: Mapping[str, Engine], proved: Mapping[str, Engine]
) -> Iterator[Difference]:
    """Compare the files of the stack. Where an engine of the set differs, its own row says why they do."""
    if {name: engine.digest for name, engine in wanted.items()} == {name: one.digest for name, one in proved.items()}:
        for name in changed:
            yield Difference(f"stack's {name}", "another", "as rendered now", STACK)


def _engine(subject: str, wanted: Engine, proved: Engine) -> Iterator[Difference]:
    """Compare one model: what it serves, its flags, where it listens, and the rest of its service."""
    if wanted.digest == proved.digest:
        return
    found: list[Difference] = []
    model, flags = flags_of(wanted.service.get("command", ()))
    model_there, flags_there = flags_of(proved.service.get("command", ()))
    if model != model_there:
        found.append(Difference(subject, model_there, model, STACK))
    met, met_there = _transport(wanted.service), _transport(proved.service)
    if met != met_there:
        found.append(Difference(f"{subject}: transport", met_there, met, STACK))
    # Where it listens follows from the transport.
    skipped = {"--uds", "--port", "--host"} if met != met_there else set()
    for flag in sorted({*flags, *flags_there} - skipped):
        before, after = flags_there.get(flag), flags.get(flag)
        if before != after:
            found.append(Difference(f"{subject}: {flag}", _flag(before), _flag(after), STACK))
    for name in sorted({*wanted.service, *proved.service} - {*_TOLD}):
        if wanted.service.get(name) != proved.service.get(name) and not (name == "entrypoint" and met != met_there):
            found.append(Difference(f"{subject}: {name}", "another", "as rendered now", STACK))
    env, env_there = (side.service.get("environment") or {} for side in (wanted, proved))
    for name in sorted(key for key in {*env, *env_there} if env.get(key) != env_there.get(key)):
        set_there, set_here = _set(name in env_there), _set(name in env)
        shown = "another" if set_there == set_here else set_there
        found.append(Difference(f"{subject}: environment {name}", shown, set_here, STACK))
    if not found and wanted.service.get("image") == proved.service.get("image"):
        found.append(Difference(f"{subject}: secrets or folders", "others", "as rendered now", STACK))
    yield from found


def flags_of(command: Sequence[Any]) -> tuple[str, dict[str, str]]:
    """Return the model of an engine's command line and its flags; one that is said twice has both values."""
    words = [str(word) for word in command]
    found: dict[str, list[str]] = {}
    flag = ""
    for word in words[1:]:
        if word.startswith("--"):
            flag, _equals, value = word.partition("=")
            found.setdefault(flag, []).extend([value] if value else [])
        elif flag:
            found[flag].append(word)
    return words[0] if words else "", {name: " ".join(values) for name, values in found.items()}


def gateway(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[Difference]:
    """Compare a gateway as the host has it with the one of the inventory: plain data, keys by digest, of which none is told."""
    if not found.get("there"):
        yield Difference("gateway", NONE, "one", GATEWAY)
        return
    for name, value in sorted(wanted["settings"].items()):
        there = found["settings"].get(name)
        if there != value and not (_is_plain(there) and _is_plain(value) and str(there) == str(value)):
            yield Difference(f"gateway_{name}", _value(there), _value(value), GATEWAY)
    yield from _named("gateway model", found["models"], wanted["models"])
    yield from _named("gateway key", found["keys"], wanted["keys"])
    # What the variables of the last run came to: what differs from that was changed by hand, or written by another version.
    for name, digest in sorted(wanted["files"].items()):
        if found["files"].get(name) != digest:
            yield Difference(
                f"gateway's {name}", "another" if name in found["files"] else NONE, "as rendered now", GATEWAY
            )
    if found["runs"] is False:
        yield Difference("gateway: container", "does not run", "a gateway that runs", GATEWAY)
    if found["code"] != wanted["code"]:
        yield Difference("gateway's code", "of another version of the collection", "of this version", GATEWAY)
    yield from _certificate(found.get("certificate") or {}, wanted.get("certificate_names") or ())


def _named(kind: str, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[Difference]:
    for name in sorted({*found, *wanted}):
        if name not in found:
            yield Difference(f"{kind} {name}", NONE, "there", GATEWAY)
        elif name not in wanted:
            yield Difference(f"{kind} {name}", "there", NONE, GATEWAY)
        elif found[name] != wanted[name]:
            keys = sorted(key for key in {*found[name], *wanted[name]} if found[name].get(key) != wanted[name].get(key))
            yield Difference(f"{kind} {name}", f"other in {', '.join(keys)}", "as rendered now", GATEWAY)


def _certificate(found: Mapping[str, Any], names: Sequence[str]) -> Iterator[Difference]:
    if not found:
        return
    if names and set(found["names"]) != set(names):
        yield Difference("gateway certificate", f"for {', '.join(found['names'])}", ", ".join(sorted(names)), GATEWAY)
    if found["ends_soon"]:
        yield Difference("gateway certificate", f"ends {found['ends']}", "30 days or more", GATEWAY)


def table(host: str, differences: Sequence[Difference], quarantine: str = "") -> list[str]:
    """Write the lines that a person reads: the host, and a row a difference."""
    state = (
        f"{len(differences)} difference{'' if len(differences) == 1 else 's'}"
        if differences
        else "as the inventory says"
    )
    lines = [f"{host}   {state}{f'   in quarantine: {harmless(quarantine)}' if quarantine else ''}"]
    if not differences:
        return lines
    rows = [_HEAD, *(tuple(harmless(cell) for cell in astuple(one)) for one in differences)]
    # An image by its digest is wider than a screen: the last column need not begin where no cell is that wide.
    widths = [min(_WIDEST, max(len(row[at]) for row in rows)) for at in range(len(_HEAD) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)]
        lines.append(f"  {'  '.join([*cells, row[-1]])}".rstrip())
    return lines


def _is_version(there: str, wanted: str) -> bool:
    """Tell whether a package's version is the one asked for: distributions add theirs behind it."""
    there = there.partition(":")[2] or there
    rest = there.removeprefix(wanted.rstrip("*").rstrip("."))
    return rest != there and not rest[:1].isdigit()


def _transport(service: Mapping[str, Any]) -> str:
    return str((service.get("labels") or {}).get(_TRANSPORT, "tcp"))


def _flag(value: str | None) -> str:
    return NONE if value is None else value or "set"


def _set(there: bool) -> str:
    return "set" if there else NONE


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, int, float))


def _value(value: Any) -> str:
    if _is_plain(value):
        return str(value) if value != "" else NONE
    return "other" if value else NONE
