# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of daemon.json that dockerd reads (moby's daemon/config), by type: what is checked, and what the docs show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, assert_never

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spelling import nearest

# Docker gets new options: only a slip of the hand is refused by its name, all else is dockerd's to judge.
_SLIP = 0.9


class Kind(Enum):
    """The type of a value in JSON, which dockerd takes literally: a quoted number is a text to it."""

    FLAG = "true or false"
    NUMBER = "number"
    TEXT = "text"
    TEXTS = "list of texts"
    POOLS = "list of mappings"
    FLAGS = "mapping of true or false"
    NAMED_TEXTS = "mapping of texts"
    MAPPINGS = "mapping of mappings"
    MAPPING = "mapping"


@dataclass(frozen=True)
class Option:
    """One option: its type, what it does, and the values or keys that it may have, where they are a closed set."""

    kind: Kind
    what: str
    choices: tuple[str, ...] = ()


OPTIONS: dict[str, Option] = {
    "allow-direct-routing": Option(Kind.FLAG, "Let others reach published ports at the containers' own addresses."),
    "authorization-plugins": Option(Kind.TEXTS, "Plugins that are asked before a request is done."),
    "bip": Option(Kind.TEXT, "Address and prefix of the default bridge, IPv4."),
    "bip6": Option(Kind.TEXT, "Address and prefix of the default bridge, IPv6."),
    "bridge": Option(Kind.TEXT, "The bridge that containers without a network join; none for no such bridge."),
    "bridge-accept-fwmark": Option(Kind.TEXT, "Packets with this firewall mark are let through to bridge networks."),
    "builder": Option(Kind.MAPPING, "Settings of the builder, its garbage collection above all."),
    "cdi-spec-dirs": Option(Kind.TEXTS, "Folders with CDI descriptions."),
    "cgroup-parent": Option(Kind.TEXT, "The cgroup that all containers are put under."),
    "containerd": Option(Kind.TEXT, "The socket of a containerd that is there already."),
    "containerd-namespace": Option(Kind.TEXT, "containerd's namespace for containers."),
    "containerd-plugin-namespace": Option(Kind.TEXT, "containerd's namespace for plugins."),
    "cpu-rt-period": Option(Kind.NUMBER, "Real-time period of all containers, in microseconds (cgroup v1)."),
    "cpu-rt-runtime": Option(Kind.NUMBER, "Real-time share of all containers, in microseconds (cgroup v1)."),
    "cri-containerd": Option(Kind.FLAG, "Start the managed containerd with CRI."),
    "data-root": Option(Kind.TEXT, "Where Docker keeps its data; docker_engine_data_root does more."),
    "debug": Option(Kind.FLAG, "Log at the debug level."),
    "default-address-pools": Option(Kind.POOLS, "Networks that new ones are cut from, each with base and size."),
    "default-cgroupns-mode": Option(Kind.TEXT, "The cgroup namespace of new containers.", ("host", "private")),
    "default-gateway": Option(Kind.TEXT, "The default bridge's gateway, IPv4."),
    "default-gateway-v6": Option(Kind.TEXT, "The default bridge's gateway, IPv6."),
    "default-init": Option(Kind.TEXT, "The program that --init starts."),
    "default-ipc-mode": Option(Kind.TEXT, "The IPC namespace of new containers.", ("private", "shareable")),
    "default-network-opts": Option(Kind.MAPPINGS, "Options of new networks, by their driver."),
    "default-runtime": Option(Kind.TEXT, "The OCI runtime of containers that name none."),
    "default-shm-size": Option(Kind.TEXT, "Size of /dev/shm in new containers, such as 64M."),
    "default-ulimits": Option(Kind.MAPPINGS, "Limits of new containers by name, each with Name, Soft and Hard."),
    "dns": Option(Kind.TEXTS, "Name servers of containers, by address."),
    "dns-opts": Option(Kind.TEXTS, "Options in the containers' resolv.conf."),
    "dns-search": Option(Kind.TEXTS, "Search domains of containers."),
    "exec-opts": Option(Kind.TEXTS, "Options of the runtime, such as native.cgroupdriver=systemd."),
    "exec-root": Option(Kind.TEXT, "Where the state of running containers lies."),
    "experimental": Option(Kind.FLAG, "Offer what Docker calls experimental."),
    "features": Option(Kind.FLAGS, "Features to turn on or off, by name."),
    "firewall-backend": Option(Kind.TEXT, "What writes the firewall's rules.", ("iptables", "nftables")),
    "fixed-cidr": Option(Kind.TEXT, "The part of the default bridge's network that containers get, IPv4."),
    "fixed-cidr-v6": Option(Kind.TEXT, "The part of the default bridge's network that containers get, IPv6."),
    "group": Option(Kind.TEXT, "The group that may use Docker's socket."),
    "host-gateway-ip": Option(Kind.TEXT, "What host-gateway means in a container's hosts file."),
    "host-gateway-ips": Option(Kind.TEXTS, "The same for IPv4 and IPv6."),
    "hosts": Option(Kind.TEXTS, "Where the daemon listens; refused where its service says so already."),
    "icc": Option(Kind.FLAG, "Let containers of the default bridge reach each other."),
    "init": Option(Kind.FLAG, "Start an init in every container."),
    "init-path": Option(Kind.TEXT, "Where that init lies."),
    "insecure-registries": Option(Kind.TEXTS, "Registries without TLS; added to those that are there."),
    "ip": Option(Kind.TEXT, "The address that published ports are bound to."),
    "ip-forward": Option(Kind.FLAG, "Turn forwarding on in the kernel."),
    "ip-forward-no-drop": Option(Kind.FLAG, "Leave the policy for forwarded packets as it is."),
    "ip-masq": Option(Kind.FLAG, "Masquerade what leaves the default bridge."),
    "ip6tables": Option(Kind.FLAG, "Write rules for IPv6."),
    "iptables": Option(Kind.FLAG, "Write rules for IPv4."),
    "ipv6": Option(Kind.FLAG, "Give the default bridge IPv6."),
    "labels": Option(Kind.TEXTS, "Labels of the daemon; added to those that are there."),
    "live-restore": Option(Kind.FLAG, "Keep containers while the daemon restarts."),
    "log-driver": Option(Kind.TEXT, "What takes the containers' output."),
    "log-format": Option(Kind.TEXT, "The form of the daemon's own log.", ("json", "text")),
    "log-level": Option(Kind.TEXT, "How much the daemon logs.", ("debug", "info", "warn", "error", "fatal")),
    "log-opts": Option(Kind.NAMED_TEXTS, "Options of the log driver; numbers, too, are texts there."),
    "max-concurrent-downloads": Option(Kind.NUMBER, "Layers that a pull fetches at once."),
    "max-concurrent-uploads": Option(Kind.NUMBER, "Layers that a push sends at once."),
    "max-download-attempts": Option(Kind.NUMBER, "Tries for each layer."),
    "metrics-addr": Option(Kind.TEXT, "Where the daemon's own figures are served."),
    "mtu": Option(Kind.NUMBER, "The default bridge's MTU, in bytes."),
    "network-control-plane-mtu": Option(Kind.NUMBER, "The MTU of a swarm's control plane, in bytes."),
    "network-diagnostic-port": Option(Kind.NUMBER, "The port of the network diagnostics."),
    "no-new-privileges": Option(Kind.FLAG, "Containers gain no privileges by setuid programs."),
    "node-generic-resources": Option(Kind.TEXTS, "Resources that a swarm's node tells of."),
    "pidfile": Option(Kind.TEXT, "The file with the daemon's process id."),
    "proxies": Option(Kind.NAMED_TEXTS, "Proxies of the daemon.", ("http-proxy", "https-proxy", "no-proxy")),
    "raw-logs": Option(Kind.FLAG, "Log without colours and whole times."),
    "registry-mirrors": Option(Kind.TEXTS, "Mirrors of Docker Hub; added to those that are there."),
    "resolv-conf": Option(Kind.TEXT, "The resolv.conf that containers' ones are made from."),
    "rootless": Option(Kind.FLAG, "Run as in rootless mode, which the role refuses."),
    "runtimes": Option(Kind.MAPPINGS, "OCI runtimes by name, each with a path or a runtimeType."),
    "seccomp-profile": Option(Kind.TEXT, "The seccomp profile of containers: a file, builtin or unconfined."),
    "selinux-enabled": Option(Kind.FLAG, "Label containers for SELinux."),
    "shutdown-timeout": Option(Kind.NUMBER, "How long containers have to stop with the daemon, in seconds."),
    "storage-driver": Option(Kind.TEXT, "What keeps images and layers, such as overlay2."),
    "storage-opts": Option(Kind.TEXTS, "Options of the storage driver."),
    "swarm-default-advertise-addr": Option(Kind.TEXT, "The address that a new swarm tells of."),
    "swarm-raft-election-tick": Option(Kind.NUMBER, "Ticks without a leader before a swarm's election."),
    "swarm-raft-heartbeat-tick": Option(Kind.NUMBER, "Ticks between the heartbeats of a swarm's leader."),
    "tls": Option(Kind.FLAG, "Use TLS on TCP."),
    "tlscacert": Option(Kind.TEXT, "The file of the authority that clients' certificates are of."),
    "tlscert": Option(Kind.TEXT, "The file of the daemon's certificate."),
    "tlskey": Option(Kind.TEXT, "The file of the daemon's key."),
    "tlsverify": Option(Kind.FLAG, "Ask clients for a certificate."),
    "userland-proxy": Option(Kind.FLAG, "Carry traffic on loopback by a process a port."),
    "userland-proxy-path": Option(Kind.TEXT, "Where that program lies."),
    "userns-remap": Option(Kind.TEXT, "The account whose subordinate ids containers run under."),
}


