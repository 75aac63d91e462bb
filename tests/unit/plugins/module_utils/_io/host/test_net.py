# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading listeners, memory and clock from trees of files."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import net
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles
from ansible_collections.gpuserve.fleet.tests.support.host_trees import HostTree

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LINE = (
    "   0: 00000000:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1\n"
)


def test_who_listens(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.write(
        "proc/net/tcp", HEAD + LINE.format(port=8000, state="0A", inode=11) + LINE.format(port=9, state="0A", inode=9)
    )
    tree.write("proc/net/tcp6", HEAD + LINE.format(port=8001, state="0A", inode=12))
    tree.process(41, "nginx", "socket:[11]").process(42, "python3", "socket:[12]")
    tree.write("proc/42/cgroup", "0::/system.slice/docker-abc123.scope\n")
    files = HostFiles(str(tmp_path))
    assert net.listeners(files, [8000, 8001, 8002], ["abc123"]) == {8000: "nginx (pid 41)", 8001: "ours"}


def test_a_connection_is_no_listener(tmp_path: Path) -> None:
    HostTree(tmp_path).write("proc/net/tcp", HEAD + LINE.format(port=8000, state="01", inode=11))
    assert net.listeners(HostFiles(str(tmp_path)), [8000]) == {}


def test_memory(tmp_path: Path) -> None:
    HostTree(tmp_path).write("proc/meminfo", "MemTotal:       16384 kB\nMemFree: 1 kB\n")
    assert net.ram_bytes(HostFiles(str(tmp_path))) == 16 << 20
    assert net.ram_bytes(HostFiles(str(tmp_path / "nowhere"))) == 0


def test_the_clock(tmp_path: Path) -> None:
    files = HostFiles(str(tmp_path))
    assert net.time_synchronised(files, lambda _command: (0, "yes\n", "")) is True
    assert net.time_synchronised(files, lambda _command: (0, "no\n", "")) is False
    assert net.time_synchronised(files, lambda _command: (127, "", "")) is None
    HostTree(tmp_path).write("run/systemd/timesync/synchronized", "")
    assert net.time_synchronised(files, lambda _command: (0, "no\n", "")) is True


def test_the_interface_of_an_address_is_the_one_that_has_it() -> None:
    said = {
        "192.0.2.1": (
            0,
            "2: eth0    inet 192.0.2.1/24 brd 192.0.2.255 scope global eth0\\       valid_lft forever",
            "",
        ),
        "fd00::2": (0, "7: eth1@if8    inet6 fd00::2/64 scope global", ""),
        "192.0.2.9": (0, "", ""),
    }
    assert net.interface_of("192.0.2.1", lambda command: said[command[-1]]) == "eth0"
    assert net.interface_of("fd00::2", lambda command: said[command[-1]]) == "eth1"
    assert net.interface_of("192.0.2.9", lambda command: said[command[-1]]) == ""
    # No ip, no answer.
    assert net.interface_of("192.0.2.1", lambda _command: (127, "", "not found")) == ""
