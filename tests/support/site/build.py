# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The docs site: pages of modules, plugins and roles by antsibull-docs, with the hand-written ones, by Sphinx; a warning is a failure.

Run by the release venv's Python: python -m tests.support.site.build SITE
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
PROGRAMS = Path(sys.executable).parent
# The pages at the top, in the places that links between pages say.
TOP = ("README.md", "README.ko.md", "CHANGELOG.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "SECURITY.md", "LICENSE")
# Made for who reads in the repository; the site has antsibull's pages for them.
_REPOSITORY_ONLY = ("docs/modules", "docs/roles")
# What Ansible reads of the collection.
_DOCUMENTED = ("galaxy.yml", "meta", "plugins", "roles")


def for_the_site(text: str) -> str:
    """Return a page with links to the site's own reference, and diagrams as their text: drawing them takes a script from elsewhere."""
    for folder in _REPOSITORY_ONLY:
        text = text.replace(f"]({folder})", "](reference/index)")
    return text.replace("```mermaid\n", "```text\n")


def lay_out(source: Path) -> None:
    """Lay out the hand-written pages and what they show or hand out."""
    shutil.copytree(CHECKOUT / "docs/docsite", source, dirs_exist_ok=True)
    (source / "docs").mkdir()
    for path in (CHECKOUT / "docs").iterdir():
        if path.is_file():
            shutil.copy(path, source / "docs" / path.name)
    for name in TOP:
        shutil.copy(CHECKOUT / name, source / name)
    for page in [*source.glob("*.md"), *source.glob("docs/*.md")]:
        page.write_text(for_the_site(page.read_text(encoding="utf-8")), encoding="utf-8")
    index = source / "index.md"
    pages = sorted(path.relative_to(source).with_suffix("").as_posix() for path in source.glob("docs/*.md"))
    index.write_text(with_all(index.read_text(encoding="utf-8"), pages), encoding="utf-8")


def with_all(index: str, pages: list[str]) -> str:
    """Return the first page with those at its end that it does not list."""
    missing = [
        page for page in pages if not re.search(rf"^{re.escape(page)}$|<{re.escape(page)}>$", index, re.MULTILINE)
    ]
    toctree = ["```{toctree}", ":caption: More", ":maxdepth: 1", "", *missing, "```", ""]
    return "\n".join([index, *toctree]) if missing else index


def make_reference(source: Path, scratch: Path) -> None:
    """Write a page for each module, plugin and role."""
    collection = scratch / "ansible_collections/gpuserve/fleet"
    collection.mkdir(parents=True)
    for name in _DOCUMENTED:
        path = CHECKOUT / name
        if path.is_dir():
            shutil.copytree(path, collection / name)
        else:
            shutil.copy(path, collection / name)
    reference = source / "reference"
    reference.mkdir()
    options = ["--use-current", "--squash-hierarchy", "--fail-on-error", "--no-add-antsibull-docs-version"]
    command = ["antsibull-docs", "collection", *options, "--dest-dir", str(reference), "gpuserve.fleet"]
    _run(command, ANSIBLE_COLLECTIONS_PATH=str(scratch))
    for page in reference.rglob("*.rst"):
        page.write_text(without_contents(page.read_text(encoding="utf-8")), encoding="utf-8")


def without_contents(text: str) -> str:
    """Leave out a page's own table of contents: the theme has one beside it."""
    return re.sub(r"^\.\. contents::\n(?: +:\w+:.*\n)+", "", text, flags=re.MULTILINE)


def accessible(html: str) -> str:
    """Return a page that a keyboard and a screen reader get through: what Sphinx and antsibull leave out is put in."""
    html = html.replace('aria-role="button"', 'role="button"')
    html = re.sub(r'(<p class="caption" role="heading")(?! aria-level)', r'\1 aria-level="2"', html)
    # What scrolls sideways can be reached without a mouse.
    return html.replace("<pre>", '<pre tabindex="0">').replace(
        '<div class="table-wrapper', '<div tabindex="0" class="table-wrapper'
    )


def _run(command: list[str], **settings: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    path = f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(command, env={**kept, **settings, "PATH": path}, check=True)


def build(site: Path) -> None:
    """Build the site at a folder of its own, which is replaced."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        source, made = scratch / "source", scratch / "site"
        source.mkdir()
        lay_out(source)
        make_reference(source, scratch / "collections")
        sphinx = ["sphinx-build", "--builder", "html", "--quiet", "--fail-on-warning", "--keep-going", "--jobs", "auto"]
        _run([*sphinx, "--doctree-dir", str(scratch / "doctrees"), str(source), str(made)])
        for page in made.rglob("*.html"):
            page.write_text(accessible(page.read_text(encoding="utf-8")), encoding="utf-8")
        shutil.rmtree(site, ignore_errors=True)
        shutil.copytree(made, site)


def main() -> None:
    """Build the site at the folder that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", type=Path)
    build(parser.parse_args().site)


if __name__ == "__main__":
    main()
