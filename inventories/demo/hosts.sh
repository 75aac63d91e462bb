#!/usr/bin/env bash
# Inventory of the demonstration: the host that `make demo` made or was given, as it wrote it down.
# So `ansible-playbook -i inventories/demo site.yml` works by hand too, once `make demo` has run.
set -euo pipefail
note=${GPUSERVE_CACHE:-$HOME/.cache/gpuserve-fleet}/demo/${GPUSERVE_DEMO:-demo}.json
if [ ! -f "$note" ]; then
  echo "There is no demonstration host yet: run make demo first." >&2
  exit 1
fi
printf '{"gpu_hosts": {"hosts": ["demo"]}, "_meta": {"hostvars": {"demo": %s}}}\n' "$(cat "$note")"
