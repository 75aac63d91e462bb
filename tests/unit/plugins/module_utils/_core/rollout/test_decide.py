# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is decided of a service at first sight."""

from __future__ import annotations

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.decide import Verdict, decide
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import FOREIGN, Container, Seen
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import Cause, Limits, Service
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB

YI = Service("yi", "d", 8001, ("GPU-1",), GIB, exact_kv=True)
LIMITS = Limits(start_timeout_s=100, doubt_s=5)
UP = Container.RUNNING


@pytest.mark.parametrize(
    ("seen", "verdict", "cause", "reason"),
    [
        (Seen(), Verdict.START, Cause.NEW, "it is new"),
        (
            Seen(UP, foreign=True),
            Verdict.REFUSE,
            Cause.FOREIGN,
            "a container named vllm-yi is there and is not ours: remove or rename it, or rename the model.",
        ),
        (Seen(UP, "d", serves=True), Verdict.KEEP, Cause.SERVES, "it serves, and nothing of it changed"),
        (Seen(UP, "d", sleeping=True), Verdict.KEEP, Cause.SLEEPS, "it sleeps, and nothing of it changed"),
        (Seen(UP, "old", serves=True), Verdict.START, Cause.CHANGED, "its settings changed"),
        (Seen(UP, "old", sleeping=True), Verdict.START, Cause.CHANGED, "its settings changed"),
        (Seen(Container.EXITED, "d", serves=True), Verdict.START, Cause.ENDED, "its container is exited"),
        (Seen(Container.EXITED, "d", sleeping=True), Verdict.START, Cause.ENDED, "its container is exited"),
        (Seen(Container.RESTARTING, "d"), Verdict.START, Cause.ENDED, "its container is restarting"),
        (Seen(Container.CREATED, "d"), Verdict.START, Cause.NEVER_STARTED, "it was made and never started"),
        (Seen(Container.CREATED, "old"), Verdict.START, Cause.CHANGED, "its settings changed"),
        (
            Seen(image_present=False),
            Verdict.REFUSE,
            Cause.IMAGE_MISSING,
            "its image is not on the host: pull it (vllm_stack_engine_image).",
        ),
        (Seen(UP, "d", age_s=99.9), Verdict.FOLLOW, Cause.INTERRUPTED, "an earlier run began its start"),
        (Seen(UP, "d", age_s=100.0), Verdict.ASK_AGAIN, Cause.DOUBT, "it runs and did not answer: asked again"),
        (Seen(UP, "d"), Verdict.ASK_AGAIN, Cause.DOUBT, "it runs and did not answer: asked again"),
        # One that was proved once is no start of an interrupted run, however young it is.
        (
            Seen(UP, "d", age_s=1.0, restart_policy="unless-stopped"),
            Verdict.ASK_AGAIN,
            Cause.DOUBT,
            "it runs and did not answer: asked again",
        ),
        (
            Seen(UP, "d", age_s=1.0, restart_policy="no"),
            Verdict.FOLLOW,
            Cause.INTERRUPTED,
            "an earlier run began its start",
        ),
        (
            Seen(UP, "d", age_s=1.0, healthy=True),
            Verdict.ASK_AGAIN,
            Cause.DOUBT,
            "it runs and did not answer: asked again",
        ),
        (
            Seen(UP, "d", age_s=1.0, dead=True),
            Verdict.ASK_AGAIN,
            Cause.DOUBT,
            "it runs and did not answer: asked again",
        ),
    ],
)
def test_at_first_sight(seen: Seen, verdict: Verdict, cause: Cause, reason: str) -> None:
    found = decide(YI, seen, LIMITS)
    assert (found.verdict, found.cause, found.reason) == (verdict, cause, reason)


@pytest.mark.parametrize(
    ("asked_s", "verdict"), [(0.0, Verdict.ASK_AGAIN), (4.9, Verdict.ASK_AGAIN), (5.0, Verdict.START)]
)
def test_a_doubt_has_a_bound(asked_s: float, verdict: Verdict) -> None:
    found = decide(YI, Seen(UP, "d", healthy=True), LIMITS, doubted_s=asked_s)
    assert found.verdict is verdict
    assert (found.cause is Cause.NOT_SERVING) == (verdict is Verdict.START)


@pytest.mark.parametrize(
    ("seen", "listeners", "refused"),
    [
        (Seen(), {8001: FOREIGN}, True),
        (Seen(), {8002: FOREIGN}, False),
        (Seen(), {8001: "other"}, False),
        (Seen(UP, "d", serves=True), {8001: FOREIGN}, False),
        (Seen(UP, "old", port=8001), {8001: FOREIGN}, False),
        (Seen(UP, "old", port=7001), {8001: FOREIGN}, True),
        (Seen(Container.EXITED, "d", port=8001), {8001: FOREIGN}, True),
    ],
)
def test_a_foreign_port_is_refused_and_one_of_ours_is_not(seen: Seen, listeners: dict[int, str], refused: bool) -> None:
    assert (decide(YI, seen, LIMITS, listeners).cause is Cause.PORT) == refused
