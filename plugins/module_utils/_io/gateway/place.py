# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts a rendered configuration in place: all of it is staged and judged before anything that serves is touched."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import sockets
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway.view import redacted
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway import probe
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway.own_certificate import OwnCertificate
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway.sets import Sets, put, read
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic

Run = Callable[[list[str]], tuple[int, str, str]]
TMPFILES = Path("/etc/tmpfiles.d/gpuserve-gateway.conf")
SYSTEMD = Path("/run/systemd/system")
FOLDER_MODE = 0o750


class Place:
    """One gateway's configuration on its host."""

    def __init__(self, folder: Path, payload: Mapping[str, Any], run: Run, check_mode: bool) -> None:
        self.folder = folder
        self.payload = payload
        self.run = run
        self.check_mode = check_mode
        self.sets = Sets(folder / "conf", int(payload["group"]))

    def put(self) -> dict[str, Any]:
        """Compare, stage, judge, swap; return what changed and what has to read it."""
        if not self.check_mode:
            self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            self.sets.recover()
        files = {name: text.encode() for name, text in self.payload["files"].items()}
        made = self._certificate(files)
        live, plain = self.sets.live_files(), self._plain_files()
        changed = sorted(name for name in {*files, *live} if files.get(name) != live.get(name))
        closed = not live or not self.sets.is_open_to_others(live)
        other = [path for path, (content, _mode) in plain.items() if read(path) != content]
        gone = [path for path in (self.folder / probe.FIRST_KEY,) if self.payload["first_key_gone"] and path.exists()]
        folders = [path for path in self._folders() if not path.is_dir()]
        closed_to = {self.folder / name: (uid, gid) for name, (uid, gid) in self.payload["folders"].items()}
        open_ones = [path for path, owner in closed_to.items() if not atomic.is_folder_of(path, owner, FOLDER_MODE)]
        restart = self.folder / "compose.yml" in other
        if not self.check_mode:
            with self._drafts({path: plain[path] for path in other}) as drafts:
                if changed or not closed or restart:
                    self._judge(files, live)
                    self.sets.swap()
                for draft, path in drafts.items():
                    atomic.move(draft, path)
            for path in gone:
                path.unlink()
            # Docker would make the folders of sockets too, but open to everybody.
            atomic.make_folder(Path(self.payload["socket_dir"]).parent, 0o700)
            for path in folders:
                path.mkdir(mode=0o755, parents=True)
            for path in open_ones:
                atomic.make_folder_of(path, closed_to[path], FOLDER_MODE)
        return {
            "changed": bool(made or changed or other or gone or folders or open_ones or not closed),
            "changed_files": [*changed, *(str(path) for path in [*other, *gone, *folders, *open_ones])],
            "reload": bool(changed or not closed),
            "restart": restart,
            "diff": [
                *(self._diff(name, live.get(name, b""), files.get(name, b"")) for name in changed),
                *(self._plain_diff(path, plain[path][0]) for path in other),
            ],
        }

    @staticmethod
    @contextlib.contextmanager
    def _drafts(files: Mapping[Path, tuple[bytes, int]]) -> Iterator[dict[Path, Path]]:
        """Write files beside their places, so that all are on the disk before the first takes its own."""
        drafts = {path.with_name(f".{path.name}.next"): path for path in files}
        try:
            for draft, path in drafts.items():
                put(draft, *files[path])
            yield drafts
        finally:
            for draft in drafts:
                draft.unlink(missing_ok=True)

    def _certificate(self, files: dict[str, bytes]) -> bool:
        """Add certificate and key to the files; return whether one of our own was made."""
        tls, made = self.payload["tls"], False
        if tls["kind"] == "off":
            return False
        pair = {"tls.crt": Path(tls["certificate"]), "tls.key": Path(tls["key"])}
        if tls["kind"] == "self_signed":
            own = OwnCertificate(self.folder / "tls", self.run)
            pair = {"tls.crt": own.certificate, "tls.key": own.key}
            made = not own.serves(tls["names"])
            if made and not self.check_mode:
                own.make(tls["name"], tls["names"])
        for name, path in pair.items():
            content = read(path)
            if content is None and not self.check_mode:
                fail("gateway_tls", f"{path} is not on the host.", "Put it there, or name another file.")
            files[name] = content or b""
        return made

    def _plain_files(self) -> dict[Path, tuple[bytes, int]]:
        """Return what stands beside the configuration, with its mode."""
        payload = self.payload
        found = {
            self.folder / "compose.yml": (payload["compose"].encode(), 0o644),
            self.folder / probe.SETTINGS: (payload["settings"].encode(), 0o600),
        }
        if payload["first_key_sha256"]:
            found[self.folder / probe.FIRST_KEY] = (f"{payload['first_key_sha256']}\n".encode(), 0o600)
        # Elsewhere Docker makes the folder when it starts the container.
        if SYSTEMD.is_dir():
            text = f"d {payload['drain_dir']} 0755 root root -\n{sockets.at_boot()}"
            found[TMPFILES] = (text.encode(), 0o644)
        return found

    def _folders(self) -> list[Path]:
        return [
            Path(self.payload["drain_dir"]),
            Path(self.payload["socket_dir"]),
            *([Path(self.payload["acme_dir"])] if self.payload["acme_dir"] else []),
        ]

    def _judge(self, files: Mapping[str, bytes], live: Mapping[str, bytes]) -> None:
        """Stage the candidate and let nginx judge it, in the image that is going to run."""
        self.sets.stage(files)
        code, _out, error = self.run(self.payload["trial"])
        if code == 0:
            return
        lines = [line.strip() for line in error.splitlines() if line.strip()]
        reason = next((line for line in lines if "emerg" in line or "rror" in line), (lines or ["no reason given"])[0])
        runs_on = " What ran before runs on unchanged." if live else ""
        fail(
            "gateway_models",
            f"nginx refuses the new configuration: {reason}.",
            f"It stands in {self.sets.candidate} for you to look at.{runs_on}",
        )

    def _diff(self, name: str, before: bytes, after: bytes) -> dict[str, str]:
        texts = [before.decode(errors="replace"), after.decode(errors="replace")]
        if name == "data.json":
            texts = [redacted(text) if text else "" for text in texts]
        elif name in self.payload["quiet"] or name not in self.payload["files"]:
            texts = [f"{name} as it was\n" if before else "", f"{name} as it is shipped\n" if after else ""]
        return {"before_header": name, "after_header": name, "before": texts[0], "after": texts[1]}

    def _plain_diff(self, path: Path, after: bytes) -> dict[str, str]:
        before = read(path) or b""
        texts = [before.decode(errors="replace"), after.decode(errors="replace")]
        # The settings and the first key's digest hold what no screen shows.
        if path.name in (probe.SETTINGS, probe.FIRST_KEY):
            texts = ["as it was\n" if before else "", "as it is now\n"]
        return {"before_header": str(path), "after_header": str(path), "before": texts[0], "after": texts[1]}
