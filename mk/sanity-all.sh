#!/usr/bin/env bash
# ansible-test sanity on each ansible-core that the collection says it runs on, in a venv of its own below $1, as far as this machine has its
# Python. CORE=2.20 runs that one alone.
set -euo pipefail
cache=$1
here=$(cd "$(dirname "$0")/.." && pwd)
status=0
# A release and the Pythons that its controller runs on, the newest first.
while read -r core pythons; do
  if [ "${CORE:-$core}" != "$core" ]; then continue; fi
  python=""
  for candidate in $pythons; do
    if "python$candidate" -c '' 2>/dev/null; then python=python$candidate; break; fi
  done
  if [ -z "$python" ]; then echo "ansible-core $core: left out, none of Python $pythons is here"; continue; fi
  venv=$cache/sanity-$core
  lock=$venv.txt
  mkdir -p "$cache" && echo "ansible-core~=$core.0" > "$lock"
  if [ ! -e "$venv/.ready" ]; then
    rm -rf "$venv"
    "$python" -m venv "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check -r "$lock"
    touch "$venv/.ready"
  fi
  if "$here/mk/sanity.sh" "$venv" "$cache" > "$venv.log" 2>&1; then echo "ansible-core $core, $python: clean"
  else echo "ansible-core $core, $python: NOT clean"; grep -E '^(ERROR|FATAL)' "$venv.log" | head -20 || true; status=1; fi
done <<'CORES'
2.17 3.12 3.11 3.10
2.18 3.13 3.12 3.11
2.19 3.13 3.12 3.11
2.20 3.14 3.13 3.12
2.21 3.14 3.13 3.12
CORES
exit "$status"
