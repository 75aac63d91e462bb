# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Serial or parallel, how many at once, and the reason that a person reads."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import CPU_UUID
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.concurrency import (
    Host,
    Mode,
    choose,
    ram_bytes,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import Service
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB

SMALL = Service("small", "d", 8001, ("GPU-1",), 4 * GIB, exact_kv=True, weights_bytes=2 * GIB)
LARGE = Service("large", "d", 8002, ("GPU-1",), 14 * GIB, exact_kv=True, weights_bytes=12 * GIB)
ALL = [SMALL, replace(SMALL, name="middle"), LARGE]
ROOMY = Host(cores=16, free_ram_bytes=120 * GIB)


def test_all_at_once_where_nothing_speaks_against_it() -> None:
    assert choose(ALL, "auto", 0, ROOMY) == Mode("parallel", "every engine has exact KV bytes", 8, 0)


def test_what_the_user_says_holds() -> None:
    assert choose(ALL, "serial", 0, ROOMY).name == "serial"
    assert choose(ALL, "parallel", 2, Host(2, 120 * GIB)) == Mode("parallel", "vllm_stack_mode says so", 2, 2)
    assert choose(ALL, "auto", 2, ROOMY) == Mode(
        "parallel", "every engine has exact KV bytes; 2 at once: vllm_stack_max_parallel", 2, 2
    )


def test_one_that_sizes_its_own_cache_makes_it_serial_whatever_is_asked() -> None:
    mode = choose([SMALL, replace(LARGE, exact_kv=False)], "parallel", 4, ROOMY)
    assert (mode.name, mode.reason) == ("serial", "large sizes its own cache, which others must not disturb")


def test_where_nobody_can_tell_who_holds_what_one_starts_after_the_other() -> None:
    """What a start has taken already is no part of what is kept for it; unread, all of it would count twice."""
    mode = choose(ALL, "parallel", 4, replace(ROOMY, tells_apart=False))
    assert mode == Mode("serial", "nobody can tell here what each process holds on a card", 1, 0)


def test_few_cores_bound_it() -> None:
    assert choose(ALL, "auto", 0, Host(3, 120 * GIB)).reason == "3 cores are too few for two starts at once"
    assert choose(ALL, "auto", 0, Host(4, 120 * GIB)).reason.endswith("; 2 at once: the host's cores")


def test_little_memory_of_the_host_bounds_it() -> None:
    two = choose(ALL, "auto", 0, Host(16, 10 * GIB))
    assert (two.name, two.at_once) == ("parallel", 2)
    assert "2 at once: 3 starts take up to 12.00 GiB of the host's RAM and 9.00 GiB are free for them" in two.reason
    one = choose(ALL, "auto", 0, Host(16, 8 * GIB))
    assert (one.name, one.at_once) == ("serial", 1)
    assert one.reason == "one at a time: 2 starts take up to 8.00 GiB of the host's RAM and 7.00 GiB are free for them"


def test_asked_for_parallel_is_still_bounded_by_the_hosts_memory() -> None:
    assert choose(ALL, "parallel", 8, Host(16, 8 * GIB)).name == "serial"
    assert choose(ALL, "parallel", 8, Host(16, 10 * GIB)).at_once == 2


def test_a_single_start_needs_no_bound() -> None:
    assert choose([LARGE], "auto", 0, Host(16, 4 * GIB)).at_once == 0


def test_ranks_count_each_and_weights_on_a_cpu_not_at_all() -> None:
    assert ram_bytes(replace(LARGE, gpus=("GPU-1", "GPU-2"))) - ram_bytes(LARGE) == 3 * GIB // 2
    assert ram_bytes(replace(LARGE, gpus=(CPU_UUID,))) == 0


def test_the_bounds_by_memory_and_by_cores() -> None:
    """Starts of 4, 4 and 4 GiB: 3 for the processes and 1 for tensors; 1 GiB is the host's own."""
    for free, at_once, name in ((13 * GIB, 0, "parallel"), (13 * GIB - 1, 2, "parallel"), (9 * GIB - 1, 1, "serial")):
        mode = choose(ALL, "auto", 0, Host(16, free))
        assert (mode.at_once, mode.name) == (at_once, name)
    for cores, name, parallel in ((3, "serial", 1), (4, "parallel", 2), (7, "parallel", 3)):
        mode = choose([*ALL, LARGE], "auto", 0, Host(cores, 120 * GIB))
        assert (mode.name, mode.parallel) == (name, parallel)


def test_parallel_that_was_asked_for_is_two_at_least() -> None:
    assert choose(ALL, "parallel", 0, Host(1, 120 * GIB)).parallel == 2
    assert choose(ALL, "parallel", 0, Host(12, 120 * GIB)).parallel == 6
    assert choose(ALL, "parallel", 1, ROOMY) == Mode("parallel", "vllm_stack_mode says so", 2, 1)
    assert choose(ALL, "auto", 1, ROOMY) == Mode("serial", "vllm_stack_max_parallel is 1", 1, 1)


def test_a_bound_above_their_number_bounds_nothing() -> None:
    for bound, at_once in ((2, 2), (3, 3), (4, 0)):
        assert choose(ALL, "auto", bound, ROOMY).at_once == at_once
        assert choose(ALL, "serial", bound, ROOMY) == Mode("serial", "vllm_stack_mode says so", 1, at_once)


def test_small_weights_are_what_tensors_on_their_way_can_be() -> None:
    assert ram_bytes(replace(SMALL, weights_bytes=GIB // 2)) == 7 * GIB // 2
    assert ram_bytes(replace(SMALL, weights_bytes=9 * GIB)) == 4 * GIB
