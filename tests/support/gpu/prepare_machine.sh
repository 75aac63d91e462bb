#!/usr/bin/env bash
# Make a bare GPU machine without a network ready for gpu_proof.sh and bringup_on_gpu.sh: Docker with CDI, images, models, a controller.
#
#   prepare_machine.sh PARTS
#
# PARTS is the folder that unpack.sh made of the pieces of pack.sh. What is in it becomes /tmp/site (vLLM with its packages, for the python3
# on the PATH, which has PyTorch), /usr/local/bin, /opt/controller and two images. Run as root, in a copy of this repository.
set -euo pipefail
parts=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")/../../.." && pwd)
python=$(command -v python3)
libraries=$(dirname "$(find /usr/local/nvidia /usr/lib -name 'libnvidia-ml.so.1' 2>/dev/null | head -1)")

[ -e /tmp/site ] || mv "$parts/site" /tmp/site

environment() { # FOLDER WHEEL...: a virtual environment without pip's help
  local folder=$1 site
  shift
  "$python" -m venv --without-pip "$folder"
  site=$("$folder/bin/python3" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  for wheel in "$@"; do "$python" -m zipfile -e "$wheel" "$site"; done
}

# The controller, and the environment that the role would install from a package index.
environment /opt/controller "$parts"/wheels/*.whl
cat > /usr/local/bin/ansible-playbook <<'PY'
#!/opt/controller/bin/python3
from ansible.cli.playbook import main

main()
PY
chmod +x /usr/local/bin/ansible-playbook
mkdir -p /usr/share/ansible/collections/ansible_collections /var/lib/gpuserve
cp -r "$parts"/collections/. /usr/share/ansible/collections/ansible_collections/
environment /opt/gpuserve/venv "$parts"/wheels/*.whl
cp "$here/roles/vllm_stack/files/requirements.txt" /opt/gpuserve/venv/.complete
cp "$here/roles/vllm_stack/files/requirements.txt" /var/lib/gpuserve/requirements.txt

# Docker, as it starts where PID 1 is not systemd and there is no iptables.
cp "$parts"/docker/bin/* /usr/local/bin/
# Docker mounts its init into a container at /sbin, over which the machine's /usr comes: it has to be there, too.
cp "$parts"/docker/bin/docker-init /usr/sbin/
mkdir -p ~/.docker/cli-plugins /etc/docker /etc/cdi
cp "$parts"/docker/plugins/* ~/.docker/cli-plugins/
echo '{"features": {"cdi": true}, "iptables": false, "ip6tables": false}' > /etc/docker/daemon.json

# Each card by index and by UUID, all nodes of the driver, its libraries read-only.
"$python" - "$libraries" <<'PY' > /etc/cdi/nvidia.json
import glob, json, os, subprocess, sys

libraries = sys.argv[1]
listed = subprocess.check_output(["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"], text=True)
cards = [line.split(", ") for line in listed.splitlines()]
shared = [path for path in ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools") if os.path.exists(path)]
shared += glob.glob("/dev/nvidia-caps/*")
devices = [
    {"name": name, "containerEdits": {"deviceNodes": [{"path": f"/dev/nvidia{index}"}]}}
    for index, uuid in cards
    for name in (index, uuid)
]
edits = {
    "deviceNodes": [{"path": path} for path in shared],
    "env": [f"LD_LIBRARY_PATH={libraries}"],
    "mounts": [{"hostPath": libraries, "containerPath": libraries, "options": ["ro", "nosuid", "nodev", "rbind"]}],
}
print(json.dumps({"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu", "devices": devices, "containerEdits": edits}))
PY

setsid containerd > /tmp/containerd.log 2>&1 < /dev/null &
for _ in $(seq 50); do [ -S /run/containerd/containerd.sock ] && break; sleep 0.2; done
setsid dockerd --containerd /run/containerd/containerd.sock > /tmp/dockerd.log 2>&1 < /dev/null &
for _ in $(seq 150); do docker info > /dev/null 2>&1 && break; sleep 0.2; done
docker version --format 'Docker {{.Server.Version}}'
docker compose version --short

# The engine's image: a root without a userland, which comes by the machine's /usr and /opt; its entrypoint is vLLM's.
root=$(mktemp -d)
mkdir -p "$root"/{usr,opt,tmp,etc,root,proc,sys,dev,run,var}
chmod 1777 "$root/tmp"
for name in bin lib lib64 sbin; do ln -s "usr/$name" "$root/$name"; done
cp /etc/passwd /etc/group /etc/ld.so.cache "$root/etc/"
tar -C "$root" -c . | docker import \
  -c 'ENV PYTHONPATH=/tmp/site HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin' \
  -c "ENTRYPOINT [\"$python\", \"-m\", \"vllm.entrypoints.cli.main\", \"serve\"]" \
  - gpuserve-gpu-test/vllm:v0.26.0 > /dev/null
rm -rf "$root"

docker import - gpuserve-gpu-test/gateway:1 < "$parts/gateway.tar" > /dev/null

PYTHONPATH="/tmp/site:$here/.collections" "$python" - "$here" "$parts" <<'PY'
import json, sys
from pathlib import Path

sys.path.insert(0, f"{sys.argv[1]}/tests/support/gpu")
import measure_memory

data = json.loads(Path(sys.argv[1], "tests/data/measurements/vllm-0.26.0-h200-memory.json").read_text())
for name in ("tinyllama", "qwen", "yi"):
    measure_memory.write_model(Path("/tmp/models", name), data["configs"][name])

from ansible_collections.gpuserve.fleet.tests.support.lab.real_models import make_smollm2

packed = Path(sys.argv[2], "smollm2")
if not Path("/tmp/models/smollm2").exists():
    make_smollm2(next(packed.glob("*.gguf")), packed / "LICENSE", Path("/tmp/models/smollm2"))
PY
"$python" "$here/tests/support/gpu/sparse_weights.py" /tmp/models/{tinyllama,qwen,yi}
touch /opt/controller/.ready
echo "ready for gpu_proof.sh and bringup_on_gpu.sh"
