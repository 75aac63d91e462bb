# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Doubles for a box without a card: NVIDIA's NVML library, a card in CDI, and an engine that acts as vLLM's GPU build does.

None of them is ever part of the demonstration; what they stand for was measured on real cards.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from ansible_collections.gpuserve.fleet.tests.support.lab import boxes, images, registry
from ansible_collections.gpuserve.fleet.tests.support.lab.bases import Base, make_root
from ansible_collections.gpuserve.fleet.tests.support.lab.common import (
    CACHE,
    CHECKOUT,
    LabError,
    docker,
    key_of,
    locked,
)

SOURCES = CHECKOUT / "tests" / "support" / "doubles"
FOLDER = "/var/lib/nvml-double"
# What the engine's image has, and what each is called there.
PROGRAMS = {"engine_double.py": "engine_double.py", "bench_double.py": "vllm"}
# The version whose arguments and lines the double has.
VERSION = "0.26.0"
GIB = 1 << 30
MIB = 1 << 20
# An RTX 5090: NVML's total, and what the driver keeps of it, so that processes can have 31.36 GiB.
CARD = ("GPU-d0bb1e00-0000-4000-8000-000000000000", "NVIDIA GeForce RTX 5090", 32607 * MIB, 494 * MIB, "12.0")
_BASE = Base("engine-double", "trixie", ("python3", "ca-certificates"), systemd=False)


def ensure_nvml() -> Path:
    """Return the compiled double of libnvidia-ml.so.1."""
    return _ensure_library("nvml_double.c", "libnvidia-ml.so.1")


def ensure_cuda() -> Path:
    """Return the compiled double of libcuda.so.1, which only starts or says why not."""
    return _ensure_library("cuda_double.c", "libcuda.so.1")


def _ensure_library(name: str, soname: str) -> Path:
    source = SOURCES / name
    built = CACHE / "doubles" / key_of(source.read_text()) / soname
    with locked(source.stem.replace("_", "-")):
        if not built.exists():
            built.parent.mkdir(parents=True, exist_ok=True)
            draft = built.with_suffix(".draft")
            command = ["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", f"-Wl,-soname,{built.name}"]
            try:
                done = subprocess.run([*command, "-o", draft, source], capture_output=True, text=True, check=False)
            except FileNotFoundError:
                raise LabError(f"There is no C compiler for {name}: install gcc and libc6-dev.") from None
            if done.returncode != 0:
                raise LabError(f"{name} does not compile: {done.stderr.strip()[-300:]}")
            draft.replace(built)
    return built


def ensure_engine_double() -> str:
    """Return the engine double's image in the lab's registry, by digest."""
    registry.ensure_registry()
    sources = [(SOURCES / name).read_text() for name in PROGRAMS]
    return images.ensure("engine-double", key_of(images.RECIPE, _BASE.key, *sources), _build)


def install(name: str, cards: int = 1) -> dict[str, str]:
    """Give a running box the doubles; return the variables that make our roles use them."""
    container = boxes.get(name).container
    image = ensure_engine_double()
    registry.trust_in(container)
    docker(
        "exec", container, "install", "-d", *(f"{FOLDER}/{part}" for part in ("held", "engines", "struck")), "/etc/cdi"
    )
    docker("cp", ensure_nvml(), f"{container}:/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1")
    docker("cp", ensure_cuda(), f"{container}:/usr/lib/x86_64-linux-gnu/libcuda.so.1")
    docker("cp", SOURCES / "hold_double.py", f"{container}:/usr/local/bin/hold_double.py")
    _put(container, f"{FOLDER}/cards", "".join("\t".join(map(str, gpu(at))) + "\n" for at in range(cards)))
    _put(container, "/etc/cdi/nvidia-double.json", json.dumps(_cdi(cards), indent=1))
    return {"vllm_stack_engine_image": image, "vllm_stack_engine_version": VERSION}


def gpu(at: int) -> tuple[str, str, int, int, str]:
    """The UUID, name, total, reserved bytes and capability of one card of a box."""
    uuid, *rest = CARD
    return (f"{uuid[:-1]}{at}", *rest)  # type: ignore[return-value]


def _cdi(cards: int) -> dict[str, object]:
    everything = [
        {"name": label, "containerEdits": {"env": [f"NVML_DOUBLE_VISIBLE_{at}={gpu(at)[0]}"]}}
        for at in range(cards)
        for label in (str(at), gpu(at)[0])
    ]
    mount = {"hostPath": FOLDER, "containerPath": FOLDER, "options": ["rw", "bind"]}
    return {
        "cdiVersion": "0.6.0",
        "kind": "nvidia.com/gpu",
        "devices": [
            *everything,
            {
                "name": "all",
                "containerEdits": {"env": [f"NVML_DOUBLE_VISIBLE_{at}={gpu(at)[0]}" for at in range(cards)]},
            },
        ],
        "containerEdits": {"mounts": [mount]},
    }


def _put(container: str, path: str, text: str) -> None:
    docker("exec", "-i", container, "sh", "-c", f"cat > {path}", stdin=text)


def _build(repository: str, key: str, folder: Path) -> str:
    root = folder / "root"
    make_root(_BASE, root)
    for name, program in PROGRAMS.items():
        path = root / "usr/local/bin" / program
        path.write_text((SOURCES / name).read_text())
        path.chmod(0o755)
    settings: dict[str, object] = {
        "Entrypoint": ["python3", "/usr/local/bin/engine_double.py"],
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "Labels": {"org.opencontainers.image.title": "a double of vLLM's server, for tests"},
    }
    return registry.push(repository, key, [images.pack(root, folder / "base.tar", ["."])], settings)
