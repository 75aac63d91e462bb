#!/usr/bin/env bash
# Run the gateway's integration tests with the official clients, from a venv of their own that is cached outside the work tree: against
# the gateway of a box (GPUSERVE_GATEWAY_HOST, GPUSERVE_GATEWAY_BOX), else against one that is started here.
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
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=.collections exec "$venv/bin/python" -m pytest -q -p no:cacheprovider \
  --override-ini=addopts= --override-ini=pythonpath=. --import-mode=importlib \
  "${@:-tests/integration/gateway}"
