# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several edges in a run: one after the other, one that is not reached, one that fails.

A box is an HTTP server here, and every edge is this machine.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[3]
# Nobody listens there.
DOWN = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
# In place of roles that set up an edge: what is known of it then, and that the next one is not touched before it is proved.
SET_UP = """
- name: Configure and prove the edge's double
  ansible.builtin.shell:
    cmd: >-
      echo begun {{ inventory_hostname }} {{ gateway_models | map(attribute='name') | join(',') }} >> {{ edges_log }};
      test "{{ gateway_prove | join(',') }}" = qwen &&
      {{ edges_fail[inventory_hostname] | default('true') }} && echo proved {{ inventory_hostname }} >> {{ edges_log }}
  vars:
    gateway_models: "{{ _edge_models }}"
GIVEN
  tags: [gateway]
- name: Check by a task of ours
  gpuserve.fleet.gpu_info:
    device: cpu
  tags: [gateway]
"""


class Box(BaseHTTPRequestHandler):
    """A box's gateway that serves one model."""

    def do_GET(self) -> None:
        text = json.dumps(
            {"data": [{"id": "qwen", "root": "qwen", "max_model_len": 1536, "task": "generate"}]}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def box() -> Iterator[int]:
    """Return the port of a box."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Box)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def inventory(folder: Path, port: int, edges: dict[str, dict[str, Any]]) -> Path:
    """Write an inventory of a box and these edges; return its path."""
    local = {
        "ansible_become": False,
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "gpuserve_edge_key": "key-of-the-edge-for-its-boxes",
    }
    models = [{"name": "qwen", "model": "Qwen/Qwen2.5-3B-Instruct"}]
    box = {"ansible_host": "127.0.0.1", "gateway_port": port, "vllm_stack_models": models}
    tree = {"gpu_hosts": {"hosts": {"a": box}}, "edge": {"hosts": edges}}
    path = folder / "inventory.json"
    path.write_text(json.dumps({"all": {"children": tree, "vars": local}}))
    return path


def play(plays: list[dict[str, Any]], folder: Path, hosts: Path, *arguments: str) -> tuple[int, str, list[str]]:
    """Run plays with the project's tasks beside them; return status, output without line breaks, and what was done with edges."""
    shutil.copytree(CHECKOUT / "playbooks/tasks", folder / "tasks", dirs_exist_ok=True)
    shutil.copytree(CHECKOUT / "playbooks/vars", folder / "vars", dirs_exist_ok=True)
    edge = yaml.safe_load((CHECKOUT / "playbooks/tasks/edge.yml").read_text())
    at = next(at for at, task in enumerate(edge) if "include_role" in str(task))
    # Nothing of this run has started a box: what it is to be proved by is what the box says.
    proved = json.dumps(next(task for task in edge if "Start the gateway" in task["name"])["vars"]["gateway_prove"])
    set_up = SET_UP.replace("GIVEN", f"    gateway_prove: {proved}")
    (folder / "tasks/edge.yml").write_text(yaml.safe_dump(edge[:at], sort_keys=False) + set_up)
    (folder / "plays.yml").write_text(yaml.safe_dump(plays, sort_keys=False))
    log = folder / "log"
    log.write_text("")
    checked = {"_inventory_check": {"routes": {}, "quarantine": {}}, "edges_log": str(log), "edges_fail": {}}
    program = Path(sys.executable).with_name("ansible-playbook")
    environment = {**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    environment |= {"LC_ALL": "C.UTF-8", "ANSIBLE_STDOUT_CALLBACK": "default", "COLUMNS": "120"}
    command = [str(program), "-i", str(hosts), str(folder / "plays.yml"), "-e", json.dumps(checked), *arguments]
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, " ".join((done.stdout + done.stderr).split()), log.read_text().splitlines()


def of_edges() -> list[dict[str, Any]]:
    """Return the plays of site.yml for edges, and the one that tells how the run ended."""
    plays: list[dict[str, Any]] = yaml.safe_load((CHECKOUT / "playbooks/site.yml").read_text())
    return plays[next(at for at, one in enumerate(plays) if one["name"] == "Configure the edges") :]


def test_edges_change_one_after_the_other_and_one_that_is_down_holds_up_no_other(tmp_path: Path, box: int) -> None:
    path = inventory(tmp_path, box, {"front": {}, "back": {}})
    status, output, log = play(of_edges(), tmp_path, path)
    assert (status, log) == (0, ["begun front qwen", "proved front", "begun back qwen", "proved back"]), output
    assert "PLAY [Tell how the run ended]" in output and "TASK [Fail" not in output

    # Whichever of them it is, in whatever order.
    for hosts in ({"front": DOWN, "back": {}}, {"back": {}, "front": DOWN}):
        status, output, log = play(of_edges(), tmp_path, inventory(tmp_path, box, hosts))
        assert (status, log) == (2, ["begun back qwen", "proved back"]), output
        told = "front: it was not reached (ssh: connect to host 127.0.0.1 port 1: Connection refused) and keeps the routes that it had."
        assert f"{told} Mend what stands in the way, and run site.yml -l edge." in output, output
        assert "UNREACHABLE" not in output, output


def test_an_edge_that_fails_keeps_others_as_they_serve_and_the_run_tells_how_it_ended(tmp_path: Path, box: int) -> None:
    path = inventory(tmp_path, box, {"down": DOWN, "front": {}, "back": {}})
    outcome = {"failures": {"a": "qwen did not start: no memory."}, "screen": ["1 failed."], "told_by": "a"}
    failed = [
        {
            "name": "Configure what a rollout left",
            "hosts": "localhost",
            "gather_facts": False,
            "tasks": [{"name": "Configure it", "ansible.builtin.set_fact": {"_site_outcome": outcome}}],
        }
    ]
    fails = ["-e", json.dumps({"edges_fail": {"front": "false"}})]
    status, output, log = play([*failed, *of_edges()], tmp_path, path, *fails)
    assert (status, log) == (2, ["begun front qwen"]), output
    assert "front: non-zero return code" in output and "back behind it in the group: not touched." in output, output
    assert "down: it was not reached (" in output and "a: qwen did not start: no memory." in output, output


def test_an_edge_that_dies_while_it_is_configured_is_told_as_one_that_fails(tmp_path: Path, box: int) -> None:
    ssh = tmp_path / "ssh"
    refused = "echo 'ssh: connect to host front port 22: Connection refused' >&2; exit 255"
    ssh.write_text(
        f'#!/bin/sh\n[ -e {tmp_path}/dead ] && {{ {refused}; }}\nfor last; do :; done\nexec /bin/sh -c "$last"\n'
    )
    ssh.chmod(0o755)
    mortal = {"ansible_connection": "ssh", "ansible_ssh_executable": str(ssh)}
    dies = ["-e", json.dumps({"edges_fail": {"front": f"touch {tmp_path}/dead"}})]
    status, output, log = play(of_edges(), tmp_path, inventory(tmp_path, box, {"front": mortal, "back": {}}), *dies)
    assert (status, log) == (2, ["begun front qwen", "proved front"]), output
    assert "front: it was not reached any more (ssh: connect to host front port 22: Connection refused)." in output, (
        output
    )
    assert "back behind it in the group: not touched." in output and "UNREACHABLE" not in output, output


DRAINED = [
    {
        "name": "A box changes",
        "hosts": "a",
        "gather_facts": False,
        "tasks": [
            {"name": name, "ansible.builtin.include_role": {"name": "gpuserve.fleet.gateway", "tasks_from": tasks}}
            for name, tasks in (("Drain", "drain.yml"), ("Configure it", "defaults.yml"), ("Return", "return.yml"))
        ],
    }
]


def test_a_box_changes_though_an_edge_is_down_and_it_is_told_once(tmp_path: Path, box: int) -> None:
    path = inventory(tmp_path, box, {"front": DOWN, "back": {}})
    hosts = json.loads(path.read_text())
    hosts["all"]["children"]["gpu_hosts"]["hosts"]["b"] = {"ansible_host": "127.0.0.2", "gateway_port": box}
    path.write_text(json.dumps(hosts))
    play_of_both = [{**DRAINED[0], "hosts": "gpu_hosts"}]
    status, output, _log = play(play_of_both, tmp_path, path)
    assert status == 0 and "UNREACHABLE" not in output and "fatal" not in output, output
    said = "front was not reached."
    assert output.count(f"{said} An edge that is down sends boxes nothing, so they change without it.") == 1, output
    assert output.count(f"{said} If it is up after all, ") == 1, output
    assert "a : ok=5 changed=0 unreachable=0 failed=0" in output and "b : ok=5" in output, output
