# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What docs/fleet.md gives keepalived; tests/integration/gateway has it run."""

from __future__ import annotations

import re

from ansible_collections.gpuserve.fleet.tests.support.gateway.edges import documented


def number(pattern: str) -> int:
    (found,) = re.findall(pattern, documented())
    return int(found)


def test_a_probe_is_over_before_keepalived_ends_it() -> None:
    """Without a `timeout`, keepalived takes a script that runs longer than its `interval` for one that failed (2.3.3)."""
    assert number(r"--max-time (\d+)") < number(r"\n    timeout (\d+)\n")


def test_no_edge_takes_the_address_from_one_that_answers() -> None:
    """Both begin as backups of one priority: a higher one takes the address back as soon as it is there."""
    assert re.findall(r"\n    state (\S+)", documented()) == ["BACKUP"]
    assert "weight" not in documented()
    assert number(r"\n    priority (\d+)") == 100
