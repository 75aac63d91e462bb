#!/usr/bin/env bash
# Open the pieces of pack.sh on a GPU machine: unpack.sh PIECES PARTS. There is no zstd: the wheel beside the pieces brings it.
set -euo pipefail
pieces=$(cd "$1" && pwd)
mkdir -p "$2"
parts=$(cd "$2" && pwd)
wheel=$(ls "$pieces"/zstandard-*.whl)
python3 -m zipfile -e "$wheel" "$pieces/zstandard"
PYTHONPATH="$pieces/zstandard" python3 - "$pieces" "$parts" <<'PY'
import subprocess, sys, tarfile
from pathlib import Path

import zstandard

pieces = sorted(Path(sys.argv[1]).glob("pack.*"))
with subprocess.Popen(["cat", *pieces], stdout=subprocess.PIPE) as cat:
    with zstandard.ZstdDecompressor().stream_reader(cat.stdout) as plain, tarfile.open(fileobj=plain, mode="r|") as tar:
        tar.extractall(sys.argv[2], filter="tar")
PY
du -sh "$parts"
