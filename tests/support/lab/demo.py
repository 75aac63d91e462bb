# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The demonstration: a host, the real `site.yml` over SSH, a table, and an answer of each model."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.tests.support.lab import bases, boxes, engine, images, models, registry
from ansible_collections.gpuserve.fleet.tests.support.lab.common import (
    CACHE,
    CHECKOUT,
    LabError,
    docker_ok,
    run,
    say,
)

# The end-to-end test runs the same path beside a demonstration, in a box of another name.
BOX = os.environ.get("GPUSERVE_DEMO") or "demo"
NOTE = CACHE / "demo" / f"{BOX}.json"
TIMES = CACHE / "demo" / "times.json"
MODELS_ON_HOST = "/srv/gpuserve-demo"
REPORT = "/var/lib/gpuserve/report.json"
GATEWAY_PORT = 8000
GREETING = "Hello! Who are you, and what can you do?"
GIB = 1 << 30


@dataclass(frozen=True)
class Target:
    """The host that the demonstration serves from."""

    hostvars: dict[str, Any]
    url: str
    box: boxes.Box | None

    @property
    def ssh(self) -> list[str]:
        """Return the ssh command that reaches it, as ansible will."""
        options = shlex.split(self.hostvars.get("ansible_ssh_common_args", ""))
        key = self.hostvars.get("ansible_ssh_private_key_file")
        user = self.hostvars.get("ansible_user")
        return [
            *("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", *options),
            *(("-i", key) if key else ()),
            *("-p", str(self.hostvars.get("ansible_port", 22))),
            f"{user}@{self.hostvars['ansible_host']}" if user else self.hostvars["ansible_host"],
        ]

    def root(self, command: str) -> list[str]:
        """Return the command that runs there as root."""
        as_root = self.hostvars.get("ansible_user") == "root"
        return [*self.ssh, command if as_root else f"sudo -n sh -c {shlex.quote(command)}"]


def up() -> None:
    """Bring the demonstration up and show it."""
    started = time.monotonic()
    warm = _is_warm()
    target = _prepare()
    prepared = time.monotonic()
    command = ["ansible-playbook", "-i", "inventories/demo", "site.yml"]
    say(f"$ {' '.join(command)}")
    if subprocess.run(command, cwd=CHECKOUT, check=False).returncode != 0:
        raise LabError(
            "The play above did not finish; `make demo` carries on from there, `make demo-down` removes the box."
        )
    played = time.monotonic()
    report = read_report(target)
    print(table(report, target.url))
    for model in report["models"]:
        print(f"  {model['name']}: {ask(target, model['name'], GREETING)!r}")
    print("\nThe weights are random, so the words mean nothing; everything around them is real.")
    whole = time.monotonic() - started
    print(
        f"\nTook {whole:.0f} s {'with warm' if warm else 'with cold'} caches:"
        f" {prepared - started:.0f} s for the host and its images, {played - prepared:.0f} s for the play."
    )
    _remember_time("warm" if warm else "cold", whole)
    print(
        "\nTo stop it:\n  make demo-down   # removes what the demonstration made on its host\n"
        "  make clean       # removes that, the caches and everything else that this checkout made here"
    )


def down() -> None:
    """Remove what the demonstration made on its host."""
    hostvars = _note()
    if hostvars and not hostvars.get("gpuserve_demo_box"):
        target = _target_of(hostvars)
        say(f"taking the demonstration down on {hostvars['ansible_host']}")
        command = ["ansible-playbook", "-i", "inventories/demo", "playbooks/teardown.yml"]
        if subprocess.run(command, cwd=CHECKOUT, check=False).returncode != 0:
            raise LabError(
                "The play above did not finish; what it left on the host is still there: run make demo-down again."
            )
        run(target.root(f"rm -rf {MODELS_ON_HOST}"))
    else:
        say("the demonstration's box is removed" if boxes.down(BOX) else "there was no demonstration box")
    NOTE.unlink(missing_ok=True)


