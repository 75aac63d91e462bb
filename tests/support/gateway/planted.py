# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plant secrets in the gateway's variables, play its role at every verbosity, passing and failing, and look for them in what is printed.

python -m ...planted INVENTORY PLAYBOOK HOST FOLDER
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[3]
VERBOSITIES = ((), ("-v",), ("-vvv",), ("--diff",), ("-vvv", "--diff", "--check"))


def secret(number: int, what: str) -> str:
    """Return a secret that nothing else is."""
    return f"planted-{what}-of-run-{number}-0123456789"


def variables(number: int, fails: bool) -> dict[str, Any]:
    """Return variables that hold a secret wherever one may be; a run that fails asks for a model whose engine is not there."""
    engine = {"name": "yi", "endpoints": ["127.0.0.1:8002"], "api_key": secret(number, "engine-key")}
    models = [engine, {"name": "gone", "endpoints": ["127.0.0.1:8009"]}]
    by_digest = {"name": "other", "sha256": hashlib.sha256(secret(number, "other-key").encode()).hexdigest()}
    keys = [{"name": "all", "key": secret(number, "key")}, by_digest]
    return {
        "gateway_models": models,
        "gateway_keys": keys,
        "gateway_prove": ["gone"] if fails else [],
        "_gateway_prove_timeout_s": 1,
    }


def shown(text: str, number: int) -> list[str]:
    """Return what was planted and is printed, in the clear or by its digest."""
    planted = [secret(number, what) for what in ("engine-key", "key", "other-key")]
    digests = [hashlib.sha256(one.encode()).hexdigest() for one in planted]
    return [one for one in (*planted, *digests) if one in text]


def main() -> None:
    """Play, and say what came out."""
    inventory, playbook, host, folder = sys.argv[1:]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    leaks, number = [], 0
    for fails in (False, True):
        for words in VERBOSITIES:
            number += 1
            log = Path(folder) / f"log-{number}"
            given = Path(folder) / "given.json"
            given.write_text(json.dumps(variables(number, fails)))
            argv = ["ansible-playbook", "-i", inventory, playbook, "-l", host, "-e", f"@{given}", *words]
            done = subprocess.run(
                argv,
                cwd=CHECKOUT,
                env={**environment, "ANSIBLE_LOG_PATH": str(log)},
                capture_output=True,
                text=True,
                check=False,
            )
            text = done.stdout + done.stderr + log.read_text(errors="replace")
            expected = 2 if fails and "--check" not in words else 0
            if done.returncode != expected:
                raise SystemExit(f"{argv} ended with {done.returncode}, not {expected}:\n{text[-4000:]}")
            leaks += [
                f"{' '.join(words) or 'plain'}, {'failing' if fails else 'passing'}: {one}"
                for one in shown(text, number)
            ]
    if leaks:
        raise SystemExit("printed: " + "; ".join(leaks))
    print(f"{number} runs, nothing that was planted was printed")


if __name__ == "__main__":
    main()
