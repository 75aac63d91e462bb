# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The day of a fleet of two boxes and an edge: what site.yml does to it, and what clients of the edge see all the while.

python -m ...fleet_day INVENTORY ADDRESS    the scenario's inventory, and where its edge is reached; prints what was answered in each part
"""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import edge
from ansible_collections.gpuserve.fleet.tests.support.edge_clients import ALIAS, KEY, STREAM_S, Clients
from ansible_collections.gpuserve.fleet.tests.support.lab import boxes

CHECKOUT = Path(__file__).resolve().parents[2]
A, B, EDGE = "fleet-a", "fleet-b", "fleet-edge"
MODEL: dict[str, Any] = {
    "name": "qwen",
    "model": ALIAS,
    "aliases": [ALIAS],
    "max_model_len": 1536,
}
# Of each kind so many at once.
PLAIN, STREAMS = 2, 2
NGINX = "/opt/gpuserve/gateway/conf/live/nginx.conf"
DRAINED = "TASK [gpuserve.fleet.gateway : Stop new requests of the edges to the host]"
SETTINGS = "/var/lib/nvml-double/engines/qwen.json"
BENCHMARKS = "/var/lib/gpuserve/benchmarks"
# Four requests at once give 4 / SLOW_TOKEN_S tokens a second at most.
SLOW_TOKEN_S = 0.1
# What the owner of a fleet has done before a host changes: here it is struck by lightning.
DIES = """---
- name: Stop the box as a loss of power does
  ansible.builtin.command:
    argv: [docker, kill, {container}]
  delegate_to: localhost
  become: false
  vars:
    ansible_connection: local
    ansible_python_interpreter: "{{{{ ansible_playbook_python }}}}"
  when: inventory_hostname == '{box}'
"""
HELD_TO = (
    "-e",
    json.dumps(
        {
            "gpuserve_acceptance": True,
            "benchmark_thresholds": [{"model": "qwen", "card": "RTX 5090", "tokens_per_s": 100}],
        }
    ),
)


class Fleet:
    """Two boxes and an edge."""

    def __init__(self, inventory: str, address: str) -> None:
        self.inventory, self.address = inventory, address
        self.addresses = {box: boxes.get(box).address for box in (A, B)}

    @contextmanager
    def asked(self, part: str, allowed: int = 0) -> Iterator[Clients]:
        """Ask the edge during a part of the day; no more than so many answers may be lost."""
        clients = Clients(self.address)
        with clients.asking(PLAIN, STREAMS):
            yield clients
        told = {kind: clients.answers[kind] for kind in ("plain", "stream")}
        print(json.dumps({"part": part, **told, "lost": len(clients.lost)}), flush=True)
        check(told["plain"] > PLAIN and told["stream"] > STREAMS, f"{part}: too little was asked: {told}")
        check(len(clients.lost) <= allowed, f"{part}: {clients.lost[:5]}")

    def site(self, *arguments: str) -> tuple[int, str]:
        """Run site.yml but for the roles of a card that is not there; return its status and what it printed."""
        return self.play("site.yml", "--skip-tags", "nvidia_driver,nvidia_container_toolkit", *arguments)

    def drift(self, *arguments: str) -> tuple[int, dict[str, list[str]]]:
        """Run drift.yml; return its status, and what differs of each host."""
        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder, "drift.json")
            status, output = self.play("drift.yml", "-e", f"drift_json={written}", *arguments)
            check(written.exists(), output)
            answer = json.loads(written.read_text())
        return status, {host: sorted(row["what"] for row in one["differences"]) for host, one in answer.items()}

    def failing(self, box: str, *arguments: str) -> set[str]:
        """Run diagnose.yml for a box; return what of it fails but for the host's own."""
        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder, "diagnosis.json")
            output = self.play("diagnose.yml", "-l", box, "-e", f"diagnose_json={written}", *arguments)[1]
            check(written.exists(), output)
            found = json.loads(written.read_text())[box]["findings"]
        engines = (one["subject"] for one in found if one["severity"] == "fail")
        return {subject for subject in engines if subject.partition(" ")[0] in ("engine", "gateway")}

    def play(self, playbook: str, *arguments: str) -> tuple[int, str]:
        """Run a playbook; return its status and what it printed."""
        program = Path(sys.executable).with_name("ansible-playbook")
        command = [str(program), "-i", self.inventory, str(CHECKOUT / "playbooks" / playbook), *arguments]
        environment = {
            **os.environ,
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_STDOUT_CALLBACK": "default",
            "ANSIBLE_DISPLAY_OK_HOSTS": "1",
        }
        began = time.monotonic()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        print(
            f"{playbook} {' '.join(arguments)[:80]}: {done.returncode} in {time.monotonic() - began:.0f} s", flush=True
        )
        return done.returncode, done.stdout + done.stderr

    def on(self, box: str, *command: str) -> str:
        """Run a command in a box."""
        words = ["docker", "exec", boxes.container_name(box), *command]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout

    def is_up(self, box: str) -> bool:
        """Tell whether the edge sends requests for the model to a box."""
        text = self.on(
            EDGE,
            "python3",
            "-c",
            "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9401/metrics').read().decode())",
        )
        at = self.addresses[box]
        return f'gpuserve_gateway_endpoint_up{{model="qwen",endpoint="{at}:8000/qwen"}} 1' in text

    def started(self, box: str) -> str:
        """When the box's engine was started."""
        return self.on(box, "docker", "inspect", "--format", "{{.State.StartedAt}}", "vllm-qwen")

    def drained(self) -> str:
        """Which boxes the edge keeps out of new requests."""
        return self.on(EDGE, "ls", "/run/gpuserve/draining")


