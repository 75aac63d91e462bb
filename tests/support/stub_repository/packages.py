# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is in the stub repositories: NVIDIA's names and dependency shapes, and scripts with the visible effects only."""

from __future__ import annotations

from dataclasses import dataclass, field

DRIVER_VERSIONS = ("595.71.05", "595.84.01", "610.43.02")
TOOLKIT_VERSIONS = ("1.16.2", "1.19.1", "1.20.1")
UUID = "GPU-00000000-5090-0000-0000-000000000000"

Files = dict[str, tuple[str, int]]


@dataclass(frozen=True)
class Package:
    """A package to build."""

    name: str
    version: str
    depends: str = ""
    conflicts: str = ""
    architecture: str = "amd64"
    files: Files = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    scripts: dict[str, str] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """Return the name of its file."""
        return f"{self.name}_{self.version}_{self.architecture}.deb"

    def control(self) -> str:
        """Write the control file."""
        lines = [
            f"Package: {self.name}",
            f"Version: {self.version}",
            f"Architecture: {self.architecture}",
            "Maintainer: STUB <stub@stub.invalid>",
            *([f"Depends: {self.depends}"] if self.depends else []),
            *([f"Conflicts: {self.conflicts}"] if self.conflicts else []),
            "Section: misc",
            "Priority: optional",
            f"Description: STUB of {self.name}, holds nothing of NVIDIA's",
        ]
        return "\n".join(lines) + "\n"


_NVIDIA_SMI = f"""#!/bin/sh
# STUB: prints what nvidia-smi -L prints on a host with one card.
echo "GPU 0: NVIDIA GeForce RTX 5090 (UUID: {UUID})"
"""

_DKMS_POSTINST = """#!/bin/sh
# STUB: "builds" the module where the headers are, as DKMS does, and leaves quietly where they are not, as DKMS does.
set -e
[ "$1" = configure ] || exit 0
for kernel in /lib/modules/*; do
  [ -e "$kernel/build" ] || continue
  mkdir -p "$kernel/updates/dkms"
  echo "@VERSION@" > "$kernel/updates/dkms/nvidia.stub"
done
"""

_LIBRARY_POSTINST = """#!/bin/sh
# STUB: only where the double of NVML is. A library of another version than the loaded module answers with an error, as the real one.
set -e
[ "$1" = configure ] && [ -d /var/lib/nvml-double ] || exit 0
loaded=/proc/driver/nvidia/version
if grep -qs " @VERSION@ " "$loaded"; then rm -f /var/lib/nvml-double/fault
elif [ -e "$loaded" ]; then echo 18 > /var/lib/nvml-double/fault
else echo 9 > /var/lib/nvml-double/fault; fi
"""

_CUDA_KEYRING_POSTINST = """#!/bin/sh
# STUB: writes what the real package writes, under the real package's names.
set -e
mkdir -p /etc/apt/sources.list.d /etc/apt/preferences.d
key=/usr/share/keyrings/cuda-archive-keyring.gpg
echo "deb [signed-by=$key] http://127.0.0.1:8088/good/cuda/repos/debian13/x86_64/ /" \
  > /etc/apt/sources.list.d/cuda-debian13-x86_64.list
printf 'Package: nsight-compute\\nPin: origin *ubuntu.com*\\nPin-Priority: -1\\n' \
  > /etc/apt/preferences.d/cuda-repository-pin-600
"""

_NVIDIA_CTK = """#!/bin/sh
# STUB: writes a CDI specification of a card that is only an environment variable and the stub of nvidia-smi.
set -e
case "$1 $2" in
  "cdi generate")
    for argument in "$@"; do case "$argument" in --output=*) out="${argument#--output=}";; esac; done
    mkdir -p "$(dirname "$out")"
    {
      echo 'cdiVersion: "0.5.0"'
      echo 'kind: nvidia.com/gpu'
      echo 'devices:'
      for name in 0 all @UUID@; do
        printf -- '- name: "%s"\\n  containerEdits:\\n    env: ["STUB_CARD=%s"]\\n' "$name" "$name"
      done
      echo 'containerEdits:'
      echo '  mounts:'
      echo '  - {hostPath: /usr/bin/nvidia-smi, containerPath: /usr/bin/nvidia-smi, options: [ro, bind]}'
    } > "$out"
    ;;
  "cdi list")
    cat /etc/cdi/*.yaml /var/run/cdi/*.yaml 2>/dev/null |
      sed -n 's/^- name: "\\(.*\\)"/nvidia.com\\/gpu=\\1/p' | sort -u
    ;;
  *) echo "stub of nvidia-ctk: not made for $*" >&2; exit 1;;
esac
"""

_REFRESH_UNIT = """[Unit]
Description=STUB of the unit that describes the cards at boot
ConditionPathExists=/usr/bin/nvidia-smi
ConditionPathExists=/usr/bin/nvidia-ctk

[Service]
Type=oneshot
ExecStart=/usr/bin/nvidia-ctk cdi generate --output=/var/run/cdi/nvidia.yaml

[Install]
WantedBy=multi-user.target
"""

