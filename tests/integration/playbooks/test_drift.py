# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""playbooks/drift.yml on this machine, with the files that a run would have left in folders of the test.

Docker is a double: a daemon that lists one container, and a program that says of any that it runs.
"""

from __future__ import annotations

import http.server
import json
import os
import socketserver
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import config
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway.own_certificate import OwnCertificate
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import gateway_files

CHECKOUT = Path(__file__).resolve().parents[3]
MODEL = {"name": "qwen", "model": "Qwen/Qwen2.5-0.5B-Instruct", "max_model_len": 1536, "max_num_seqs": 24}
KEYS = [{"name": "team", "key": "drift-key-of-the-team-0123456789"}]
OTHER_KEYS = [{"name": "team", "key": "another-key-of-the-team-9876543210"}]
IMAGE = "registry.example/vllm@sha256:" + "0" * 64
# What a run leaves behind, written by the tasks that compare and from what they rendered.
LEAVE = """
- ansible.builtin.import_playbook: {playbooks}/inventory_check.yml
- hosts: all
  gather_facts: false
  check_mode: true
  tasks:
    - ansible.builtin.include_role: {{name: gpuserve.fleet.vllm_stack, tasks_from: defaults.yml, public: true}}
    - ansible.builtin.include_role: {{name: gpuserve.fleet.gateway, tasks_from: claims.yml, public: true}}
    - ansible.builtin.include_role: {{name: gpuserve.fleet.vllm_stack, tasks_from: compared.yml}}
    - ansible.builtin.copy:
        dest: "{folder}/{{{{ item.0 }}}}"
        content: "{{{{ item.1 }}}}"
      check_mode: false
      loop:
        - [compose.yml, "{{{{ _vllm_stack_render.content }}}}"]
        - [proved/compose.yml, "{{{{ _vllm_stack_render.content }}}}"]
        - [proved/plan.json, "{{{{ proved | to_json }}}}"]
        - [gateway/settings.json, "{{{{ _gateway_settings | to_json }}}}"]
      vars:
        gateway_models: "{{{{ _vllm_stack_render.endpoints }}}}"
        proved:
          services: "{{{{ _vllm_stack_render.services }}}}"
          endpoints: "{{{{ _vllm_stack_render.endpoints }}}}"
          plan: "{{{{ _vllm_stack_plan.plan }}}}"
          inputs_digest: "{{{{ _vllm_stack_plan.plan.inputs_digest }}}}"
"""


def play(
    folder: Path, playbook: Path, *words: str, callback: str = "default", **change: Any
) -> subprocess.CompletedProcess[str]:
    """Run a playbook for one host, this machine, whose folders are the test's."""
    variables = {
        "gpuserve_hosts": "all",
        "ansible_become": False,
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "vllm_stack_models": [MODEL],
        "vllm_stack_engine_image": IMAGE,
        "vllm_stack_engine_version": "0.26.0",
        "vllm_stack_device": "cpu",
        "vllm_stack_gpus": [
            {"name": "cpu", "uuid": "cpu", "memory_total_bytes": 32 << 30, "memory_free_bytes": 32 << 30}
        ],
        "vllm_stack_auth": False,
        "vllm_stack_state_dir": str(folder),
        "vllm_stack_project_dir": str(folder),
        "vllm_stack_cache_dir": str(folder / "cache"),
        "vllm_stack_venv": str(folder / "venv"),
        "gateway_keys": KEYS,
        "gateway_keys_file": "",
        "gateway_tls": "self_signed",
        "gateway_tls_name": "gpu01.example",
        "_gateway_folder": str(folder / "gateway"),
        "_vllm_stack_docker_socket": str(folder / "docker.sock"),
        **change,
    }
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "thishost,", str(playbook), *words]
    environment = {
        **os.environ,
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_STDOUT_CALLBACK": callback,
        "HF_HUB_OFFLINE": "1",
        "COLUMNS": "400",
        "LC_ALL": "C.UTF-8",
    }
    command += ["-e", json.dumps(variables)]
    return subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)


def run_here(command: list[str]) -> tuple[int, str, str]:
    """Run as a module does."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers as Docker's daemon does on its socket."""

    containers: ClassVar[list[dict[str, Any]]] = []

    def do_GET(self) -> None:
        """Tell the version, and which containers run."""
        answers = {"/info": {"ServerVersion": "29.10.0"}, "/version": {"Version": "29.10.0"}}
        known = self.path in answers or self.path.startswith("/containers/json")
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(json.dumps(answers.get(self.path, self.containers)).encode())

    def address_string(self) -> str:
        """Return who asks: a socket file has no address."""
        return "here"

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return the folder of the host, with Docker's socket in it: its name has to be short."""
    with (
        tempfile.TemporaryDirectory(prefix="drift-") as place,
        socketserver.ThreadingUnixStreamServer(f"{place}/docker.sock", Answering) as server,
    ):
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield Path(place)
        finally:
            server.shutdown()
            thread.join()


