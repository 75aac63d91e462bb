#!/usr/bin/env bash
# What looking at the docs site needs: Debian's Chromium, and axe-core in the folder $1, one release by its checksum.
set -euo pipefail
folder=$1
axe="axe-core@4.14.1"
integrity=FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==
if ! command -v chromium >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "== installing chromium (apt)" >&2
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
  else
    echo "This needs Chromium: install chromium and run it again." >&2; exit 1
  fi
fi
[ -e "$folder/package/axe.min.js" ] && [ "$(cat "$folder/of" 2>/dev/null)" = "$axe" ] && exit 0
command -v npm >/dev/null || { echo "This needs npm for $axe: install npm and run it again." >&2; exit 1; }
rm -rf "$folder" && mkdir -p "$folder"
npm pack --silent --pack-destination "$folder" "$axe" >/dev/null
have=$(openssl dgst -sha512 -binary "$folder"/axe-core-*.tgz | base64 -w0)
[ "$have" = "$integrity" ] || { echo "$axe has the checksum $have and not $integrity." >&2; exit 1; }
tar -xzf "$folder"/axe-core-*.tgz -C "$folder" package/axe.min.js
echo "$axe" > "$folder/of"
