# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A box with real Docker and CDI, the NVML double and the engine double, and the real role driven over SSH: for tests and figures."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import sockets
from ansible_collections.gpuserve.fleet.tests.support.lab import boxes, doubles
from ansible_collections.gpuserve.fleet.tests.support.lab.common import CHECKOUT, LabError, docker

PLAYS = CHECKOUT / "tests" / "integration" / "bringup"
GIB = 1 << 30
PORTS = {"tinyllama": 8001, "qwen": 8002, "yi": 8003}
SOCKETS = {name: sockets.path(name) for name in PORTS}
MODELS = [
    {
        "name": "tinyllama",
        "model": "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
        "port": 8001,
        "max_model_len": 1024,
        "max_num_seqs": 32,
    },
    {"name": "qwen", "model": "Qwen/Qwen2.5-3B-Instruct", "port": 8002, "max_model_len": 1536, "max_num_seqs": 24},
    {"name": "yi", "model": "01-ai/Yi-6B-Chat", "port": 8003, "max_model_len": 2048, "max_num_seqs": 16},
]
VARIABLES: dict[str, Any] = {
    "docker_engine_source": "distro",
    "vllm_stack_preset": "balanced",
    "vllm_stack_image_disk": "1GiB",
    "vllm_stack_mode": "parallel",
    # Tests ask the engines themselves.
    "vllm_stack_auth": False,
    # The engines are doubles: they load no weights, and there is no hub to fetch any from.
    "vllm_stack_fetch": False,
    "vllm_stack_max_parallel": 3,
    "vllm_stack_drain_s": 5,
    # On a busy machine a double is slow too. Where one hangs, its test says how soon that is to be found out.
    "vllm_stack_stall_timeout_s": 120,
    "vllm_stack_phase_limits_s": {},
    "vllm_stack_lock_wait_s": 120,
}
# What comes about is waited for this long: a machine with other work is slow, and a test that passes waits no longer for it.
PATIENCE_S = 240.0
ASK = """
import http.client, json, socket, sys
for name, where in json.loads(sys.argv[1]).items():
    try:
        line = http.client.HTTPConnection('127.0.0.1', where, timeout=3)
        if isinstance(where, str):
            line.sock = socket.socket(socket.AF_UNIX)
            line.sock.connect(where)
        line.request('POST', '/v1/completions', json.dumps({'model': name, 'prompt': [1], 'max_tokens': 1}))
        good = line.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        good = False
    if good:
        print(name)
"""


@dataclass
class Play:
    """A run of ansible-playbook, with the time at which each line came."""

    code: int = -1
    lines: list[tuple[float, str]] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None
    began: float = 0.0

    @property
    def text(self) -> str:
        return "\n".join(line for _at, line in self.lines)

    @property
    def seconds(self) -> float:
        return self.lines[-1][0]

    def at(self, what: str) -> float:
        """Seconds until a line came that has this text."""
        return next(at for at, line in self.lines if what in line)

    @property
    def failure(self) -> dict[str, Any]:
        """What the module that failed returned."""
        line = next(line for _at, line in self.lines if line.startswith("fatal: "))
        found: dict[str, Any] = json.loads(line[line.index("{") :])
        return found

    @property
    def result(self) -> dict[str, Any]:
        """What the bring-up returned."""
        at = next(at for at, (_when, line) in enumerate(self.lines) if "Show what came of it" in line)
        text = "\n".join(line for _when, line in self.lines[at + 1 :])
        found: dict[str, Any] = json.JSONDecoder().raw_decode(text[text.index("{") :])[0]["msg"]
        return found

    @property
    def changed(self) -> int:
        return int(re.findall(r"changed=(\d+)", self.text)[-1])

    def follow(self) -> Play:
        """Read it to its end."""
        assert self.process is not None and self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append((time.monotonic() - self.began, line.rstrip("\n")))
        self.code = self.process.wait()
        return self

    def wait_for(self, what: str, timeout_s: float = PATIENCE_S) -> None:
        """Return once a line with this text came."""
        until = time.monotonic() + timeout_s
        while not any(what in line for _at, line in list(self.lines)):
            assert time.monotonic() < until, f"{what!r} did not come:\n{self.text}"
            time.sleep(0.1)


