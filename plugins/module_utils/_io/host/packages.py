# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a host's package manager what is installed, and what a change would take away."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import distribution
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.distribution import Package

Run = Callable[[list[str]], tuple[int, str, str]]


def read_installed(run: Run, family: str, names: Sequence[str]) -> dict[str, Package]:
    """Look packages up by name, or by dpkg's patterns."""
    if names and family == "debian":
        fields = "${Package}\t${Version}\t${db:Status-Abbrev}\n"
        return distribution.parse_dpkg(run(["dpkg-query", "-W", "-f", fields, *names])[1])
    if names and family == "redhat":
        return distribution.parse_rpm(run(["rpm", "-q", "--qf", "%{NAME}\t%{VERSION}-%{RELEASE}\n", *names])[1])
    return {}


def read_removals(run: Run, family: str, names: Sequence[str]) -> list[str]:
    """Have apt simulate the removal of packages and name all that would go; nothing where another manager is in charge."""
    if not names or family != "debian":
        return []
    return distribution.parse_removals(run(["apt-get", "--simulate", "remove", *names])[1])


def simulate_install(run: Run, family: str, install: Sequence[str], remove: Sequence[str]) -> tuple[list[str], str]:
    """Have apt simulate an installation that lets go of some packages: all that would go, and why it can't be done, if so."""
    if not install or family != "debian":
        return [], ""
    command = ["apt-get", "--simulate", "--no-install-recommends", "--allow-downgrades", "install", *install]
    status, out, err = run([*command, *(f"{name}-" for name in remove)])
    failure = distribution.parse_simulation_failure(out, err) if status != 0 else ""
    return distribution.parse_removals(out), failure
