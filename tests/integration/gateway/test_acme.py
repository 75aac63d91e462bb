# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A certificate by HTTP-01 beside the redirect, as docs/gateway.md has it: a real client (acme-tiny), and a double of an ACME server."""

from __future__ import annotations

import http.client
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.tests.support.gateway.acme_double import AcmeDouble
from ansible_collections.gpuserve.fleet.tests.support.gateway.container import Container, scenario_variables

NAME = "ai.example.org"
PLAIN_PORT = 8080


def openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


class Encrypted(Container):
    """A gateway with a certificate of its own, and a port for plain HTTP."""

    def __init__(self) -> None:
        tls = {"gateway_tls": "self_signed", "gateway_tls_name": NAME, "gateway_redirect_port": PLAIN_PORT}
        super().__init__({**scenario_variables(), **tls})
        # The one of the other tests runs, too.
        first, second, *others = self.host.split(".")
        self.host = self.engines = ".".join([first, str(int(second) + 64), *others])

    def render(self, **changes: Any) -> None:
        super().render(**changes)
        live = self.folder / "live"
        if not (live / "tls.crt").exists():
            key: list[str | Path] = [
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-subj",
                "/CN=own",
                "-keyout",
                live / "tls.key",
            ]
            openssl(*key, "-out", live / "tls.crt")
            (live / "tls.key").chmod(0o644)

    def encrypted(self, path: str, ca: Path | None) -> http.client.HTTPResponse:
        """Ask over TLS; with `ca` the certificate has to be that one's, for NAME."""
        context = ssl.create_default_context(cafile=str(ca)) if ca else ssl._create_unverified_context()
        connection = http.client.HTTPConnection(self.host, self.port, timeout=10)
        plain = socket.create_connection((self.host, self.port), timeout=10)
        connection.sock = context.wrap_socket(plain, server_hostname=NAME)
        connection.request("GET", path)
        return connection.getresponse()

    def _serves(self) -> bool:
        try:
            return self._generation.encode() in self.encrypted("/health", None).read()
        except OSError:
            return False


@pytest.fixture(scope="module")
def encrypted() -> Iterator[Encrypted]:
    made = Encrypted()
    with made:
        yield made


def plain(gateway: Encrypted, path: str) -> tuple[int, str | None, bytes]:
    connection = http.client.HTTPConnection(gateway.host, PLAIN_PORT, timeout=10)
    connection.request("GET", path, headers={"Host": NAME})
    reply = connection.getresponse()
    return reply.status, reply.getheader("Location"), reply.read()


def test_a_client_gets_a_certificate_beside_the_redirect(encrypted: Encrypted, tmp_path: Path) -> None:
    webroot = encrypted.folder / "acme"
    challenges = webroot / ".well-known" / "acme-challenge"
    challenges.mkdir(parents=True)
    for name in ("account", "site"):
        openssl("genrsa", "-out", tmp_path / f"{name}.key", "2048")
    request: list[str | Path] = [
        "req",
        "-new",
        "-key",
        tmp_path / "site.key",
        "-subj",
        f"/CN={NAME}",
        "-addext",
        f"subjectAltName=DNS:{NAME}",
    ]
    openssl(*request, "-out", tmp_path / "site.csr")
    with AcmeDouble(tmp_path, encrypted.host, PLAIN_PORT) as server:
        words = [sys.executable, "-m", "acme_tiny", "--disable-check", "--directory-url", f"{server.url}/directory"]
        files = ["--account-key", tmp_path / "account.key", "--csr", tmp_path / "site.csr", "--acme-dir", challenges]
        done = subprocess.run([*words, *map(str, files)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        [answer] = server.read
        assert answer.count(".") == 1
    # What gateway_tls: files does with it: the pair in the live set, and a reload.
    (encrypted.folder / "live" / "tls.crt").write_text(done.stdout)
    shutil.copyfile(tmp_path / "site.key", encrypted.folder / "live" / "tls.key")
    encrypted.reload()

    def is_trusted() -> bool:
        try:
            return encrypted.encrypted("/livez", tmp_path / "ca.crt").status == 200
        except ssl.SSLError:
            return False

    encrypted.wait_for(is_trusted)


def test_a_client_that_answers_nothing_gets_none(encrypted: Encrypted, tmp_path: Path) -> None:
    """The double refuses, as a real server would: else the test above could not fail."""
    for name in ("account", "site"):
        openssl("genrsa", "-out", tmp_path / f"{name}.key", "2048")
    openssl("req", "-new", "-key", tmp_path / "site.key", "-subj", f"/CN={NAME}", "-out", tmp_path / "site.csr")
    with AcmeDouble(tmp_path, encrypted.host, PLAIN_PORT) as server:
        words = [sys.executable, "-m", "acme_tiny", "--disable-check", "--directory-url", f"{server.url}/directory"]
        files = ["--account-key", tmp_path / "account.key", "--csr", tmp_path / "site.csr", "--acme-dir", tmp_path]
        done = subprocess.run([*words, *map(str, files)], capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "unauthorized" in done.stderr


def test_nothing_else_is_served_in_plain(encrypted: Encrypted) -> None:
    (encrypted.folder / "acme" / "secret").write_text("secret")
    for path in (
        "/v1/models",
        "/.well-known/acme-challenge-x",
        "/secret",
        "/livez",
        "/.well-known/acme-challenge/../../secret",
    ):
        status, location, body = plain(encrypted, path)
        assert (status, location or "") == (308, f"https://{NAME}:8000{path}") or status in (400, 404), path
        assert b"secret" not in body
