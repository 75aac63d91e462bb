# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Boxes: simulated hosts with systemd as PID 1, sshd and room for a Docker Engine of their own."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from dataclasses import asdict, dataclass

from ansible_collections.gpuserve.fleet.tests.support.lab import docker_host
from ansible_collections.gpuserve.fleet.tests.support.lab.bases import ensure_base, host_base
from ansible_collections.gpuserve.fleet.tests.support.lab.common import (
    CACHE,
    CHECKOUT,
    CHECKOUT_ID,
    MINE,
    NAME,
    OWNER,
    SHARED,
    LabError,
    docker,
    docker_ok,
    key_of,
    labels,
    locked,
    run,
    say,
    wait_for,
)
from ansible_collections.gpuserve.fleet.tests.support.lab.engine import ensure_engine, ensure_ssh

NETWORK = f"{NAME}-boxes"


def second_octet(name: str) -> int:
    """Return which 10.N.0.0/16 the lab of this name has: Docker refuses two networks on one subnet."""
    return 213 if name == "gpuserve-lab" else 214 + int(key_of(name), 16) % 40


SUBNET, GIVEN_OUT = (f"10.{second_octet(NAME)}.0.0/{bits}" for bits in (16, 17))
KEY = CACHE / "ssh" / "id_ed25519"
KNOWN_HOSTS = CACHE / "ssh" / "known_hosts"

# What keeps compiled modules in a box. It is one of the standard library's there: those of dist-packages are none for a venv, and most of
# our own modules are run by the stack's.
KEEPS_CODE = CHECKOUT / "tests" / "support" / "lab" / "site" / "sitecustomize.py"
KEEP_CODE = """\
set -eu
mkdir -p /var/cache/gpuserve-lab/python
for library in /usr/lib/python3.*/os.py; do
  library=${library%/os.py}
  cp /usr/local/lib/gpuserve_lab_code.py "$library/"
  echo 'import gpuserve_lab_code' >> "$library/sitecustomize.py"
done
"""

# Full --privileged asks for capabilities (CAP_SYS_RESOURCE) that small machines don't have; these are the ones that
# systemd, dockerd and the containers inside need. With cgroupns private, inner containers can't mount their cgroup.
CAPABILITIES = [
    "SYS_ADMIN",
    "NET_ADMIN",
    "SYS_PTRACE",
    "SYS_MODULE",
    "IPC_LOCK",
    "DAC_READ_SEARCH",
    "SYSLOG",
    "LINUX_IMMUTABLE",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_TIME",
    "MKNOD",
    "AUDIT_CONTROL",
    "MAC_ADMIN",
]
ISOLATION = [
    *(part for name in CAPABILITIES for part in ("--cap-add", name)),
    *("--device-cgroup-rule", "a *:* rwm"),
    *(
        "--security-opt",
        "seccomp=unconfined",
        "--security-opt",
        "apparmor=unconfined",
        "--security-opt",
        "systempaths=unconfined",
    ),
    "--cgroupns=host",
    *("--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp"),
    *("-v", "/sys/fs/cgroup:/sys/fs/cgroup"),
    *("--stop-signal", "SIGRTMIN+3"),
]


@dataclass(frozen=True)
class Box:
    """How to reach a box."""

    name: str
    container: str
    address: str
    port: int
    user: str
    key: str
    known_hosts: str

    def as_json(self) -> str:
        """Return the same for other programs."""
        return json.dumps(asdict(self), indent=2)


def container_name(name: str) -> str:
    """Return the container that plays the host called name for this checkout."""
    return f"{NAME}-{CHECKOUT_ID}-{name}"


def up(
    name: str,
    suite: str = "trixie",
    publish: tuple[str, ...] = (),
    options: tuple[str, ...] = (),
    fresh: bool = False,
    with_docker: bool = False,
) -> Box:
    """Make the box, or start it, or find it running; return once systemd and sshd answer.

    One with Docker has its packages, and nothing of it runs.
    """
    if with_docker and suite != docker_host.SUITE:
        raise LabError(f"There is no base image with Docker for suite {suite}: choose {docker_host.SUITE}.")
    container = container_name(name)
    archive = f"{NAME}-apt-{suite}"
    ensure_engine()
    ensure_network()
    ensure_ssh()
    _ensure_key()
    if not docker_ok("volume", "inspect", archive):
        docker("volume", "create", *labels(shared=True), archive)
    image = docker_host.ensure_docker_host(NETWORK, archive) if with_docker else ensure_base(host_base(suite))
    if fresh:
        down(name)
    state = docker("container", "inspect", "--format", "{{.State.Running}}", container, check=False)
    if state == "false":
        docker("start", container)
    elif state != "true":
        _create(name, image, archive, publish, options)
    wait_for(f"systemd in box {name} reporting running or degraded", lambda: _systemd_up(container), timeout_s=90)
    box = _reach(name, container)
    wait_for(f"sshd of box {name} answering at {box.address}", lambda: _greets(box.address, box.port), timeout_s=60)
    _remember_host_key(box)
    return box


def get(name: str) -> Box:
    """Return a running box."""
    container = container_name(name)
    if docker("container", "inspect", "--format", "{{.State.Running}}", container, check=False) != "true":
        raise LabError(f"Box {name} is not running: make it with `tests/support/lab/lab box up {name}`.")
    return _reach(name, container)


def names() -> list[str]:
    """Return the boxes of this checkout."""
    rows = docker(
        "ps",
        "-a",
        "--filter",
        f"label={OWNER}",
        "--filter",
        f"label={MINE}",
        "--format",
        '{{.Label "gpuserve.lab.box"}}',
    )
    return sorted(row for row in rows.splitlines() if row)


