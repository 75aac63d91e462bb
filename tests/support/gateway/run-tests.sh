#!/usr/bin/env bash
# Run the gateway's integration tests with the official clients, from a venv of their own that is cached outside the work tree.
set -euo pipefail
root=$(cd "$(dirname "$0")/../../.." && pwd)
cache=${GPUSERVE_CACHE:-$HOME/.cache/gpuserve-fleet}
venv=$cache/venv-gateway-$(sha256sum < "$root/requirements/gateway.txt" | cut -c1-12)
mkdir -p "$cache"
exec 9>"$venv.lock"
flock 9
if [ ! -e "$venv/.ready" ]; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q --disable-pip-version-check -r "$root/requirements/gateway.txt"
  touch "$venv/.ready"
fi
flock -u 9
cd "$root"
PYTHONDONTWRITEBYTECODE=1 exec "$venv/bin/python" -m pytest tests/integration/gateway -q -p no:cacheprovider \
  --override-ini=addopts= --override-ini=pythonpath=. --import-mode=importlib "$@"
