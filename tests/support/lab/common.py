# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every part of the lab leans on: running commands, saying what happens, the cache, and our labels."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
CACHE = Path(os.environ.get("GPUSERVE_CACHE") or Path.home() / ".cache" / "gpuserve-fleet")
# Two checkouts on one machine must not take each other's boxes down.
CHECKOUT_ID = hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:6]
OWNER = "owner=gpuserve-lab"
# What all checkouts share on this machine's Docker Engine is named after this; another name starts from nothing.
NAME = os.environ.get("GPUSERVE_LAB_NAME") or "gpuserve-lab"
MINE = f"gpuserve.lab.checkout={CHECKOUT_ID}"
SHARED = f"gpuserve.lab.shared={NAME}"
INSIDE_PATH = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
SYSTEM_CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


# What this run had to make or fetch, and the seconds that each took.
MADE: dict[str, float] = {}


class LabError(Exception):
    """One sentence that names the thing and the remedy."""


def say(text: str) -> None:
    """Tell a person what is going on; standard output is kept for results."""
    print(f"lab: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def making(what: str) -> Iterator[None]:
    """Note how long it takes to make or fetch the thing called what, and tell when it is there."""
    started = time.monotonic()
    yield
    MADE[what] = time.monotonic() - started
    say(f"{what}: there after {MADE[what]:.0f} s")


def shown(path: Path) -> str:
    """Return a path as a person writes it, and as a shell takes it."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def run(
    argv: Sequence[str | Path],
    *,
    check: bool = True,
    stdin: str | None = None,
    log: Path | None = None,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    timeout_s: float = 600,
) -> subprocess.CompletedProcess[str]:
    """Run a command and return it finished; a failure is a LabError with the last words of the command."""
    command = [str(part) for part in argv]
    environment = {**os.environ, **env} if env else None
    try:
        if log is None:
            done = subprocess.run(
                command,
                input=stdin,
                capture_output=True,
                text=True,
                check=False,
                cwd=cwd,
                env=environment,
                timeout=timeout_s,
                stdin=subprocess.DEVNULL if stdin is None else None,
            )
        else:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("a") as sink:
                done = subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    text=True,
                    check=False,
                    cwd=cwd,
                    env=environment,
                    timeout=timeout_s,
                )
    except FileNotFoundError:
        raise LabError(f"{command[0]} is not on this machine: install it and run this again.") from None
    except subprocess.TimeoutExpired:
        raise LabError(
            f"`{' '.join(command[:4])} ...` was still running after {timeout_s:.0f} s and was ended."
        ) from None
    if check and done.returncode != 0:
        words = log.read_text(errors="replace") if log else done.stderr or done.stdout
        last = " / ".join(line.strip() for line in words.strip().splitlines()[-3:]) or "it said nothing"
        more = f" The whole log is {log}." if log else ""
        raise LabError(f"`{' '.join(command[:6])}` failed ({done.returncode}): {last}.{more}")
    return done


def run_inside(root: Path, *argv: str, check: bool = True) -> None:
    """Run a command of a root file system in it."""
    run(["chroot", root, *argv], check=check, env=INSIDE_PATH, timeout_s=900)


def docker(*argv: str | Path, check: bool = True, stdin: str | None = None, timeout_s: float = 600) -> str:
    """Run the docker client and return what it printed."""
    return run(["docker", *argv], check=check, stdin=stdin, timeout_s=timeout_s).stdout.strip()


def docker_ok(*argv: str | Path) -> bool:
    """Tell whether a docker command succeeds."""
    return run(["docker", *argv], check=False).returncode == 0


def labels(*, shared: bool = False) -> list[str]:
    """Return the labels of what this checkout makes, or of what all checkouts share."""
    return ["--label", OWNER, "--label", SHARED if shared else MINE]


def key_of(*parts: object) -> str:
    """Return a short name for what went into something."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Let one process at a time make the thing called name."""
    folder = CACHE / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def wait_for(what: str, ready: Callable[[], bool], timeout_s: float, poll_s: float = 0.5) -> None:
    """Poll until ready, and say what was waited for when the time is up."""
    end = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > end:
            raise LabError(f"{what} did not happen within {timeout_s:.0f} s.")
        time.sleep(poll_s)
