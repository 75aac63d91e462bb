# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release in one folder: the tarball, built twice to the same bytes, its checksums, and the bill of materials.

Run by the release venv's Python: python -m ansible_collections.gpuserve.fleet.tests.support.release.build DIST
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

import yaml

from ansible_collections.gpuserve.fleet.tests.support.release import sbom, tarball
from ansible_collections.gpuserve.fleet.tests.support.release.tarball import ReleaseError, program

CHECKOUT = Path(__file__).resolve().parents[3]


def epoch(checkout: Path) -> int:
    """Return the time of a release: SOURCE_DATE_EPOCH, else that of the commit it is made of."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    return int(given) if given else int(_git(checkout, "log", "-1", "--format=%ct"))


def check_is_committed(checkout: Path) -> None:
    """Refuse a release of what is in no commit."""
    changed = _git(checkout, "status", "--porcelain")
    if changed:
        first = changed.splitlines()[0].split()[-1]
        raise ReleaseError(f"{first} is not as it was committed. Commit it, or put it back, and run again.")


def check_changelog(checkout: Path, version: str) -> None:
    """Refuse a release that the changelog does not know."""
    known = yaml.safe_load((checkout / "changelogs/changelog.yaml").read_text(encoding="utf-8"))["releases"]
    if version not in known:
        raise ReleaseError(
            f"changelogs/changelog.yaml has no {version}. Run `make changelog`, and commit what it writes."
        )


def check_installs(built: Path, version: str) -> None:
    """Refuse a tarball that ansible-galaxy does not install into an empty place, or finds changed there."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        where = ["-p", str(place / "collections")]
        for command in (
            ["install", "--no-deps", *where, str(built)],
            ["verify", "--offline", *where, f"gpuserve.fleet:{version}"],
        ):
            settings = {"ANSIBLE_COLLECTIONS_PATH": str(place / "collections"), "HOME": name}
            done = program("ansible-galaxy", "collection", *command, cwd=place, **settings)
            if done.returncode != 0:
                raise ReleaseError(f"ansible-galaxy {command[0]}: {(done.stdout + done.stderr).strip()[-2000:]}")


def release(checkout: Path, dist: Path) -> list[Path]:
    """Make a release and return its files."""
    check_is_committed(checkout)
    version = str(yaml.safe_load((checkout / "galaxy.yml").read_text(encoding="utf-8"))["version"])
    check_changelog(checkout, version)
    made_at = epoch(checkout)
    built = tarball.build(checkout, dist, made_at)
    with tempfile.TemporaryDirectory() as name:
        again = tarball.build(checkout, Path(name), made_at).read_bytes()
    if again != built.read_bytes():
        raise ReleaseError(
            f"{built.name} has other bytes when it is built again. Look for what depends on time or order."
        )
    wrong = list(tarball.problems(again))
    if wrong:
        raise ReleaseError(f"{built.name}: {'; '.join(wrong)}.")
    check_installs(built, version)
    bill = dist / f"gpuserve-fleet-{version}.cdx.json"
    time = datetime.fromtimestamp(made_at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    bill.write_text(json.dumps(sbom.document(checkout, version, time), indent=2) + "\n", encoding="utf-8")
    sums = dist / "SHA256SUMS"
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in (built, bill)]
    sums.write_text("".join(lines), encoding="utf-8")
    return [built, bill, sums]


def _git(checkout: Path, *argv: str) -> str:
    return subprocess.run(["git", *argv], cwd=checkout, capture_output=True, text=True, check=True).stdout.strip()


def main() -> int:
    """Make a release in the folder that is named, and say what is in it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dist", type=Path)
    try:
        made = release(CHECKOUT, parser.parse_args().dist)
    except ReleaseError as error:
        print(error, file=sys.stderr)
        return 1
    for path in made:
        print(f"{path.stat().st_size:>9}  {path}")
    print(made[-1].read_text(encoding="utf-8").rstrip())
    return 0


if __name__ == "__main__":
    sys.exit(main())
