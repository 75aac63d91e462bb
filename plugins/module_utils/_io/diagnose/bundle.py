# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A support bundle: what a diagnosis rests on, in one archive that may be sent to somebody, with the secrets taken out."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.diagnose.evidence import Evidence
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.diagnose.redact import redact
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack import secrets
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic

# Of the project's folder; the secret files beside them stay where they are.
_KEPT = ("compose.yml", "proved/plan.json", "proved/compose.yml")
_STATE = ("state.json", "calibration.json", "journal.json")


def known_secrets(project_dir: str) -> set[str]:
    """Every value in the stack's files of secrets, of the rendered set and of the kept ones."""
    found: set[str] = set()
    for path in Path(project_dir).glob("**/env/*.env"):
        try:
            found |= set(secrets.parse(path.read_text(encoding="utf-8", errors="replace")).values())
        except OSError:
            continue
    return found


def write(path: str, evidence: Evidence, lines: Sequence[str], project_dir: str, state_dir: str) -> list[str]:
    """Write the archive, readable by root alone, and name what is in it."""
    known = known_secrets(project_dir)
    texts = {name: redact(text, known) for name, text in _texts(evidence, lines, project_dir, state_dir).items()}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in texts.items():
            data = text.encode()
            entry = tarfile.TarInfo(f"gpuserve-support/{name}")
            entry.size, entry.mode = len(data), 0o600
            archive.addfile(entry, io.BytesIO(data))
    atomic.write(path, packed.getvalue())
    return sorted(texts)


def _texts(evidence: Evidence, lines: Sequence[str], project_dir: str, state_dir: str) -> Mapping[str, str]:
    facts: dict[str, Any] = asdict(evidence)
    for container in facts["containers"]:
        del container["log"]
    del facts["kernel_log"]
    texts = {
        "findings.txt": "\n".join(lines) + "\n",
        "evidence.json": json.dumps(facts, indent=1, sort_keys=True, default=str) + "\n",
        "kernel.log": "\n".join(evidence.kernel_log or ()) + "\n",
    }
    for container in evidence.containers:
        texts[f"logs/{container.name}.log"] = "\n".join(container.log) + "\n"
    for folder, names in ((project_dir, _KEPT), (state_dir, _STATE)):
        for name in names:
            try:
                texts[f"files/{name}"] = (Path(folder) / name).read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
    return texts
