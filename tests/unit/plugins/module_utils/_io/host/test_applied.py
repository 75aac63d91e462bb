# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever somebody changes on a host that serves shows in its digests, and what runs and engines write by themselves does not."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path, PurePath
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet.last_applied import RECORD, Record
from ansible_collections.gpuserve.fleet.plugins.module_utils._io import gpus
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import applied, docker_socket, host_layer
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles

ROLES = Path(__file__).resolve().parents[6] / "roles"
_HOST_FILE = re.compile(r"(?<![\w}./:])/(?:etc|var|run|usr|lib|proc|sys)/[\w./-]*\w")
# Sockets and logs, a program that its package brings, what says which host it is, whether it has systemd, and folders of files above.
OF_NO_DECISION = {
    "/var/run/docker.sock",
    "/var/run/docker.pid",
    "/var/log/docker.log",
    "/usr/bin/nvidia-container-runtime",
    "/etc/machine-id",
    "/proc/sys/kernel/random/boot_id",
    "/run/systemd/system",
    "/etc/apt",
    "/etc/apt/sources.list.d",
}

CARD = {
    "uuid": "GPU-1",
    "name": "NVIDIA GeForce RTX 5090",
    "memory_total_bytes": 33 << 30,
    "driver_version": "580.1",
    "memory_free_bytes": 1,
}


