# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real run in a terminal, written down with its times (asciicast, version 2): `record FILE COMMAND...`.

`make docs` draws docs/demo.svg from docs/demo.cast, which `make demo-record` writes.
"""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
COLUMNS, ROWS = 120, 40


def record(target: Path, command: Sequence[str]) -> int:
    """Run a command in a terminal of its own, show what it prints, and write each line down; return its exit status."""
    ours, its = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "LINES": str(ROWS), "TERM": "xterm-256color"}
    began = time.monotonic()
    running = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=its, stderr=its, env=environment)
    os.close(its)
    lines: list[tuple[float, str]] = []
    with os.fdopen(ours, encoding="utf-8", errors="replace", newline="\n") as screen:
        try:
            for line in screen:
                print(line, end="", flush=True)
                lines.append((time.monotonic() - began, line.rstrip("\r\n")))
        except OSError:  # the terminal is gone once the command is
            pass
    code = running.wait()
    if code == 0:
        target.write_text(cast(lines), encoding="utf-8")
    return code


def cast(lines: Iterable[tuple[float, str]]) -> str:
    """Return the lines as asciicast; folders of this machine are written as anybody's."""
    header = {"version": 2, "width": COLUMNS, "height": ROWS}
    # The last one is the home of a simulated host's root.
    places = {str(CHECKOUT): "~/gpuserve.fleet", str(Path.home()): "~", "/root/": "~/"}
    rows = [json.dumps(header)]
    for seconds, line in lines:
        written = line
        for place, name in places.items():
            written = written.replace(place, name)
        rows.append(json.dumps([round(seconds, 1), "o", written + "\r\n"], ensure_ascii=False))
    return "\n".join(rows) + "\n"


def read(text: str) -> list[tuple[float, str]]:
    """Return the lines of an asciicast that `cast` wrote, with the seconds after which each stood there."""
    events = [json.loads(row) for row in text.splitlines()[1:]]
    return [(float(seconds), line.rstrip("\r\n")) for seconds, _kind, line in events]


if __name__ == "__main__":
    sys.exit(record(Path(sys.argv[1]), sys.argv[2:]))
