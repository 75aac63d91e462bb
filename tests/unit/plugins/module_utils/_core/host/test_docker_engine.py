# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Docker is found on hosts as they are, what is done about it, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import docker_engine as de
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.distribution import (
    Distribution,
    Package,
    parse_removals,
)

NOBLE = Distribution("ubuntu", "24.04", "24", "noble", "debian", "Ubuntu 24.04")
BOOKWORM = Distribution("debian", "12", "12", "bookworm", "debian", "Debian 12")
TRIXIE = Distribution("debian", "13", "13", "trixie", "debian", "Debian 13")
ROCKY = Distribution("rocky", "9.6", "9", "", "redhat", "Rocky Linux 9.6")
PLENTY = {de.DOCKER_ROOT: 1 << 40, de.CONTAINERD_ROOT: 1 << 40, "/data/docker": 1 << 40}
CONTAINERD_STORE = de.Daemon(True, "29.10.0", root_dir=de.DOCKER_ROOT, containerd_store=True)
OVERLAY = de.Daemon(True, "28.5.2", root_dir=de.DOCKER_ROOT)


def host(*packages: str, **values: Any) -> de.Host:
    """A host with packages; one whose name ends in ! is on hold."""
    installed = {name.rstrip("!"): Package("1", held=name.endswith("!")) for name in packages}
    return de.Host(**{"uid": 0, "distribution": NOBLE, "installed": installed, **values})


def decide(on: de.Host, removed_too: tuple[str, ...] = (), **request: Any) -> de.Decision:
    return de.decide(de.Request(**request), on, PLENTY, removed_too)


def refusal(on: de.Host, removed_too: tuple[str, ...] = (), **request: Any) -> str:
    """The sentence that is shown."""
    refusals = decide(on, removed_too, **request).refusals
    assert refusals, "accepted"
    return refusals[0]


def test_a_bare_host_gets_docker_s_packages() -> None:
    decision = decide(host())
    assert decision.missing == decision.packages == de.DOCKER_PACKAGES
    assert (decision.refusals, decision.conflicts, decision.repository_os, decision.epoch) == ((), (), "ubuntu", "5:")


def test_a_version_is_asked_for_on_the_packages_that_carry_it() -> None:
    packages = decide(host(distribution=BOOKWORM), version="29.10.0").packages
    assert packages[:3] == ("docker-ce=5:29.10.0*", "docker-ce-cli=5:29.10.0*", "containerd.io")


def test_enterprise_linux_has_no_epoch_and_the_folder_of_centos() -> None:
    decision = decide(host(distribution=ROCKY), version="29.10.0")
    assert (decision.repository_os, decision.packages[0]) == ("centos", "docker-ce=29.10.0*")


@pytest.mark.parametrize(
    ("distribution", "packages"),
    [
        (BOOKWORM, ("docker.io", "iptables", "apparmor")),
        (TRIXIE, ("docker.io", "docker-cli", "docker-compose", "iptables", "apparmor")),
        (NOBLE, ("docker.io", "docker-compose-v2", "iptables")),
    ],
)
def test_what_a_distribution_calls_its_own(distribution: Distribution, packages: tuple[str, ...]) -> None:
    decision = decide(host(distribution=distribution), source=de.Source.DISTRO, require_compose=False)
    assert (decision.packages, decision.refusals) == (packages, ())


def test_a_second_run_finds_nothing_to_do() -> None:
    decision = decide(host(*de.DOCKER_PACKAGES, daemon=CONTAINERD_STORE))
    assert (decision.missing, decision.conflicts, decision.refusals, decision.options) == ((), (), (), {})


def test_docker_io_that_was_stopped_is_replaced() -> None:
    decision = decide(host("docker.io", "containerd", "runc"))
    assert decision.conflicts == ("docker.io", "containerd", "runc")
    assert decision.refusals == ()


@pytest.mark.parametrize(
    ("on", "said"),
    [
        (host(uid=1000), "docker_engine needs root on the host. Set become to true for it."),
        (
            host(distribution=Distribution("ubuntu", "25.10", "25", "questing", "debian", "Ubuntu 25.10")),
            "docker_engine does not know Ubuntu 25.10. It knows Debian 12 and 13,",
        ),
        (host(traces=de.Traces(snap="/snap/docker/current")), "run `snap remove docker`, and run again."),
        (host("docker-desktop"), "Docker Desktop is on this host"),
        (host(daemon=replace(OVERLAY, operating_system="Docker Desktop")), "Docker Desktop is on this host"),
        (host("podman-docker"), "Run `apt-get remove podman-docker`"),
        (host("podman-docker", distribution=ROCKY), "Run `dnf remove podman-docker`"),
        (host(traces=de.Traces(podman_socket="/var/run/docker.sock")), "leads to Podman's socket"),
        (
            host(traces=de.Traces(rootless="/run/user/1000/docker.sock")),
            "A rootless Docker answers at /run/user/1000/docker.sock",
        ),
        (host(daemon=replace(OVERLAY, rootless=True)), "A rootless Docker answers at /var/run/docker.sock"),
        (
            host("containerd", "runc", traces=de.Traces(runtime_users=("kubelet",))),
            "replaces containerd, runc, and kubelet on this host runs its containers with it.",
        ),
        (
            host("docker.io!", "containerd"),
            "replaces docker.io, which somebody put on hold. Run `apt-mark unhold docker.io`",
        ),
        (
            host("docker.io", daemon=replace(OVERLAY, containers_running=3)),
            "replaces docker.io, and that stops 3 running containers. Set it to distro",
        ),
    ],
)
def test_what_is_found_is_refused_in_one_sentence(on: de.Host, said: str) -> None:
    assert said in refusal(on)


