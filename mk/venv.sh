#!/usr/bin/env bash
# Make the venv at $1 from the lock $2 (the development venv's without one), once. Safe to call again and at the same time from elsewhere.
set -euo pipefail
venv=$1
here=$(cd "$(dirname "$0")/.." && pwd)
lock=${2:-$here/requirements/dev.txt}
mkdir -p "$(dirname "$venv")"
exec 9>"$venv.lock"
flock 9
[ -e "$venv/.ready" ] && exit 0

python=""
for candidate in python3.13 python3.12 python3.11 python3 python3.14; do
  if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$candidate; break; fi
done
[ -n "$python" ] || { echo "gpuserve.fleet needs Python 3.11 or newer on this machine and finds none: install python3." >&2; exit 1; }
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "== installing python3-venv (apt)" >&2
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
  else
    echo "gpuserve.fleet needs Python's venv module: install python3-venv (Debian, Ubuntu) and run this again." >&2; exit 1
  fi
fi
echo "== making a venv from ${lock##*/} in $venv (once)" >&2
rm -rf "$venv"
"$python" -m venv "$venv"
# Of some twenty thousand files few are ever imported: each is compiled when it first is.
"$venv/bin/pip" install -q --disable-pip-version-check --no-compile -r "$lock"
touch "$venv/.ready"