class Host:
    """A host's folders in a temporary one, and what its daemon and NVML answer."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.cards: list[dict[str, Any]] = [dict(CARD)]
        self.engine: dict[str, Any] = {"Names": ["/vllm-qwen"], "Id": "1", "ImageID": "sha256:a", "State": "running"}
        self.gateway = {"Names": ["/gpuserve-gateway"], "Id": "2", "ImageID": "sha256:b", "State": "running"}
        self.daemon: dict[str, Any] = {
            "ServerVersion": "28.2.0",
            "DockerRootDir": "/var/lib/docker",
            "Swarm": {"LocalNodeState": "inactive"},
            "Containers": 2,
        }
        self.packages = {"docker-ce": "5:28.2.0", "linux-image-6.12.0-1-amd64": "6.12.1", "nvidia-driver": "580.1"}
        for path in (
            "stack/compose.yml",
            "stack/env/qwen.env",
            "stack/proved/plan.json",
            "gateway/conf/live/nginx.conf",
            "gateway/tls/tls.crt",
            "gateway/usage/usage-2026-11-edge.jsonl",
            "state/engine-key",
            "state/calibration.json",
            "state/report.json",
            "state/collection",
            "state/calibration.lock",
            "state/cache/huggingface/hub/models--a/snapshots/0/model.safetensors",
            "etc/systemd/system/gpuserve-stack.service",
            "etc/tmpfiles.d/gpuserve-engines.conf",
            "srv/tls/fullchain.pem",
            "srv/models/qwen/config.json",
            "etc/apt/sources.list.d/docker.sources",
            "etc/apt/keyrings/gpuserve-docker.gpg",
            "etc/docker/daemon.json",
            "run/cdi/nvidia.yaml",
            "lib/modules/6.12.0-1-amd64/modules.dep",
            "lib/modules/6.12.0-1-amd64/updates/dkms/nvidia.ko.xz",
            "etc/systemd/system/multi-user.target.wants/docker.service",
            "etc/systemd/system/docker.service.d/10-gpuserve-cdi.conf",
        ):
            self.write(path, path)
        self.write("etc/os-release", 'ID=debian\nVERSION_ID="13"\n')
        monkeypatch.setattr(docker_socket, "get", self.answer)
        monkeypatch.setattr(gpus, "read", lambda _device, _files: {"gpus": self.cards})

    def write(self, path: str, text: str) -> None:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def answer(self, _socket: str, endpoint: str) -> Any:
        if endpoint == "/info":
            return self.daemon
        return [self.engine] if "label" in endpoint else [self.gateway]

    def run(self, command: list[str]) -> tuple[int, str, str]:
        """Answer as dpkg does, for the packages that are asked for."""
        assert command[:3] == ["dpkg-query", "-W", "-f"]
        known = {name: version for name, version in self.packages.items() if any(fnmatch(name, one) for one in command)}
        return 1, "".join(f"{name}\t{version}\tii \n" for name, version in known.items()), "no packages found"

    def found(self, more: tuple[str, ...] = ()) -> dict[str, str]:
        folders = [str(self.root / name) for name in ("stack", "gateway", "state")]
        paths = [str(self.root / name) for name in ("srv/tls/fullchain.pem", "srv/models/qwen", "srv/absent")]
        cache = str(self.root / "state/cache")
        return applied.found(applied.Scope(folders, cache, paths, more, root=str(self.root)), self.run)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def write(path: str, text: str = "changed") -> Callable[[Host], None]:
    return lambda host: host.write(path, text)


def remove(path: str) -> Callable[[Host], None]:
    return lambda host: (host.root / path).unlink()


def link(path: str) -> Callable[[Host], None]:
    def change(host: Host) -> None:
        (host.root / path).unlink()
        (host.root / path).symlink_to("/etc/hostname")

    return change


def card_on_the_bus(host: Host) -> None:
    for name, value in {"vendor": "0x10de", "class": "0x030000", "device": "0x2b85"}.items():
        host.write(f"sys/bus/pci/devices/0000:01:00.0/{name}", value)


CHANGES: dict[str, Callable[[Host], Any]] = {
    "a compose file": write("stack/compose.yml"),
    "an engine's environment": write("stack/env/qwen.env"),
    "a file that nobody of ours wrote": write("stack/compose.override.yml"),
    "what Compose reads beside it": write("stack/.env"),
    "a set that was proved": remove("stack/proved/plan.json"),
    "the gateway's configuration": write("gateway/conf/live/nginx.conf"),
    "a file's mode": lambda host: (host.root / "gateway/conf/live/nginx.conf").chmod(0o666),
    "a file that is a link by now": link("stack/compose.yml"),
    "the engines' key": write("state/engine-key"),
    "what was measured": write("state/calibration.json"),
    "an unfinished bring-up": write("state/journal.json"),
    "a unit": write("etc/systemd/system/gpuserve-stack.service"),
    "a unit that is enabled": write("etc/systemd/system/multi-user.target.wants/gpuserve-stack.service"),
    "what a boot makes": remove("etc/tmpfiles.d/gpuserve-engines.conf"),
    "a certificate that a variable names": write("srv/tls/fullchain.pem"),
    "a model's folder": write("srv/models/qwen/config.json", "another"),
    "one file more in a model's folder": write("srv/models/qwen/model.safetensors"),
    "a file that a variable names and was not there": write("srv/absent"),
    "weights that are cut short": write("state/cache/huggingface/hub/models--a/snapshots/0/model.safetensors", "x"),
    "weights that are gone": remove("state/cache/huggingface/hub/models--a/snapshots/0/model.safetensors"),
    "an engine that stands": lambda host: host.engine.update(State="exited"),
    "an engine that is another container": lambda host: host.engine.update(Id="3"),
    "a gateway of another image": lambda host: host.gateway.update(ImageID="sha256:c"),
    "Docker's version": lambda host: host.daemon.update(ServerVersion="29.1.0"),
    "a swarm": lambda host: host.daemon.update(Swarm={"LocalNodeState": "active"}),
    "daemon.json": write("etc/docker/daemon.json"),
    "how Docker is started": write("etc/systemd/system/docker.service.d/10-gpuserve-cdi.conf"),
    "a Docker that no boot starts": remove("etc/systemd/system/multi-user.target.wants/docker.service"),
    "who may ask Docker": write("etc/group", "docker:x:999:alice\n"),
    "a Compose that no package brought": write("usr/local/lib/docker/cli-plugins/docker-compose"),
    "a repository": write("etc/apt/sources.list.d/docker.sources"),
    "a second source of the same packages": write("etc/apt/sources.list.d/cuda.list"),
    "a key": write("etc/apt/keyrings/gpuserve-docker.gpg"),
    "a pin": write("etc/apt/preferences.d/mine.pref"),
    "a package's version": lambda host: host.packages.update({"nvidia-driver": "590.2"}),
    "a package that is gone": lambda host: host.packages.pop("docker-ce"),
    "a kernel's package": lambda host: host.packages.update({"linux-image-6.12.0-2-amd64": "6.12.2"}),
    "a kernel that can be booted": write("lib/modules/6.12.0-2-amd64/modules.dep"),
    "a module that was built": remove("lib/modules/6.12.0-1-amd64/updates/dkms/nvidia.ko.xz"),
    "a driver that is loaded": write("proc/driver/nvidia/version"),
    "nouveau": lambda host: (host.root / "sys/module/nouveau").mkdir(parents=True),
    "a description of the GPUs": write("run/cdi/nvidia.yaml"),
    "an older recipe's description": write("etc/cdi/nvidia.yaml"),
    "the system's release": write("etc/os-release", 'ID=debian\nVERSION_ID="14"\n'),
    "a card's driver": lambda host: host.cards[0].update(driver_version="590.2"),
    "a card on the bus": card_on_the_bus,
    "one card more": lambda host: host.cards.append({**CARD, "uuid": "GPU-2"}),
    "a card that is gone": lambda host: host.cards.clear(),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_shows(host: Host, what: str) -> None:
    before = host.found()
    CHANGES[what](host)
    assert host.found() != before


@pytest.mark.parametrize(
    "path",
    [
        "gateway/usage/usage-2026-11-edge.jsonl",
        "state/report.json",
        "state/collection",
        "state/calibration.lock",
        "state/progress-0a1b",
        "state/benchmarks/quick-20270131T101500Z.json",
        "state/acme/.well-known/acme-challenge/token",
        "state/failed/qwen.log",
        "state/last_applied.json",
        "state/cache/vllm/torch_compile_cache/0",
    ],
)
def test_what_is_written_without_anybodys_wish_does_not_show(host: Host, path: str) -> None:
    before = host.found()
    host.write(path, "changed")
    host.cards[0]["memory_free_bytes"] = 2
    assert host.found() == before


def test_a_host_without_a_card_is_not_told_by_its_memory(host: Host) -> None:
    there = applied.found(applied.Scope([], str(host.root), device="cpu", root=str(host.root)), host.run)
    assert "cards" not in there


def test_packages_count_where_a_role_or_a_variable_names_them(host: Host) -> None:
    before, named = host.found(), host.found(("nvtop=3.1",))
    host.packages["nvtop"] = "3.1"
    assert host.found() == before and host.found(("nvtop=3.1",)) != named


def test_a_host_with_rpm_is_told_by_its_packages(host: Host) -> None:
    def run(command: list[str]) -> tuple[int, str, str]:
        # dpkg may be there for other purposes, and knows nothing of them.
        lines = "".join(f"{name}\t{version}\n" for name, version in host.packages.items())
        return (0, lines, "") if command[0] == "rpm" else (0, "iptables\t1.8\tii \n", "")

    def packages() -> str:
        return host_layer.found(HostFiles(str(host.root)), run, "/docker.sock", ())["packages"]

    host.write("etc/os-release", 'ID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="10.1"\n')
    before = packages()
    host.packages["docker-ce"] = "5:29.0.0"
    assert packages() != before


@pytest.mark.parametrize("role", ["nvidia_driver", "docker_engine", "nvidia_container_toolkit"])
def test_each_file_that_a_role_of_the_hosts_layer_names_counts(role: str) -> None:
    texts = [
        path.read_text() for path in (ROLES / role).rglob("*.yml") if path.parent.name in ("vars", "defaults", "tasks")
    ]
    named = {match for text in texts for match in _HOST_FILE.findall(text)}
    assert named, role
    patterns = [f"/{pattern}" for pattern in host_layer.FILES]
    # In the folder of state all counts.
    # By names of one folder each, as they are looked for.
    unseen = {
        name for name in named if not any(PurePath(name).match(one) for one in (*patterns, "/var/lib/gpuserve/*"))
    }
    assert unseen - OF_NO_DECISION == set()


def test_weights_are_told_by_where_their_links_lead(host: Host) -> None:
    snapshot = host.root / "state/cache/huggingface/hub/models--b/snapshots/0"
    host.write("state/cache/huggingface/hub/models--b/blobs/1", "weights")
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").symlink_to(os.path.join("..", "..", "blobs", "1"))
    before = host.found()
    (host.root / "state/cache/huggingface/hub/models--b/blobs/1").unlink()
    assert host.found()["weights"] != before["weights"]


def test_a_note_is_kept_read_and_forgotten(tmp_path: Path) -> None:
    record = Record("asked", {"a": "b"}, 1.0)
    folder = str(tmp_path)
    assert applied.record_of(folder) is None
    applied.keep(folder, record)
    assert applied.record_of(folder) == record
    assert (tmp_path / RECORD).stat().st_mode & 0o777 == 0o600
    (tmp_path / RECORD).write_text(json.dumps(record.data())[:-9])
    assert applied.record_of(folder) is None
    applied.forget(folder)
    applied.forget(folder)
    assert not (tmp_path / RECORD).exists()
