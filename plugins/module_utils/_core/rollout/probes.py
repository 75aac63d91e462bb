# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which questions are asked of a container now: as few as decide something, since each costs an engine a moment."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import Step, Track, assert_never


@dataclass(frozen=True)
class Probes:
    """Questions of one probe of one container; whether it runs at all is always asked."""

    image: bool = False
    log: bool = False
    health: bool = False
    token: bool = False
    figures: bool = False  # how many requests it is at
    sleep: bool = False


FIRST = Probes(image=True, health=True, token=True, figures=True, sleep=True)
START = Probes(log=True, health=True, token=True)
DRAIN = Probes(health=True, figures=True)
NOTHING = Probes()


def probes(track: Track | None, *, waiting: bool = False, over: bool = False) -> Probes:
    """What to ask of a service's container; without a track it is a first probe. `waiting`: somebody wants to start, so that one that
    sleeps matters; `over`: every service is settled, and this is the last probe."""
    if track is None:
        return FIRST
    match track.step:
        case Step.WAITING:
            return DRAIN if track.reason else FIRST
        case Step.STARTING:
            return START
        case Step.DRAINING:
            return DRAIN
        case Step.READY | Step.KEPT:
            return Probes(health=over or track.doubted is not None, sleep=waiting and track.step is Step.KEPT)
        case Step.SURGING | Step.STOPPING | Step.RETIRING | Step.YIELDING | Step.FAILED | Step.LEAVING | Step.GONE:
            return NOTHING
        case _:
            assert_never(track.step)


def surge_probes(track: Track) -> Probes | None:
    """What to ask of its surge instance; None where there is none to look at."""
    if not track.surged and not track.surge_serves:
        return None
    match track.step:
        case Step.SURGING:
            return START
        case Step.RETIRING | Step.YIELDING:
            return DRAIN
        case _:
            return NOTHING
