# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's own variables, tags and version, read from where they are declared: there is no second list of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader

COLLECTION = Path(__file__).resolve().parents[2]
# Always and never are Ansible's own; the others select tasks by whether they have any.
_ANSIBLE_TAGS = ("always", "never", "all", "tagged", "untagged")


@cache
def specifications() -> dict[str, dict[str, Any]]:
    """Return what each role's argument specification says of each of its variables, of all entry points."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(COLLECTION.glob("roles/*/meta/argument_specs.yml")):
        entry_points = _read(path)["argument_specs"].values()
        found[path.parents[1].name] = {
            name: spec for entry in entry_points for name, spec in entry.get("options", {}).items()
        }
    return found


@cache
def playbooks() -> dict[str, dict[str, Any]]:
    """Return what is said of the variables of each playbook."""
    specs = _read(COLLECTION / "meta/playbooks.yml")["argument_specs"]
    return {playbook: spec["options"] for playbook, spec in specs.items()}


@cache
def known() -> frozenset[str]:
    """Return every public variable: of the roles, of the playbooks, and the facts that roles leave."""
    found = {name for declared in (specifications(), playbooks()) for specs in declared.values() for name in specs}
    for path in COLLECTION.glob("roles/*/defaults/*.yml"):
        found |= set(_read(path) or {})
    for path in COLLECTION.glob("roles/*/tasks/*.yml"):
        for task in _mappings(_read(path)):
            facts = task.get("ansible.builtin.set_fact")
            found |= set(facts) if isinstance(facts, Mapping) else set()
    return frozenset(name for name in found if not name.startswith("_"))


@cache
def version() -> str:
    """Return the version of the collection: of what is installed, or of a checkout."""
    installed = COLLECTION / "MANIFEST.json"
    found = _read(installed)["collection_info"] if installed.exists() else _read(COLLECTION / "galaxy.yml")
    return str(found["version"])


@cache
def tags() -> frozenset[str]:
    """Return the tags of the playbooks' tasks."""
    found: set[str] = set()
    for path in COLLECTION.glob("playbooks/**/*.yml"):
        for node in _mappings(_read(path)):
            written = node.get("tags") or []
            found |= {written} if isinstance(written, str) else set(written)
    return frozenset(found | set(_ANSIBLE_TAGS))


def declared(loader: DataLoader) -> dict[str, Any]:
    """Return the defaults and private variables of all roles as Ansible loads them, templates and all."""
    found: dict[str, Any] = {}
    for role in specifications():
        for name in ("defaults", "vars"):
            path = COLLECTION / "roles" / role / name / "main.yml"
            if path.exists():
                found |= load(loader, path) or {}
    return found


def load(loader: DataLoader, path: Path) -> Any:
    """Return a file of the collection as Ansible loads it."""
    try:
        return loader.load_from_file(str(path), trusted_as_template=True)
    except TypeError:
        # Before core 2.19 every text of a file may be a template.
        return loader.load_from_file(str(path))


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _mappings(node: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(node, Mapping):
        yield node
    children = node.values() if isinstance(node, Mapping) else node if isinstance(node, list) else ()
    for child in children:
        yield from _mappings(child)