def check(holds: bool, otherwise: str) -> None:
    """End the day where something is not as it should be."""
    if not holds:
        print(otherwise)
        raise SystemExit(1)


def wait_for(what: Callable[[], Any], seconds: float = 240) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not what():
        check(time.monotonic() < end, f"{what} did not come about")
        time.sleep(1)


def flags(sequences: int) -> str:
    """Return the models with another flag, for the command line."""
    return json.dumps({"vllm_stack_models": [{**MODEL, "max_num_seqs": sequences}]})


def set_up(fleet: Fleet) -> None:
    """Boxes are set up, then the edge, which knows who serves what."""
    status, output = fleet.site()
    check(status == 0, output)
    # A token has proved one of them; the other one is up once the edge's own probe has come to it.
    wait_for(lambda: fleet.is_up(A) and fleet.is_up(B), 10)
    box = http.client.HTTPConnection(boxes.get(A).address, 8000, timeout=10)
    box.request("GET", "/v1/models", headers={"Authorization": f"Bearer {KEY}"})
    check(box.getresponse().status != 200, "a box speaks plain HTTP")


def compared(fleet: Fleet) -> None:
    """Nothing differs on a box that is as the inventory says; of one that is not, what does is named, and nothing else."""
    status, differs = fleet.drift("-l", A)
    check(status == 0 and differs == {A: []}, f"{status} {differs}")
    fleet.on(A, "docker", "stop", "vllm-qwen")
    fleet.on(A, "sh", "-c", f"cp -p {NGINX} /root && echo '# by hand' >> {NGINX}")
    status, differs = fleet.drift("-e", flags(16))
    # Fewer requests at once have less of a cache.
    flag = ["gateway model qwen", "model qwen: --kv-cache-memory-bytes", "model qwen: --max-num-seqs"]
    by_hand = ["gateway's nginx.conf", "model qwen: container"]
    wanted = {
        A: sorted(flag + by_hand),
        # It has no card.
        B: sorted([*flag, "container toolkit", "driver"]),
        EDGE: [],
    }
    check(status == 2 and differs == wanted, f"{status} {differs}")
    fleet.on(A, "cp", "-p", "/root/nginx.conf", NGINX)
    fleet.on(A, "docker", "start", "vllm-qwen")
    wait_for(lambda: fleet.is_up(A))


def nothing_to_do(fleet: Fleet) -> None:
    """A run with nothing to do drains nobody and changes nothing; a box that a run kept out of an edge and then left comes back."""
    before = fleet.started(A), fleet.started(B)
    left = f"/run/gpuserve/draining/{fleet.addresses[B]}:8000"
    fleet.on(EDGE, "sh", "-c", f"printf '{edge.DRAINED}' > {left}")
    with fleet.asked("nothing to do"):
        status, output = fleet.site()
        kept = f"{A} is as the last run left it" in output and f"{B}: {EDGE} sends it no new requests." in output
        check(status == 0 and kept and fleet.drained() == "", output)
        status, output = fleet.site()
        fleet.on(EDGE, "docker", "kill", "--signal", "HUP", "gpuserve-gateway")
        time.sleep(STREAM_S + 1)
    check(status == 0 and output.count("changed=0") == 3 and fleet.drained() == "", output)
    check(all(f"{box} is as the last run left it" in output for box in (A, B)), output)
    check((fleet.started(A), fleet.started(B)) == before, "an engine was started")


