# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a set that served whole: by the sum in it one is known that a disk, or somebody, has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

SUM = "sum"


def sum_of(record: Mapping[str, Any]) -> str:
    """Return what a record adds up to, as it is read again."""
    read = json.loads(json.dumps({key: value for key, value in record.items() if key != SUM}))
    return hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()


def is_as_written(record: Mapping[str, Any]) -> bool:
    """Tell whether a record is what was written; one without a sum is of an older version, and is judged by its shape alone."""
    return SUM not in record or record[SUM] == sum_of(record)
