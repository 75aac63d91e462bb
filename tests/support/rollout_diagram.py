# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put the diagram of a bring-up's steps into docs/reliability.md, made from the state machine's own table."""

from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.machine import TRANSITIONS
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import Step

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- steps: begin -->", "<!-- steps: end -->"
FIRST, LAST = (Step.WAITING, Step.LEAVING), (Step.READY, Step.KEPT, Step.FAILED, Step.GONE)


def diagram() -> str:
    """Return the table of transitions as a Mermaid diagram."""
    lines = [f"    [*] --> {step.value}" for step in FIRST]
    lines += [f"    {old.value} --> {new.value}: {when}" for (old, new), when in TRANSITIONS.items()]
    lines += [f"    {step.value} --> [*]" for step in LAST]
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```"])


def renewed(text: str) -> str:
    """Return the page with its diagram made anew."""
    return re.sub(f"{BEGIN}.*{END}", f"{BEGIN}\n{diagram()}\n{END}", text, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