def left(folder: Path) -> None:
    """Leave on this machine what a run of site.yml with the same variables leaves."""
    for name in ("proved", "gateway/conf/live", "bin"):
        (folder / name).mkdir(parents=True)
    docker = folder / "bin" / "docker"
    running = json.dumps([{"Id": "0" * 64, "State": {"Running": True}}])
    words = ["compose) exit 0;;", f"container) echo '{running}';;", "*) exit 1;;"]
    docker.write_text(f'#!/bin/sh\ncase "$1" in {" ".join(words)} esac\n')
    docker.chmod(0o755)
    book = folder / "leave.yml"
    book.write_text(LEAVE.format(playbooks=CHECKOUT / "playbooks", folder=folder))
    done = play(folder, book)
    assert done.returncode == 0, done.stdout + done.stderr
    (service,) = json.loads((folder / "proved/plan.json").read_text())["services"]
    told = {"model": "qwen", "port": str(service["port"]), "digest": service["digest"]}
    Answering.containers = [{"Labels": {f"fleet.gpuserve.{name}": value for name, value in told.items()}}]
    gateway = config.parse(json.loads((folder / "gateway/settings.json").read_text()), [], "thishost")
    own = OwnCertificate(folder / "gateway/tls", run_here)
    own.make(gateway.tls_name, ["DNS:gpu01.example", "DNS:localhost", "IP:127.0.0.1", "IP:::1"])
    rendered = gateway_files.render(gateway)
    (folder / "gateway/compose.yml").write_text(rendered.compose)
    for name, text in {**rendered.files, "tls.crt": own.certificate.read_text()}.items():
        (folder / "gateway/conf/live" / name).write_text(text)


def test_a_host_is_compared_with_its_inventory_and_nothing_is_written(folder: Path) -> None:
    left(folder)
    book, written = CHECKOUT / "playbooks/drift.yml", folder / "drift.json"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    same = play(folder, book, "--check")
    assert same.returncode == 0, same.stdout + same.stderr
    assert "thishost   as the inventory says" in same.stdout, same.stdout
    assert "changed=0" in same.stdout

    asked: dict[str, Any] = {"vllm_stack_models": [{**MODEL, "max_num_seqs": 12}], "gateway_keys": OTHER_KEYS}
    asked["gateway_tls_name"] = "gpu02.example"
    other = play(folder, book, drift_json=str(written), **asked)
    assert other.returncode == 2, other.stdout + other.stderr
    rows = {one["what"]: one for one in json.loads(written.read_text())["thishost"]["differences"]}
    flag = rows["model qwen: --max-num-seqs"]
    assert flag == {
        "what": "model qwen: --max-num-seqs",
        "host": "24",
        "inventory": "12",
        "brings": "site.yml --tags vllm_stack",
    }
    assert rows["gateway key team"]["host"] == "other in key"
    assert rows["gateway certificate"]["host"] == "for DNS:gpu01.example, DNS:localhost, IP:127.0.0.1, IP:::1"
    of_gateway = {"gateway key team", "gateway model qwen", "gateway certificate", "gateway_tls_name"}
    assert {what.partition(":")[0] for what in rows} == {"model qwen", *of_gateway}
    assert "thishost differs from the inventory in" in " ".join(other.stdout.split())
    told = other.stdout + other.stderr + written.read_text()
    assert not [entry["key"] for entry in KEYS + OTHER_KEYS if entry["key"] in told]

    # By hand, in a file each of the stack and of the gateway.
    edited = [folder / "compose.yml", folder / "gateway/conf/live/nginx.conf"]
    for path in edited:
        path.write_bytes(before[path] + b"# by hand\n")
    by_hand = play(folder, book, drift_json=str(written))
    assert by_hand.returncode == 2, by_hand.stdout + by_hand.stderr
    rows = {one["what"]: one for one in json.loads(written.read_text())["thishost"]["differences"]}
    assert sorted(rows) == ["gateway's nginx.conf", "stack's compose.yml"]
    for path in edited:
        path.write_bytes(before[path])

    # What can't be rendered (nobody knows the model here, and the hub is away) is a row, through a pipe as well.
    unknown: dict[str, Any] = {"vllm_stack_models": [{"name": "other", "model": "acme/nothing-of-the-kind"}]}
    piped = play(folder, book, callback="gpuserve.fleet.quiet", drift_fail_on="never", drift_json="-", **unknown)
    assert piped.returncode == 0, piped.stdout + piped.stderr
    found = json.loads(piped.stdout)["thishost"]
    assert [row["what"] for row in found["differences"]] == ["engines", "model other", "model qwen"]
    assert "acme/nothing-of-the-kind" in found["differences"][0]["inventory"]
    written.unlink()
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
