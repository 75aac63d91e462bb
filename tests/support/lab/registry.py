# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A registry of container images on the lab's network, over TLS, and just enough of its protocol to fill it.

Layers go up as plain tars: nothing here is far away, and compressing gigabytes on two cores takes minutes.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.gpuserve.fleet.tests.support.lab.bases import Base, import_root, make_root, scratch
from ansible_collections.gpuserve.fleet.tests.support.lab.boxes import NETWORK, ensure_network
from ansible_collections.gpuserve.fleet.tests.support.lab.common import (
    NAME,
    LabError,
    docker,
    docker_ok,
    labels,
    locked,
    making,
    run_inside,
    say,
    wait_for,
)

CONTAINER = f"{NAME}-registry"
HOST = "registry.lab"
PORT = 5000
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"

_BASE = Base("registry", "trixie", ("docker-registry", "openssl", "ca-certificates"), systemd=False)
_SETTINGS = f"""\
version: 0.1
storage:
  filesystem:
    rootdirectory: /var/lib/registry
http:
  addr: :{PORT}
  tls:
    certificate: /etc/lab/registry.crt
    key: /etc/lab/registry.key
"""


def ensure_registry() -> None:
    """Return with the registry answering."""
    with locked("registry"):
        if not is_running():
            _start()
        wait_for("An answer of the lab's registry", _answers, timeout_s=30)


def is_running() -> bool:
    """Tell whether the registry's container is up."""
    return docker("container", "inspect", "--format", "{{.State.Running}}", CONTAINER, check=False) == "true"


def certificate() -> str:
    """Return the certificate that a box has to trust (as /etc/docker/certs.d/registry.lab:5000/ca.crt)."""
    return docker("exec", CONTAINER, "cat", "/etc/lab/registry.crt")


def trust_in(container: str) -> None:
    """Let the Docker Engine of a box trust the registry."""
    folder = f"/etc/docker/certs.d/{HOST}:{PORT}"
    docker(
        "exec", "-i", container, "sh", "-c", f"mkdir -p {folder} && cat > {folder}/ca.crt", stdin=certificate() + "\n"
    )


def digest_of(repository: str, tag: str) -> str | None:
    """Return the digest under a tag, or None."""
    if not docker_ok("volume", "inspect", CONTAINER):
        return None  # Nothing was ever put into it: who makes an image need not wait until it is there.
    ensure_registry()
    with _connect() as line:
        line.request("HEAD", f"/v2/{repository}/manifests/{tag}", headers={"Accept": MANIFEST})
        answer = line.getresponse()
        answer.read()
        return answer.headers["Docker-Content-Digest"] if answer.status == 200 else None


@dataclass(frozen=True)
class Blob:
    """A file in the registry."""

    digest: str
    size: int


def push(repository: str, tag: str, layers: Sequence[Path], settings: dict[str, object]) -> str:
    """Put an image of these layers (tars) under a tag and return its digest."""
    ensure_registry()
    blobs = [_put_file(repository, layer) for layer in layers]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": settings,
        "rootfs": {"type": "layers", "diff_ids": [blob.digest for blob in blobs]},
    }
    config_blob = _put_bytes(repository, json.dumps(config, sort_keys=True).encode())
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": config_blob.digest, "size": config_blob.size},
        "layers": [{"mediaType": LAYER, "digest": blob.digest, "size": blob.size} for blob in blobs],
    }
    body = json.dumps(manifest, sort_keys=True).encode()
    with _connect() as line:
        line.request("PUT", f"/v2/{repository}/manifests/{tag}", body=body, headers={"Content-Type": MANIFEST})
        answer = line.getresponse()
        words = answer.read().decode(errors="replace")
        if answer.status != 201:
            raise LabError(f"The lab's registry refused the manifest of {repository}: {answer.status} {words[:200]}.")
    return "sha256:" + hashlib.sha256(body).hexdigest()


