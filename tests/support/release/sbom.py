# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles install on a host by default, as a software bill of materials (CycloneDX 1.6, JSON)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.container_toolkit import PACKAGES
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.docker_engine import DOCKER_PACKAGES

_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)((?:[^\n]*\\\n)*[^\n]*)", re.MULTILINE)
_IMAGE = re.compile(r"^(?P<name>[^@]+?)(?::(?P<tag>[^/:@]+))?(?:@sha256:(?P<digest>[0-9a-f]{64}))?$")
# The namespace of the identifiers that are made of a release's name and version.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "gpuserve.fleet")


@dataclass(frozen=True)
class Component:
    """One thing that is installed: by which role, from where, which version where the role pins one, and its files' checksums."""

    kind: str
    name: str
    version: str
    purl: str
    role: str
    sha256: tuple[str, ...] = ()
    note: str = field(default="")

    def as_json(self) -> dict[str, Any]:
        """Return it as CycloneDX has it."""
        properties = [{"name": "gpuserve:role", "value": self.role}]
        properties += [{"name": "gpuserve:version", "value": self.note}] if self.note else []
        made: dict[str, Any] = {"type": self.kind, "bom-ref": self.purl, "name": self.name, "purl": self.purl}
        made |= {"version": self.version} if self.version else {}
        if len(self.sha256) == 1:
            made["hashes"] = [{"alg": "SHA-256", "content": self.sha256[0]}]
        else:
            # One a file of the release; pip takes any of them.
            properties += [{"name": "gpuserve:sha256", "value": checksum} for checksum in self.sha256]
        return {**made, "properties": properties}


def components(checkout: Path) -> Iterator[Component]:
    """Return what the roles install by their defaults."""
    defaults = {
        path.parents[1].name: yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        for path in sorted(checkout.glob("roles/*/defaults/main.yml"))
    }
    for role, variables in defaults.items():
        for name, value in variables.items():
            if name.endswith("_image") and isinstance(value, str) and value and "{{" not in value:
                yield image(role, value)
    for package in DOCKER_PACKAGES:
        yield _package("docker_engine", package, "", "the newest of docker_engine_repository_url at the first run")
    version = str(defaults["nvidia_container_toolkit"]["nvidia_container_toolkit_version"])
    for package in PACKAGES:
        yield _package("nvidia_container_toolkit", package, version, "nvidia_container_toolkit_version")
    branch = defaults["nvidia_driver"]["nvidia_driver_branch"]
    newest = f"the newest of {'the newest long-term branch' if not branch else f'branch {branch}'} at the first run"
    yield _package("nvidia_driver", "nvidia-driver", "", newest)
    text = (checkout / "roles/vllm_stack/files/requirements.txt").read_text(encoding="utf-8")
    for name, version, rest in _REQUIREMENT.findall(text):
        purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
        sums = tuple(sorted(re.findall(r"--hash=sha256:([0-9a-f]{64})", rest)))
        yield Component("library", name, version, purl, "vllm_stack", sums)


def image(role: str, reference: str) -> Component:
    """Return a container image by its reference, by its digest where it has one."""
    parts = _IMAGE.match(reference)
    if parts is None:
        raise ValueError(f"{role}: {reference!r} is no image")
    name, tag, digest = parts["name"], parts["tag"] or "", parts["digest"] or ""
    purl = f"pkg:docker/{name.removeprefix('docker.io/').removeprefix('library/')}"
    version = tag or (f"sha256:{digest}" if digest else "")
    purl += f"@sha256%3A{digest}" if digest else f"@{tag}" if tag else ""
    return Component("container", name, version, purl, role, (digest,) if digest else ())


def _package(role: str, name: str, version: str, note: str) -> Component:
    # Whose package it is: Docker's own and NVIDIA's, as the defaults have it.
    purl = f"pkg:deb/{'docker' if role == 'docker_engine' else 'nvidia'}/{name}{f'@{version}' if version else ''}"
    return Component("application", name, version, purl, role, note=note)


def document(checkout: Path, version: str, time: str) -> dict[str, Any]:
    """Return the bill of materials of a release; the same for the same release."""
    collection = f"pkg:generic/gpuserve.fleet@{version}"
    found = {component.purl: component for component in components(checkout)}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, version)}",
        "version": 1,
        "metadata": {
            "timestamp": time,
            "component": {
                "type": "application",
                "bom-ref": collection,
                "name": "gpuserve.fleet",
                "version": version,
                "purl": collection,
                "licenses": [{"license": {"id": "GPL-3.0-or-later"}}],
            },
        },
        "components": [component.as_json() for component in found.values()],
        "dependencies": [{"ref": collection, "dependsOn": list(found)}],
    }