def changed_flag(fleet: Fleet) -> None:
    """A flag changes on one box after the other; each is drained first, gives what is expected of its card, and keeps the new set."""
    before = fleet.started(A), fleet.started(B)
    with fleet.asked("a changed flag"):
        status, output = fleet.site("-e", flags(16), *HELD_TO)
    check(status == 0, output)
    check(
        all(now != was for now, was in zip((fleet.started(A), fleet.started(B)), before, strict=True)),
        "an engine stayed",
    )
    check(output.count(DRAINED) == 2 and fleet.drained() == "", output)
    for box in (A, B):
        (run,) = json.loads(fleet.on(box, "sh", "-c", f"ls {BENCHMARKS}/quick-*.json | tail -n 1 | xargs cat"))["runs"]
        check(run["result"]["success"] == 1 and run["result"]["tokens_per_s"] > 100, str(run))


def rolled_back(fleet: Fleet) -> None:
    """A box goes back to the set before; it is drained first, and the other one is not touched."""
    before = fleet.started(A), fleet.started(B)
    with fleet.asked("a rollback"):
        status, output = fleet.play("rollback.yml", "-l", A)
    check(status == 0 and output.count(DRAINED) == 1 and fleet.drained() == "", output)
    check(fleet.started(A) != before[0] and fleet.started(B) == before[1], "not what was asked was started")


def upgraded(fleet: Fleet) -> None:
    """A box is gone through as for a newer driver: its gateway and its engines stop, and it is drained before."""
    before = fleet.started(A)
    with fleet.asked("an upgrade"):
        status, output = fleet.play("upgrade.yml", "-l", A, "-e", "gpuserve_upgrade_force=true")
    check(status == 0 and output.count(DRAINED) == 1 and fleet.drained() == "", output)
    check(fleet.started(A) != before, "no engine was started")
    wait_for(lambda: fleet.is_up(A))


def failed_canary(fleet: Fleet) -> None:
    """A canary fails: it serves what it served, the other one is not touched."""
    kept = fleet.on(A, "cat", SETTINGS)
    broken = {**json.loads(kept), "fault": {"kind": "oom", "at": "loading", "times": 1}}
    fleet.on(A, "sh", "-c", f"echo '{json.dumps(broken)}' > {SETTINGS}")
    before = fleet.started(B)
    with fleet.asked("a canary that fails"):
        status, output = fleet.site("-e", flags(8))
    check(status == 2 and "stopped: 1 failure, and gpuserve_max_failed allows 0." in output, output)
    check(fleet.started(B) == before and fleet.drained() == "", "the other box was touched, or one is still drained")
    wait_for(lambda: fleet.is_up(A))
    fleet.on(A, "sh", "-c", f"echo '{kept}' > {SETTINGS}")


def slow_canary(fleet: Fleet) -> None:
    """A canary whose engine gives less than is expected of its card goes back to what it served, and no other one follows."""
    kept = fleet.on(A, "cat", SETTINGS)
    slow = {**json.loads(kept), "token_s": SLOW_TOKEN_S}
    fleet.on(A, "sh", "-c", f"echo '{json.dumps(slow)}' > {SETTINGS}")
    before = fleet.started(B)
    with fleet.asked("a canary that is too slow"):
        status, output = fleet.site("-e", flags(12), *HELD_TO)
    fleet.on(A, "sh", "-c", f"echo '{kept}' > {SETTINGS}")
    said = " ".join(output.split())
    missed = re.search(rf"{A} was not accepted: qwen, alone, 4 at once: tokens_per_s (\d+)\S*, threshold 100", said)
    check(status == 2 and missed is not None and 1 < int(missed[1]) <= 4 / SLOW_TOKEN_S, output)
    check("What served before serves again." in said and "1 failed, 1 not touched." in said, output)
    check(fleet.started(B) == before and fleet.drained() == "", "the other box was touched, or one is still drained")
    wait_for(lambda: fleet.is_up(A))


