# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hold memory on card 0 until killed, so that --leave-mib stay free: a smaller card, or a foreign process, for real."""

from __future__ import annotations

import argparse
import time

import pynvml
import torch

MIB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--leave-mib", type=int, required=True)
    parser.add_argument("--after-s", type=float, default=0.0)
    options = parser.parse_args()
    time.sleep(options.after_s)
    held = [torch.zeros(1, device="cuda")]
    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    spare = int(pynvml.nvmlDeviceGetMemoryInfo(handle).free) // MIB - options.leave_mib
    if spare > 0:
        held.append(torch.empty(spare * MIB, dtype=torch.uint8, device="cuda"))
    print(f"holding {spare} MiB, {int(pynvml.nvmlDeviceGetMemoryInfo(handle).free) // MIB} MiB are free", flush=True)
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main()
