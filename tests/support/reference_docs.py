# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One page for every module and every role, made from what Ansible itself reads: DOCUMENTATION and argument_specs."""

from __future__ import annotations

import ast
import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import spec_reference
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.diagnose import xid
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine import causes
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import daemon_json, daemon_options
from ansible_collections.gpuserve.fleet.tests.support import first_pages

CHECKOUT = Path(__file__).resolve().parents[2]
DOCS = CHECKOUT / "docs"
_MARKUP = re.compile(r"\b(?:O|V|RV|C|M|I|E)\(((?:[^()]|\([^()]*\))*)\)")
_HEADER = "<!-- Made by `make docs`; change the {source} instead. -->\n"


def plain(text: str | list[str]) -> str:
    """Ansible's markup as Markdown, one paragraph."""
    joined = " ".join(text) if isinstance(text, list) else text
    return " ".join(_MARKUP.sub(r"`\1`", str(joined)).split())


def rows(options: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Options and what is in them, each by its whole name."""
    for name, spec in options.items():
        yield f"{prefix}{name}", spec
        inner = spec.get("suboptions") or spec.get("options") or {}
        yield from rows(inner, f"{prefix}{name}{'[]' if spec.get('type') == 'list' else ''}.")


def _without_keys(description: str | list[str]) -> str | list[str]:
    """Leave out the lines on single keys: a table of their own has them."""
    if isinstance(description, str):
        return description
    keys = tuple(f"C({name}) (" for name in spec_reference.KEYS)
    return [line for line in description if not str(line).startswith(keys)]


def table(options: dict[str, Any]) -> str:
    """The table of options."""
    lines = ["| name | type | default | what |", "|---|---|---|---|"]
    for name, spec in rows(options):
        kind = spec.get("type", "str")
        kind = f"list of {spec.get('elements', 'str')}" if kind == "list" else kind
        default = (
            "required" if spec.get("required") else f"`{json.dumps(spec['default'])}`" if "default" in spec else ""
        )
        what = plain(_without_keys(spec.get("description", "")))
        if spec.get("choices"):
            what += f" One of {', '.join(f'`{choice}`' for choice in spec['choices'])}."
        what = what.replace("|", "\\|")
        lines.append(f"| `{name}` | {kind} | {default} | {what} |")
    return "\n".join(lines)


def constant(source: str, name: str) -> str:
    """A module's string by its name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name:
            return str(ast.literal_eval(node.value))
    raise KeyError(name)


def extended(doc: dict[str, Any], part: str) -> dict[str, Any]:
    """The options or attributes of a module over those of the fragments that it extends, as ansible-doc merges them."""
    merged: dict[str, Any] = {}
    for fragment in doc.get("extends_documentation_fragment") or []:
        name, _dot, variant = fragment.removeprefix("gpuserve.fleet.").partition(".")
        source = (CHECKOUT / f"plugins/doc_fragments/{name}.py").read_text(encoding="utf-8")
        merged |= yaml.safe_load(constant(source, (variant or "documentation").upper())).get(part) or {}
    for name, spec in (doc.get(part) or {}).items():
        merged[name] = {**merged.get(name, {}), **spec}
    return merged


def module_page(path: Path) -> str:
    """A module's page."""
    source = path.read_text(encoding="utf-8")
    doc, returned = yaml.safe_load(constant(source, "DOCUMENTATION")), yaml.safe_load(constant(source, "RETURN"))
    parts = [f"# {path.stem}", _HEADER.format(source="module"), f"{doc['short_description']}.", ""]
    parts += [f"{plain(line)}\n" for line in doc["description"]]
    parts += ["## Options", "", table(extended(doc, "options")), ""]
    modes = [f"{name}: {spec['support']}" for name, spec in extended(doc, "attributes").items()]
    parts += [f"{'; '.join(modes)}.\n"] if modes else []
    parts += ["## Returns", "", "| name | type | when | what |", "|---|---|---|---|"]
    for name, spec in (returned or {}).items():
        parts.append(f"| `{name}` | {spec['type']} | {spec.get('returned', '')} | {plain(spec['description'])} |")
    parts += ["", "## Example", "", "```yaml", constant(source, "EXAMPLES").strip(), "```", ""]
    return "\n".join(parts)


_KEYS_BEGIN = "          # Keys of a model entry: made by `make docs` from _core/spec_reference.py\n"
_KEYS_END = "          # End of the keys\n"


def model_keys_table() -> str:
    """Return the table of a model entry's keys."""
    lines = ["| key | type | left out | unit | what | example |", "|---|---|---|---|---|---|"]
    for name, key, default in spec_reference.rows():
        lines.append(f"| `{name}` | {key.type} | {default} | {key.unit} | {key.what} | `{key.example}` |")
    return "\n".join(lines)


def stack_specs() -> str:
    """Return vllm_stack's argument_specs.yml with a line for each key of a model entry, for `ansible-doc -t role`."""
    text = (CHECKOUT / "roles/vllm_stack/meta/argument_specs.yml").read_text(encoding="utf-8")
    lines = []
    for name, key, default in spec_reference.rows():
        unit = f" in {key.unit}" if key.unit else ""
        said = f"C({name}) ({key.type}{unit}; {default}). {key.what} Example C({key.example})."
        folded = textwrap.wrap(said, 120, break_long_words=False, break_on_hyphens=False)
        lines += ["          - >-\n", *(f"            {line}\n" for line in folded)]
    before, _begin, rest = text.partition(_KEYS_BEGIN)
    return f"{before}{_KEYS_BEGIN}{''.join(lines)}{_KEYS_END}{rest.partition(_KEYS_END)[2]}"


def role_page(folder: Path) -> str:
    """A role's page."""
    specs = yaml.safe_load((folder / "meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]
    main = specs["main"]
    parts = [f"# {folder.name}", _HEADER.format(source="role's meta/argument_specs.yml")]
    parts += [f"{main['short_description']}.", ""]
    description = main.get("description", [])
    parts += [f"{plain(line)}\n" for line in ([description] if isinstance(description, str) else description)]
    parts += ["## Variables", "", table(main.get("options") or {}), ""]
    if folder.name == "docker_engine":
        parts += ["## Options of daemon.json", "", daemon_options_table(), ""]
    if folder.name == "vllm_stack":
        parts += ["## Keys of an entry of vllm_stack_models", "", model_keys_table(), ""]
    return "\n".join(parts)


def daemon_options_table() -> str:
    """Return the table of daemon.json's options."""
    lines = ["| option | type | takes hold by | what |", "|---|---|---|---|"]
    for name, option in daemon_options.OPTIONS.items():
        by = "reload" if name in daemon_json.RELOADABLE else "restart"
        one_of = f" One of {', '.join(f'`{choice}`' for choice in option.choices)}." if option.choices else ""
        lines.append(f"| `{name}` | {option.kind.value} | {by} | {option.what}{one_of} |")
    return "\n".join(lines)


def playbooks_page() -> str:
    """Return the page of the variables that playbooks read."""
    specs = yaml.safe_load((CHECKOUT / "meta/playbooks.yml").read_text(encoding="utf-8"))["argument_specs"]
    parts = [
        "# Variables of playbooks",
        _HEADER.format(source="meta/playbooks.yml"),
        "What playbooks read besides the variables of the roles, from the inventory or with `-e`. Every playbook begins with",
        "a check of them, so a misspelt name or value is said before a host is touched.",
        "",
    ]
    for playbook, spec in specs.items():
        parts += [f"## {playbook}", "", f"{spec['short_description']}.", "", table(spec["options"]), ""]
    return "\n".join(parts)


def rooms_table() -> str:
    """Return a table for each package of _core and _io: a line a file, what its docstring says first."""
    shared = CHECKOUT / "plugins/module_utils"
    packages = sorted({path.parent for side in ("_core", "_io") for path in (shared / side).rglob("*.py")})
    parts = []
    for package in packages:
        parts += [f"| `{package.relative_to(shared)}/` | what it holds |", "|---|---|"]
        for path in sorted(package.glob("*.py")):
            first = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n\n")[0]
            parts.append(f"| `{path.stem}` | {' '.join(first.split()).replace('|', chr(92) + '|')} |")
        parts.append("")
    return "\n".join(parts)


def architecture_page() -> str:
    """Return docs/architecture.md with today's table of rooms in it."""
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    before, _mark, rest = text.partition("<!-- rooms: ")
    begin, _end, old = rest.partition("-->\n")
    return f"{before}<!-- rooms: {begin}-->\n{rooms_table()}{old[old.index('<!-- /rooms -->') :]}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def causes_table() -> str:
    """Return the table of causes: what each rule says, and what to do."""
    lines = ["| rule | what it means | what to do |", "|---|---|---|"]
    for rule in causes.RULES:
        said = rule.text.replace("({what})", "").replace("{what}", "...")
        lines.append(f"| `{rule.id}` | {_cell(said)} | {_cell(rule.remedy)} |")
    return "\n".join(lines) + "\n"


def xids_table() -> str:
    """Return the table of Xid errors."""
    lines = ["| number | what it means | what to do |", "|---|---|---|"]
    for number, meaning in sorted(xid.MEANINGS.items()):
        lines.append(f"| {number} | {_cell(meaning.text)} | {_cell(meaning.action.value)} |")
    return "\n".join(lines) + "\n"


def operations_page() -> str:
    """Return docs/operations.md with today's tables of causes and of Xids in it."""
    text = (DOCS / "operations.md").read_text(encoding="utf-8")
    for name, made in (("causes", causes_table()), ("xids", xids_table())):
        before, _mark, rest = text.partition(f"<!-- {name}: ")
        begin, _end, old = rest.partition("-->\n")
        text = f"{before}<!-- {name}: {begin}-->\n{made}{old[old.index(f'<!-- /{name} -->') :]}"
    return text


def pages() -> dict[Path, str]:
    """Every page by its place."""
    made = {
        CHECKOUT / "roles/vllm_stack/meta/argument_specs.yml": stack_specs(),
        DOCS / "architecture.md": architecture_page(),
        DOCS / "operations.md": operations_page(),
        DOCS / "playbooks.md": playbooks_page(),
        **first_pages.pages(),
    }
    for path in sorted((CHECKOUT / "plugins/modules").glob("*.py")):
        made[DOCS / "modules" / f"{path.stem}.md"] = module_page(path)
    for folder in sorted(path.parent.parent for path in (CHECKOUT / "roles").glob("*/meta/argument_specs.yml")):
        made[DOCS / "roles" / f"{folder.name}.md"] = role_page(folder)
    return made


def main() -> None:
    """Write the pages that changed, and take away those of what is gone."""
    made = pages()
    for place in (DOCS / "modules", DOCS / "roles"):
        place.mkdir(exist_ok=True)
        for old in set(place.glob("*.md")) - set(made):
            old.unlink()
    for path, text in made.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(path.relative_to(CHECKOUT))


if __name__ == "__main__":
    main()
