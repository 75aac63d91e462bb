# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host that serves is kept, lost with what lay on its controller, and brought back on a new box: what its clients see of that.

python -m ...new_metal INVENTORY HOST    the scenario's inventory, and its box, which has Docker, the doubles and engines that serve
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.tests.support.lab import boxes
from ansible_collections.gpuserve.fleet.tests.support.lab.common import CHECKOUT, docker

# By this name clients know the host, whatever its address is.
TLS_NAME = "gpu01.example.org"
PORT = 8000
TEAM = "team-a"
STATE = "/var/lib/gpuserve"
# A record of a benchmark, by its name; what is in it is nobody's here.
BENCHMARK = f"{STATE}/benchmarks/quick-20270131T101500Z.json"
# What is read of a model lies here as well; this one is served by nobody.
MODEL_INFO = "model_info/acme--kept.json"
USED_WITHIN_S = 60


class Client:
    """A client of the host: a key, and the one certificate that it trusts."""

    def __init__(self, address: str, certificate: str) -> None:
        self.address, self.context = address, ssl.create_default_context(cadata=certificate)

    def ask(self, key: str) -> int:
        """Ask for a token; return the status of the answer."""
        body = json.dumps({"model": "qwen", "prompt": [1, 2, 3], "max_tokens": 2})
        line = http.client.HTTPConnection(TLS_NAME, PORT, timeout=30)
        line.sock = self.context.wrap_socket(
            socket.create_connection((self.address, PORT), timeout=30), server_hostname=TLS_NAME
        )
        try:
            line.request("POST", "/v1/completions", body, {"Authorization": f"Bearer {key}"})
            answer = line.getresponse()
            answer.read()
            return answer.status
        finally:
            line.close()


class Host:
    """The host and its controller, as an administrator has them at hand."""

    def __init__(self, inventory: str, name: str, kept: Path) -> None:
        self.name, self.kept, self.boxes = name, kept, 1
        # Playbooks put what is the controller's own beside the inventory: here beside a copy, which goes with all that.
        self.inventory_dir = kept / "inventory"
        shutil.copytree(Path(inventory).parent, self.inventory_dir)
        self.inventory = str(self.inventory_dir / Path(inventory).name)

    def play(self, playbook: str, **variables: Any) -> str:
        """Run a playbook to its good end; return what it printed."""
        program = Path(sys.executable).with_name("ansible-playbook")
        given = {"gpuserve_hosts": self.name, "gateway_tls_name": TLS_NAME, **variables}
        command = [str(program), "-i", self.inventory, str(CHECKOUT / playbook), "-e", json.dumps(given)]
        if playbook.endswith("site.yml"):
            command += ["--skip-tags", "nvidia_driver,nvidia_container_toolkit"]
        environment = {
            **os.environ,
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_STDOUT_CALLBACK": "default",
            "ANSIBLE_DISPLAY_OK_HOSTS": "1",
            # A connection that is kept open to the box that is gone is none to the one that has its address now.
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.kept / f"ssh-{self.boxes}"),
        }
        began = time.monotonic()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        print(f"{playbook}: {done.returncode} in {time.monotonic() - began:.0f} s", flush=True)
        check(done.returncode == 0, done.stdout + done.stderr)
        return done.stdout

    def on(self, *command: str) -> str:
        """Run a command on the host."""
        return docker("exec", boxes.container_name(self.name), *command)

    @property
    def address(self) -> str:
        """Where it is reached."""
        return boxes.get(self.name).address

    def keys(self) -> dict[str, str]:
        """Return the keys in the clear that the controller keeps, by their names."""
        folder = self.inventory_dir / ".gpuserve" / "keys"
        files = {"default": folder / self.name, TEAM: folder / "clients" / TEAM}
        return {name: file.read_text().strip() for name, file in files.items()}

    def used_by(self, team: int) -> dict[str, int]:
        """Return how many requests each key made, once those of the client are written."""
        told = self.kept / "usage.json"
        end = time.monotonic() + USED_WITHIN_S
        while True:
            self.play("playbooks/usage.yml", usage_format="json", usage_file=str(told))
            used: dict[str, int] = {}
            for row in json.loads(told.read_text()):
                used[row["key"]] = used.get(row["key"], 0) + row["requests"]
            if used.get(TEAM) == team:
                return used
            check(time.monotonic() < end, f"what was used: {used}")

    def starts(self) -> dict[str, Any]:
        """Return what starts measured."""
        found: dict[str, Any] = json.loads(self.on("cat", f"{STATE}/calibration.json"))["starts"]
        return found


def check(holds: bool, otherwise: object) -> None:
    """End here where something is not as it should be."""
    if not holds:
        print(otherwise)
        raise SystemExit(1)


def serve(host: Host) -> None:
    """Put the gateway before the engines, give a client a key, and leave on both sides what no inventory brings back."""
    host.play("playbooks/site.yml")
    host.play("playbooks/keys.yml", key_add=TEAM)
    host.on("sh", "-c", f"install -d -m 700 {STATE}/benchmarks && echo '{{}}' > {BENCHMARK}")
    (host.inventory_dir / MODEL_INFO).parent.mkdir(exist_ok=True)
    (host.inventory_dir / MODEL_INFO).write_text("{}\n")


def lose(host: Host) -> None:
    """The box is gone with its disks, and what the controller kept beside the inventory."""
    boxes.down(host.name)
    host.boxes += 1
    for folder in (".gpuserve", "model_info"):
        shutil.rmtree(host.inventory_dir / folder)


def main() -> None:
    """Keep it, lose it, and bring it back."""
    with tempfile.TemporaryDirectory(prefix="gpuserve-") as folder:
        host = Host(sys.argv[1], sys.argv[2], Path(folder))
        serve(host)
        certificate = ssl.get_server_certificate((host.address, PORT))
        keys = host.keys()
        client = Client(host.address, certificate)
        check([client.ask(key) for key in keys.values()] == [200, 200], "a key does not open before anything is lost")
        used = host.used_by(1)
        measured = host.starts()
        host.play("playbooks/backup.yml", backup_dir=f"{folder}/kept")

        lose(host)
        boxes.up(host.name, with_docker=True)
        # The doubles are the card and the engines' image of the new box.
        host.play("molecule/vllm_stack/prepare.yml")
        host.play("playbooks/restore.yml", backup_dir=f"{folder}/kept")
        check(host.starts() == measured, "what starts measured is another")
        host.play("playbooks/site.yml")

        check(ssl.get_server_certificate((host.address, PORT)) == certificate, "the certificate is another")
        client = Client(host.address, certificate)
        check([client.ask(key) for key in keys.values()] == [200, 200], "a key does not open any more")
        check(client.ask("a-key-of-nobody") == 401, "a key that nobody has opens")
        check(host.keys() == keys, "keys in the clear are others")
        # The role itself asks with the first key.
        check(host.used_by(2)["default"] > used["default"], "what was used before does not count any more")
        check(set(host.starts()) >= set(measured), "what starts measured is lost")
        check(host.on("cat", BENCHMARK) == "{}", "the benchmark is lost")
        check((host.inventory_dir / MODEL_INFO).read_text() == "{}\n", "what was read of a model is lost")


if __name__ == "__main__":
    main()
