# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bundle says of itself: names of archives, identities of images, checksums by file."""

from __future__ import annotations

import json

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import bundle

ONE, TWO = "a" * 64, "b" * 64


def test_an_archive_is_named_by_its_image() -> None:
    assert bundle.archive_name("vllm/vllm-openai:v0.33.0") == "images/vllm_vllm-openai_v0.33.0.tar"
    assert bundle.archive_name(f"a@sha256:{ONE}") == f"images/a_sha256_{ONE}.tar"


@pytest.mark.parametrize(
    ("manifest", "index", "ids"),
    [
        ([{"Config": f"blobs/sha256/{ONE}"}], {"manifests": [{"digest": f"sha256:{TWO}"}]}, (ONE, TWO)),
        ([{"Config": f"{TWO}.json"}], None, (TWO,)),
        (None, {"manifests": [{"digest": f"sha256:{ONE}"}, {"digest": f"sha256:{ONE}"}, 5]}, (ONE,)),
        (None, [{"digest": ONE}], (ONE,)),
    ],
)
def test_identities_of_an_image(manifest: object, index: object, ids: tuple[str, ...]) -> None:
    texts = ["" if part is None else json.dumps(part) for part in (manifest, index)]
    assert bundle.image_ids("an/image", *texts) == tuple(f"sha256:{one}" for one in ids)


@pytest.mark.parametrize("text", ["", "nope", "5", '"x"', "{}", '{"manifests": 5}', "[5]", '[{"Config": "short"}]'])
def test_an_archive_that_names_no_image(text: str) -> None:
    with pytest.raises(FleetError) as caught:
        bundle.image_ids("an/image", text, text)
    assert str(caught.value) == "an/image: its archive names no image. Remove it, and make the bundle again."


def test_the_list_of_images_is_read_as_it_was_written() -> None:
    images = [bundle.Image("a:1", "images/a_1.tar", (f"sha256:{ONE}",)), bundle.Image("b", "images/b.tar", ())]
    text = bundle.write_images(images)
    assert json.loads(text)[0] == {"name": "a:1", "file": "images/a_1.tar", "ids": [f"sha256:{ONE}"]}
    assert text.endswith("]\n")
    assert bundle.read_images(text) == images


@pytest.mark.parametrize("text", ["nope", "5", '[{"name": "a"}]', '[{"name": "a", "file": "b", "ids": 5}]', "[5]"])
def test_a_list_of_another_shape(text: str) -> None:
    with pytest.raises(
        FleetError, match=r"images/images.json: it is not the list that a bundle holds. Make the bundle again."
    ):
        bundle.read_images(text)


def test_checksums_as_sha256sum_writes_them() -> None:
    text = bundle.write_sums({"b": TWO, "a b": ONE})
    assert text == f"{ONE}  a b\n{TWO}  b\n"
    assert bundle.read_sums(text) == {"a b": ONE, "b": TWO}
    assert bundle.read_sums(f"{ONE} *./x\nno line\n{ONE[:-1]}  short\n{'g' * 64}  other\n") == {"x": ONE}
    assert bundle.expected({"a": ONE}, "a") == ONE
    with pytest.raises(FleetError, match=r"SHA256SUMS: it has no line for c. Make the bundle again."):
        bundle.expected({"a": ONE}, "c")


def test_the_list_of_models_is_read_as_it_was_written() -> None:
    file = bundle.ModelFile("model.safetensors", ONE, 12)
    models = [bundle.Model("Qwen/Qwen3-4B", "c" * 40, ("main",), (file,))]
    text = bundle.write_models(models)
    assert json.loads(text)[0]["files"] == [{"path": "model.safetensors", "blob": ONE, "size_bytes": 12}]
    assert bundle.read_models(text) == models
    # As huggingface_hub lays its cache out.
    assert models[0].blob_name(file) == f"models/huggingface/hub/models--Qwen--Qwen3-4B/blobs/{ONE}"
