# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bundle for hosts without a network says of itself: a checksum of every file, the identities of its images, and its models."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail

SUMS, IMAGES, MODELS = "SHA256SUMS", "images/images.json", "models/models.json"
# The hub's cache, in the bundle and below the folder that engines share.
CACHE, HUB = "models", "huggingface/hub"
MODEL_INFO = "model_info"
# A line of GNU's sha256sum; names with a line end or a backslash it escapes, and a bundle has none.
_SUM = re.compile(r"^([0-9a-f]{64}) [ *]([^\\\n]+)$")
_DIGEST = re.compile(r"[0-9a-f]{64}")
# What may become a path on a host: a bundle may have been changed on its way.
_ID = re.compile(r"(?!\.)[\w.-]+(/(?!\.)[\w.-]+)?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_BLOB = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_PATH = re.compile(r"(?!\.{1,2}(/|$))[^/\\\0]+(/(?!\.{1,2}(/|$))[^/\\\0]+)*")


@dataclass(frozen=True)
class Image:
    """An image of the bundle: its name, its archive below the bundle, and every identity that Docker may give it."""

    name: str
    file: str
    ids: tuple[str, ...]


@dataclass(frozen=True)
class ModelFile:
    """A file of a model: its path in the repository, the blob that holds it in the hub's cache, and its size."""

    path: str
    blob: str
    size_bytes: int


@dataclass(frozen=True)
class Model:
    """A model of the bundle at a commit, and the branches or tags by which it was asked for."""

    id: str
    commit: str
    revisions: tuple[str, ...]
    files: tuple[ModelFile, ...]

    @property
    def storage(self) -> str:
        """Its folder in the hub's cache."""
        return f"models--{self.id.replace('/', '--')}"

    def blob_name(self, file: ModelFile) -> str:
        """Name a file's blob below the bundle."""
        return f"{CACHE}/{HUB}/{self.storage}/blobs/{file.blob}"


def archive_name(image: str) -> str:
    """Name an image's archive below the bundle."""
    return f"images/{re.sub(r'[^A-Za-z0-9_.-]', '_', image)}.tar"


def image_ids(image: str, manifest: str, index: str) -> tuple[str, ...]:
    """Read the identities from the two lists in an archive that `docker save` made of one image.

    Docker calls an image by the digest of its configuration, and where images are kept by containerd by that of its manifest.
    """
    digests = [str(entry.get("Config", "")) for entry in _entries(manifest)]
    digests += [str(entry.get("digest", "")) for entry in _entries(index)]
    found = {digest for text in digests for digest in _DIGEST.findall(text)}
    if not found:
        fail(image, "its archive names no image.", "Remove it, and make the bundle again.")
    return tuple(f"sha256:{digest}" for digest in sorted(found))


def _entries(text: str) -> list[Mapping[str, Any]]:
    try:
        value = json.loads(text or "[]")
    except ValueError:
        return []
    value = value.get("manifests") if isinstance(value, dict) else value
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def write_images(images: Sequence[Image]) -> str:
    """Write the list of images."""
    entries = [{"name": image.name, "file": image.file, "ids": list(image.ids)} for image in images]
    return json.dumps(entries, indent=2) + "\n"


def read_images(text: str) -> list[Image]:
    """Read the list of images."""
    try:
        return [Image(str(one["name"]), str(one["file"]), tuple(map(str, one["ids"]))) for one in json.loads(text)]
    except (ValueError, KeyError, TypeError):
        fail(IMAGES, "it is not the list that a bundle holds.", "Make the bundle again.")


def write_models(models: Sequence[Model]) -> str:
    """Write the list of models."""
    return json.dumps([asdict(model) for model in models], indent=2) + "\n"


def read_models(text: str) -> list[Model]:
    """Read the list of models; what would lead out of the cache is no such list."""
    try:
        found = [
            Model(
                str(one["id"]),
                str(one["commit"]),
                tuple(map(str, one["revisions"])),
                tuple(
                    ModelFile(str(each["path"]), str(each["blob"]), int(each["size_bytes"])) for each in one["files"]
                ),
            )
            for one in json.loads(text)
        ]
    except (ValueError, KeyError, TypeError):
        found = [Model("", "", (), ())]
    for model in found:
        paths = [*model.revisions, *(file.path for file in model.files)]
        names = _ID.fullmatch(model.id) and _COMMIT.fullmatch(model.commit) and all(map(_PATH.fullmatch, paths))
        if not names or not all(_BLOB.fullmatch(file.blob) for file in model.files):
            fail(MODELS, "it is not the list that a bundle holds.", "Make the bundle again.")
    return found


def write_sums(digests: Mapping[str, str]) -> str:
    """Write checksums as sha256sum does, so that `sha256sum --check SHA256SUMS` works in the bundle."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))


def read_sums(text: str) -> dict[str, str]:
    """Read checksums by the name of the file."""
    matches = (_SUM.match(line) for line in text.splitlines())
    return {match.group(2).removeprefix("./"): match.group(1) for match in matches if match}


def expected(sums: Mapping[str, str], name: str) -> str:
    """Return the checksum that a file has to have."""
    if name not in sums:
        fail(SUMS, f"it has no line for {name}.", "Make the bundle again.")
    return sums[name]
