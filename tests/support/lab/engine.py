# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Docker Engine and debootstrap on this machine: found, or installed where that is safe, or asked for in a sentence."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from ansible_collections.gpuserve.fleet.tests.support.lab.common import CACHE, LabError, locked, run, say, wait_for


def ensure_engine() -> None:
    """Return with a Docker Engine that answers."""
    if answers():
        return
    with locked("engine"):
        if answers():
            return
        if os.environ.get("DOCKER_HOST"):
            raise LabError(
                f"No Docker Engine answers at DOCKER_HOST={os.environ['DOCKER_HOST']}: start it, or unset DOCKER_HOST."
            )
        if os.geteuid() != 0:
            raise LabError(
                "No Docker Engine answers and only root may install or start one: "
                "start Docker and join the group docker, or run this as root."
            )
        if shutil.which("dockerd") is None:
            need_packages("Docker Engine", ["docker.io", "iptables"])
        if not answers():
            _start()


def ensure_debootstrap() -> None:
    """Return with a debootstrap that this user may run."""
    if os.geteuid() != 0:
        raise LabError("Making the simulated hosts' base image takes root (debootstrap): run this as root.")
    missing = [name for name, there in _DEBOOTSTRAP_NEEDS.items() if not there()]
    if missing:
        with locked("engine"):
            need_packages("debootstrap", missing)


def ensure_ssh() -> None:
    """Return with the ssh client and ssh-keygen on this machine."""
    if shutil.which("ssh") is None or shutil.which("ssh-keygen") is None:
        with locked("engine"):
            need_packages("The SSH client", ["openssh-client"])


_DEBOOTSTRAP_NEEDS = {
    "debootstrap": lambda: (
        shutil.which("debootstrap", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is not None
    ),
    "debian-archive-keyring": Path("/usr/share/keyrings/debian-archive-keyring.gpg").exists,
}


def need_packages(what: str, packages: list[str]) -> None:
    """Install Debian packages on this machine, or say which are missing."""
    names = " ".join(packages)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise LabError(f"{what} is not on this machine: install it ({names} on Debian and Ubuntu) and run this again.")
    say(f"installing on this machine, from its own package sources: {names}")
    log = CACHE / "log" / "apt.log"
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-qq"], log=log, env=environment)
    run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], log=log, env=environment)


def answers() -> bool:
    """Tell whether a Docker Engine answers."""
    try:
        return run(["docker", "version", "--format", "{{.Server.Version}}"], check=False, timeout_s=20).returncode == 0
    except LabError:
        return False


def _start() -> None:
    log = CACHE / "log" / "dockerd.log"
    if Path("/run/systemd/system").is_dir():
        say("starting docker.service")
        run(["systemctl", "start", "docker"])
    else:
        # The package's init script raises a limit that containers and small machines forbid; dockerd does without.
        say(f"starting dockerd, detached; its log is {log}")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as sink:
            subprocess.Popen(["dockerd"], stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True)
    try:
        wait_for("An answer of the Docker Engine", answers, timeout_s=60)
    except LabError as error:
        last = log.read_text(errors="replace").strip().splitlines()[-1:] if log.exists() else []
        raise LabError(f"{error} {' '.join(last)}") from None
