# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Base images of the simulated hosts: a Debian with systemd and sshd, nothing of ours installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.gpuserve.fleet.tests.support.lab.common import (
    CACHE,
    NAME,
    OWNER,
    SHARED,
    SYSTEM_CA_BUNDLE,
    LabError,
    docker_ok,
    key_of,
    locked,
    making,
    run,
    run_inside,
    say,
)
from ansible_collections.gpuserve.fleet.tests.support.lab.engine import ensure_debootstrap, ensure_engine

MIRROR = os.environ.get("GPUSERVE_DEBIAN_MIRROR", "")
SUITES = ("trixie", "bookworm")
# Bump when the steps below change what a base image holds.
RECIPE = 3

HOST_PACKAGES = [
    "python3",
    "python3-apt",
    "python3-debian",
    "ca-certificates",
    "systemd",
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "iproute2",
    "procps",
    "sudo",
    "iptables",
    "gpg",
]

APT_KEEP = """\
// What one box fetched is there for the next one: the lab seeds a new box's archive from this folder.
DPkg::Post-Invoke { "cp -n /var/cache/apt/archives/*.deb /var/cache/gpuserve-lab/ 2>/dev/null || true"; };
"""


@dataclass(frozen=True)
class Base:
    """A Debian root file system as an image: which suite, with what in it."""

    name: str
    suite: str
    packages: tuple[str, ...]
    systemd: bool

    @property
    def image(self) -> str:
        """Return the image's name; its tag is the key of what went in."""
        return f"{NAME}/{self.name}:{self.key}"

    @property
    def key(self) -> str:
        """Return the key of what goes in."""
        bundle = SYSTEM_CA_BUNDLE.read_bytes().hex() if SYSTEM_CA_BUNDLE.exists() else ""
        return key_of(RECIPE, self.suite, self.packages, self.systemd, MIRROR, bundle, _pip_index(), proxies())


def host_base(suite: str) -> Base:
    """Return the base of a simulated host."""
    if suite not in SUITES:
        raise LabError(f"There is no base image for suite {suite}: choose one of {', '.join(SUITES)}.")
    return Base(name=f"host-{suite}", suite=suite, packages=tuple(HOST_PACKAGES), systemd=True)


def ensure_base(base: Base) -> str:
    """Make the image unless it is there, and return its name."""
    ensure_engine()
    if docker_ok("image", "inspect", base.image):
        return base.image
    with locked(f"base-{base.name}"):
        if not docker_ok("image", "inspect", base.image):
            with (
                making(f"{base.name} (built)"),
                tempfile.TemporaryDirectory(prefix="gpuserve-base-", dir=scratch()) as folder,
            ):
                root = Path(folder) / "root"
                make_root(base, root)
                import_root(root, base.image, ['CMD ["/lib/systemd/systemd"]'] if base.systemd else [])
    return base.image


def make_root(base: Base, root: Path) -> None:
    """Fill root with the base's file system."""
    ensure_debootstrap()
    say(f"making {base.image} with debootstrap (once, about a minute)")
    debs = CACHE / "debs" / base.suite
    debs.mkdir(parents=True, exist_ok=True)
    log = CACHE / "log" / f"debootstrap-{base.name}.log"
    log.unlink(missing_ok=True)
    with locked(f"debs-{base.suite}"):
        run(
            [
                "debootstrap",
                "--variant=minbase",
                f"--cache-dir={debs}",
                f"--include={','.join(base.packages)}",
                base.suite,
                root,
                # Without one, debootstrap takes Debian's own.
                *([MIRROR] if MIRROR else []),
            ],
            log=log,
            env={"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "DEBIAN_FRONTEND": "noninteractive"},
            timeout_s=900,
        )
    for deb in (root / "var/cache/apt/archives").glob("*.deb"):
        deb.unlink()
    _sources(root, base.suite)
    _trust_what_this_machine_trusts(root)
    if base.systemd:
        _as_a_host(root)


def import_root(root: Path, image: str, changes: list[str]) -> None:
    """Make an image of a root file system, labelled as ours."""
    options = [part for change in [f"LABEL {OWNER} {SHARED}", *changes] for part in ("-c", change)]
    tar = subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE)
    done = subprocess.run(
        ["docker", "import", *options, "-", image], stdin=tar.stdout, capture_output=True, text=True, check=False
    )
    if tar.stdout:
        tar.stdout.close()  # else a tar that nobody reads would wait for ever
    if tar.wait() != 0 or done.returncode != 0:
        raise LabError(f"docker import of {image} failed: {done.stderr.strip() or 'tar could not read the root'}.")


