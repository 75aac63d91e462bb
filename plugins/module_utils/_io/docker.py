# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker through its SDK and the Compose command: only what a bring-up needs, only on containers that are named to it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.text import harmless

try:
    import docker
    import docker.errors

    DOCKER_ERROR: str | None = None
except ImportError as error:
    DOCKER_ERROR = str(error)


# A line of an engine's log is this long at most; what it goes on with tells nobody more.
LINE = 4000


class DockerError(Exception):
    """Docker can't do it; the text says why, in one sentence."""


class Docker:
    """One daemon, on its local socket. One that goes away in the middle of an answer shows as an OSError from below the SDK."""

    def __init__(self) -> None:
        if DOCKER_ERROR is not None:
            raise DockerError(f"The Python package docker is missing on the host ({DOCKER_ERROR}).")
        try:
            self._client = docker.from_env(timeout=120)
            self._client.ping()
        except (docker.errors.DockerException, OSError) as error:
            raise DockerError(f"No Docker Engine answers on the host ({error}).") from error

    def answers(self) -> bool:
        """Whether the daemon is there now."""
        try:
            return bool(self._client.ping())
        except (docker.errors.DockerException, OSError):
            return False

    def inspect(self, container: str) -> dict[str, Any] | None:
        """All that Docker knows of a container, by name; None if there is none."""
        try:
            found: dict[str, Any] = self._client.api.inspect_container(container)
            return found
        except docker.errors.NotFound:
            return None
        except (docker.errors.DockerException, OSError) as error:
            raise DockerError(f"Docker does not say how {container} is ({error}).") from error

    def labelled(self, label: str) -> list[str]:
        """Names of all containers with a label, running or not."""
        return [entry["Names"][0].lstrip("/") for entry in self.labelled_entries(label)]

    def labelled_entries(self, label: str) -> list[dict[str, Any]]:
        """What Docker lists of all containers with a label: Names, State, Labels and more."""
        try:
            found: list[dict[str, Any]] = self._client.api.containers(all=True, filters={"label": label})
            return found
        except (docker.errors.DockerException, OSError) as error:
            raise DockerError(f"Docker does not list its containers ({error}).") from error

    def has_image(self, image: str) -> bool:
        try:
            self._client.api.inspect_image(image)
        except (docker.errors.DockerException, OSError):
            return False
        return True

    def log(self, container: str, lines: int = 2000) -> list[str]:
        """The last lines of what it printed since its start."""
        try:
            raw = self._client.api.logs(container, tail=lines)
        except (docker.errors.DockerException, OSError):
            return []
        return [harmless(line, LINE) for line in bytes(raw).decode(errors="replace").splitlines()]

    def timed_log(self, container: str) -> list[tuple[float, str]]:
        """Everything it printed since its start, each line with the time at which Docker got it (seconds since 1970)."""
        try:
            raw = self._client.api.logs(container, timestamps=True)
        except (docker.errors.DockerException, OSError):
            return []
        found = []
        for line in bytes(raw).decode(errors="replace").splitlines():
            stamp, _space, text = line.partition(" ")
            at = seconds_of(stamp)
            if at is not None:
                found.append((at, harmless(text, LINE)))
        return found

    def start(self, container: str) -> None:
        """Start a container that is there."""
        try:
            self._client.api.start(container)
        except (docker.errors.DockerException, OSError) as error:
            raise DockerError(f"{container} does not start ({reason_of(error)}).") from error

    def stop(self, container: str, grace_s: int) -> None:
        try:
            self._client.api.stop(container, timeout=grace_s)
        except docker.errors.NotFound:
            return
        except (docker.errors.DockerException, OSError) as error:
            raise DockerError(f"{container} does not stop ({error}).") from error

    def remove(self, container: str) -> None:
        try:
            self._client.api.remove_container(container, v=True, force=True)
        except docker.errors.NotFound:
            return
        except (docker.errors.DockerException, OSError) as error:
            raise DockerError(f"{container} can't be removed ({error}).") from error

    def set_restart_policy(self, container: str, policy: str) -> None:
        try:
            self._client.containers.get(container).update(restart_policy={"Name": policy})  # type: ignore[arg-type]
        except (docker.errors.DockerException, OSError) as error:
            raise DockerError(f"{container} takes no restart policy ({error}).") from error


def reason_of(error: Exception) -> str:
    """What Docker itself says, without the address of the request."""
    return harmless(str(getattr(error, "explanation", None) or error).strip().rstrip("."))


def seconds_of(stamp: str) -> float | None:
    """Docker's timestamps (2026-11-23T10:00:00.123456789Z) as seconds since 1970."""
    whole, _dot, fraction = stamp.rstrip("Z").partition(".")
    try:
        moment = datetime.fromisoformat(whole).replace(tzinfo=timezone.utc)
        return moment.timestamp() + float(f"0.{fraction or 0}")
    except ValueError:
        return None


def compose(
    project: str,
    file: str,
    arguments: Sequence[str],
    timeout_s: int = 300,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run docker compose on one project, with variables for its file; what it says on failure is the error."""
    command = ["docker", "compose", "--project-name", project, "--file", file, "--progress", "quiet", *arguments]
    try:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            command,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env={**os.environ, **environment} if environment else None,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DockerError(f"docker compose {arguments[0]} did not end ({error}).") from error
    if done.returncode != 0:
        raise DockerError(f"docker compose {arguments[0]} failed: {said(done.stderr or done.stdout)}")


def said(text: str) -> str:
    """Why a command failed: what the daemon refused, else its last line."""
    lines = [harmless(line.strip()) for line in text.splitlines() if line.strip()]
    refused = [line for line in lines if "Error response from daemon" in line]
    return [*refused, *lines[-1:], "no reason given"][0]
