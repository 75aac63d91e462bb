# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Digests of default images, asked of a double of a registry that wants a token, as Docker's does."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.tests.support import image_digests
from ansible_collections.gpuserve.fleet.tests.support.image_digests import Image, RegistryError, digest_of

INDEX = json.dumps({"schemaVersion": 2, "mediaType": image_digests.MANIFESTS[0], "manifests": []}).encode()
DIGEST = f"sha256:{hashlib.sha256(INDEX).hexdigest()}"


class Registry(BaseHTTPRequestHandler):
    """What a registry answers: a token to anybody for what is named, an index to whoever brings it."""

    said: str = DIGEST
    body: bytes = INDEX
    asked: list[str]

    def do_GET(self) -> None:
        type(self).asked.append(self.path)
        host = self.headers["Host"]
        if self.path.startswith("/token?"):
            self._send(200, json.dumps({"token": f"for {self.path}"}).encode())
        elif not self.headers.get("Authorization", "").startswith(
            "Bearer for /token?scope=repository%3Aacme%2Fapp%3Apull"
        ):
            self._send(401, b"", {"WWW-Authenticate": f'Bearer realm="http://{host}/token",service="here"'})
        elif self.path == "/v2/acme/app/manifests/1.0" and image_digests.MANIFESTS[0] in self.headers["Accept"]:
            self._send(200, self.body, {"Docker-Content-Digest": self.said})
        else:
            self._send(404, b"")

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture
def registry() -> Iterator[tuple[str, type[Registry]]]:
    own = type("Own", (Registry,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), own) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}", own
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("reference", "registry", "repository", "tag"),
    [
        ("vllm/vllm-openai:v0.33.0", "registry-1.docker.io", "vllm/vllm-openai", "v0.33.0"),
        ("docker.io/library/debian:13-slim", "registry-1.docker.io", "library/debian", "13-slim"),
        ("debian:13", "registry-1.docker.io", "library/debian", "13"),
        ("registry.example.org:5000/a/b/c:x", "registry.example.org:5000", "a/b/c", "x"),
        (f"acme/app:1.0@{DIGEST}", "registry-1.docker.io", "acme/app", "1.0"),
    ],
)
def test_names_are_read_as_docker_reads_them(reference: str, registry: str, repository: str, tag: str) -> None:
    image = Image.of(reference)
    assert (image.registry, image.repository, image.tag) == (registry, repository, tag)
    assert image.at("sha256:0") == f"{reference.partition('@')[0]}@sha256:0"


@pytest.mark.parametrize("reference", ["debian", "registry.example.org:5000/app", f"app@{DIGEST}"])
def test_without_a_tag_there_is_nothing_to_ask(reference: str) -> None:
    with pytest.raises(RegistryError, match="names no tag"):
        Image.of(reference)


def test_the_digest_is_that_of_what_came(registry: tuple[str, type[Registry]]) -> None:
    host, double = registry
    assert digest_of(Image.of(f"{host}/acme/app:1.0"), "http") == DIGEST
    assert double.asked[0] == double.asked[-1] == "/v2/acme/app/manifests/1.0"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"said": f"sha256:{'0' * 64}"}, "says that it is"),
        ({"said": "", "body": b'{"mediaType": "application/json"}'}, "no Docker pulls"),
    ],
)
def test_what_is_not_what_it_says_is_refused(
    registry: tuple[str, type[Registry]], monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], reason: str
) -> None:
    host, double = registry
    for name, value in change.items():
        monkeypatch.setattr(double, name, value)
    with pytest.raises(RegistryError, match=reason):
        digest_of(Image.of(f"{host}/acme/app:1.0"), "http")


def test_a_default_is_written_wherever_it_stands_and_nowhere_else(tmp_path: Path) -> None:
    for role in image_digests.IMAGES:
        for place in (f"roles/{role}/defaults/main.yml", *image_digests.PLACES):
            path = tmp_path / place.format(role=role)
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(image_digests.CHECKOUT / place.format(role=role), path)
    before = image_digests.defaults(tmp_path)["gateway"]
    after = Image.of(before).at(DIGEST)
    changed = image_digests.write(tmp_path, "gateway", before, after)
    assert changed == [
        "roles/gateway/defaults/main.yml",
        "roles/gateway/meta/argument_specs.yml",
        "playbooks/airgap_bundle.yml",
    ]
    assert image_digests.defaults(tmp_path)["gateway"] == after
    # A second run has nothing to write, and a newer digest takes the place of the old one.
    assert image_digests.write(tmp_path, "gateway", before, after) == []
    newer = Image.of(after).at(f"sha256:{'1' * 64}")
    assert len(image_digests.write(tmp_path, "gateway", after, newer)) == 3
    assert image_digests.defaults(tmp_path)["gateway"] == newer
