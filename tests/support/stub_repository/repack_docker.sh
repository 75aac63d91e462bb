#!/usr/bin/env bash
# Doubles: Docker's own repository, made inside a box from Debian's packages. The Engine in it is Debian's real one under Docker's
# package names and under versions that are not its own, so that repository, pin and upgrade can be tried with a daemon that runs.
# Usage: repack_docker.sh OUT (a folder that is served); writes OUT/docker/key.asc and OUT/docker/fingerprint, too.
set -euo pipefail

out=$1/docker
pool=$out/linux/debian/pool
index=$out/linux/debian/dists/trixie/stable/binary-amd64
work=$(mktemp -d)
rm -rf "$out"
mkdir -p "$pool" "$index"
chmod 755 "$work"
cd "$work"
apt-get download docker.io docker-cli docker-compose containerd runc tini >/dev/null
for deb in *.deb; do
  dpkg-deb --raw-extract "$deb" "tree-${deb%%_*}"
done

# repack NAME VERSION DEPENDS CONFLICTS TREE...
repack() {
  local name=$1 version=$2 depends=$3 conflicts=$4 tree=new-$1
  shift 4
  rm -rf "$tree"
  mkdir -p "$tree/DEBIAN"
  if [ $# -gt 0 ]; then
    cp -a "tree-$1/DEBIAN/." "$tree/DEBIAN/"
    rm -f "$tree/DEBIAN/md5sums"
  fi
  local part
  for part in "$@"; do
    tar -C "tree-$part" --exclude ./DEBIAN -c . | tar -C "$tree" -x
  done
  {
    echo "Package: $name"
    echo "Version: $version"
    echo "Architecture: amd64"
    echo "Maintainer: STUB <stub@stub.invalid>"
    [ -z "$depends" ] || echo "Depends: $depends"
    [ -z "$conflicts" ] || printf 'Conflicts: %s\nReplaces: %s\n' "$conflicts" "$conflicts"
    echo "Description: STUB of $name, made from Debian's packages"
  } > "$tree/DEBIAN/control"
  dpkg-deb --root-owner-group -Znone --build "$tree" "$pool" >/dev/null
}

for version in 29.9.0 29.10.0; do
  repack docker-ce "5:$version-1~debian.13~trixie" "containerd.io, docker-ce-cli, iptables, adduser" docker.io docker.io
  repack docker-ce-cli "5:$version-1~debian.13~trixie" "" docker-cli docker-cli
done
repack containerd.io 2.2.5-1~debian.13~trixie libseccomp2 "containerd, runc, tini" containerd runc tini
repack docker-compose-plugin 2.40.3-1~debian.13~trixie "" docker-compose docker-compose
repack docker-buildx-plugin 0.30.0-1~debian.13~trixie "" ""

cd "$out/linux/debian"
for deb in pool/*.deb; do
  dpkg-deb -f "$deb"
  printf 'Filename: %s\nSize: %s\nSHA256: %s\n\n' "$deb" "$(stat -c %s "$deb")" "$(sha256sum "$deb" | cut -d' ' -f1)"
done > "$index/Packages"
cd dists/trixie
file=stable/binary-amd64/Packages
{
  printf 'Origin: STUB\nLabel: STUB\nSuite: trixie\nCodename: trixie\nArchitectures: amd64\nComponents: stable\n'
  printf 'Date: %s\nSHA256:\n %s %s %s\n' "$(date -Ru)" "$(sha256sum "$file" | cut -d' ' -f1)" "$(stat -c %s "$file")" "$file"
} > "$work/Release"

export GNUPGHOME=$work/gpg
mkdir -m 700 "$GNUPGHOME"
gpg --batch --quiet --passphrase '' --quick-gen-key 'STUB docker <docker@stub.invalid>' rsa2048 sign never
gpg --batch --quiet --clearsign --output InRelease "$work/Release"
gpg --batch --armor --export docker@stub.invalid > "$out/key.asc"
gpg --batch --with-colons --list-keys docker@stub.invalid | awk -F: '/^fpr:/ {print $10; exit}' > "$out/fingerprint"
gpgconf --kill all
rm -rf "$work"
