# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The base of boxes on which Docker is not what is tried: its packages are there, nothing is configured and nothing runs.

Our own role still configures and starts it there. What installs it for real are the scenarios of docker_engine and default,
airgap and the end-to-end run.
"""

from __future__ import annotations

import uuid

from ansible_collections.gpuserve.fleet.tests.support.lab.bases import ensure_base, host_base, proxies
from ansible_collections.gpuserve.fleet.tests.support.lab.common import (
    NAME,
    OWNER,
    SHARED,
    docker,
    docker_ok,
    key_of,
    labels,
    locked,
    making,
)

SUITE = "trixie"
# All that our role would install there.
PACKAGES = ("docker.io", "docker-cli", "docker-compose", "iptables", "apparmor")
# What scenarios ask and make images with, and what roles would install beside Docker.
TOOLS = ("curl", "busybox-static", "faketime", "gpg-agent", "python3-venv")
# Without systemd a package would start its daemon by its service script.
_INSTALL = """\
set -eu
printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
ln -s /var/cache/gpuserve-lab/*.deb /var/cache/apt/archives/ 2>/dev/null || true
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
systemctl --root=/ disable docker.service docker.socket
rm -rf /usr/sbin/policy-rc.d /var/lib/apt/lists/* /etc/docker
apt-get clean
"""


def image_name() -> str:
    """Return the image's name; its tag is the key of what went in."""
    return f"{NAME}/docker-{SUITE}:{key_of(host_base(SUITE).key, PACKAGES, TOOLS, _INSTALL)}"


def ensure_docker_host(network: str, archive: str) -> str:
    """Make the image unless it is there, and return its name; packages come over this network, and from this volume."""
    plain, image = ensure_base(host_base(SUITE)), image_name()
    if docker_ok("image", "inspect", image):
        return image
    with locked(f"base-docker-{SUITE}"):
        if not docker_ok("image", "inspect", image):
            with making(f"docker-{SUITE} (built)"):
                _make(plain, image, network, archive)
    return image


def _make(plain: str, image: str, network: str, archive: str) -> None:
    container = f"{NAME}-docker-{SUITE}-{uuid.uuid4().hex[:8]}"
    settings = [part for name, value in proxies().items() for part in ("--env", f"{name}={value}")]
    place = ["--network", network, "--volume", f"{archive}:/var/cache/gpuserve-lab"]
    command = ["sh", "-c", _INSTALL, "sh", *PACKAGES, *TOOLS]
    try:
        docker("run", "--name", container, *labels(), *settings, *place, plain, *command)
        boots = [f"LABEL {OWNER} {SHARED}", 'CMD ["/lib/systemd/systemd"]']
        docker("commit", *(part for change in boots for part in ("--change", change)), container, image)
    finally:
        docker("rm", "--force", container, check=False)
