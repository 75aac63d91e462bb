# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Galaxy on this machine: what ansible-galaxy asks for to install a collection, as files that a web server hands out."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import json
import tarfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# With the trailing part by which ansible-galaxy knows the API of today.
API = "api/v3/collections"


def repacked(installed: Path, folder: Path) -> Path:
    """Return a tarball of a collection that is installed here, of the files that are there of it."""
    manifest = json.loads((installed / "MANIFEST.json").read_text(encoding="utf-8"))
    listed = json.loads((installed / "FILES.json").read_text(encoding="utf-8"))
    # The package `ansible` leaves out tests.
    listed["files"] = [entry for entry in listed["files"] if (installed / entry["name"]).exists()]
    files = json.dumps(listed).encode()
    manifest["file_manifest_file"]["chksum_sha256"] = hashlib.sha256(files).hexdigest()
    info = manifest["collection_info"]
    target = folder / f"{info['namespace']}-{info['name']}-{info['version']}.tar.gz"
    with tarfile.open(target, "w:gz", compresslevel=1) as archive:
        for name, content in (("MANIFEST.json", json.dumps(manifest).encode()), ("FILES.json", files)):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
        for entry in listed["files"]:
            if entry["name"] != ".":
                archive.add(installed / entry["name"], entry["name"], recursive=False)
    return target


def lay_out(tarballs: Sequence[Path], root: Path, address: str) -> None:
    """Write what a Galaxy answers of these collections, below the folder that it is handed out from."""
    _answer(root / "api", {"available_versions": {"v3": "v3/"}})
    for tarball in tarballs:
        packed = tarball.read_bytes()
        with tarfile.open(tarball) as archive:
            manifest = archive.extractfile("MANIFEST.json")
            assert manifest is not None
            info = json.load(manifest)["collection_info"]
        (root / "artifacts").mkdir(exist_ok=True)
        (root / "artifacts" / tarball.name).write_bytes(packed)
        at, version = f"{API}/{info['namespace']}/{info['name']}", info["version"]
        told = {"version": version, "href": f"/{at}/versions/{version}/"}
        _answer(root / at, {"created_at": "", "updated_at": "", "highest_version": told})
        _answer(root / at / "versions", {"meta": {"count": 1}, "links": {"next": None}, "data": [told]})
        _answer(
            root / at / "versions" / version,
            {
                **told,
                "namespace": {"name": info["namespace"]},
                "collection": {"name": info["name"]},
                "download_url": f"{address}/artifacts/{tarball.name}",
                "artifact": {"filename": tarball.name, "sha256": hashlib.sha256(packed).hexdigest()},
                "metadata": {"dependencies": info["dependencies"]},
                "signatures": [],
            },
        )


def _answer(folder: Path, content: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.html").write_text(json.dumps(content), encoding="utf-8")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Leave the screen to what asks."""


@contextmanager
def serving(tarballs: Sequence[Path], root: Path) -> Iterator[str]:
    """Hand out these collections while the block lasts; yield the server's address for ansible-galaxy."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(root)))
    address = f"http://127.0.0.1:{server.server_address[1]}"
    lay_out(tarballs, root, address)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"{address}/api/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
