# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the persistence daemon's unit lacks on each distribution."""

from __future__ import annotations

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.persistence import drop_in

NVIDIAS = """[Unit]
Description=NVIDIA Persistence Daemon
[Service]
Type=forking
ExecStart=/usr/bin/nvidia-persistenced --verbose
[Install]
WantedBy=multi-user.target
"""
UBUNTUS = """[Unit]
# StopWhenUnneeded=false
StopWhenUnneeded=true
[Service]
ExecStart=/usr/bin/nvidia-persistenced --user nvidia-persistenced --no-persistence-mode --verbose
; WantedBy=multi-user.target
"""


def test_a_unit_that_does_what_it_is_for_is_left_alone() -> None:
    assert drop_in(NVIDIAS) == ""
    assert drop_in("") == ""
    assert drop_in("[Unit]\nStopWhenUnneeded=no\n") == ""


def test_a_unit_with_its_purpose_turned_off() -> None:
    assert drop_in(UBUNTUS) == (
        "[Unit]\nStopWhenUnneeded=false\n\n"
        "[Service]\nExecStart=\n"
        "ExecStart=/usr/bin/nvidia-persistenced --user nvidia-persistenced --persistence-mode --verbose\n\n"
        "[Install]\nWantedBy=multi-user.target\n"
    )


def test_each_lack_is_mended_by_itself() -> None:
    assert drop_in("StopWhenUnneeded = Yes\n") == "[Unit]\nStopWhenUnneeded=false\n"
    assert drop_in("ExecStart=/x\n") == "[Install]\nWantedBy=multi-user.target\n"
    assert drop_in("WantedBy=a\nExecStart=/x --no-persistence-mode\n") == (
        "[Service]\nExecStart=\nExecStart=/x --persistence-mode\n"
    )
    assert drop_in("WantedBy=a\nExecStart=/x --no-persistence-mode-of-mine\n") == ""
