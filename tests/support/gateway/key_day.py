# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A day of the keys of a gateway in a box, by playbooks/keys.yml: added, rotated, revoked and refused, while a stream runs.

python -m ...key_day INVENTORY HOST ADDRESS    says how long each change took
"""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
# sha256 of it is in the scenario's inventory.
STAYS = "key-for-everything"


class Day:
    """One gateway, and what was printed on the way."""

    def __init__(self, inventory: str, host: str, address: str) -> None:
        self.inventory, self.host, self.address = inventory, host, address
        folder = Path(inventory).resolve()
        self.folder = (folder if folder.is_dir() else folder.parent) / ".gpuserve"
        self.printed = ""
        self.seconds: dict[str, float] = {}

    def keys(self, *words: str, fails: str = "") -> str:
        """Run the playbook."""
        began = time.monotonic()
        argv = [
            "ansible-playbook",
            "-i",
            self.inventory,
            "playbooks/keys.yml",
            "-e",
            "gpuserve_hosts=all",
            "-vvv",
            "--diff",
        ]
        argv += [part for word in words for part in ("-e", word)]
        environment = {**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run(argv, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
        text = done.stdout + done.stderr
        assert (done.returncode != 0) == bool(fails) and fails in " ".join(text.split()), text[-6000:]
        self.printed += text
        self.seconds[" ".join(words) or "list"] = round(time.monotonic() - began, 1)
        return text

    def key(self, name: str) -> str:
        """Return a key from its file, which nobody else may read."""
        path = self.folder / "keys" / name
        assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
        return path.read_text().strip()

    def models(self, key: str) -> list[str] | int:
        """Return which models a key opens, or the status of a refusal."""
        connection = http.client.HTTPConnection(self.address, 8000, timeout=10)
        connection.request("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"})
        answer = connection.getresponse()
        body = json.loads(answer.read())
        return [str(model["id"]) for model in body["data"]] if answer.status == 200 else answer.status

    def stream(self, tokens: int, got: list[int]) -> None:
        """Take a stream to its end."""
        connection = http.client.HTTPConnection(self.address, 8000, timeout=30)
        body = json.dumps({"model": "qwen", "stream": True, "max_tokens": tokens, "stub_gap_ms": 100})
        connection.request("POST", "/v1/chat/completions", body, {"Authorization": f"Bearer {STAYS}"})
        answer = connection.getresponse()
        for line in answer:
            got[0] += line.startswith(b"data: {")
            got[1] += line.startswith(b"data: [DONE]")


def main() -> None:
    """Live the day."""
    day = Day(*sys.argv[1:])
    tokens, got = 400, [0, 0]
    running = threading.Thread(target=day.stream, args=(tokens, got))
    running.start()

    day.keys("key_add=team-a", "key_models=yi", "key_expires=2099-01-01")
    first = day.key("clients/team-a")
    assert day.models(first) == ["yi"] and isinstance(day.models(STAYS), list)

    day.keys("key_rotate=team-a", "key_keep_until=2099-01-01")
    second = day.key("clients/team-a")
    assert second != first and day.models(first) == day.models(second) == ["yi"]

    listed = day.keys()
    assert "team-a.old" in listed

    day.keys("key_add=other", "key_models=nothing", fails="there is no model 'nothing'")
    assert (
        "other" not in (day.folder / "gateway-keys.yml").read_text()
        and not (day.folder / "keys/clients/other").exists()
    )
    day.keys("key_add=all", fails="all is in gateway_keys already")

    day.keys("key_revoke=team-a.old")
    assert (day.models(first), day.models(second)) == (401, ["yi"])
    day.keys("key_revoke=team-a")
    assert day.models(second) == 401 and isinstance(day.models(STAYS), list)
    assert not (day.folder / "keys/clients/team-a").exists()

    running.join(120)
    assert got == [tokens, 1], f"of a stream over all changes {got} came"
    digests = re.findall(r"sha256: ([0-9a-f]{64})", day.printed)
    assert first not in day.printed and second not in day.printed and not digests
    print(json.dumps(day.seconds))


if __name__ == "__main__":
    main()
