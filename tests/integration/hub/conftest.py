# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What these tests share: huggingface_hub of this environment, kept away from whoever runs them, and the double of the hub."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.gpuserve.fleet.tests.support.hub.repositories import Repository, small_llama
from ansible_collections.gpuserve.fleet.tests.support.hub.server import Hub, serving

# The library reads these once, when it is first imported.
for _name in ("HF_HUB_OFFLINE", "HF_ENDPOINT", "HF_TOKEN"):
    os.environ.pop(_name, None)


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Be nobody: no token, no cache, no proxy of the one who runs this."""
    for name in ("HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def hub() -> Iterator[Hub]:
    """Serve a few small models, one of them gated, one private."""
    with serving(
        {
            "acme/small": Repository(small_llama(2)),
            "acme/gated": Repository(small_llama(), gated="manual", accepted=("hf_may",), licence="other"),
            "acme/private": Repository(small_llama(), private=True, accepted=("hf_may",)),
        }
    ) as served:
        yield served
