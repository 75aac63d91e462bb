# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hub's cache in a folder: what is there whole, what was begun, and what is not what its name says."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.cache import Cache

MODEL, COMMIT = "Org/Model", "c0ffee"


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(str(tmp_path))


def put(cache: Cache, path: str, content: bytes, name: str) -> Path:
    """Put a file into the cache as the library does: a blob by its hash, and a link of the file's own name."""
    blob = cache.folder / "models--Org--Model" / "blobs" / name
    blob.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(content)
    pointer = cache.snapshot(MODEL, COMMIT) / path
    pointer.parent.mkdir(parents=True, exist_ok=True)
    pointer.symlink_to(blob)
    return pointer


def test_where_it_is(cache: Cache, tmp_path: Path) -> None:
    assert cache.snapshot(MODEL, COMMIT) == tmp_path / "huggingface/hub/models--Org--Model/snapshots/c0ffee"


def test_a_branch_is_the_commit_that_was_fetched(cache: Cache) -> None:
    assert cache.commit_of(MODEL, "main") == ""
    refs = cache.folder / "models--Org--Model" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text("c0ffee\n")
    assert cache.commit_of(MODEL, "main") == "c0ffee"
    (refs / "main").write_bytes(b"\xff")
    assert cache.commit_of(MODEL, "main") == ""


def test_what_is_there_and_how_large(cache: Cache) -> None:
    put(cache, "sub/a", b"abc", "x")
    assert cache.there(MODEL, COMMIT, ["sub/a", "b"]) == {"sub/a": 3}
    assert cache.commits(MODEL) == ["c0ffee"]
    assert cache.commits("Org/Other") == []


def test_what_was_begun_is_pending_until_it_is_what_it_should_be(cache: Cache) -> None:
    cache.begin(MODEL, COMMIT, "a")
    cache.begin(MODEL, COMMIT, "a")
    assert cache.pending(MODEL, COMMIT, ["a", "b"]) == ["a"]
    assert cache.pending(MODEL, "other", ["a"]) == []
    cache.finish(MODEL, COMMIT, "a")
    cache.finish(MODEL, COMMIT, "a")
    assert cache.pending(MODEL, COMMIT, ["a"]) == []


@pytest.mark.parametrize(
    ("name", "right"),
    [
        (hashlib.sha256(b"abc").hexdigest(), True),
        (hashlib.sha256(b"abd").hexdigest(), False),
        # Git's name of a file with these three letters.
        ("f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f", True),
        ("a2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f", False),
        ("etag-of-a-mirror", True),
    ],
)
def test_a_file_is_what_its_name_says(cache: Cache, name: str, right: bool) -> None:
    put(cache, "a", b"abc", name)
    assert cache.is_right(MODEL, COMMIT, "a") is right


def test_what_is_wrong_goes_with_its_blob(cache: Cache) -> None:
    pointer = put(cache, "a", b"abc", "x")
    blob = pointer.resolve()
    cache.drop(MODEL, COMMIT, "a")
    assert not blob.exists()
    assert not pointer.is_symlink()
    cache.drop(MODEL, COMMIT, "a")


def test_what_somebody_is_writing(cache: Cache) -> None:
    put(cache, "a", b"abc", "x")
    begun = cache.folder / "models--Org--Model" / "blobs" / "y.incomplete"
    begun.touch()
    assert cache.begun(MODEL) == {begun}


def test_free_is_what_the_disk_of_a_folder_has_that_is_not_there_yet(cache: Cache) -> None:
    assert cache.free_bytes() > 0