# As Ubuntu ships it: the daemon with its purpose turned off, stopped when nothing wants it, and nothing to enable.
_PERSISTENCE_UNIT = """[Unit]
Description=STUB of the persistence daemon
StopWhenUnneeded=true

[Service]
ExecStart=/usr/bin/nvidia-persistenced --user nvidia-persistenced --no-persistence-mode --verbose
"""

_PERSISTENCE_DAEMON = """#!/bin/sh
# STUB: stays.
exec sleep infinity
"""


def driver(kernel: str) -> list[Package]:
    """The driver as NVIDIA's repository for Debian has it: metas that only say "at least", and five names without "nvidia" in them."""
    found = [
        Package(
            f"linux-headers-{kernel}",
            "1.0-1",
            files={f"/lib/modules/{kernel}/build/Makefile": ("# STUB\n", 0o644)},
        ),
        # A kernel that comes by a package without a number, and what brings the headers of each to come.
        Package("linux-image-stub", "1.0-1"),
        Package("linux-headers-stub", "1.0-1"),
        Package("cuda-keyring", "1.1-1", architecture="all", scripts={"postinst": _CUDA_KEYRING_POSTINST}),
    ]
    for upstream in DRIVER_VERSIONS:
        version = f"{upstream}-1"
        at_least = f"(>= {upstream})"
        folder = "/usr/lib/x86_64-linux-gnu"
        library, cuda = f"{folder}/libnvidia-ml.so.{upstream}", f"{folder}/libcuda.so.{upstream}"
        found += [
            Package("nvidia-open", version, f"nvidia-driver-cuda {at_least}, nvidia-kernel-open-dkms {at_least}"),
            Package(
                "nvidia-driver-cuda",
                version,
                ", ".join(
                    f"{name} {at_least}"
                    for name in (
                        *("libcuda1", "libcudadebugger1", "libnvcuvid1", "libnvoptix1", "libnvidia-ml1"),
                        *("nvidia-persistenced", "nvidia-kernel-support"),
                    )
                ),
                files={"/usr/bin/nvidia-smi": (_NVIDIA_SMI, 0o755)},
            ),
            Package(
                "libcuda1",
                version,
                f"libnvidia-ptxjitcompiler1 {at_least}",
                files={cuda: ("STUB\n", 0o644)},
                links={f"{folder}/libcuda.so.1": cuda.rsplit("/", 1)[1]},
            ),
            Package("libnvidia-ptxjitcompiler1", version),
            *(
                Package(name, version, f"libcuda1 {at_least}")
                for name in ("libcudadebugger1", "libnvcuvid1", "libnvoptix1")
            ),
            Package("nvidia-settings", version, f"libxnvctrl0 {at_least}"),
            Package("libxnvctrl0", version),
            Package(
                "libnvidia-ml1",
                version,
                files={library: ("STUB\n", 0o644)},
                links={f"{folder}/libnvidia-ml.so.1": library.rsplit("/", 1)[1]},
                scripts={"postinst": _LIBRARY_POSTINST.replace("@VERSION@", upstream)},
            ),
            Package(
                "nvidia-persistenced",
                version,
                files={
                    "/lib/systemd/system/nvidia-persistenced.service": (_PERSISTENCE_UNIT, 0o644),
                    "/usr/bin/nvidia-persistenced": (_PERSISTENCE_DAEMON, 0o755),
                },
            ),
            Package("nvidia-kernel-support", version),
            Package(
                "nvidia-kernel-open-dkms",
                version,
                f"nvidia-kernel-support {at_least}",
                conflicts="nvidia-kernel-dkms",
                scripts={"postinst": _DKMS_POSTINST.replace("@VERSION@", upstream)},
            ),
            Package(
                "nvidia-kernel-dkms",
                version,
                f"nvidia-kernel-support {at_least}",
                conflicts="nvidia-kernel-open-dkms",
                scripts={"postinst": _DKMS_POSTINST.replace("@VERSION@", upstream)},
            ),
        ]
    return found


def toolkit() -> list[Package]:
    """The container toolkit: four packages, of which pinning one alone can't be satisfied."""
    found = []
    for upstream in TOOLKIT_VERSIONS:
        version = f"{upstream}-1"
        found += [
            Package(
                "nvidia-container-toolkit",
                version,
                f"libnvidia-container-tools (>= {version}), nvidia-container-toolkit-base (= {version})",
            ),
            Package(
                "nvidia-container-toolkit-base",
                version,
                files={
                    "/usr/bin/nvidia-ctk": (_NVIDIA_CTK.replace("@UUID@", UUID), 0o755),
                    "/usr/bin/nvidia-container-runtime": ('#!/bin/sh\n# STUB\nexec runc "$@"\n', 0o755),
                    "/lib/systemd/system/nvidia-cdi-refresh.service": (_REFRESH_UNIT, 0o644),
                },
                scripts={
                    "postinst": "#!/bin/sh\nset -e\n[ -d /run/systemd/system ] || exit 0\n"
                    "systemctl daemon-reload\nsystemctl enable --quiet nvidia-cdi-refresh.service\n"
                },
            ),
            Package("libnvidia-container-tools", version, f"libnvidia-container1 (>= {version})"),
            Package("libnvidia-container1", version),
        ]
    return found
