# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody else's process: holds memory of the NVML double's card. Arguments: UUID BYTES [SECONDS]."""

from __future__ import annotations

import fcntl
import os
import sys
import time

folder = os.environ.get("NVML_DOUBLE_DIR", "/var/lib/nvml-double")
handle = os.open(f"{folder}/held/other-{os.getpid()}", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
fcntl.lockf(handle, fcntl.LOCK_EX)
os.write(handle, f"{sys.argv[1]} {sys.argv[2]}\n".encode())
print(os.getpid(), flush=True)
time.sleep(float(sys.argv[3]) if len(sys.argv) > 3 else 3600)
