#!/usr/bin/env bash
# ansible-test sanity on a copy of this checkout: it insists on a path that ends in ansible_collections/gpuserve/fleet.
# It looks at what ships and at our settings of it. Tests and scenarios don't: ruff (with pylint's rules), mypy, yamllint and shellcheck read
# those, and pylint took four fifths of its time in here.
# HOME is a folder of ours, so that neither its venvs nor its caches land in the user's.
set -euo pipefail
venv=$1
cache=$2
here=$(cd "$(dirname "$0")/.." && pwd)
key=$(printf '%s' "$here" | sha256sum | cut -c1-12)
root=$cache/sanity/$key
copy=$root/ansible_collections/gpuserve/fleet
home=$cache/sanity/home
mkdir -p "$copy" "$home/.ansible/test/cache"

# The test venvs are bootstrapped by a get-pip.py from a server of the Ansible project, of a pip that each release of Ansible names. The pip
# that Python brings for its own ensurepip fetches that one, right out of its wheel where it is: installed first, and each of both compiled,
# it is a third of what a venv costs.
cat > "$home/.ansible/test/cache/get_pip.py" <<'PY'
import ensurepip
import glob
import os
import subprocess
import sys

pip = glob.glob(os.path.join(os.path.dirname(ensurepip.__file__), "_bundled", "pip-*.whl"))
pins = [argument for argument in sys.argv[1:] if "==" in argument]
if not (pins and pip):
    ensurepip.bootstrap()
if pins:
    # Older pips know only their own bundle of authorities; behind a proxy with a company's authority the system's is the one that counts.
    system = "/etc/ssl/certs/ca-certificates.crt"
    trust = ["--cert", system] if os.path.exists(system) else []
    how = [os.path.join(pip[0], "pip")] if pip else ["-m", "pip"]
    options = ["--quiet", "--disable-pip-version-check", "--no-compile", *trust]
    subprocess.check_call([sys.executable, *how, "install", *options, *pins])
PY
for pip in $(grep -rhoE "pip='[0-9.]+'" "$venv"/lib/python*/site-packages/ansible_test/_internal/python_requirements.py | tr -d "pi='" | sort -u); do
  cp "$home/.ansible/test/cache/get_pip.py" "$home/.ansible/test/cache/get_pip_${pip//./_}.py"
done

cd "$here"
find "$copy" -mindepth 1 -maxdepth 1 ! -name .git -exec rm -rf {} +
git ls-files -z --cached --others --exclude-standard -- . tests/config.yml ':!:.collections' ':!:molecule' ':(exclude,glob)tests/*/**' | while IFS= read -r -d '' file; do
  if [ -e "$file" ]; then printf '%s\0' "$file"; fi
done | tar -cf - --null -T - | tar -C "$copy" -xf -
cd "$copy"
[ -d .git ] || git init -q .
git add -A . >/dev/null 2>&1
python=$("$venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
# pyenv's shims answer for Pythons that are not there.
path=$venv/bin:$(printf '%s' "$PATH" | tr ':' '\n' | grep -v '/shims$' | paste -sd:)
HOME=$home PATH=$path ansible-test sanity --color no --python "$python" "${@:3}"
