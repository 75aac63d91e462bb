# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who listens, from the kernel's socket tables; and that nobody else reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.listeners import (
    Listener,
    Rows,
    is_foreign,
    parse,
    rows,
)

PLUGINS = Path(__file__).parents[5] / "plugins"
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def row(address: str, port: int, state: str = "0A", uid: int = 0, inode: int = 7) -> str:
    """Return a line as the kernel writes it."""
    queues = "00000000:00000000 00:00000000 00000000"
    return f"   0: {address}:{port:04X} 00000000:0000 {state} {queues} {uid:5d}        0 {inode} 1 0000000000000000 100 0 0 10 0\n"


def test_listeners_of_both_families_with_their_owners() -> None:
    four = (
        HEAD
        + row("0100007F", 8001, uid=33, inode=11)
        + row("0100007F", 52000, state="01")
        + row("0100007F", 9, state="06")
    )
    six = HEAD + row("0" * 32, 443, inode=12)
    assert parse([four, six]) == (Listener("0100007F", 8001, 33, "11"), Listener("0" * 32, 443, 0, "12"))


@pytest.mark.parametrize("table", ["", HEAD, HEAD + "   0: 0100007F:1F41 00000000:0000 0A 00000000:0", "damaged"])
def test_what_is_no_line_of_a_socket_is_none(table: str) -> None:
    assert parse([table]) == ()


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", ("0100007F:1F41", "0000000000000000FFFF00000100007F:1F41")),
        ("127.1.2.3", ("0302017F:1F41", "0000000000000000FFFF00000302017F:1F41")),
        ("::1", ("00000000000000000000000001000000:1F41",)),
        (
            "localhost",
            (
                "0100007F:1F41",
                "0000000000000000FFFF00000100007F:1F41",
                "00000000000000000000000001000000:1F41",
            ),
        ),
    ],
)
def test_an_address_as_the_kernel_writes_it(host: str, own: tuple[str, ...]) -> None:
    assert rows(host, 8001) == Rows(own, ("00000000:1F41", "0" * 32 + ":1F41"))


def test_one_place_reads_who_listens() -> None:
    readers = {
        path.relative_to(PLUGINS).as_posix()
        for path in PLUGINS.rglob("*.py")
        if '"/proc/net' in path.read_text(encoding="utf-8") or '"ss"' in path.read_text(encoding="utf-8")
    }
    assert readers == {"module_utils/_io/listeners.py"}
    roles = [
        path
        for path in (PLUGINS.parent / "roles").rglob("*.yml")
        if "/proc/net/tcp" in path.read_text(encoding="utf-8")
    ]
    assert not roles


def test_who_listens_at_every_address_counts_where_nobody_has_the_very_one() -> None:
    everywhere, here = Listener("00000000", 8001, 33, "1"), Listener("0100007F", 8001, 0, "2")
    assert is_foreign([everywhere], "127.0.0.1", 8001, [0])
    assert not is_foreign([everywhere, here], "127.0.0.1", 8001, [0])
    assert is_foreign([Listener("0" * 32, 8001, 33, "1")], "127.0.0.1", 8001, [0])
    assert not is_foreign([everywhere], "127.0.0.1", 8002, [0]) and not is_foreign([], "127.0.0.1", 8001, [0])
    assert not is_foreign([everywhere], "127.0.0.1", 8001, [0, 33])
