#!/usr/bin/env bash
# `make gpu-proof`: playbooks/prove.yml on this machine, which has a card; ends with one line of JSON.
#
# Without a network (GPU_PACK names the pieces of pack.sh, or the machine was made ready before): the guide's three shapes and SmolLM2, on what
# prepare_machine.sh put here, with all but 32,113 MiB of the card held by another process, as on an RTX 5090 (GPU_LEAVE_MIB=0: nothing held).
# With INVENTORY=FILE: the hosts and models of that inventory, and nothing is prepared or held.
# PROOF_FOR_S (540): no step begins that would likely end later; what was done is not done again by the next call. PROOF_FOLDER keeps it all.
# Arguments go to ansible-playbook.
set -euo pipefail
here=$(cd "$(dirname "$0")/../../.." && pwd)
folder=${PROOF_FOLDER:-/tmp/gpu-proof}
leave=${GPU_LEAVE_MIB:-32113}
mkdir -p "$folder"
export ANSIBLE_CONFIG=$here/ansible.cfg PYTHONUNBUFFERED=1
inventory=${INVENTORY:-}

if [ -z "$inventory" ]; then
  if [ ! -e /opt/controller/.ready ]; then
    [ -n "${GPU_PACK:-}" ] || { echo "This machine is not prepared: set GPU_PACK to the folder with the pieces of tests/support/gpu/pack.sh, or INVENTORY." >&2; exit 2; }
    "$here/tests/support/gpu/unpack.sh" "$GPU_PACK" /tmp/gpu-parts
    "$here/tests/support/gpu/prepare_machine.sh" /tmp/gpu-parts
  fi
  inventory=$folder/inventory.yml
  cp "$here/tests/support/gpu/proof_inventory.yml" "$inventory"
  GPU_PYTHON=$(command -v python3) GPU_HOLDER=$folder/hold_memory.sh
  export GPU_PYTHON GPU_HOLDER
  printf '#!/bin/sh\nPYTHONPATH=/tmp/site exec %s %s "$@"\n' "$GPU_PYTHON" "$here/tests/support/gpu/hold_memory.py" > "$GPU_HOLDER"
  chmod +x "$GPU_HOLDER"
  # A later call finds the one of an earlier call still there.
  if [ "$leave" != 0 ] && ! { [ -e "$folder/holder.pid" ] && kill -0 "$(cat "$folder/holder.pid")" 2> /dev/null; }; then
    setsid "$GPU_HOLDER" --leave-mib "$leave" > "$folder/holder.log" 2>&1 < /dev/null &
    echo $! > "$folder/holder.pid"
    for _ in $(seq 120); do grep -q '^holding' "$folder/holder.log" && break; sleep 0.5; done
    cat "$folder/holder.log"
  fi
fi

status=0
ansible-playbook -i "$inventory" "$here/playbooks/prove.yml" -e "prove_for_s=${PROOF_FOR_S:-540}" -e "prove_json=$folder/line.json" \
  -e "prove_page=$folder/proof.md" "$@" || status=$?
cat "$folder/line.json"
exit $status
