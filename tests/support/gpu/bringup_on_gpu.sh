#!/usr/bin/env bash
# The vllm_stack role with real Docker, CDI and a real vLLM on one card, the rest of which is held so that a 32 GB card is left.
# Needs, prepared: dockerd with CDI on, the card as nvidia.com/gpu=0 and by UUID, vLLM's packages in /tmp/site, /tmp/models/NAME with
# config.json and a tokenizer, ansible on the PATH, the modules' environment in /opt/gpuserve/venv. Prints one line a step.
set -uo pipefail
cd "$(dirname "$0")/../../.." || exit 1
here=tests/support/gpu
play() { ansible-playbook -i $here/bringup_inventory.yml $here/bringup_on_gpu.yml 2>&1; }
step() { echo "== $1"; }
down() {
  ids=$(docker ps -aq --filter label=fleet.gpuserve.stack=gpuserve)
  # shellcheck disable=SC2086  # one argument a container
  if [ -n "$ids" ]; then docker rm -f $ids >/dev/null; fi
  # What was measured stays: the second start is planned from what the first one held.
  rm -rf /opt/gpuserve/stack /var/lib/gpuserve/state.json /var/lib/gpuserve/report.json /var/lib/gpuserve/journal.json
}
summary() { grep -E "RESULT|fatal|msg:|changed=|did not start" | cut -c1-6000; }

PYTHONPATH=/tmp/site python3 $here/hold_memory.py --leave-mib 32113 & holder=$!
sleep 12
step "cold, parallel, graphs"; time play | summary
step "again: nothing to do"; time play | summary
step "throughput, graphs"; python3 $here/load.py
nvidia-smi --query-compute-apps=pid,used_memory --format=csv,noheader
down
step "warm, parallel, graphs"; time play | summary
down
step "warm, serial, graphs"; time MODE=serial play | summary
down
step "eager, as the guide says"; time EAGER=true play | summary
step "throughput, eager"; python3 $here/load.py
down
step "fault: a foreign process takes all but 6 GiB six seconds after the start"
PYTHONPATH=/tmp/site python3 $here/hold_memory.py --leave-mib 6144 --after-s 9 & thief=$!
time play | tail -40
kill $thief $holder
down
