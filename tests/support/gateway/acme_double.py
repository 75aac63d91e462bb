# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A double of an ACME server (RFC 8555) that knows HTTP-01 and nothing else, for a real client.

It checks what a real one checks: that a nonce is used once, that each request is signed for its address by the account's key (RS256),
that the challenge's answer stands where it has to, on plain HTTP, and that the certificate asked for names what was proved.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import http.server
import json
import secrets
import subprocess
import threading
from pathlib import Path
from typing import Any

# What stands before a SHA-256 digest in a signature of RSASSA-PKCS1-v1_5.
DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


def decoded(text: str) -> bytes:
    """Return the bytes of base64url without its padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encoded(data: bytes) -> str:
    """Return base64url without its padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def thumbprint(jwk: dict[str, str]) -> str:
    """Return the digest of a key as RFC 7638 has it."""
    plain = json.dumps({name: jwk[name] for name in ("e", "kty", "n")}, sort_keys=True, separators=(",", ":"))
    return encoded(hashlib.sha256(plain.encode()).digest())


def is_signed(jwk: dict[str, str], data: bytes, signature: bytes) -> bool:
    """Tell whether a key's owner signed this."""
    modulus, exponent = (int.from_bytes(decoded(jwk[name]), "big") for name in ("n", "e"))
    size = (modulus.bit_length() + 7) // 8
    block = pow(int.from_bytes(signature, "big"), exponent, modulus).to_bytes(size, "big")
    tail = b"\x00" + DIGEST_INFO + hashlib.sha256(data).digest()
    return block == b"\x00\x01" + b"\xff" * (size - 2 - len(tail)) + tail


class Refused(Exception):
    """A problem document's type and text."""


class AcmeDouble:
    """One server from entering to leaving; names are proved at `address`, `port`, whatever a resolver would say."""

    def __init__(self, folder: Path, address: str, port: int) -> None:
        self.folder, self.address, self.port = folder, address, port
        self.nonces: set[str] = set()
        self.accounts: dict[str, dict[str, str]] = {}
        self.orders: dict[str, dict[str, Any]] = {}
        # Each answer of a challenge that was read, as it came.
        self.read: list[str] = []
        self.ca = folder / "ca.crt"
        self._openssl(
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=double",
            "-keyout",
            folder / "ca.key",
            "-out",
            self.ca,
        )

    @staticmethod
    def _openssl(*words: str | Path) -> None:
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)

    def __enter__(self) -> AcmeDouble:
        double = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(*double.directory())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                try:
                    self.answer(*double.asked(self.path, json.loads(body)))
                except Refused as problem:
                    kind, text = problem.args
                    self.answer(400, {"type": f"urn:ietf:params:acme:error:{kind}", "detail": text})

            def answer(self, status: int, value: Any, location: str = "") -> None:
                raw = value.encode() if isinstance(value, str) else json.dumps(value).encode()
                nonce = secrets.token_urlsafe(12)
                double.nonces.add(nonce)
                self.send_response(status)
                self.send_header("Replay-Nonce", nonce)
                self.send_header("Content-Length", str(len(raw)))
                if location:
                    self.send_header("Location", location)
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *words: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def directory(self) -> tuple[int, Any]:
        """What a client reads first; it is what a new nonce comes with, too."""
        return 200, {name: f"{self.url}/{name}" for name in ("newNonce", "newAccount", "newOrder")}

    def asked(self, path: str, message: dict[str, str]) -> tuple[int, Any, str]:
        """Answer a signed request."""
        head = json.loads(decoded(message["protected"]))
        if head["nonce"] not in self.nonces:
            raise Refused("badNonce", "it was used, or never given out")
        self.nonces.discard(head["nonce"])
        jwk = head["jwk"] if path == "/newAccount" else self.accounts[head["kid"]]
        signed = f"{message['protected']}.{message['payload']}".encode()
        if head["url"] != self.url + path or not is_signed(jwk, signed, decoded(message["signature"])):
            raise Refused("malformed", "it is not signed for this address by this key")
        payload = json.loads(decoded(message["payload"]) or b"null")
        if path == "/newAccount":
            account = f"{self.url}/account/{thumbprint(jwk)}"
            self.accounts[account] = jwk
            return 201, {"status": "valid"}, account
        if path == "/newOrder":
            return self._ordered(payload)
        kind, number = path.strip("/").split("/")
        order = self.orders[number]
        if kind == "challenge":
            self._prove(order, thumbprint(jwk))
        elif kind == "finalize":
            self._issue(order, decoded(payload["csr"]))
        elif kind == "certificate":
            return 200, order["certificate_text"], ""
        return 200, self._shown(kind, number), ""

    def _ordered(self, payload: dict[str, Any]) -> tuple[int, Any, str]:
        [identifier] = payload["identifiers"]
        number = str(len(self.orders))
        self.orders[number] = {"identifier": identifier, "status": "pending", "token": secrets.token_urlsafe(32)}
        return 201, self._shown("order", number), f"{self.url}/order/{number}"

    def _shown(self, kind: str, number: str) -> dict[str, Any]:
        order = self.orders[number]
        if kind in ("authorization", "challenge"):
            status = "valid" if order["status"] != "pending" else "pending"
            challenge = {
                "type": "http-01",
                "token": order["token"],
                "url": f"{self.url}/challenge/{number}",
                "status": status,
            }
            return {"identifier": order["identifier"], "status": status, "challenges": [challenge]}
        urls = {name: f"{self.url}/{name}/{number}" for name in ("finalize", "certificate")}
        return {"status": order["status"], "authorizations": [f"{self.url}/authorization/{number}"], **urls}

    def _prove(self, order: dict[str, Any], print_of_key: str) -> None:
        connection = http.client.HTTPConnection(self.address, self.port, timeout=10)
        connection.request(
            "GET", f"/.well-known/acme-challenge/{order['token']}", headers={"Host": order["identifier"]["value"]}
        )
        reply = connection.getresponse()
        text = reply.read().decode()
        self.read.append(text)
        if reply.status != 200 or text != f"{order['token']}.{print_of_key}":
            raise Refused("unauthorized", f"the answer is {reply.status} {text[:80]!r}")
        order["status"] = "ready"

    def _issue(self, order: dict[str, Any], request: bytes) -> None:
        if order["status"] != "ready":
            raise Refused("orderNotReady", "nothing has been proved")
        (self.folder / "csr.der").write_bytes(request)
        signing: list[str | Path] = [
            "-CA",
            self.ca,
            "-CAkey",
            self.folder / "ca.key",
            "-CAcreateserial",
            "-days",
            "7",
            "-copy_extensions",
            "copyall",
        ]
        out = self.folder / "issued.crt"
        self._openssl("x509", "-req", "-inform", "der", "-in", self.folder / "csr.der", *signing, "-out", out)
        names = subprocess.run(
            ["openssl", "x509", "-in", str(out), "-noout", "-ext", "subjectAltName"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        if f"DNS:{order['identifier']['value']}" != names[-1]:
            raise Refused("badCSR", f"it names {names[-1]}")
        order["certificate_text"] = out.read_text()
        order["status"] = "valid"