def dead_canary(fleet: Fleet) -> None:
    """A canary dies in its step: it failed as any other, the other box is not touched, and a resumed run begins with it."""
    before = fleet.started(B)
    with tempfile.TemporaryDirectory() as folder:
        dies = Path(folder, "dies.yml")
        dies.write_text(DIES.format(box=A, container=boxes.container_name(A)))
        with fleet.asked("a canary that dies in its step", allowed=PLAIN + STREAMS):
            status, output = fleet.site("-e", flags(10), "-e", f"gpuserve_before_host={dies}")
    said = " ".join(output.split())
    check(status == 2 and "stopped: 1 failure, and gpuserve_max_failed allows 0." in said, output)
    check(
        f"{A} it was not reached any more (ssh: " in said
        and "0 hosts with the new set, 1 failed, 1 not touched." in said,
        output,
    )
    check(fleet.started(B) == before and fleet.drained() == "", "the other box was touched, or one is still drained")
    boxes.up(A)
    wait_for(lambda: fleet.is_up(A))
    with fleet.asked("a resumed rollout"):
        status, output = fleet.site("-e", flags(10), "-e", "gpuserve_resume=true")
    check(status == 0 and fleet.started(B) != before and fleet.drained() == "", output)


def one_address(fleet: Fleet) -> None:
    """The address that docs/fleet.md has keepalived give to edges is with this one while it answers, and only then."""
    (text,) = re.findall(r"```text\n(global_defs.*?)```", (CHECKOUT / "docs/fleet.md").read_text(), re.DOTALL)
    # The lab's network is a /16 in which no box ends in 255; another fleet on it has another number.
    before, number = fleet.address.rsplit(".", 1)
    address = f"{before}.255"
    text = text.replace("192.0.2.100/24", f"{address}/16").replace("router_id 51", f"router_id {number}")
    path = "/etc/keepalived/keepalived.conf"
    fleet.on(EDGE, "sh", "-c", f"cat > {path} << 'END'\n{text}END")
    fleet.on(EDGE, "keepalived", "-t", "-f", path)
    fleet.on(EDGE, "systemctl", "restart", "keepalived")

    def with_it() -> bool:
        return f" {address}/" in fleet.on(EDGE, "ip", "-brief", "address", "show", "eth0")

    wait_for(with_it, 60)
    line = http.client.HTTPConnection(address, 8000, timeout=10)
    line.request("GET", "/v1/models", headers={"Authorization": f"Bearer {KEY}"})
    check(line.getresponse().status == 200, "the edge does not answer at the address of both")
    fleet.on(EDGE, "docker", "stop", "gpuserve-gateway")
    wait_for(lambda: not with_it(), 60)
    fleet.on(EDGE, "docker", "start", "gpuserve-gateway")
    wait_for(with_it, 60)


def dead_box(fleet: Fleet) -> None:
    """A box dies and comes back: what it was at is lost, and nothing else."""
    with fleet.asked("a box that dies", allowed=PLAIN + STREAMS) as clients:
        time.sleep(STREAM_S)
        subprocess.run(["docker", "kill", boxes.container_name(B)], check=True, capture_output=True)
        wait_for(lambda: not fleet.is_up(B))
        time.sleep(STREAM_S)
    boxes.up(B)
    wait_for(lambda: fleet.is_up(B))
    with fleet.asked("a box that is back"):
        time.sleep(2 * STREAM_S)
    print(Counter(clients.lost))


PARTS = (
    set_up,
    compared,
    nothing_to_do,
    changed_flag,
    rolled_back,
    upgraded,
    failed_canary,
    slow_canary,
    dead_canary,
    one_address,
    dead_box,
)


def play(parts: Sequence[Callable[[Fleet], None]], by_hand: Sequence[Callable[[Fleet], None]] = ()) -> None:
    """Play those parts of a day that the command line names, or all of them but those by hand."""
    fleet = Fleet(sys.argv[1], sys.argv[2])
    for part in (*parts, *by_hand):
        if part.__name__ in sys.argv[3:] or (len(sys.argv) == 3 and part in parts):
            part(fleet)


if __name__ == "__main__":
    play(PARTS)