class Stack:
    """The box, its doubles, and the play that runs against it."""

    def __init__(self, box: boxes.Box, variables: dict[str, Any], folder: Path) -> None:
        self.box, self.folder = box, folder
        self.variables = {**VARIABLES, **variables, "vllm_stack_models": MODELS}
        self.plays: list[Play] = []
        self.neighbors: dict[str, dict[str, Any]] = {}  # other hosts of its inventory
        self._sizes: dict[str, dict[str, int]] = {}
        self._kept = ""

    # The play

    def host(self, **change: Any) -> dict[str, Any]:
        """Return the box as an inventory has it."""
        return {
            "ansible_host": self.box.address,
            "ansible_port": self.box.port,
            "ansible_user": self.box.user,
            "ansible_ssh_private_key_file": self.box.key,
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={self.box.known_hosts}",
            **self.variables,
            **change,
        }

    def start(self, playbook: str = "play.yml", *arguments: str, **change: Any) -> Play:
        """Begin a run; `change` are variables of the inventory that differ from ours."""
        inventory = self.folder / f"inventory-{len(self.plays)}.json"
        inventory.write_text(json.dumps({"all": {"hosts": {"box": self.host(**change), **self.neighbors}}}))
        path = PLAYS / playbook if (PLAYS / playbook).exists() else CHECKOUT / "playbooks" / playbook
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            # What the plays here show is read from their output.
            "ANSIBLE_DISPLAY_OK_HOSTS": "1",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        play = Play(began=time.monotonic())
        play.process = subprocess.Popen(
            ["ansible-playbook", "-i", str(inventory), str(path), "-e", "gpuserve_hosts=all", *arguments],
            cwd=CHECKOUT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.plays.append(play)
        return play

    def play(self, *arguments: str, **change: Any) -> Play:
        """A whole run of the role."""
        play = self.start("play.yml", *arguments, **change).follow()
        print(play.text)
        return play

    def playing(self, **change: Any) -> tuple[Play, threading.Thread]:
        """A run that goes on while the test does something to it; join the thread for its end."""
        play = self.start("play.yml", **change)
        reader = threading.Thread(target=play.follow)
        reader.start()
        return play, reader

    # The box

    def run(self, *argv: str, check: bool = True) -> str:
        """Run a command in the box."""
        return docker("exec", self.box.container, *argv, check=check)

    def serving(self, where: Mapping[str, int | str] | None = None) -> list[str]:
        """The models that make a token now, at their ports or at sockets."""
        return sorted(self.run("python3", "-c", ASK, json.dumps(PORTS if where is None else where)).split())

    def started(self) -> dict[str, str]:
        """When each container of the box was started."""
        names = self.run("docker", "ps", "--format", "{{.Names}}").split()
        form = "{{.Name}} {{.State.StartedAt}}"
        rows = self.run("docker", "inspect", "--format", form, *names).splitlines() if names else []
        return dict(row.lstrip("/").split(" ", 1) for row in rows)

    def engine(self, name: str, **settings: Any) -> None:
        """Say how the double of one model's engine shall behave from its next start on."""
        settings = {**self.sizes[name], **settings}
        path = f"{doubles.FOLDER}/engines/{name}.json"
        docker(
            "exec",
            "-i",
            self.box.container,
            "sh",
            "-c",
            f"cat > {path}.new && mv {path}.new {path}",
            stdin=json.dumps(settings),
        )

    def hold(self, size: int, seconds: float = 600, card: int = 0) -> int:
        """Have somebody else's process take memory of a card; its pid."""
        command = f"nohup python3 /usr/local/bin/hold_double.py {doubles.gpu(card)[0]} {size} {seconds} >/tmp/held 2>&1 & echo $!"
        return int(self.run("sh", "-c", command))

    def wait_for(self, what: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
        until = time.monotonic() + timeout_s
        while not what():
            assert time.monotonic() < until, "it did not come about"
            time.sleep(0.2)

    def log(self, container: str) -> str:
        """What an engine has printed."""
        return self.run("sh", "-c", f"docker logs {container} 2>&1", check=False)

    @property
    def sizes(self) -> dict[str, dict[str, int]]:
        """What each of the usual engines holds by its plan, and how much of that is its cache."""
        if not self._sizes:
            self._sizes = self.planned(MODELS)
        return self._sizes

    def planned(self, models: Sequence[Mapping[str, Any]], cards: int = 1) -> dict[str, dict[str, int]]:
        """The same for any models, on each of their cards."""
        gpus = [{"name": doubles.CARD[1], "index": at, "uuid": doubles.gpu(at)[0]} for at in range(cards)]
        told = self.folder / f"plan-{len(self.plays)}.json"
        play = self.start(
            "plan.yml", "-e", f"plan_json={told}", vllm_stack_models=models, vllm_stack_gpus=gpus
        ).follow()
        assert play.code == 0, play.text
        plan = json.loads(told.read_text())["box"]
        return {
            model["name"]: {
                # A ready engine has not been asked for anything yet.
                "total_bytes": int(model["total_bytes"]) - int(model["traffic_bytes"]),
                "kv_cache_bytes": int(model["kv_cache_bytes"]),
            }
            for gpu in plan["gpus"]
            for model in gpu["models"]
        }

    def clear(self) -> None:
        """Everything of a test is gone: containers, what was remembered, faults and other processes."""
        self.calm()
        script = (
            "docker ps -aq | xargs -r docker rm -f >/dev/null;"
            " rm -rf /opt/gpuserve/stack /var/lib/gpuserve/*.json /var/lib/gpuserve/failed"
            f" {doubles.FOLDER}/engines/* {doubles.FOLDER}/held/*"
        )
        self.run("sh", "-c", script, check=False)
        self._kept = ""

    def calm(self) -> None:
        """Faults and other processes of a test are gone; what serves goes on."""
        script = (
            # The brackets keep pkill from finding the shell that this stands in.
            "pkill -f '[h]old_double.py';"
            " umount /opt/gpuserve/stack 2>/dev/null;"
            f" rm -rf {doubles.FOLDER}/struck/* {doubles.FOLDER}/fault"
        )
        self.run("sh", "-c", script, check=False)

    def keep(self, where: Mapping[str, int | str] = PORTS) -> None:
        """Note that the usual models serve there, as planned and proved: a test that changes nothing of it leaves it to the next."""
        self._kept = self._state(where)

    def keeps(self, where: Mapping[str, int | str] = PORTS) -> bool:
        """Tell whether that is still so: the same containers and no other, the same set proved, and each model makes a token."""
        return bool(self._kept) and self._kept == self._state(where)

    def _state(self, where: Mapping[str, int | str]) -> str:
        script = "docker ps --all --quiet --no-trunc | sort; cd /opt/gpuserve/stack && sha256sum proved/* compose.yml"
        return f"{where} {self.serving(where)} {self.run('sh', '-c', script, check=False)}"


def make(name: str, folder: Path) -> Stack:
    """Make the box, with Docker by our own role."""
    made = boxes.up(name)
    stack = Stack(made, doubles.install(name), folder)
    prepared = stack.start("prepare.yml").follow()
    if prepared.code != 0:
        raise LabError(f"Docker did not get into box {name}: {prepared.text[-2000:]}")
    return stack
