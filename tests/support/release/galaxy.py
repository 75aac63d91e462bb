# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as Galaxy judges it: docs by antsibull-docs, the changelog by antsibull-changelog, the tarball by galaxy-importer.

Workflows are judged beside it by zizmor, which reads their syntax and looks for what anybody could do with them.

Run by the release venv's Python: python -m ansible_collections.gpuserve.fleet.tests.support.release.galaxy
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from ansible_collections.gpuserve.fleet.tests.support.release import tarball
from ansible_collections.gpuserve.fleet.tests.support.release.tarball import program

CHECKOUT = Path(__file__).resolve().parents[3]
# ansible-lint and sanity are run by `make check`, with this project's own settings.
_IMPORTER = """\
[galaxy-importer]
RUN_ANSIBLE_DOC = True
RUN_ANSIBLE_LINT = False
RUN_ANSIBLE_TEST = False
CHECK_REQUIRED_TAGS = True
CHECK_CHANGELOG = True
ANSIBLE_LOCAL_TMP = {scratch}
"""
_DOCS = ("--plugin-docs", "--validate-collection-refs=self")
# The importer looks for a role's description in meta/main.yml alone; ours is in its argument_specs, which Galaxy shows.
_TAKEN = ("WARNING: Could not get role description, no role metadata found",)


def verdicts(checkout: Path, scratch: Path) -> dict[str, list[str]]:
    """Return what each of them says against the collection; nothing where it is content."""
    collection = scratch / "ansible_collections/gpuserve/fleet"
    collection.mkdir(parents=True)
    tarball.lay_out(checkout, collection)
    docs = program("antsibull-docs", "lint-collection-docs", *_DOCS, ".", cwd=collection)
    log = program("antsibull-changelog", "lint", cwd=collection)
    current = program("antsibull-changelog", "generate", "--output", "made.md", "--output-format", "md", cwd=collection)
    built = tarball.build(checkout, scratch / "dist", 0)
    settings = scratch / "importer.cfg"
    settings.write_text(_IMPORTER.format(scratch=scratch / "tmp"), encoding="utf-8")
    chosen = {"GALAXY_IMPORTER_CONFIG": str(settings), "HOME": str(scratch)}
    workflows = program("zizmor", "--offline", "--no-progress", "--quiet", ".github/workflows", cwd=checkout)
    importer = program(sys.executable, "-m", "galaxy_importer.main", str(built), cwd=scratch, **chosen)
    loud = [line for line in (importer.stdout + importer.stderr).splitlines() if line.startswith(("WARNING", "ERROR"))]
    made = (collection / "made.md").read_text(encoding="utf-8") if current.returncode == 0 else ""
    written = (collection / "CHANGELOG.md").read_text(encoding="utf-8")
    return {
        "antsibull-docs": _lines(docs.returncode, docs.stdout + docs.stderr),
        "antsibull-changelog": [
            *_lines(log.returncode, log.stdout + log.stderr),
            *(
                []
                if made == written
                else ["CHANGELOG.md is not what changelogs/changelog.yaml makes: run `make changelog`"]
            ),
        ],
        "zizmor": _lines(workflows.returncode, workflows.stdout + workflows.stderr),
        "galaxy-importer": [
            *[line for line in loud if line not in _TAKEN],
            *([] if importer.returncode == 0 else [f"it ended with {importer.returncode}"]),
        ],
    }


def _lines(code: int, text: str) -> list[str]:
    return (text.strip().splitlines() or [f"it ended with {code}"]) if code != 0 else []


def main() -> int:
    """Print the verdicts, and return 1 where somebody is not content."""
    with tempfile.TemporaryDirectory() as name:
        found = verdicts(CHECKOUT, Path(name))
    for judge, said in found.items():
        print(f"{judge}: {'nothing against it' if not said else ''}")
        for line in said:
            print(f"  {line}")
    return 1 if any(found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
