# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks registries which digests the tags of the roles' default images stand for, and writes them: `make image-digests`.

An image becomes repository:tag@sha256:... wherever the collection names it. The digest is that of the manifest as it came, which is the
index of all platforms where there is one; what a registry says of it besides is held against that.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
# The variables whose defaults are images, by their role.
IMAGES = {
    "vllm_stack": "vllm_stack_engine_image",
    "gateway": "gateway_image",
    "nvidia_container_toolkit": "nvidia_container_toolkit_prove_image",
}
# Where a default stands beside the role's own: its specification, and the bundle, which brings what a host would pull.
PLACES = ("roles/{role}/meta/argument_specs.yml", "playbooks/airgap_bundle.yml")
MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
# A manifest is a list of a few layers; what is longer is none.
MOST_BYTES = 4 << 20
TIMEOUT_S = 30


class RegistryError(Exception):
    """A registry's answer that can't be taken."""


@dataclass(frozen=True)
class Image:
    """An image's name in its parts, as Docker reads it."""

    registry: str
    repository: str
    tag: str
    written: str  # without tag and digest

    @classmethod
    def of(cls, reference: str) -> Image:
        """Read one; a digest that it has already is left out."""
        named = reference.partition("@")[0]
        rest, colon, tag = named.rpartition(":")
        if not colon or "/" in tag:
            raise RegistryError(f"{reference} names no tag that could be asked for.")
        first, slash, path = rest.partition("/")
        if not slash or not ("." in first or ":" in first or first == "localhost"):
            first, path = "docker.io", rest
        if first == "docker.io":
            return cls("registry-1.docker.io", path if "/" in path else f"library/{path}", tag, rest)
        return cls(first, path, tag, rest)

    def at(self, digest: str) -> str:
        """Return its name with a digest; the tag stays for readers, and for the engine's version."""
        return f"{self.written}:{self.tag}@{digest}"


def digest_of(image: Image, scheme: str = "https") -> str:
    """Return the digest of the manifest that a tag stands for now."""
    url = f"{scheme}://{image.registry}/v2/{image.repository}/manifests/{image.tag}"
    try:
        body, said = _manifest(url, "")
    except urllib.error.HTTPError as error:
        if error.code != 401:
            raise RegistryError(f"{url} answers {error.code}.") from None
        body, said = _manifest(url, _token(error.headers.get("WWW-Authenticate", ""), image))
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    if said and said != digest:
        raise RegistryError(f"{url} says that it is {said} and sent {digest}.")
    kind = json.loads(body).get("mediaType", MANIFESTS[0])
    if kind not in MANIFESTS:
        raise RegistryError(f"{url} is a {kind}, which no Docker pulls by digest.")
    return digest


def _manifest(url: str, token: str) -> tuple[bytes, str]:
    headers = {"Accept": ", ".join(MANIFESTS), **({"Authorization": f"Bearer {token}"} if token else {})}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S) as answer:
        body = answer.read(MOST_BYTES + 1)
        if len(body) > MOST_BYTES:
            raise RegistryError(f"{url} sends more than {MOST_BYTES} bytes.")
        return body, answer.headers.get("Docker-Content-Digest", "")


def _token(challenge: str, image: Image) -> str:
    """Return the token that anybody gets who may read the image."""
    told = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    if not challenge.startswith("Bearer ") or "realm" not in told:
        raise RegistryError(f"{image.registry} asks for an account.")
    query = {
        "scope": f"repository:{image.repository}:pull",
        **({"service": told["service"]} if "service" in told else {}),
    }
    url = f"{told['realm']}?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
        content: dict[str, Any] = json.loads(answer.read(MOST_BYTES))
    return str(content.get("token") or content.get("access_token") or "")


def defaults(root: Path) -> dict[str, str]:
    """Return the image of each role, as its defaults have it."""
    return {
        role: str(yaml.safe_load((root / f"roles/{role}/defaults/main.yml").read_text(encoding="utf-8"))[variable])
        for role, variable in IMAGES.items()
    }


def write(root: Path, role: str, before: str, after: str) -> list[str]:
    """Put a name in the place of another wherever the role's default stands; return the files that changed."""
    changed = []
    for place in (f"roles/{role}/defaults/main.yml", *(place.format(role=role) for place in PLACES)):
        path = root / place
        text = path.read_text(encoding="utf-8")
        # A name that goes on is another's.
        new = re.sub(re.escape(before) + r"(?![\w.@:/-])", after, text)
        if new != text:
            path.write_text(new, encoding="utf-8")
            changed.append(place)
    return changed


def main() -> None:
    """Ask for all first, then write."""
    found = {}
    for role, before in defaults(CHECKOUT).items():
        image = Image.of(before)
        try:
            found[role] = before, image.at(digest_of(image))
        except (RegistryError, urllib.error.URLError, OSError) as error:
            sys.exit(f"{before}: {error} Nothing was changed.")
    for role, (before, after) in found.items():
        changed = write(CHECKOUT, role, before, after) if before != after else []
        print(f"{after}: {', '.join(changed) or 'as it was'}")
    print("Run `make docs`, and try them, before you commit.")


if __name__ == "__main__":
    main()