def prepare() -> None:
    """Make the demonstration's host ready for the play, and stop there."""
    print(json.dumps(_prepare().hostvars, indent=2))


def read_report(target: Target) -> dict[str, Any]:
    """Return the report that the play left on the host."""
    report: dict[str, Any] = json.loads(run(target.root(f"cat {REPORT}")).stdout)
    return report


def table(report: dict[str, Any], url: str) -> str:
    """Return the report's models as a table with units."""
    head = ("model", "endpoint", "ready", "memory planned", "memory measured")
    rows = [
        (
            model["name"],
            f"{url}/v1 (model: {model['name']})",
            f"{model['ready_s']:.0f} s" if model.get("ready_s") is not None else "was up",
            _gib(model.get("planned_bytes")),
            _gib(model.get("measured_bytes")),
        )
        for model in report["models"]
    ]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)
    ]
    return "\n".join(["", *(f"  {line}" for line in lines), ""])


def ask(target: Target, model: str, question: str) -> str:
    """Return what a model says to a question, through the gateway."""
    body = {"model": model, "messages": [{"role": "user", "content": question}], "max_tokens": 24, "temperature": 0.7}
    url = target.url
    headers = {"Content-Type": "application/json"}
    for entry in target.hostvars.get("gateway_keys", []):
        headers["Authorization"] = f"Bearer {entry['key']}"
    request = urllib.request.Request(f"{url}/v1/chat/completions", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            said: str = json.load(answer)["choices"][0]["message"]["content"]
            return said
    except urllib.error.HTTPError as error:
        raise LabError(
            f"{model} answered {error.code} through {url}: {error.read().decode(errors='replace')[:200]}"
        ) from None
    except OSError as error:
        raise LabError(f"{model} could not be asked through {url}: {error}.") from None


def current() -> Target:
    """Return the demonstration's host as it was last made."""
    if not NOTE.exists():
        raise LabError("There is no demonstration host yet: run `make demo` first.")
    return _target_of(json.loads(NOTE.read_text()))


def _prepare() -> Target:
    address = os.environ.get("DEMO_HOST", "")
    folder = models.ensure_models()
    if address:
        say(f"the demonstration goes to {address}: Docker Engine, three small models and a gateway go in there")
        hostvars = real_host(address)
    else:
        say(
            "the demonstration goes into one simulated Debian 13 box on this machine: Docker Engine, three small "
            f"models and a gateway inside it; outside it only http://localhost:{_port()} and files in {CACHE}"
        )
        engine.ensure_engine()
        if not docker_ok("container", "inspect", boxes.container_name(BOX)):
            _port_is_free()
        hostvars = _simulated_host()
    images_by_variable = images.named_by_user() or images.ensure_images()
    if not images.named_by_user() and any(image.startswith(registry.HOST) for image in images_by_variable.values()):
        if address:
            raise LabError(
                "No public container registry answers from here, and the one in the lab can't be reached by DEMO_HOST: "
                "name images that it can pull (DEMO_ENGINE_IMAGE of vLLM's CPU build and DEMO_GATEWAY_IMAGE of nginx with Lua), "
                "or leave DEMO_HOST out."
            )
        registry.trust_in(boxes.container_name(BOX))
    NOTE.parent.mkdir(parents=True, exist_ok=True)
    hostvars = {
        **hostvars,
        **images_by_variable,
        "vllm_stack_engine_version": images.VLLM,
        # The engines ask for a key of their own, which only the gateway and the bring-up know.
        "vllm_stack_api_key": _note().get("vllm_stack_api_key") or secrets.token_urlsafe(24),
    }
    NOTE.touch(mode=0o600)
    NOTE.write_text(json.dumps(hostvars, indent=2) + "\n")
    target = _target_of(hostvars)
    _put_models(target, folder)
    return target


def _put_models(target: Target, folder: Path) -> None:
    there = run(target.root(f"cat {MODELS_ON_HOST}/.made 2>/dev/null || true")).stdout.strip()
    if there == folder.name:
        return
    say(f"copying the models to {MODELS_ON_HOST} on the host")
    there_now = MODELS_ON_HOST
    unpack = (
        f"rm -rf {there_now} && mkdir -p {there_now} && tar -C {there_now} -x && echo {folder.name} > {there_now}/.made"
    )
    tar = subprocess.Popen(
        ["tar", "-C", str(folder), "--owner=0", "--group=0", "-c", *(shape.name for shape in models.SHAPES)],
        stdout=subprocess.PIPE,
    )
    done = subprocess.run(target.root(unpack), stdin=tar.stdout, capture_output=True, text=True, check=False)
    if tar.stdout:
        tar.stdout.close()
    if tar.wait() != 0 or done.returncode != 0:
        raise LabError(f"The models could not be copied to {MODELS_ON_HOST}: {done.stderr.strip()[-300:]}")


def _simulated_host() -> dict[str, Any]:
    box = boxes.up(BOX, publish=(f"127.0.0.1:{_port()}:{GATEWAY_PORT}",))
    return {
        "gpuserve_demo_box": box.container,
        "gpuserve_other_variables": ["gpuserve_demo_*"],
        "gpuserve_demo_url": f"http://localhost:{_port()}",
        # Only this machine reaches the box's port, so the gateway asks for no key.
        "gateway_auth": False,
        "ansible_host": box.address,
        "ansible_port": box.port,
        "ansible_user": box.user,
        "ansible_ssh_private_key_file": box.key,
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={box.known_hosts}",
    }


def real_host(address: str) -> dict[str, Any]:
    """Return how ansible reaches DEMO_HOST, with a key for its gateway."""
    user, _at, host = address.rpartition("@")
    host, _colon, port = host.partition(":")
    return {
        "gpuserve_demo_url": f"http://{host}:{GATEWAY_PORT}",
        "gpuserve_other_variables": ["gpuserve_demo_*"],
        # The gateway is open to the host's network: it asks for this key.
        "gateway_keys": [{"name": "demo", "key": _key()}],
        "ansible_host": host,
        **({"ansible_port": int(port)} if port else {}),
        **({"ansible_user": user} if user else {}),
    }


def _target_of(hostvars: dict[str, Any]) -> Target:
    box = boxes.get(BOX) if hostvars.get("gpuserve_demo_box") else None
    return Target(hostvars, str(hostvars["gpuserve_demo_url"]), box)


def _note() -> dict[str, Any]:
    """What an earlier run wrote down of its host."""
    found: dict[str, Any] = json.loads(NOTE.read_text()) if NOTE.exists() else {}
    return found


def _key() -> str:
    """Return the key of an earlier run, or a new one."""
    for entry in _note().get("gateway_keys", []):
        return str(entry["key"])
    return secrets.token_urlsafe(24)


def _port() -> int:
    return int(os.environ.get("DEMO_PORT", GATEWAY_PORT))


def _port_is_free() -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", _port()))
        except OSError:
            raise LabError(
                f"Port {_port()} of this machine is taken, and the demonstration answers there: free it, or run "
                "`make demo DEMO_PORT=8010`."
            ) from None


def _is_warm() -> bool:
    """Tell whether an earlier run has filled the caches."""
    return engine.answers() and docker_ok("image", "inspect", bases.host_base("trixie").image) and images.are_there()


def _remember_time(kind: str, seconds: float) -> None:
    times = json.loads(TIMES.read_text()) if TIMES.exists() else {}
    times[kind] = round(seconds)
    TIMES.parent.mkdir(parents=True, exist_ok=True)
    TIMES.write_text(json.dumps(times) + "\n")
    other = {"cold": "warm", "warm": "cold"}[kind]
    if other in times:
        print(f"The last run with {other} caches took {times[other]} s.")


def _gib(size: float | None) -> str:
    return "-" if size is None else f"{size / GIB:.2f} GiB"
