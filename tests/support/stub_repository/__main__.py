# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Doubles: signed apt repositories with the names and dependency shapes of NVIDIA's packages, and nothing inside.

They prove repository, key, pin, order and idempotence, never that a driver works. Call it as
`python -m ansible_collections.gpuserve.fleet.tests.support.stub_repository OUT KERNEL`.

OUT/good is signed with the expected key; OUT/wrong, OUT/expired and OUT/sha1 with keys that have to be refused;
OUT/tampered has an index that was changed after it was signed. OUT/keys holds the keys, OUT/fingerprints.json their
fingerprints.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path

from ansible_collections.gpuserve.fleet.tests.support.stub_repository import packages

CUDA = "cuda/repos/debian13/x86_64"
TOOLKIT = "libnvidia-container/stable/deb/amd64"


FIRST = "good"


@dataclass
class Keys:
    """A keyring of throwaway keys, made for one build."""

    home: Path
    prints: dict[str, str] = field(default_factory=dict)

    def gpg(self, *arguments: str, text: str = "") -> str:
        """Run gpg on this keyring only."""
        command = ["gpg", "--homedir", str(self.home), "--batch", "--quiet", "--pinentry-mode", "loopback", *arguments]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"stub_repository: gpg {' '.join(arguments)} failed: {done.stderr.strip()}")
        return done.stdout

    def make(self, name: str, *options: str, expires: str = "never") -> None:
        """Make a key."""
        self.gpg(
            *options,
            "--passphrase",
            "",
            "--quick-gen-key",
            f"STUB {name} <{name}@stub.invalid>",
            "rsa2048",
            "sign",
            expires,
        )
        listing = self.gpg("--with-colons", "--list-keys", f"{name}@stub.invalid")
        self.prints[name] = next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr:"))

    def export(self, name: str) -> str:
        """Return the public key."""
        return self.gpg("--armor", "--export", f"{name}@stub.invalid")

    def sign(self, name: str, text: str) -> str:
        """Sign a Release file inline."""
        return self.gpg("--local-user", f"{name}@stub.invalid", "--clearsign", text=text)


def build_deb(package: packages.Package, out: Path) -> Path:
    """Build one package."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, (text, mode) in package.files.items():
            path = root / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(mode)
        for name, aim in package.links.items():
            path = root / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(aim)
        control = root / "DEBIAN"
        control.mkdir()
        (control / "control").write_text(package.control())
        for script, text in package.scripts.items():
            (control / script).write_text(text)
            (control / script).chmod(0o755)
        target = out / package.file
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(root), str(target)],
            check=True,
            capture_output=True,
        )
        return target


def index(folder: Path, contents: list[packages.Package]) -> str:
    """Write the index of a flat repository and return its Release text."""
    stanzas = []
    for package in contents:
        deb = folder / package.file
        data = deb.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        stanzas.append(f"{package.control()}Filename: ./{deb.name}\nSize: {len(data)}\nSHA256: {digest}\n")
    text = "\n".join(stanzas)
    (folder / "Packages").write_text(text)
    encoded = text.encode()
    return (
        f"Origin: STUB\nLabel: STUB\nSuite: stub\nArchitectures: amd64\nDate: {formatdate(usegmt=True)}\n"
        f"SHA256:\n {hashlib.sha256(encoded).hexdigest()} {len(encoded)} Packages\n"
    )


def main() -> int:
    """Build everything."""
    if len(sys.argv) != 3:
        print("usage: stub_repository OUT KERNEL", file=sys.stderr)
        return 2
    out, kernel = Path(sys.argv[1]), sys.argv[2]
    shutil.rmtree(out, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="stub-keys-") as home:
        keys = Keys(Path(home))
        os.chmod(home, 0o700)
        keys.make("good")
        keys.make("wrong")
        # Hosts hold the key as it was before its owner extended it: to them, what is signed today has no valid key.
        keys.make("expired", "--faked-system-time", "20200101T000000", expires="2021-01-01")
        exported = {"expired": keys.export("expired")}
        keys.gpg("--passphrase", "", "--quick-set-expire", keys.prints["expired"], "0")
        # The self-signature that binds the key is what newer apt refuses, as it did NVIDIA's repository for Debian 12.
        keys.make("sha1", "--cert-digest-algo", "SHA1")
        contents = {CUDA: packages.driver(kernel), TOOLKIT: packages.toolkit()}
        signers = {FIRST: "good", "wrong": "wrong", "expired": "expired", "sha1": "sha1", "tampered": "good"}
        for name, signer in signers.items():
            for place, group in contents.items():
                folder = out / name / place
                folder.mkdir(parents=True)
                for package in group:
                    # The packages are the same in each: it is what is said of them, and by whom, that differs.
                    if name == FIRST:
                        build_deb(package, folder)
                    else:
                        os.link(out / FIRST / place / package.file, folder / package.file)
                (folder / "InRelease").write_text(keys.sign(signer, index(folder, group)))
                if name == "tampered":
                    (folder / "Packages").write_text((folder / "Packages").read_text().replace("STUB", "EVIL"))
        (out / "keys").mkdir()
        for name in keys.prints:
            (out / "keys" / f"{name}.asc").write_text(exported.get(name) or keys.export(name))
        (out / "fingerprints.json").write_text(json.dumps(keys.prints, indent=2) + "\n")
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False, capture_output=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