def test_what_apt_would_remove_besides_is_named() -> None:
    said = refusal(host("containerd"), ("cri-tools", "nerdctl"))
    assert "replaces containerd, and apt would remove cri-tools, nerdctl with that." in said


def test_a_kubelet_whose_containerd_stays_is_none_of_our_business() -> None:
    on = host(*de.DOCKER_PACKAGES, traces=de.Traces(runtime_users=("kubelet",)), daemon=CONTAINERD_STORE)
    assert decide(on).refusals == ()


def test_a_distribution_without_docker_or_compose_is_refused() -> None:
    assert "ships no Docker. Set it to docker." in refusal(host(distribution=ROCKY), source=de.Source.DISTRO)
    assert "ships no Compose v2." in refusal(host(distribution=BOOKWORM), source=de.Source.DISTRO)


def test_containers_may_be_stopped_with_consent() -> None:
    on = host("docker.io", daemon=replace(OVERLAY, containers_running=3))
    assert decide(on, allow_stopping_containers=True).refusals == ()


@pytest.mark.parametrize(
    ("on", "request_", "folders"),
    [
        (host(), {}, (de.DOCKER_ROOT, de.CONTAINERD_ROOT)),
        (host(), {"version": "28.5.2"}, (de.DOCKER_ROOT,)),
        (host(), {"source": de.Source.DISTRO}, (de.DOCKER_ROOT,)),
        (host(), {"data_root": "/data/docker"}, ("/data/docker",)),
        (host(), {"options": {"features": {"containerd-snapshotter": False}}}, (de.DOCKER_ROOT,)),
        (host(daemon=CONTAINERD_STORE), {}, (de.DOCKER_ROOT, de.CONTAINERD_ROOT)),
        (host(daemon=CONTAINERD_STORE, containerd_root="/big/c"), {}, (de.DOCKER_ROOT, "/big/c")),
        (host(daemon=OVERLAY), {}, (de.DOCKER_ROOT,)),
        (host(daemon=replace(OVERLAY, root_dir="/srv/d")), {}, ("/srv/d",)),
    ],
)
def test_every_folder_that_fills_is_measured(on: de.Host, request_: dict[str, Any], folders: tuple[str, ...]) -> None:
    assert decide(on, **request_).folders == folders


def test_a_full_disk_under_containerd_is_refused_before_the_first_start() -> None:
    request = de.Request(min_free_bytes=10 << 30)
    free = {de.DOCKER_ROOT: 1 << 40, de.CONTAINERD_ROOT: 1 << 30}
    assert "/var/lib/containerd has 1.00 GiB free" in de.decide(request, host(), free).refusals[0]
    assert de.decide(request, host(daemon=CONTAINERD_STORE), free).refusals == ()


OFF = {"features": {"containerd-snapshotter": False}}


@pytest.mark.parametrize(
    ("on", "options"),
    [
        # A daemon that begins in a new folder would keep images in containerd's (docker/cli#6645).
        (host(), OFF),
        (host(daemon=replace(OVERLAY, root_dir="/var/lib/docker")), OFF),
        # What the first run wrote has to be asked for by the second, too.
        (host(daemon=replace(OVERLAY, root_dir="/data/docker"), daemon_options=OFF), OFF),
        # A host that was set up otherwise keeps its images where they are.
        (host(daemon=replace(CONTAINERD_STORE, root_dir="/data/docker")), {}),
        (host(daemon=replace(OVERLAY, root_dir="/data/docker")), {}),
        (host(daemon_options={"features": {"containerd-snapshotter": True}}), {}),
    ],
)
def test_data_root_means_images_too(on: de.Host, options: dict[str, Any]) -> None:
    assert decide(on, data_root="/data/docker").options == options


def test_the_operator_s_own_word_on_the_image_store_stands() -> None:
    chosen = {"features": {"containerd-snapshotter": True}}
    assert decide(host(), data_root="/data/docker", options=chosen).options == {}


def test_images_that_would_stay_behind_are_named() -> None:
    said = refusal(host(daemon=CONTAINERD_STORE), data_root="/data/docker")
    assert "Docker 29.10.0 keeps its images in /var/lib/containerd, which that does not move." in said
    chosen = {"features": {"containerd-snapshotter": False}}
    assert decide(host(daemon=CONTAINERD_STORE), data_root="/data/docker", options=chosen).refusals == ()


def test_what_a_simulation_says_is_read() -> None:
    text = "NOTE: This is only a simulation!\nRemv docker.io [28]\nPurg runc:amd64 [1]\nInst docker-ce (5:29 x)\nConf docker-ce\n"
    assert parse_removals(text) == ["docker.io", "runc"]


DOCKERS = (de.DOCKER_PACKAGES[0], "docker-ce-cli", "containerd.io", "docker-buildx-plugin", "docker-compose-plugin")
DISTRIBUTIONS = ("docker.io", "docker-cli", "docker-doc", "docker-compose", "docker-compose-v2", "docker-buildx")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        *((de.Source.DOCKER, name) for name in (*DISTRIBUTIONS, "docker-engine", "containerd", "runc")),
        *((de.Source.DISTRO, name) for name in (*DOCKERS, "docker-ce-rootless-extras", "docker-engine")),
    ],
)
def test_a_package_that_cannot_stand_beside_a_source(source: de.Source, name: str) -> None:
    there = {other: Package("1") for other in (name, "bash", DOCKERS[0] if source is de.Source.DOCKER else "runc")}
    assert de.conflicts(source, there) == (name,)
