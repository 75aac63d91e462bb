# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Doubles: package repositories of a few stanzas, and the real apt asked on them what it would do, in a folder of its own."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Repository:
    """A flat repository, signed by nobody."""

    folder: Path
    origin: str
    stanzas: list[str] = field(default_factory=list)

    def add(
        self, name: str, version: str, depends: str = "", relations: str = "", architecture: str = "amd64"
    ) -> Repository:
        """Add a package; relations names what it provides, conflicts with and replaces."""
        lines = [f"Package: {name}", f"Version: {version}", f"Architecture: {architecture}"]
        lines += [f"Depends: {depends}"] if depends else []
        lines += [f"{key}: {relations}" for key in ("Provides", "Conflicts", "Replaces")] if relations else []
        digest = hashlib.sha256(f"{name}{version}{architecture}".encode()).hexdigest()
        lines += [
            f"Filename: ./{name}_{version}_{architecture}.deb",
            "Size: 1",
            f"SHA256: {digest}",
            "Description: STUB",
        ]
        self.stanzas.append("\n".join(lines) + "\n")
        return self

    def write(self) -> None:
        """Write the index and what describes it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        index = "\n".join(self.stanzas).encode()
        (self.folder / "Packages").write_bytes(index)
        (self.folder / "Release").write_text(
            f"Origin: {self.origin}\nLabel: {self.origin}\nDate: Mon, 01 Jun 2026 00:00:00 UTC\nArchitectures: amd64 i386\n"
            f"SHA256:\n {hashlib.sha256(index).hexdigest()} {len(index)} Packages\n"
        )


@dataclass
class AptWorld:
    """A host's apt: repositories, installed packages, preferences."""

    root: Path
    repositories: dict[str, Repository] = field(default_factory=dict)

    def repository(self, path: str, origin: str) -> Repository:
        """Make a repository, or return the one that is there."""
        return self.repositories.setdefault(path, Repository(self.root / path, origin))

    def install(self, wanted: dict[str, str], held: bool = False) -> None:
        """Say that packages of the repositories are installed."""
        found = []
        for repository in self.repositories.values():
            for stanza in repository.stanzas:
                fields = dict(line.split(": ", 1) for line in stanza.splitlines())
                if wanted.get(fields["Package"]) == fields["Version"]:
                    state = "hold" if held else "install"
                    kept = {key: value for key, value in fields.items() if key not in ("Filename", "Size", "SHA256")}
                    kept["Status"] = f"{state} ok installed"
                    found.append("".join(f"{key}: {value}\n" for key, value in kept.items()))
        assert len(found) == len(wanted), "each of them has to be in a repository"
        (self.root / "status").write_text("\n".join(found))

    def start(self, architectures: tuple[str, ...] = ("amd64",)) -> None:
        """Write everything and have apt read it."""
        for folder in ("lists/partial", "cache/archives/partial", "preferences.d"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        self.architectures = architectures
        (self.root / "status").touch()
        for repository in self.repositories.values():
            repository.write()
        lines = [f"deb [trusted=yes] file:{repository.folder} /\n" for repository in self.repositories.values()]
        (self.root / "sources.list").write_text("".join(lines))
        status, out, err = self.run(["apt-get", "-qq", "update"])
        assert status == 0, out + err

    def prefer(self, text: str) -> None:
        """Write the preferences."""
        (self.root / "preferences.d" / "ours.pref").write_text(text)

    def run(self, command: list[str]) -> tuple[int, str, str]:
        """Run apt or dpkg-query on this world."""
        if command[0] == "dpkg-query":
            command = [command[0], f"--admindir={self.root}", *command[1:]]
        else:
            options = {
                "Dir::State": self.root,
                "Dir::State::lists": self.root / "lists",
                "Dir::State::status": self.root / "status",
                "Dir::Cache": self.root / "cache",
                "Dir::Etc::sourcelist": self.root / "sources.list",
                "Dir::Etc::sourceparts": "-",
                "Dir::Etc::preferences": "/dev/null",
                "Dir::Etc::preferencesparts": self.root / "preferences.d",
                "APT::Sandbox::User": "root",
                "Debug::NoLocking": "1",
                "APT::Architecture": "amd64",
            }
            # An empty one clears the list that the machine's own apt has.
            settings = [f"{key}={value}" for key, value in options.items()] + ["APT::Architectures="]
            settings += [f"APT::Architectures::={name}" for name in self.architectures]
            command = [command[0], *(part for setting in settings for part in ("-o", setting)), *command[1:]]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
        )
        return done.returncode, done.stdout, done.stderr

    def simulate(self, *arguments: str) -> tuple[dict[str, str], list[str], str]:
        """Ask what an installation would do: what gets which version, what would be removed, and why it can't be."""
        _status, out, err = self.run(["apt-get", "-s", "-y", "--no-install-recommends", "install", *arguments])
        lines = [line.split() for line in out.splitlines()]
        new = {
            line[1]: next(word for word in line[2:] if word.startswith("(")).strip("(")
            for line in lines
            if line[:1] == ["Inst"]
        }
        return new, [line[1] for line in lines if line[:1] == ["Remv"]], err