def _put_file(repository: str, path: Path) -> Blob:
    with path.open("rb") as handle:
        digest = "sha256:" + hashlib.file_digest(handle, "sha256").hexdigest()
        blob = Blob(digest, path.stat().st_size)
        if not _has(repository, blob):
            handle.seek(0)
            _upload(repository, blob, handle)
    return blob


def _put_bytes(repository: str, content: bytes) -> Blob:
    with tempfile.NamedTemporaryFile(dir=scratch()) as file:
        file.write(content)
        file.flush()
        return _put_file(repository, Path(file.name))


def _has(repository: str, blob: Blob) -> bool:
    with _connect() as line:
        line.request("HEAD", f"/v2/{repository}/blobs/{blob.digest}")
        answer = line.getresponse()
        answer.read()
        return answer.status == 200


def _upload(repository: str, blob: Blob, handle: object) -> None:
    with _connect() as line:
        line.request("POST", f"/v2/{repository}/blobs/uploads/", headers={"Content-Length": "0"})
        answer = line.getresponse()
        answer.read()
        if answer.status != 202:
            raise LabError(f"The lab's registry did not open an upload for {repository}: {answer.status}.")
        place = answer.headers["Location"].split(f":{PORT}", 1)[-1]
        joint = "&" if "?" in place else "?"
        headers = {"Content-Length": str(blob.size), "Content-Type": "application/octet-stream"}
        line.request("PUT", f"{place}{joint}digest={blob.digest}", body=handle, headers=headers)  # type: ignore[arg-type]
        answer = line.getresponse()
        words = answer.read().decode(errors="replace")
        if answer.status != 201:
            raise LabError(f"The lab's registry did not take a layer of {repository}: {answer.status} {words[:200]}.")


class _Line(http.client.HTTPSConnection):
    """A connection to the registry by its address, verified against its own certificate and name."""

    def __init__(self, address: str, trust: str) -> None:
        super().__init__(address, PORT, timeout=300, blocksize=1 << 20)
        self._trust = ssl.create_default_context(cadata=trust)

    def connect(self) -> None:
        self.sock = self._trust.wrap_socket(socket.create_connection((self.host, self.port), 30), server_hostname=HOST)
        self.sock.settimeout(300)

    def __enter__(self) -> _Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _connect() -> _Line:
    form = f'{{{{(index .NetworkSettings.Networks "{NETWORK}").IPAddress}}}}'
    return _Line(docker("container", "inspect", "--format", form, CONTAINER), certificate())


def _answers() -> bool:
    try:
        with _connect() as line:
            line.request("GET", "/v2/")
            return line.getresponse().status == 200
    except (OSError, LabError):
        return False


def _start() -> None:
    if not docker_ok("image", "inspect", _BASE.image):
        with (
            making("registry (built)"),
            tempfile.TemporaryDirectory(prefix="gpuserve-registry-", dir=scratch()) as folder,
        ):
            root = Path(folder) / "root"
            make_root(_BASE, root)
            (root / "etc/lab").mkdir()
            (root / "etc/lab/registry.yml").write_text(_SETTINGS)
            its_own_certificate = [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
                *("-nodes", "-days", "3650", "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"),
                *("-keyout", "/etc/lab/registry.key", "-out", "/etc/lab/registry.crt"),
            ]
            run_inside(root, *its_own_certificate)
            import_root(root, _BASE.image, ['CMD ["docker-registry", "serve", "/etc/lab/registry.yml"]'])
    ensure_network()
    docker("rm", "--force", CONTAINER, check=False)
    if not docker_ok("volume", "inspect", CONTAINER):
        docker("volume", "create", *labels(shared=True), CONTAINER)
    say(f"starting the lab's registry ({HOST}:{PORT} on network {NETWORK})")
    docker(
        *("run", "--detach", "--name", CONTAINER, "--network", NETWORK, "--network-alias", HOST, *labels(shared=True)),
        *("-v", f"{CONTAINER}:/var/lib/registry", _BASE.image),
    )
