# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever somebody changes on a host that serves shows in its digests, and what runs and engines write by themselves does not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet.last_applied import Record
from ansible_collections.gpuserve.fleet.plugins.module_utils._io import gpus
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import applied, docker_socket

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
        self.version = "28.2.0"
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
        ):
            self.write(path, path)
        monkeypatch.setattr(docker_socket, "get", self.answer)
        monkeypatch.setattr(gpus, "read", lambda _device, _files: {"gpus": self.cards})

    def write(self, path: str, text: str) -> None:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def answer(self, _socket: str, endpoint: str) -> Any:
        if endpoint == "/version":
            return {"Version": self.version}
        return [self.engine] if "label" in endpoint else [self.gateway]

    def found(self) -> dict[str, str]:
        folders = [str(self.root / name) for name in ("stack", "gateway", "state")]
        paths = [str(self.root / name) for name in ("srv/tls/fullchain.pem", "srv/models/qwen", "srv/absent")]
        return applied.found(
            folders, paths, str(self.root / "state/cache"), "gpuserve", "cuda", "/docker.sock", str(self.root)
        )


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
    "Docker's version": lambda host: setattr(host, "version", "29.1.0"),
    "a card's driver": lambda host: host.cards[0].update(driver_version="590.2"),
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
    there = applied.found([], [], str(host.root), "gpuserve", "cpu", "/docker.sock", str(host.root))
    assert "cards" not in there


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
    assert (tmp_path / applied.RECORD).stat().st_mode & 0o777 == 0o600
    (tmp_path / applied.RECORD).write_text(json.dumps(record.data())[:-9])
    assert applied.record_of(folder) is None
    applied.forget(folder)
    applied.forget(folder)
    assert not (tmp_path / applied.RECORD).exists()