def mistakes(options: Mapping[str, Any], variable: str) -> Iterator[FleetError]:
    """Say what dockerd could not read, an option each: a misspelt name, a type, a word that is none of a closed set."""
    for name, value in options.items():
        try:
            _check(str(name), value, f"{variable}.{name}")
        except FleetError as error:
            yield error


def _check(name: str, value: Any, where: str) -> None:
    option = OPTIONS.get(name)
    if option is None:
        near = nearest(name, OPTIONS, _SLIP)
        if near:
            fail(where, "dockerd has no such option.", f"Did you mean {near}?")
        return
    match option.kind:
        case Kind.FLAG:
            _is(value, bool, where, "true or false", "Write true or false, without quotes.")
        case Kind.NUMBER:
            _is(value, int, where, "a whole number", "Write the number without quotes.")
        case Kind.TEXT:
            _text(value, where)
            if option.choices and value not in option.choices:
                fail(where, f"there is no {value!r}.", f"Take one of {', '.join(option.choices)}.")
        case Kind.TEXTS:
            for index, item in enumerate(_list(value, where)):
                _text(item, f"{where}[{index}]")
        case Kind.POOLS:
            for index, item in enumerate(_list(value, where)):
                _mapping(item, f"{where}[{index}]")
        case Kind.FLAGS:
            for key, item in _mapping(value, where).items():
                _is(item, bool, f"{where}.{key}", "true or false", "Write true or false, without quotes.")
        case Kind.NAMED_TEXTS:
            for key, item in _mapping(value, where).items():
                if option.choices and key not in option.choices:
                    fail(f"{where}.{key}", "there is no such key.", f"Take one of {', '.join(option.choices)}.")
                _text(item, f"{where}.{key}")
        case Kind.MAPPINGS:
            for key, item in _mapping(value, where).items():
                _mapping(item, f"{where}.{key}")
        case Kind.MAPPING:
            _mapping(value, where)
        case _:
            assert_never(option.kind)


def _is(value: Any, wanted: type, where: str, what: str, remedy: str) -> None:
    # True is a number to Python, and none to dockerd. What it holds is not repeated: a text may be a secret.
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        fail(where, f"it has to be {what}, and is {_type(value)}.", remedy)


def _text(value: Any, where: str) -> None:
    _is(value, str, where, "a text", "Write it in quotes.")


def _list(value: Any, where: str) -> list[Any]:
    _is(value, list, where, "a list", "Write each entry in a line of its own, after a dash.")
    entries: list[Any] = value
    return entries


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    _is(value, dict, where, "a mapping", "Write NAME: VALUE below it.")
    mapping: Mapping[str, Any] = value
    return mapping


def _type(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true or false"
    names = {str: "a text", int: "a number", float: "a number with a fraction", list: "a list", dict: "a mapping"}
    return next((name for kind, name in names.items() if isinstance(value, kind)), "something else")
