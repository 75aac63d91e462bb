# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a host can run the gateway, judged from what was read there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway.config import Gateway

OURS = "ours"


@dataclass(frozen=True)
class Facts:
    """What was read on the host. listening: who listens, by port; missing: files that are not there; uid and gid:
    the account's, 0 before it is made."""

    has_compose: bool = False
    kept_image: str = ""
    is_running: bool = False
    listen: str = ""
    listening: Mapping[int, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    first_key_sha256: str = ""
    saved: Mapping[str, Any] | None = None
    uid: int = 0
    gid: int = 0

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Facts:
        """Return what a module answered: over JSON, ports have become text."""
        plain = {name: answer[name] for name in cls.__dataclass_fields__ if name in answer}
        listening = {int(port): str(who) for port, who in plain.pop("listening", {}).items()}
        missing = tuple(str(path) for path in plain.pop("missing", ()))
        return cls(**plain, listening=listening, missing=missing)


def judge(gateway: Gateway, facts: Facts, check_mode: bool = False) -> None:
    """Fail with the first reason why it can't work. In check mode Docker may be what an earlier role has yet to install."""
    if not facts.has_compose and not check_mode:
        fail(
            "docker",
            "Docker with Compose v2 does not answer here.",
            "Install it (the role gpuserve.fleet.docker_engine does) or start it.",
        )
    for variable, listener in gateway.listeners.items():
        who = facts.listening.get(listener.port, "")
        # Where processes of a container can't be told by their cgroup, its label says where it listens.
        ours = who in ("", OURS) or (facts.is_running and facts.listen.partition(" ")[0].endswith(f":{listener.port}"))
        if not ours and not (facts.is_running and variable != "gateway_port"):
            fail(
                variable, f"{listener.port} is already taken on this host by {who}.", "End it, or choose another port."
            )
    if facts.missing and not check_mode:
        fail("gateway_tls", f"{facts.missing[0]} is not on the host.", "Put it there, or name another file.")
