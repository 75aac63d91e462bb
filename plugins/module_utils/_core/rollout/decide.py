# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is decided of a service at first sight: keep it, start it, go on with its start, refuse it, or ask once more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import FOREIGN, Container, Seen
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import Cause, Limits, Service


class Verdict(Enum):
    """What comes of a first probe."""

    KEEP = "keep"
    START = "start"
    FOLLOW = "follow"
    REFUSE = "refuse"
    ASK_AGAIN = "ask_again"


@dataclass(frozen=True)
class Decision:
    """A verdict with its cause, and the sentence for people."""

    verdict: Verdict
    cause: Cause
    reason: str


def foreign_name(name: str) -> str:
    """What is said of a container that bears a name of ours."""
    return f"a container named vllm-{name} is there and is not ours: remove or rename it, or rename the model."


def foreign_port(service: Service) -> str:
    """What is said of a process that listens where one of ours is to."""
    return f"port {service.port} is in use by a process that is not ours: end it, or give {service.name} another port."


def decide(
    service: Service,
    seen: Seen,
    limits: Limits,
    listeners: Mapping[int, str] | None = None,
    doubted_s: float = 0.0,
) -> Decision:
    """The decision; `doubted_s` is for how long it was asked again already."""
    if seen.foreign:
        return Decision(Verdict.REFUSE, Cause.FOREIGN, foreign_name(service.name))
    running, same = seen.container is Container.RUNNING, seen.digest == service.digest
    # A part without an API runs, and whether it is of use is asked where its group has one.
    if running and same and (seen.serves or service.is_headless) and not service.anew:
        return Decision(Verdict.KEEP, Cause.SERVES, "it serves, and nothing of it changed")
    if running and same and seen.sleeping and not service.anew:
        return Decision(Verdict.KEEP, Cause.SLEEPS, "it sleeps, and nothing of it changed")
    takes_port = not service.is_headless
    if takes_port and (listeners or {}).get(service.port) == FOREIGN and not (running and seen.port == service.port):
        return Decision(Verdict.REFUSE, Cause.PORT, foreign_port(service))
    if not seen.image_present:
        return Decision(
            Verdict.REFUSE, Cause.IMAGE_MISSING, "its image is not on the host: pull it (vllm_stack_engine_image)."
        )
    if seen.container is Container.ABSENT:
        return Decision(Verdict.START, Cause.NEW, "it is new")
    if not same:
        return Decision(Verdict.START, Cause.CHANGED, "its settings changed")
    if seen.container is Container.CREATED:
        return Decision(Verdict.START, Cause.NEVER_STARTED, "it was made and never started")
    if not running:
        return Decision(Verdict.START, Cause.ENDED, f"its container is {seen.container.value}")
    if service.anew:
        return Decision(Verdict.START, Cause.GROUP, "another host of its group starts it anew")
    return _silent(service, seen, limits, doubted_s)


def _silent(service: Service, seen: Seen, limits: Limits, doubted_s: float) -> Decision:
    """One that runs as it should and did not serve in this probe: a probe can be missed, and an interrupted start goes on."""
    served = seen.healthy or seen.dead or seen.was_proved
    # A part of a group whose start was interrupted is begun again with the others.
    if not served and service.part is None and seen.age_s is not None and seen.age_s < limits.start_timeout_s:
        # What an interrupted run has done so far is not thrown away.
        return Decision(Verdict.FOLLOW, Cause.INTERRUPTED, "an earlier run began its start")
    if doubted_s < limits.doubt_s:
        return Decision(Verdict.ASK_AGAIN, Cause.DOUBT, "it runs and did not answer: asked again")
    return Decision(Verdict.START, Cause.NOT_SERVING, "it runs and does not serve")
