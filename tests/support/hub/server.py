# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A double of the hub: what huggingface_hub asks of it, answered as the hub does, over real HTTP on this machine.

Small files come from the hub itself, large ones by a redirect to another origin (as its CDN is), where no token may arrive. Whatever can
go wrong on the way to a file is told by its Fault.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ansible_collections.gpuserve.fleet.tests.support.hub.repositories import Fault, Repository, blob_id, is_lfs

ID = r"(?P<id>[^/]+/[^/]+)"
CHUNK = 64 * 1024
STALL_S = 30.0


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    token: str
    bytes_range: str


@dataclass
class Hub:
    """The double: its repositories, what was asked of it, and where it listens."""

    repositories: dict[str, Repository]
    requests: list[Seen] = field(default_factory=list)
    sent_bytes: int = 0
    port: int = 0
    is_down: bool = False

    @property
    def endpoint(self) -> str:
        """The address for HF_ENDPOINT."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def cdn(self) -> str:
        """The same server under another name: another origin."""
        return f"http://localhost:{self.port}"

    def paths(self, method: str = "") -> list[str]:
        """Return the paths asked for."""
        return [seen.path for seen in self.requests if method in ("", seen.method)]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent; Hub.requests has it all."""

    def do_HEAD(self) -> None:
        """Answer a HEAD."""
        self.do_GET()

    def do_GET(self) -> None:
        """Answer a GET."""
        parts = urlsplit(self.path)
        path, query = unquote(parts.path), parse_qs(parts.query)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        self.hub.requests.append(Seen(self.command, path, token, self.headers.get("Range") or ""))
        if self.hub.is_down:
            return self._answer(HTTPStatus.BAD_GATEWAY, b"<html>bad gateway</html>", {"Content-Type": "text/html"})
        if path == "/api/models":
            return self._search(query)
        if match := re.fullmatch(rf"/api/models/{ID}(/revision/(?P<rev>.+))?", path):
            return self._info(match["id"], match["rev"] or "main", token, "blobs" in query)
        if match := re.fullmatch(rf"/api/models/{ID}/tree/(?P<rev>[^/]+)", path):
            return self._tree(match["id"], match["rev"], token)
        if match := re.fullmatch(rf"/{ID}/resolve/(?P<rev>[^/]+)/(?P<file>.+)", path):
            return self._file(match["id"], match["rev"], match["file"], token)
        if match := re.fullmatch(r"/cdn/(?P<sha>[0-9a-f]{64})", path):
            return self._large(match["sha"], token)
        return self._fail(HTTPStatus.NOT_FOUND, "", "Not found")

    def _found(self, model: str, token: str, redirect: str) -> Repository | None:
        """Return a repository that the token may know of, or answer as the hub does for one that isn't there."""
        names = {name.casefold(): name for name in self.hub.repositories}
        name = names.get(model.casefold(), "")
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.private and token not in repository.accepted):
            # Who shows no token is not told whether there is one.
            status = HTTPStatus.NOT_FOUND if token else HTTPStatus.UNAUTHORIZED
            self._fail(status, "RepoNotFound", "Repository not found" if token else "Invalid username or password.")
            return None
        target = repository.renamed_to or name
        if target != model:
            self._answer(HTTPStatus.TEMPORARY_REDIRECT, b"", {"Location": redirect.replace(model, target, 1)})
            return None
        return repository

    def _info(self, model: str, revision: str, token: str, blobs: bool) -> None:
        if (repository := self._found(model, token, self.path)) is None or self._faulty(repository, "api"):
            return None
        at = repository.at(revision)
        if at is None:
            return self._fail(HTTPStatus.NOT_FOUND, "RevisionNotFound", f"Invalid rev id: {revision}")
        commit, files = at
        siblings: list[dict[str, Any]] = []
        for path, content in sorted(files.items()):
            entry: dict[str, Any] = {"rfilename": path}
            if blobs:
                entry |= {"size": len(content), "blobId": blob_id(path, content)}
                if is_lfs(path):
                    entry["lfs"] = {"sha256": _sha(content), "size": len(content), "pointerSize": 134}
            siblings.append(entry)
        answer = {
            "_id": "6" * 24,
            "id": model,
            "modelId": model,
            "sha": commit,
            "private": repository.private,
            "gated": repository.gated or False,
            "tags": ["safetensors", f"license:{repository.licence}"],
            "cardData": {"license": repository.licence},
            "siblings": siblings,
        }
        return self._json(answer)

    def _search(self, query: dict[str, list[str]]) -> None:
        words = (query.get("search") or [""])[0].casefold()
        base = next((text.partition(":")[2] for text in query.get("filter", []) if text.startswith("base_model:")), "")
        found: list[dict[str, Any]] = [
            {"id": name, "modelId": name, "tags": [], "gated": item.gated or False, "private": False}
            for name, item in self.hub.repositories.items()
            if not item.private and words in name.casefold() and (not base or base.endswith(item.base_model or "-"))
        ]
        return self._json(found[: int((query.get("limit") or ["20"])[0])])

    def _tree(self, model: str, revision: str, token: str) -> None:
        if (repository := self._found(model, token, self.path)) is None:
            return None
        at = repository.at(revision)
        if at is None:
            return self._fail(HTTPStatus.NOT_FOUND, "RevisionNotFound", f"Invalid rev id: {revision}")
        entries: list[dict[str, Any]] = []
        for path, content in sorted(at[1].items()):
            entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": blob_id(path, content)}
            if is_lfs(path):
                entry["lfs"] = {"oid": _sha(content), "size": len(content), "pointerSize": 134}
            entries.append(entry)
        return self._json(entries)

    def _file(self, model: str, revision: str, path: str, token: str) -> None:
        if (repository := self._found(model, token, self.path)) is None:
            return None
        if repository.gated and token not in repository.accepted:
            status = HTTPStatus.FORBIDDEN if token else HTTPStatus.UNAUTHORIZED
            return self._fail(status, "GatedRepo", f"Access to model {model} is restricted.")
        at = repository.at(revision)
        if at is None:
            return self._fail(HTTPStatus.NOT_FOUND, "RevisionNotFound", f"Invalid rev id: {revision}")
        commit, files = at
        if path not in files:
            return self._fail(HTTPStatus.NOT_FOUND, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit})
        content = files[path]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{blob_id(path, content)}"', "Accept-Ranges": "bytes"}
        if not is_lfs(path):
            if not self._faulty(repository, path):
                self._bytes(content, headers, Fault())
            return None
        sha = _sha(content)
        headers |= {"X-Linked-Etag": f'"{sha}"', "X-Linked-Size": str(len(content))}
        return self._answer(HTTPStatus.FOUND, b"", headers | {"Location": f"{self.hub.cdn}/cdn/{sha}"})

    def _large(self, sha: str, token: str) -> None:
        if token:
            return self._fail(HTTPStatus.BAD_REQUEST, "", "A token reached the CDN")
        for repository in self.hub.repositories.values():
            for files in (repository.files, *repository.earlier.values()):
                for path, content in files.items():
                    if is_lfs(path) and _sha(content) == sha:
                        fault = self._take(repository, path)
                        if not self._fails(fault):
                            self._bytes(content, {"ETag": f'"{sha}"', "Accept-Ranges": "bytes"}, fault)
                        return None
        return self._fail(HTTPStatus.NOT_FOUND, "", "No such object")

    def _take(self, repository: Repository, path: str) -> Fault:
        """Return what goes wrong with a file this time."""
        fault = repository.faults.get(path)
        if fault is None or fault.times == 0:
            return Fault()
        if self.command == "GET":
            repository.faults[path] = replace(fault, times=fault.times - 1)
        return fault

    def _faulty(self, repository: Repository, path: str) -> bool:
        return self._fails(self._take(repository, path))

    def _fails(self, fault: Fault) -> bool:
        """Answer with an error or a page where the fault is one."""
        if fault.html:
            page = b"<!DOCTYPE html><html><body>Please log in to the network</body></html>"
            self._answer(HTTPStatus.OK, page, {"Content-Type": "text/html"})
            return True
        if fault.status:
            headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
            self._fail(HTTPStatus(fault.status), "", "as asked for", headers)
            return True
        return False

    def _bytes(self, content: bytes, headers: dict[str, str], fault: Fault) -> None:
        """Send a file, or the part asked for, as the fault wants it."""
        if fault.wrong_hash:
            content = content[:-1] + bytes([content[-1] ^ 1])
        status, first, last = HTTPStatus.OK, 0, len(content) - 1
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if match and not fault.ignores_range:
            first, last = int(match[1]), min(last, int(match[2] or last))
            if first > last:
                return self._answer(
                    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"", {"Content-Range": f"bytes */{len(content)}"}
                )
            status = HTTPStatus.PARTIAL_CONTENT
            headers = {**headers, "Content-Range": f"bytes {first}-{last}/{len(content)}"}
        part = content[first : last + 1]
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(part))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return None
        return self._send(part, fault)

    def _send(self, part: bytes, fault: Fault) -> None:
        stop = min((at for at in (fault.stall_after, fault.cut_after) if at >= 0), default=len(part))
        step = max(1, fault.bytes_per_s // 10) if fault.bytes_per_s else CHUNK
        for start in range(0, min(stop, len(part)), step):
            piece = part[start : min(start + step, stop)]
            self.wfile.write(piece)
            self.hub.sent_bytes += len(piece)
            if fault.bytes_per_s:
                time.sleep(0.1)
        if fault.stall_after >= 0:
            self.wfile.flush()
            time.sleep(STALL_S)
        if stop < len(part):
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def _json(self, answer: Any) -> None:
        self._answer(HTTPStatus.OK, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _fail(self, status: HTTPStatus, code: str, text: str, headers: dict[str, str] | None = None) -> None:
        more = {"X-Error-Code": code} if code else {}
        more |= {"X-Error-Message": text, "Content-Type": "application/json", **(headers or {})}
        self._answer(status, json.dumps({"error": text}).encode(), more)

    def _answer(self, status: HTTPStatus, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            self.hub.sent_bytes += len(body)


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A client that goes away in the middle is what some tests are about.
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep what a client's leaving raises to ourselves."""


@contextmanager
def serving(repositories: dict[str, Repository], port: int = 0, address: str = "127.0.0.1") -> Iterator[Hub]:
    """Serve these repositories until the block ends."""
    hub = Hub(repositories)
    handler = type("HubHandler", (Handler,), {"hub": hub})
    server = _Server((address, port), handler)
    hub.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
