# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people read first, made from the code: a page a role, an inventory with every optional variable, and the picture."""

from __future__ import annotations

from html import escape
from pathlib import Path

import yaml

from ansible_collections.gpuserve.fleet.tests.support import recording, terminal_svg

CHECKOUT = Path(__file__).resolve().parents[2]
# In the order in which site.yml plays them.
ROLES = ("nvidia_driver", "docker_engine", "nvidia_container_toolkit", "vllm_stack", "gateway")
DEMO_CAST = CHECKOUT / "docs/demo.cast"
_MADE = "<!-- Made by `make docs` from the role's meta/argument_specs.yml. -->\n"


def role_readme(folder: Path) -> str:
    """Return a role's README: what it does, what a play with it looks like, and where its variables stand."""
    specs = yaml.safe_load((folder / "meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]
    main = specs["main"]
    lines = main.get("description", [])
    required = [name for name, spec in main.get("options", {}).items() if spec.get("required")]
    plain = [str(line) for line in ([lines] if isinstance(lines, str) else lines)]
    return "\n".join(
        [
            f"# gpuserve.fleet.{folder.name}",
            _MADE,
            f"{main['short_description']}.",
            "",
            *(f"{line.replace('C(', '`').replace(')', '`') if 'C(' in line else line}\n" for line in plain),
            "```yaml",
            "- hosts: gpu_hosts",
            "  become: true",
            "  gather_facts: false",
            "  roles:",
            f"    - role: gpuserve.fleet.{folder.name}",
            "```",
            "",
            f"Required: {', '.join(f'`{name}`' for name in required) or 'nothing; every variable has a default'}. All"
            f" {len(main.get('options', {}))} variables: [docs/roles/{folder.name}.md](../../docs/roles/{folder.name}.md).",
            "",
        ]
    )


def inventory_sample() -> str:
    """Return every public variable of every role with its default, commented out, beside what its defaults file says of it."""
    parts = [
        "---",
        "# Every optional variable with its default, for group_vars/gpu_hosts.yml: take a line over and drop its `#` to change it.",
        "# Made by `make docs` from roles/*/defaults/main.yml.",
    ]
    for role in ROLES:
        text = (CHECKOUT / "roles" / role / "defaults/main.yml").read_text(encoding="utf-8")
        parts += ["", f"# == {role} =="]
        parts += [line if line.startswith("#") else f"# {line}".rstrip() for line in text.splitlines() if line != "---"]
    return "\n".join(parts) + "\n"


def picture() -> str:
    """Return the picture of what comes up, as SVG: clients, the gateway, three engines, one card."""
    boxes = [
        (20, 95, 120, 60, "clients", "any OpenAI client"),
        (210, 95, 150, 60, "gateway :8000", "keys, limits, TLS"),
        (440, 25, 190, 52, "tinyllama :8001", "vLLM in a container"),
        (440, 99, 190, 52, "qwen :8002", "vLLM in a container"),
        (440, 173, 190, 52, "yi :8003", "vLLM in a container"),
        (710, 25, 150, 200, "one GPU", "planned to the MiB"),
    ]
    lines = (
        [(140, 125, 210, 125)]
        + [(360, 125, 440, y) for y in (51, 125, 199)]
        + [(630, y, 710, y) for y in (51, 125, 199)]
    )
    drawn = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 880 250" font-family="sans-serif" role="img"',
        '  aria-label="Clients ask one gateway on port 8000, which routes to three engines on one GPU">',
        '  <rect width="880" height="250" fill="#ffffff"/>',
    ]
    drawn += [
        f'  <line x1="{a}" y1="{b}" x2="{c}" y2="{d}" stroke="#5b6770" stroke-width="2"/>' for a, b, c, d in lines
    ]
    for x, y, width, height, title, below in boxes:
        middle, center = x + width // 2, y + height // 2
        drawn += [
            f'  <rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="#eef4ee" stroke="#3f7f3f" stroke-width="2"/>',
            f'  <text x="{middle}" y="{center - 3}" text-anchor="middle" font-size="16" fill="#1b2a1b">{escape(title)}</text>',
            f'  <text x="{middle}" y="{center + 16}" text-anchor="middle" font-size="12" fill="#41504a">{escape(below)}</text>',
        ]
    return "\n".join([*drawn, "</svg>"]) + "\n"


def demo_lines() -> list[tuple[float, str] | None]:
    """Return what of the recorded demonstration its picture shows."""
    lines = recording.read(DEMO_CAST.read_text(encoding="utf-8"))
    # Whole are what it says first and its last screen; of what lies between: what was made, the bring-up's news, the play's count.
    return terminal_svg.cut(
        lines, r"^lab: ", r"^  model  ", r"^lab: .*(there after|\$ ansible)|ready|to start:|^demo  .*changed="
    )


def demo_picture() -> str:
    """Return the picture of the recorded demonstration, as SVG."""
    return terminal_svg.draw(demo_lines(), "A run of make demo, from its first lines to an answer in English")


def pages() -> dict[Path, str]:
    """Every page by its place."""
    made = {
        CHECKOUT / "docs/inventory-sample.yml": inventory_sample(),
        CHECKOUT / "docs/picture.svg": picture(),
        CHECKOUT / "docs/demo.svg": demo_picture(),
    }
    for role in ROLES:
        made[CHECKOUT / "roles" / role / "README.md"] = role_readme(CHECKOUT / "roles" / role)
    return made
