# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engines on Unix sockets: who reaches them, that they are replaced as those on ports are, and that they come back by themselves."""

from __future__ import annotations

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import sockets
from ansible_collections.gpuserve.fleet.tests.support.bringup import MODELS, PORTS, SOCKETS, Stack

ON_SOCKETS = {"vllm_stack_transport": "socket"}
LISTEN = "0A"
ORDINARY = "runuser -u nobody -- "


def test_only_root_reaches_an_engine_and_nobody_can_answer_for_one(on_sockets: Stack) -> None:
    assert on_sockets.serving() == []
    seen = on_sockets.run(
        "sh", "-c", f"{ORDINARY} ls {sockets.FOLDER} 2>&1; {ORDINARY} touch {sockets.folder('yi')}/x 2>&1; true"
    )
    assert seen.count("Permission denied") == 2
    rows = [row.split() for row in on_sockets.run("sh", "-c", "cat /proc/net/tcp /proc/net/tcp6").splitlines()]
    # What was a connection to an engine on its port is still there for a minute, in another state.
    listening = {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == LISTEN}
    assert not listening & {port + offset for port in PORTS.values() for offset in (0, 1000)}
    # The gateway is an ordinary user in its container, and sees the folders alone.
    modes = on_sockets.run("stat", "-c", "%a", *SOCKETS.values()).split()
    assert modes == ["666"] * len(SOCKETS)
    again = on_sockets.play(**ON_SOCKETS)
    assert (again.code, again.changed) == (0, 0)
    on_sockets.keep(SOCKETS)


def test_one_that_dies_comes_back_although_its_socket_is_still_there(on_sockets: Stack) -> None:
    before = on_sockets.started()
    pid = on_sockets.run("docker", "inspect", "--format", "{{.State.Pid}}", "vllm-yi")
    on_sockets.run("sh", "-c", f"kill -9 {pid}")
    on_sockets.wait_for(lambda: on_sockets.started().get("vllm-yi", before["vllm-yi"]) != before["vllm-yi"])
    on_sockets.wait_for(lambda: on_sockets.serving(SOCKETS) == sorted(PORTS))


def test_after_a_boot_they_are_back_where_they_were(on_sockets: Stack) -> None:
    lines = on_sockets.run("cat", "/etc/tmpfiles.d/gpuserve-engines.conf").splitlines()
    assert f"d {sockets.ROOT} 0700 root root -" in lines
    names = " ".join(f"vllm-{name}" for name in PORTS)
    boot = f"docker stop -t 1 {names}; rm -rf {sockets.ROOT}; systemd-tmpfiles --create; docker start {names}"
    on_sockets.run("sh", "-c", boot)
    on_sockets.wait_for(lambda: on_sockets.serving(SOCKETS) == sorted(PORTS))


def test_a_stack_on_sockets_moves_to_ports_and_back(on_sockets: Stack) -> None:
    run = on_sockets.play()
    assert run.code == 0, run.text
    assert on_sockets.serving() == sorted(PORTS)
    back = on_sockets.play(**ON_SOCKETS)
    assert back.code == 0, back.text
    assert on_sockets.serving(SOCKETS) == sorted(PORTS)
    on_sockets.keep(SOCKETS)


def test_one_that_changes_is_served_by_its_surge_instance_meanwhile(on_sockets: Stack) -> None:
    before = on_sockets.started()
    surge = sockets.path("tinyllama-surge")
    changed = [{**MODELS[0], "max_num_seqs": 31}, *MODELS[1:]]
    play, reader = on_sockets.playing(vllm_stack_models=changed, **ON_SOCKETS)

    def both_serve() -> bool:
        # The old one serves until the gateway knows: some seconds, in which a busy machine answers late at times.
        return on_sockets.serving({"tinyllama": surge}) == ["tinyllama"] and on_sockets.serving(SOCKETS) == sorted(
            PORTS
        )

    on_sockets.wait_for(both_serve)
    reader.join()
    assert play.code == 0, play.text
    after = on_sockets.started()
    assert {name for name in after if after[name] != before[name]} == {"vllm-tinyllama"}
    assert on_sockets.serving(SOCKETS) == sorted(PORTS)
    assert on_sockets.serving({"tinyllama": surge}) == []
