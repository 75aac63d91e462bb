# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The execution environment of extensions/, built by ansible-builder from this checkout.

The collection and what it requires come from a Galaxy on this machine. Where no registry answers, the base is made here from Debian
packages and given by the build arguments that ansible-builder has for that; the definition stays as it ships.

Run by the development venv's Python: python -m ...release.environment TAG [debian]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from ansible_collections.gpuserve.fleet.tests.support.lab.bases import Base, import_root, make_root, scratch
from ansible_collections.gpuserve.fleet.tests.support.lab.common import (
    CACHE,
    CHECKOUT,
    NAME,
    SHARED,
    LabError,
    docker,
    docker_ok,
    key_of,
    locked,
    making,
    run,
    run_inside,
    say,
)
from ansible_collections.gpuserve.fleet.tests.support.lab.engine import ensure_engine
from ansible_collections.gpuserve.fleet.tests.support.release import galaxy_server, tarball

DEFINITION = CHECKOUT / "extensions" / "execution-environment.yml"
LOCK = CHECKOUT / "requirements" / "builder.txt"
IMAGE = f"{NAME}/execution-environment:debian"
# Those of galaxy.yml, and what they require in turn, as the package `ansible` has them.
REQUIRED = ("community/docker", "community/library_inventory_filtering_v1")

_BASE = Base("environment", "trixie", ("python3-venv", "ca-certificates"), systemd=False)
# Debian's own Python has no pip and takes none; that of a venv does.
_PYTHON = "/opt/python"
_PATH = f"PATH={_PYTHON}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def build(image: str, *, debian: bool) -> None:
    """Build the image from this checkout, on its own base or on one of Debian packages."""
    ensure_engine()
    builder = _ensure_builder()
    log = CACHE / "log" / "execution-environment.log"
    with (
        locked("execution-environment"),
        making("the execution environment (built)"),
        tempfile.TemporaryDirectory(prefix="gpuserve-environment-", dir=scratch()) as name,
    ):
        folder = Path(name)
        (served := folder / "served").mkdir()
        with galaxy_server.serving(_collections(folder), served) as galaxy:
            arguments = {"ANSIBLE_GALAXY_CLI_COLLECTION_OPTS": f"--server {galaxy}", **(_debian() if debian else {})}
            log.unlink(missing_ok=True)
            run(
                [
                    *(builder, "build", "--container-runtime", "docker", "-v3"),
                    *("--file", DEFINITION, "--context", folder / "context", "--tag", image),
                    *(part for key, value in arguments.items() for part in ("--build-arg", f"{key}={value}")),
                    # Where the Galaxy is, and what this machine reaches of PyPI.
                    "--extra-build-cli-args=--network host",
                ],
                log=log,
                # Its steps are kept, and shared by the builds that follow, with an engine of any age.
                env={"DOCKER_BUILDKIT": "0"},
                timeout_s=1200,
            )
        # Of the stages that went into it, and of images that had its name before.
        docker("image", "prune", "--force", "--filter", f"label={SHARED}")


def _ensure_builder() -> Path:
    """Return ansible-builder, in a venv of its own."""
    folder = CACHE / f"builder-{key_of(LOCK.read_text(encoding='utf-8'))}"
    run([CHECKOUT / "mk" / "venv.sh", folder, LOCK], timeout_s=900)
    return folder / "bin" / "ansible-builder"


def _collections(folder: Path) -> list[Path]:
    (installed,) = Path(sys.prefix).glob("lib/python*/site-packages/ansible_collections")
    (folder / "tarballs").mkdir()
    others = [galaxy_server.repacked(installed / name, folder / "tarballs") for name in REQUIRED]
    return [tarball.build(CHECKOUT, folder / "tarballs", 0), *others]


def _debian() -> dict[str, str]:
    """Return the build arguments for a base of Debian packages, once that is there."""
    if not docker_ok("image", "inspect", _BASE.image):
        with (
            locked(f"base-{_BASE.name}"),
            tempfile.TemporaryDirectory(prefix="gpuserve-base-", dir=scratch()) as name,
        ):
            root = Path(name) / "root"
            make_root(_BASE, root)
            run_inside(root, "python3", "-m", "venv", _PYTHON)
            import_root(root, _BASE.image, [f"ENV {_PATH}"])
    return {
        "EE_BASE_IMAGE": _BASE.image,
        "PKGMGR": "/usr/bin/apt-get",
        "PYPKG": "python3",
        "PYCMD": f"{_PYTHON}/bin/python3",
    }


def main() -> int:
    """Build the image that the command line names; a failure is one sentence."""
    image, base = sys.argv[1], sys.argv[2:]
    try:
        build(image, debian=base == ["debian"])
    except (LabError, tarball.ReleaseError) as error:
        print(f"execution environment: {error}", file=sys.stderr)
        return 1
    say(f"try it: docker run --rm {image} ansible-doc -l gpuserve.fleet")
    return 0


if __name__ == "__main__":
    sys.exit(main())
