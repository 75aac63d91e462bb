# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host is, read from text that other code fetched: its distribution and its packages.

Runs under whatever Python a host has before our own venv exists (3.9 on RHEL 9), so it keeps to what 3.9 knows.
"""

from __future__ import annotations

import fnmatch
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

DEB_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Distribution:
    """A distribution as /etc/os-release names it."""

    id: str
    version: str
    major: str
    codename: str
    family: str
    name: str


@dataclass(frozen=True)
class Package:
    """An installed package."""

    version: str
    held: bool = False


def parse_os_release(text: str) -> Distribution:
    """Read /etc/os-release; clones count to the family they say they are like."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        key, sep, raw = line.strip().partition("=")
        if sep and key and not key.startswith("#"):
            try:
                values[key] = "".join(shlex.split(raw))
            except ValueError:  # an open quote
                values[key] = ""
    identity = values.get("ID", "").lower()
    related = {identity, *values.get("ID_LIKE", "").lower().split()}
    family = ""
    if related & {"debian", "ubuntu"}:
        family = "debian"
    elif related & {"rhel", "fedora", "centos"}:
        family = "redhat"
    version = values.get("VERSION_ID", "")
    return Distribution(
        id=identity,
        version=version,
        major=version.split(".")[0],
        codename=values.get("VERSION_CODENAME", ""),
        family=family,
        name=values.get("PRETTY_NAME", identity or "an unnamed system"),
    )


def parse_dpkg(text: str) -> dict[str, Package]:
    """Read name, version and abbreviated status from dpkg-query, by tabs; only what is really installed counts."""
    found: dict[str, Package] = {}
    for line in text.splitlines():
        fields = line.split("\t")
        if len(fields) == 3 and len(fields[2]) >= 2 and fields[2][1] == "i":
            found[fields[0]] = Package(version=fields[1], held=fields[2][0] == "h")
    return found


def parse_rpm(text: str) -> dict[str, Package]:
    """Read name and version from rpm, by tabs; lines about packages that are not there have none."""
    found: dict[str, Package] = {}
    for line in text.splitlines():
        fields = line.split("\t")
        if len(fields) == 2:
            found[fields[0]] = Package(version=fields[1])
    return found


def parse_apt_policy(text: str) -> dict[str, str]:
    """Read `apt-cache policy NAME...`: the version apt would install for each name it knows."""
    candidates: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line and not line.startswith(" "):
            name = line.rstrip(":").split(":")[0]
        elif line.strip().startswith("Candidate:"):
            version = line.split(":", 1)[1].strip()
            if version != "(none)":
                candidates[name] = version
    return candidates


def parse_removals(text: str) -> list[str]:
    """Read `apt-get --simulate`: the packages that would be removed, in apt's order."""
    lines = (line.split() for line in text.splitlines())
    return [fields[1].split(":")[0] for fields in lines if len(fields) > 1 and fields[0] in ("Remv", "Purg")]


def parse_simulation_failure(out: str, err: str) -> str:
    """Read why apt can't do what it was to simulate: the first unmet dependency, else its error."""
    said = [line.strip() for line in f"{out}\n{err}".splitlines()]
    unmet = next((line for line in said if " : " in line and ("Depends:" in line or "Conflicts:" in line)), "")
    error = next((line.removeprefix("E: ") for line in said if line.startswith("E: ")), "it gives no reason")
    return " ".join((unmet or error).split()).rstrip(".")


def split_wanted(wanted: str) -> tuple[str, str]:
    """Split "name" or "name=version-pattern" as apt writes it."""
    name, _sep, version = wanted.partition("=")
    return name, version


def missing_packages(wanted: Sequence[str], installed: Mapping[str, Package]) -> list[str]:
    """Name what is absent, or there in another version than the pattern asks for."""
    absent = []
    for entry in wanted:
        name, version = split_wanted(entry)
        package = installed.get(name)
        if package is None or (version and not fnmatch.fnmatchcase(package.version, version)):
            absent.append(entry)
    return absent


def unavailable_packages(wanted: Iterable[str], candidates: Mapping[str, str]) -> list[str]:
    """Name what the package manager has never heard of."""
    return [entry for entry in wanted if split_wanted(entry)[0] not in candidates]


# What names the cause, the telling ones first; apt repeats the rest in several wordings.
_APT_CAUSES = (
    re.compile(r"(Missing key \w+)"),
    re.compile(r"(NO_PUBKEY \w+)"),
    re.compile(r"(EXPKEYSIG \w+)"),
    re.compile(r"(SHA1 is not considered secure[^,.\n]*)"),
    re.compile(r"([^:\n]*(?:not live|expired|not bound)[^:\n]*)"),
    re.compile(r"((?:Hash Sum|File has unexpected size) ?\w*)"),
    re.compile(r"(Could not connect to [^\n]*|Could not resolve [^\n]*|Connection failed[^\n]*|404 +Not Found)"),
    re.compile(r"E: ([^\n]*)"),
    re.compile(r"W: (Failed to fetch[^\n]*)"),
)


def apt_update_failure(status: int, out: str, err: str) -> str:
    """Name why `apt-get update` could not use a repository; "" where it could.

    apt leaves with status 0 when a server does not answer, and only warns.
    """
    said = f"{out}\n{err}"
    if status == 0 and not re.search(r"^(E:|W: Failed to fetch|W: Some index files failed|Err:)", said, re.MULTILINE):
        return ""
    for cause in _APT_CAUSES:
        match = cause.search(said)
        if match:
            return " ".join(match.group(1).split()).rstrip(".")
    return f"apt-get update ended with {status}"


_KEY_CAUSES = re.compile(r"Missing key|NO_PUBKEY|EXPKEYSIG|not live|expired|not bound|SHA1")


def is_about_the_key(reason: str) -> bool:
    """Tell whether a repository failed by its signature's key: its owner may have taken a new one."""
    return _KEY_CAUSES.search(reason) is not None
