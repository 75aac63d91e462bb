# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hold memory of one card until killed, for real: all but --leave-mib (a smaller card), or --take-mib of it (a foreign process).

With --when FILE it takes only once that file is there; until then it holds no more than its context. Says `ready`, then what it holds.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import pynvml
import torch

MIB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--leave-mib", type=int)
    how.add_argument("--take-mib", type=int)
    how.add_argument("--take-bytes", type=int)
    parser.add_argument("--card", type=int, default=0)
    parser.add_argument("--when", type=Path)
    options = parser.parse_args()
    held = [torch.zeros(1, device=f"cuda:{options.card}")]
    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(options.card)
    print("ready", flush=True)
    while options.when and not options.when.exists():
        time.sleep(0.05)
    free = int(pynvml.nvmlDeviceGetMemoryInfo(handle).free) // MIB
    if options.take_bytes is not None:
        options.take_mib = options.take_bytes // MIB
    size = options.take_mib if options.take_mib is not None else free - options.leave_mib
    if size > 0:
        held.append(torch.empty(size * MIB, dtype=torch.uint8, device=f"cuda:{options.card}"))
    print(f"holding {size} MiB, {int(pynvml.nvmlDeviceGetMemoryInfo(handle).free) // MIB} MiB are free", flush=True)
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main()