def _sources(root: Path, suite: str) -> None:
    listed = root / "etc/apt/sources.list"
    # debootstrap has written where it took the packages from: "deb MIRROR SUITE main".
    mirror = listed.read_text().split()[1].rstrip("/")
    lines = [
        f"deb {mirror} {suite} main",
        f"deb {mirror} {suite}-updates main",
        f"deb {mirror}-security {suite}-security main",
    ]
    listed.write_text("\n".join(lines) + "\n")


def _trust_what_this_machine_trusts(root: Path) -> None:
    """Give the box the authorities that this machine trusts beyond Debian's, as on a host behind a company's proxy."""
    if SYSTEM_CA_BUNDLE.exists():
        stock = set(_certificates(root / "etc/ssl/certs/ca-certificates.crt"))
        own = [pem for pem in _certificates(SYSTEM_CA_BUNDLE) if pem not in stock]
        folder = root / "usr/local/share/ca-certificates"
        folder.mkdir(parents=True, exist_ok=True)
        for index, pem in enumerate(own):
            (folder / f"lab-{index:03}.crt").write_text(pem + "\n")
        if own:
            run_inside(root, "update-ca-certificates")
    settings = ["[global]", f"cert = {SYSTEM_CA_BUNDLE}"]
    if _pip_index():
        settings.append(f"index-url = {_pip_index()}")
    (root / "etc/pip.conf").write_text("\n".join(settings) + "\n")
    (root / "etc/environment").write_text("".join(f'{name}="{value}"\n' for name, value in proxies().items()))


def _certificates(bundle: Path) -> list[str]:
    text = bundle.read_text(errors="replace") if bundle.exists() else ""
    return re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", text, re.DOTALL)


def _as_a_host(root: Path) -> None:
    (root / "etc/apt/apt.conf.d/90gpuserve-lab").write_text(APT_KEEP)
    (root / "var/cache/gpuserve-lab").mkdir(parents=True, exist_ok=True)
    # A container has no modules of its own to load; masked, systemd reports "running" and not "degraded".
    mask = root / "etc/systemd/system/systemd-modules-load.service"
    mask.unlink(missing_ok=True)
    mask.symlink_to("/dev/null")
    (root / "etc/ssh/sshd_config.d").mkdir(exist_ok=True)
    (root / "etc/ssh/sshd_config.d/lab.conf").write_text("PermitRootLogin prohibit-password\nUseDNS no\n")
    (root / "etc/machine-id").write_text("")
    shutil.rmtree(root / "var/lib/apt/lists", ignore_errors=True)
    (root / "var/lib/apt/lists/partial").mkdir(parents=True)


def _pip_index() -> str:
    """Return the package index that this machine's pip was told to use, if a box can reach it too (not file:)."""
    told = os.environ.get("PIP_INDEX_URL", "")
    return told if told.startswith("http") else ""


def proxies() -> dict[str, str]:
    """Return the proxies that this machine was told to use."""
    names = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def scratch() -> Path:
    """Return a folder for file systems in the making."""
    # Not /tmp: there it is often a small tmpfs, mounted nodev, where debootstrap can't make device nodes.
    folder = CACHE / "scratch"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