def down(name: str) -> bool:
    """Remove the box with its volumes; tell whether there was one."""
    container = container_name(name)
    there = docker_ok("container", "inspect", container)
    if there:
        docker("rm", "--force", "--volumes", container)
    if docker_ok("volume", "inspect", f"{container}-docker"):
        docker("volume", "rm", f"{container}-docker")
    return there


def ensure_network() -> None:
    """Make the network on which boxes find each other by name."""
    with locked("network"):
        if not docker_ok("network", "inspect", NETWORK):
            # Docker gives addresses out of the lower half; each box has its own out of the upper, whatever starts beside it.
            docker("network", "create", *labels(shared=True), "--subnet", SUBNET, "--ip-range", GIVEN_OUT, NETWORK)


def _own_address(container: str) -> str:
    """Return the address that a box keeps over its reboots: another box that starts meanwhile would get the one it had."""
    number = int(hashlib.sha256(container.encode()).hexdigest(), 16) % (128 * 254)
    return f"10.{second_octet(NAME)}.{128 + number // 254}.{1 + number % 254}"


def _create(name: str, image: str, archive: str, publish: tuple[str, ...], options: tuple[str, ...]) -> None:
    container = container_name(name)
    say(f"making box {name} ({image}, container {container})")
    docker("volume", "create", *labels(), f"{container}-docker")
    docker(
        "run",
        "--detach",
        *("--name", container, "--hostname", name, "--network", NETWORK, "--network-alias", name),
        *("--ip", _own_address(container)),
        *labels(),
        *("--label", f"gpuserve.lab.box={name}"),
        *ISOLATION,
        *("-v", f"{container}-docker:/var/lib/docker", "-v", f"{archive}:/var/cache/gpuserve-lab"),
        *(part for port in publish for part in ("--publish", port)),
        *options,
        image,
    )
    public = KEY.with_suffix(".pub").read_text().strip()
    seed = (
        "install -d -m 700 /root/.ssh && cat > /root/.ssh/authorized_keys && chmod 600 /root/.ssh/authorized_keys"
        " && { ln -s /var/cache/gpuserve-lab/*.deb /var/cache/apt/archives/ 2>/dev/null || true; }"
    )
    docker("exec", "-i", container, "sh", "-c", seed, stdin=public + "\n")
    if os.environ.get("GPUSERVE_LAB_CODE"):
        _keep_code(container)


def _keep_code(container: str) -> None:
    """Have its Pythons keep what they compile of modules, with the other boxes: a test run has it, and nothing that is measured."""
    docker("cp", KEEPS_CODE, f"{container}:/usr/local/lib/gpuserve_lab_code.py")
    docker("exec", container, "sh", "-c", KEEP_CODE)


def _reach(name: str, container: str) -> Box:
    form = f'{{{{(index .NetworkSettings.Networks "{NETWORK}").IPAddress}}}}'
    address = docker("container", "inspect", "--format", form, container)
    return Box(name, container, address, 22, "root", str(KEY), str(KNOWN_HOSTS))


def _systemd_up(container: str) -> bool:
    state = docker("exec", container, "systemctl", "is-system-running", check=False)
    return state in {"running", "degraded"}


def _greets(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=2) as line:
            return line.recv(4) == b"SSH-"
    except OSError:
        return False


def _ensure_key() -> None:
    with locked("ssh-key"):
        if not KEY.exists():
            KEY.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "gpuserve-lab", "-f", KEY])


def _remember_host_key(box: Box) -> None:
    """Write the box's host key down, so that strict host key checking stays on."""
    public = docker("exec", box.container, "cat", "/etc/ssh/ssh_host_ed25519_key.pub").split()[:2]
    with locked("known-hosts"):
        old = KNOWN_HOSTS.read_text().splitlines() if KNOWN_HOSTS.exists() else []
        kept = [line for line in old if line.split(" ")[0] != box.address]
        KNOWN_HOSTS.write_text("\n".join([*kept, " ".join([box.address, *public])]) + "\n")


def remove_all_of_this_checkout() -> list[str]:
    """Remove every box and volume of this checkout; return the boxes' names."""
    gone = names()
    mine = ("--filter", f"label={OWNER}", "--filter", f"label={MINE}")
    for container in docker("ps", "-aq", *mine).split():
        docker("rm", "--force", "--volumes", container)
    for volume in docker("volume", "ls", "-q", *mine).split():
        docker("volume", "rm", volume)
    return gone


def of_other_checkouts() -> int:
    """Return how many boxes of other checkouts use what is shared."""
    sharing = (
        "--filter",
        f"label={OWNER}",
        "--filter",
        "label=gpuserve.lab.checkout",
        "--filter",
        f"network={NETWORK}",
    )
    return len(docker("ps", "-aq", *sharing).split())


def remove_shared() -> list[str]:
    """Remove what all checkouts share: registry, network, volumes, images."""
    shared = ("--filter", f"label={OWNER}", "--filter", f"label={SHARED}")
    done = []
    for container in docker("ps", "-aq", *shared).split():
        docker("rm", "--force", "--volumes", container)
        done.append(f"removed container {container}")
    for volume in docker("volume", "ls", "-q", *shared).split():
        docker("volume", "rm", volume)
        done.append(f"removed volume {volume}")
    for network in docker("network", "ls", "-q", *shared).split():
        docker("network", "rm", network)
        done.append(f"removed network {network}")
    for image in sorted(set(docker("images", "--format", "{{.Repository}}:{{.Tag}}", *shared).split())):
        docker("image", "rm", image)
        done.append(f"removed image {image}")
    return done
