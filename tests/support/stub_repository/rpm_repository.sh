#!/usr/bin/env bash
# Doubles: signed RPM repositories with the names of NVIDIA's container toolkit and nothing inside, made inside a box with Debian's rpm
# tools. Usage: rpm_repository.sh OUT; writes OUT/keys and OUT/fingerprint, too.
set -euo pipefail

out=$1
work=$(mktemp -d)
export GNUPGHOME=$work/gpg HOME=$work
mkdir -m 700 "$GNUPGHOME"
gpg --batch --quiet --passphrase '' --quick-gen-key 'STUB rpm <rpm@stub.invalid>' rsa2048 sign never
mkdir -p "$out/keys"
gpg --batch --armor --export rpm@stub.invalid > "$out/keys/rpm.asc"
gpg --batch --with-colons --list-keys rpm@stub.invalid | awk -F: '/^fpr:/ {print $10; exit}' > "$out/fingerprint"

# build FOLDER NAME EPOCH VERSION [REQUIRES]
build() {
  local spec=$work/$2.spec
  {
    printf 'Name: %s\nEpoch: %s\nVersion: %s\nRelease: 1\nSummary: STUB\nLicense: none\nBuildArch: x86_64\n' "$2" "$3" "$4"
    [ -z "${5:-}" ] || printf 'Requires: %s\n' "$5"
    printf '%%description\nSTUB of %s, holds nothing of the real one.\n%%files\n' "$2"
  } > "$spec"
  rpmbuild --quiet --define "_topdir $work/rpm" --define "_rpmdir $1" --target x86_64 -bb "$spec" >/dev/null 2>"$work/said" ||
    { cat "$work/said" >&2; exit 1; }
}

# publish FOLDER: sign the packages, write the index, sign that
publish() {
  rpmsign --define '_gpg_name rpm@stub.invalid' --addsign "$1"/x86_64/*.rpm >/dev/null 2>"$work/said" || { cat "$work/said" >&2; exit 1; }
  mv "$1"/x86_64/*.rpm "$1"
  rmdir "$1/x86_64"
  createrepo_c --quiet "$1"
}

# What Enterprise Linux has itself.
folder=$out/base
mkdir -p "$folder"
build "$folder" python3-dnf-plugin-versionlock 0 1.0
build "$folder" kernel-devel-matched 0 1.0
publish "$folder"

folder=$out/libnvidia-container/stable/rpm/x86_64
mkdir -p "$folder"
for version in 1.19.1 1.20.1; do
  for name in nvidia-container-toolkit nvidia-container-toolkit-base libnvidia-container-tools libnvidia-container1; do
    build "$folder" "$name" 0 "$version"
  done
done
publish "$folder"
gpg --batch --armor --detach-sign "$folder/repodata/repomd.xml"
gpgconf --kill all
rm -rf "$work"
