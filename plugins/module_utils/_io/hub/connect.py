# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hub that is made when the first model needs it, so that whoever needs none needs no library either."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

from ansible.module_utils.basic import missing_required_lib

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import credentials
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.client import (
    Hub,
    HubError,
    HuggingFaceHub,
    Trouble,
)


def connect_to(endpoint: str, token: str, within_s: float = math.inf) -> Callable[[], Hub]:
    """Return what makes the hub, once, which then answers within so many seconds or not at all.

    An address with an account is refused whether or not somebody needs the hub.
    """
    for refusal in credentials.refusals({"vllm_stack_hub_endpoint": endpoint}):
        fail("", refusal, "")

    @lru_cache(maxsize=1)
    def connect() -> Hub:
        try:
            return HuggingFaceHub(endpoint, token, within_s)
        except ImportError as error:
            raise HubError(Trouble.NO_LIBRARY, missing_required_lib("huggingface_hub")) from error

    return connect
