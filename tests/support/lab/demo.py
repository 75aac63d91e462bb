# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The demonstration: a host, the real `site.yml` over SSH, a table, and an answer of each model."""

from __future__ import annotations

import concurrent.futures
import json
import os
import platform
import secrets
import shlex
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.tests.support.lab import (
    answers,
    bases,
    boxes,
    engine,
    images,
    last_screen,
    models,
    registry,
)
from ansible_collections.gpuserve.fleet.tests.support.lab.common import (
    CACHE,
    CHECKOUT,
    MADE,
    LabError,
    docker_ok,
    run,
    say,
    shown,
)

# The end-to-end test runs the same path beside a demonstration, in a box of another name.
BOX = os.environ.get("GPUSERVE_DEMO") or "demo"
NOTE = CACHE / "demo" / f"{BOX}.json"
# What the play writes for its clients: the first key, as beside any inventory, and what playbooks/keys.yml keeps.
KEYS = CACHE / "demo" / f"{BOX}.keys"
TIMES = CACHE / "demo" / "times.json"
MODELS_ON_HOST = "/srv/gpuserve-demo"
REPORT = "/var/lib/gpuserve/report.json"
GATEWAY_PORT = 8000
GB = 1_000_000_000
# While vLLM's image is built it is there three times: as files, as layers, and in the registry.
DISK_COLD = 16 * GB


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

    @property
    def client(self) -> answers.Client:
        """Return a client of its gateway, with the key that the play wrote down."""
        return answers.Client(self.url, first_key_file().read_text().strip())


def up() -> None:
    """Bring the demonstration up and show it."""
    started = time.monotonic()
    warm = _is_warm()
    can_begin(warm)
    target = _prepare()
    prepared = time.monotonic()
    command = ["ansible-playbook", "-i", "inventories/demo", "site.yml"]
    say(f"$ {' '.join(command)}")
    if subprocess.run(command, cwd=CHECKOUT, check=False).returncode != 0:
        raise LabError(
            "The play above did not finish; `make demo` carries on from there, `make demo-down` removes the box."
        )
    played = time.monotonic()
    said = last_screen.talk(target.client)
    whole = time.monotonic() - started
    print("", *last_screen.table(read_report(target)), "", *said, "", sep="\n")
    print(*last_screen.took(whole, warm, MADE, played - prepared, _registry_of(target)), "", sep="\n")
    print(*last_screen.go_on(target.url, shown(first_key_file())), sep="\n")
    _remember_time("warm" if warm else "cold", whole)


def can_begin(warm: bool) -> None:
    """Stop before anything is made where the end is known."""
    if platform.machine() not in ("x86_64", "AMD64"):
        raise LabError(f"The demonstration needs x86_64, for which vLLM's CPU build is: this is {platform.machine()}.")
    CACHE.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(CACHE).free
    if not warm and free < DISK_COLD:
        raise LabError(
            f"The first demonstration needs {DISK_COLD / GB:.0f} GB of free disk at {shown(CACHE)}, and {free / GB:.0f} are free:"
            " free some, or name another place with GPUSERVE_CACHE."
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
    shutil.rmtree(KEYS, ignore_errors=True)


def first_key_file() -> Path:
    """Return where the play writes the first key, as beside any inventory: under the host's name."""
    return KEYS / "demo"


def prepare() -> None:
    """Make the demonstration's host ready for the play, and stop there."""
    print(json.dumps(_prepare().hostvars, indent=2))


def read_report(target: Target) -> dict[str, Any]:
    """Return the report that the play left on the host."""
    report: dict[str, Any] = json.loads(run(target.root(f"cat {REPORT}")).stdout)
    return report


def current() -> Target:
    """Return the demonstration's host as it was last made."""
    if not NOTE.exists():
        raise LabError("There is no demonstration host yet: run `make demo` first.")
    return _target_of(json.loads(NOTE.read_text()))


def _prepare() -> Target:
    address = os.environ.get("DEMO_HOST", "")
    if not address:
        say(f"the demonstration goes into a simulated host on this machine; its gateway is http://localhost:{_port()}")
        engine.ensure_engine()
        if not docker_ok("container", "inspect", boxes.container_name(BOX)):
            _port_is_free()
    # Side by side: one waits for a network where the other unpacks.
    with concurrent.futures.ThreadPoolExecutor() as pool:
        making_models = pool.submit(models.ensure_models)
        making_images = pool.submit(lambda: images.named_by_user() or images.ensure_images())
        hostvars = real_host(address) if address else _simulated_host()
        folder, images_by_variable = making_models.result(), making_images.result()
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
        # Not beside the inventory: a demonstration and a test of it may run from one checkout.
        "gateway_key_dir": str(KEYS),
        "gateway_keys_file": str(KEYS / "gateway-keys.yml"),
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
        ["tar", "-C", str(folder), "--owner=0", "--group=0", "-c", *models.NAMES],
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
        "ansible_host": box.address,
        "ansible_port": box.port,
        "ansible_user": box.user,
        "ansible_ssh_private_key_file": box.key,
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={box.known_hosts}",
    }


def real_host(address: str) -> dict[str, Any]:
    """Return how ansible reaches DEMO_HOST."""
    user, _at, host = address.rpartition("@")
    host, _colon, port = host.partition(":")
    return {
        "gpuserve_demo_url": f"http://{host}:{GATEWAY_PORT}",
        "gpuserve_other_variables": ["gpuserve_demo_*"],
        "ansible_host": host,
        **({"ansible_port": int(port)} if port else {}),
        **({"ansible_user": user} if user else {}),
    }


def _target_of(hostvars: dict[str, Any]) -> Target:
    box = boxes.get(BOX) if hostvars.get("gpuserve_demo_box") else None
    return Target(hostvars, str(hostvars["gpuserve_demo_url"]), box)


def _registry_of(target: Target) -> str:
    """Return the host that the engine's image is pulled from: what stands before the first slash, if it names one."""
    host, slash, _rest = target.hostvars["vllm_stack_engine_image"].partition("/")
    return host if slash and ("." in host or ":" in host) else "Docker Hub"


def _note() -> dict[str, Any]:
    """What an earlier run wrote down of its host."""
    found: dict[str, Any] = json.loads(NOTE.read_text()) if NOTE.exists() else {}
    return found


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
    return (
        models.are_there()
        and engine.answers()
        and docker_ok("image", "inspect", bases.host_base("trixie").image)
        and images.are_there()
    )


def _remember_time(kind: str, seconds: float) -> None:
    times = json.loads(TIMES.read_text()) if TIMES.exists() else {}
    times[kind] = round(seconds)
    TIMES.parent.mkdir(parents=True, exist_ok=True)
    TIMES.write_text(json.dumps(times) + "\n")
    other = {"cold": "warm", "warm": "cold"}[kind]
    if other in times:
        print(f"The last run with {other} caches took {times[other]} s.")
