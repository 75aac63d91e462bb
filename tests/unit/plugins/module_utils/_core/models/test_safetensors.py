# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Headers of safetensors files: right ones read, and every lie one sentence."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from safetensors import deserialize

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import safetensors as headers
from ansible_collections.gpuserve.fleet.tests.support.hub.repositories import SMALL_LLAMA, llama_tensors, safetensors


def file_with(header: Any, body: int = 0, length: int | None = None) -> bytes:
    """Return a file with this header, whatever it says."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + bytes(body)


def one(**entry: Any) -> dict[str, Any]:
    """Return a header of one tensor, eight bytes of BF16 where nothing else is said."""
    return {"w": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8], **entry}}


def test_reads_what_the_format_s_own_library_reads() -> None:
    data = safetensors(llama_tensors(SMALL_LLAMA))
    read = {(tensor.name, tensor.dtype, tensor.shape) for tensor in headers.read_header(data, len(data), "f")}
    assert read == {(name, entry["dtype"], tuple(entry["shape"])) for name, entry in deserialize(data)}
    # The header is enough.
    end = headers.header_end(data[:8], len(data), "f")
    assert len(headers.read_header(data[:end], len(data), "f")) == len(read)


@pytest.mark.parametrize(
    ("data", "size", "fact"),
    [
        (b"", 0, "has 0 bytes and no header"),
        (b"abc", 3, "has 3 bytes"),
        (b"<!DOCTYPE html><html>", 10**9, "a web page"),
        (b"version https://git-lfs.github.com/spec/v1", 134, "pointer of Git LFS"),
        (file_with({}, 0, 4 * 2**30), 100, "4.00 GiB long, and the whole file has 100 bytes"),
        # The size is there, and is still more than anybody would read.
        (file_with({}, 0, 4 * 2**30), 2**40, "more than the 0.02 GiB that are read"),
        (file_with(b"[" * 100_000), 100_008, "not JSON"),
        (file_with(b"\xff\xfe"), 10, "not JSON"),
        (file_with([]), 10, "no mapping"),
        (file_with({"w": 1}), 16, "no type and shape"),
        (file_with(one(dtype="BF17"), 8), 1000, "type 'BF17'"),
        (file_with(one(dtype=["BF16"]), 8), 1000, "which safetensors does not know"),
        (file_with(one(shape="2,2"), 8), 1000, "no shape"),
        (file_with(one(shape=[-1, 2]), 8), 1000, "no shape"),
        (file_with(one(shape=[True, 4]), 8), 1000, "no shape"),
        (file_with(one(data_offsets=[8, 0]), 8), 1000, "beyond the file's end"),
        (file_with(one(data_offsets=[0]), 8), 1000, "no place"),
        (file_with(one(data_offsets=[0, 10**12]), 8), 1000, "beyond the file's end"),
        (file_with(one(shape=[2**40, 2**40]), 8), 1000, "has room for 8 bytes"),
    ],
)
def test_a_header_that_lies_is_one_sentence(data: bytes, size: int, fact: str) -> None:
    with pytest.raises(FleetError, match=r"^model\.safetensors: ") as caught:
        headers.read_header(data, size, "model.safetensors")
    assert fact in str(caught.value) and str(caught.value).count("\n") == 0 and len(str(caught.value)) < 300


def test_tensors_that_lie_on_each_other_are_more_than_the_file_has() -> None:
    header = {**one(), "v": one()["w"]}
    data = file_with(header, 8)
    with pytest.raises(FleetError, match="take 16 bytes together, and the file has room for 8 bytes"):
        headers.read_header(data, len(data), "f")


@pytest.mark.long
def test_a_million_tensors_are_not_gone_through() -> None:
    header = b"{" + b",".join(b'"%d":0' % number for number in range(1_000_000)) + b"}"
    with pytest.raises(FleetError, match="lists 1,000,000 tensors, more than the 500,000"):
        headers.read_header(file_with(header), 10**9, "f")


def test_as_many_tensors_as_are_read_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "MOST_TENSORS", 2)
    entry = b'{"dtype":"F16","shape":[],"data_offsets":[0,0]}'
    three = b"{" + b",".join(b'"%d":%s' % (number, entry) for number in range(3)) + b"}"
    with pytest.raises(FleetError, match="lists 3 tensors, more than the 2 that are read"):
        headers.read_header(file_with(three), 10**9, "f")
