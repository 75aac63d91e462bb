# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can go wrong while engines start: what the user reads, how soon, and what serves afterwards.

The engines and the card are doubles; Docker, CDI, SSH, systemd, the role and nvidia-ml-py are real. Each test leaves a row for the table
in docs/reliability.md (`GPUSERVE_FAULTS=file` writes them down).
"""

from __future__ import annotations

import json
import os
import signal
import tarfile
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.tests.support.bringup import GIB, MODELS, PORTS, Play, Stack
from ansible_collections.gpuserve.fleet.tests.support.lab import boxes, doubles
from ansible_collections.gpuserve.fleet.tests.support.lab.common import docker

ALL = sorted(PORTS)


def changed(name: str, **change: object) -> list[dict[str, object]]:
    return [{**model, **change} if model["name"] == name else model for model in MODELS]


def noticed(cause: dict[str, Any]) -> float | None:
    """Seconds until it was known: since its container ended, or since its start where it still ran; None where it never started."""
    found: float | None = cause["after_s"] if cause["noticed_s"] is None else cause["noticed_s"]
    return found


def note(fault: str, reads: str, seconds: float | None, serving: list[str]) -> None:
    """Keep a row of the table."""
    path = os.environ.get("GPUSERVE_FAULTS")
    row = {"fault": fault, "reads": reads, "seconds": seconds and round(seconds, 1), "serving": serving}
    print(json.dumps(row))
    if path:
        with Path(path).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")


def cause_of(run: Play, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(failure for failure in run.failure["failures"] if failure["name"] == name)
    return found


def restarts(stack: Stack) -> int:
    """Return how often Docker has started qwen's container again."""
    return int(stack.run("docker", "inspect", "--format", "{{.RestartCount}}", "vllm-qwen"))


PAIRS = [
    (
        {"qwen": ("no_kernel_image", "loading"), "yi": ("gated", "created")},
        {
            "qwen": ("no kernel image", "the engine's image holds no code for this card"),
            "yi": ("gated repository (401)", "the hub wants to know who asks for this model"),
        },
    ),
    (
        {"qwen": ("missing_repository", "created"), "yi": ("oom", "loading")},
        {
            "qwen": ("repository typo", "the hub has no such model, or it is private"),
            "yi": ("out of memory while loading", "the card's memory ran out"),
        },
    ),
    (
        {"qwen": ("oom", "graphs"), "yi": ("silent", "loading")},
        {
            "qwen": ("out of memory after KV", "the card's memory ran out"),
            "yi": ("start that hangs without a line", "no line in its log and no byte read for 6 s"),
        },
    ),
]


NAMES = [" and ".join(kind for kind, _at in faults.values()) for faults, _wanted in PAIRS]


@pytest.mark.parametrize(("faults", "wanted"), PAIRS, ids=NAMES)
def test_one_that_fails_is_explained_and_its_neighbour_serves(
    stack: Stack, faults: dict[str, tuple[str, str]], wanted: dict[str, tuple[str, str]]
) -> None:
    for name, (kind, at) in faults.items():
        stack.engine(name, fault={"kind": kind, "at": at})
    hangs = "silent" in [kind for kind, _at in faults.values()]
    run = stack.play(**({"vllm_stack_stall_timeout_s": 6} if hangs else {}))
    assert run.code == 2
    assert stack.serving() == ["tinyllama"]
    assert run.failure["serving"] == ["tinyllama"]
    for name, (fault, text) in wanted.items():
        cause = cause_of(run, name)
        assert text in cause["cause"]
        assert f"{name} did not start: " in run.failure["msg"]
        assert "Engine core initialization failed" not in run.failure["msg"], "the wrapper line is never the cause"
        assert stack.run("sh", "-c", f"wc -l < {cause['log_file']}") != "0"
        note(fault, f"{name} did not start: {cause['cause']} {cause['remedy']}", noticed(cause), stack.serving())


def test_an_unknown_argument_and_one_that_hangs_on_its_first_token(stack: Stack) -> None:
    stack.engine("yi", fault={"kind": "mute"})
    run = stack.play(vllm_stack_models=changed("qwen", extra_args=["--no-such-flag"]), vllm_stack_stall_timeout_s=6)
    assert run.code == 2
    assert stack.serving() == ["tinyllama"]
    qwen, yi = cause_of(run, "qwen"), cause_of(run, "yi")
    assert "does not know an argument it was given: --no-such-flag" in qwen["cause"]
    assert "no line in its log and no byte read for 6 s, at listening" in yi["cause"]
    note(
        "unknown argument (exit 2)",
        f"qwen did not start: {qwen['cause']} {qwen['remedy']}",
        noticed(qwen),
        ["tinyllama"],
    )
    note("/health 200 but generation hangs", f"yi did not start: {yi['cause']}", noticed(yi), ["tinyllama"])


def test_one_that_dies_after_it_was_ready_is_seen_while_others_start(stack: Stack) -> None:
    stack.engine("tinyllama", fault={"kind": "dies", "after_s": 10})
    stack.engine("yi", held="loading")
    run, reader = stack.playing()
    run.wait_for("tinyllama  failed")
    stack.engine("yi")
    reader.join()
    assert run.code == 2, run.text
    cause = cause_of(run, "tinyllama")
    assert "after it was ready" in cause["cause"]
    assert cause["id"] == "illegal_access" and "a kernel of the engine reached beyond its memory" in cause["cause"]
    assert stack.serving() == ["qwen", "yi"]
    note("engine dies ten seconds after ready", run.failure["msg"], noticed(cause), stack.serving())


def test_a_foreign_process_that_takes_memory_meanwhile_is_named(stack: Stack) -> None:
    stack.engine("yi", held="created")
    play, reader = stack.playing(vllm_stack_memory_wait_s=5)
    play.wait_for("yi         starts:")
    # The others have theirs by then, and the one that is missing it can only be this one.
    play.wait_for("tinyllama  ready")
    play.wait_for("qwen       ready")
    # Three models leave 5 GiB of the card free, half a GiB of it for good.
    pid = stack.hold(6 * GIB)
    stack.engine("yi")
    reader.join()
    assert play.code == 2, play.text
    cause = cause_of(play, "yi")
    assert (
        f"a process that is not ours (python3, pid {pid}) took 6.00 GiB on card {doubles.gpu(0)[0]} meanwhile"
        in cause["cause"]
    )
    assert "End that process" in cause["remedy"]
    assert stack.serving() == ["qwen", "tinyllama"]
    note("a foreign process takes memory between gate and start", play.failure["msg"], noticed(cause), stack.serving())


def test_memory_given_back_while_an_engine_measures_costs_one_more_start(stack: Stack) -> None:
    stack.engine("yi", held="measuring")
    pid = stack.hold(2 * GIB)
    play, reader = stack.playing(vllm_stack_models=changed("yi", gpu_memory_utilization=0.5))
    play.wait_for("yi         weights loaded")
    stack.run("kill", str(pid))
    stack.engine("yi")
    reader.join()
    assert play.code == 0, play.text
    assert "something else gave memory back while it measured: once more" in play.text
    assert stack.serving() == ALL
    note(
        "a neighbour frees memory during profiling",
        "yi again: something else gave memory back while it measured",
        None,
        ALL,
    )


def test_docker_restarted_in_the_middle(stack: Stack) -> None:
    stack.engine("yi", held="loading")
    play, reader = stack.playing()
    play.wait_for("yi         starts:")
    stack.run("systemctl", "restart", "docker")
    stack.engine("yi")
    reader.join()
    assert play.code == 0, play.text
    assert stack.serving() == ALL
    note("Docker daemon restarted mid-start", "Docker does not answer; waiting for it", None, ALL)


def test_a_controller_that_is_killed_leaves_the_work_going_on(stack: Stack) -> None:
    stack.engine("yi", held="loading")
    play, reader = stack.playing()
    play.wait_for("yi         starts:")
    assert play.process is not None
    os.killpg(play.process.pid, signal.SIGKILL)
    stack.engine("yi")
    reader.join()
    stack.wait_for(lambda: stack.serving() == ALL)
    started = stack.started()
    again = stack.play()
    assert again.code == 0
    assert stack.started() == started
    stack.keep()
    note("controller killed mid-start", "(nobody reads; the work goes on, and the next run finds it done)", None, ALL)


# What serves by now is left as it is by each of these but the last.
def test_a_taken_port_stops_it_before_anything_is_changed(serving: Stack) -> None:
    started = serving.started()
    serving.run(
        "sh", "-c", "nohup python3 -m http.server 8004 --bind 127.0.0.1 >/dev/null 2>&1 & echo $! > /tmp/squatter"
    )
    try:
        run = serving.play(vllm_stack_models=changed("yi", port=8004))
    finally:
        serving.run("sh", "-c", "kill $(cat /tmp/squatter)")
    assert run.code == 2
    assert "8004 is in use on box by a process that is not ours" in run.failure["msg"]
    assert serving.started() == started
    note("port taken", run.failure["msg"], run.seconds, serving.serving())


def test_a_neighbour_that_sleeps_is_named_and_the_old_one_serves_on(serving: Stack) -> None:
    started = serving.started()
    serving.engine("tinyllama", sleeping=True)
    run = serving.play(vllm_stack_models=changed("qwen", env={"NOTE": "1"}), vllm_stack_memory_wait_s=3)
    assert run.code == 2
    assert "tinyllama sleeps on card" in run.failure["msg"]
    assert "wake it (POST /wake_up) or stop it" in run.failure["msg"]
    assert serving.started() == started
    assert serving.serving() == ALL


def test_a_driver_and_a_library_of_two_versions_stop_it_before_anything_is_changed(serving: Stack) -> None:
    started = serving.started()
    serving.run("sh", "-c", f"echo 18 > {doubles.FOLDER}/fault")
    run = serving.play(vllm_stack_models=changed("qwen", env={"NOTE": "1"}))
    serving.run("rm", f"{doubles.FOLDER}/fault")
    assert run.code == 2
    assert "driver/library version mismatch" in run.failure["msg"]
    assert serving.started() == started
    note("NVML gone (driver/library version mismatch)", run.failure["msg"], run.seconds, serving.serving())


def test_an_image_that_is_nowhere_stops_it_before_anything_is_changed(serving: Stack) -> None:
    started = serving.started()
    name = serving.variables["vllm_stack_engine_image"].partition("@")[0]
    run = serving.play(vllm_stack_engine_image=f"{name}@sha256:{'0' * 64}")
    assert run.code == 2
    assert serving.started() == started
    note("image missing", run.failure["msg"], run.seconds, serving.serving())


def test_a_full_disk_stops_it_before_anything_is_changed(serving: Stack) -> None:
    started = serving.started()
    fill = (
        "mkdir -p /tmp/kept && cp -a /opt/gpuserve/stack/. /tmp/kept/ && mount -t tmpfs -o size=256k tmpfs /opt/gpuserve/stack"
        " && cp -a /tmp/kept/. /opt/gpuserve/stack/ && { cat /dev/zero > /opt/gpuserve/stack/filler || true; }"
    )
    serving.run("sh", "-c", fill)
    run = serving.play(vllm_stack_models=changed("qwen", env={"NOTE": "1"}))
    serving.run("umount", "/opt/gpuserve/stack")
    assert run.code == 2
    assert "No space left on device" in run.failure["msg"]
    assert serving.started() == started
    assert serving.play().changed == 0
    note("disk full while rendering", run.failure["msg"], run.seconds, ALL)


def test_one_that_dies_once_all_is_served_comes_back_by_itself(serving: Stack) -> None:
    serving.run("sh", "-c", "kill -9 $(docker inspect --format '{{.State.Pid}}' vllm-qwen)")
    serving.wait_for(lambda: serving.serving() == ALL)


def test_one_that_crashes_over_and_over_is_stopped_and_explained(serving: Stack) -> None:
    serving.engine("qwen", fault={"kind": "oom", "at": "created"})
    before = restarts(serving)
    serving.run("sh", "-c", "kill -9 $(docker inspect --format '{{.State.Pid}}' vllm-qwen)")
    serving.wait_for(lambda: restarts(serving) >= before + 2)
    run = serving.play()
    assert run.code == 2
    assert "qwen did not start: " in run.failure["msg"]
    assert "the card's memory ran out" in run.failure["msg"]
    assert serving.serving() == ["tinyllama", "yi"]
    assert (
        serving.run(
            "docker", "inspect", "--format", "{{.State.Status}} {{.HostConfig.RestartPolicy.Name}}", "vllm-qwen"
        )
        == "exited no"
    )
    note("crash loop", run.failure["msg"], run.seconds, serving.serving())


def test_two_controllers_at_once_take_turns(stack: Stack) -> None:
    stack.engine("yi", held="loading")
    first, one = stack.playing()
    first.wait_for("yi         starts:")
    second, two = stack.playing()
    second.wait_for("another run is starting engines on this host")
    stack.engine("yi")
    one.join()
    two.join()
    assert (first.code, second.code) == (0, 0), second.text
    assert second.result["changed"] is False
    assert stack.serving() == ALL
    stack.keep()
    note(
        "two controllers at once",
        "another run is starting engines on this host ({pid, since}): waiting up to 120 s",
        None,
        ALL,
    )


def test_diagnose_names_an_engine_that_is_down_a_foreign_process_and_no_secret(serving: Stack, tmp_path: Path) -> None:
    told = tmp_path / "diagnosis.json"
    arguments = ("-e", f"diagnose_json={told}", "-e", f"diagnose_bundle={tmp_path}", "-e", '{"diagnose_names": []}')
    assert serving.start("diagnose.yml", *arguments).follow().code == 2  # the box has no card on its bus
    before = json.loads(told.read_text())["box"]["findings"]
    assert not [one for one in before if one["subject"].startswith("engine ") or one["rule"] == "foreign_process"]
    pid = serving.hold(2 * GIB)
    serving.engine("qwen", fault={"kind": "oom", "at": "loading"})
    # It begins to count anew.
    serving.run("docker", "restart", "vllm-qwen")
    serving.wait_for(lambda: restarts(serving) > 0)
    assert serving.start("diagnose.yml", *arguments).follow().code == 2
    found = {one["rule"]: one for one in json.loads(told.read_text())["box"]["findings"]}
    assert found["foreign_process"]["text"].startswith("a process that is not ours (python3, pid ")
    assert found["out_of_memory"]["subject"] == "engine qwen" and found["out_of_memory"]["because"] == "foreign_process"
    with tarfile.open(tmp_path / "box.tar.gz") as bundle:
        names = bundle.getnames()
    assert "gpuserve-support/logs/vllm-qwen.log" in names and not [name for name in names if name.endswith(".env")]
    assert serving.run("sh", "-c", "ls /var/lib/gpuserve/support.tar.gz || true").strip() == ""
    serving.run("kill", str(pid))


def test_a_host_rebooted_in_the_middle_is_gone_on_with(stack: Stack) -> None:
    stack.engine("yi", held="loading")
    play, reader = stack.playing()
    play.wait_for("tinyllama  ready")
    assert play.process is not None
    os.killpg(play.process.pid, signal.SIGKILL)
    reader.join()
    reboot(stack)
    stack.engine("yi")
    again = stack.play()
    assert again.code == 0
    assert "an earlier run was interrupted: going on from what it left" in again.text
    assert stack.serving() == ALL
    note("host rebooted mid-start", "an earlier run was interrupted: going on from what it left", None, ALL)


def test_after_a_boot_engines_that_measure_are_started_one_after_the_other(stack: Stack) -> None:
    models = [{**MODELS[0], "gpu_memory_utilization": 0.2}, {**MODELS[1], "gpu_memory_utilization": 0.4}]
    assert stack.play(vllm_stack_models=models).code == 0
    stack.engine("tinyllama", seconds={"loading": 3})
    reboot(stack)
    stack.wait_for(lambda: stack.serving() == ["qwen", "tinyllama"])
    log = stack.run("journalctl", "-u", "gpuserve-stack", "-o", "cat")
    assert log.index("vllm-tinyllama: healthy") < log.index("vllm-qwen: healthy")
    started = stack.started()
    assert started["vllm-tinyllama"] < started["vllm-qwen"]
    again = stack.play(vllm_stack_models=models)
    assert (again.code, again.changed) == (0, 0)
    assert stack.play().code == 0
    # Engines with exact caches are Docker's to bring back; the box's is older than 28.2 and forgets them (moby#49989), so the unit does.
    reboot(stack)
    stack.wait_for(lambda: stack.serving() == ALL)
    assert stack.play().changed == 0


def reboot(stack: Stack) -> None:
    stack.run("systemctl", "stop", "--no-block", "docker", check=False)
    container = stack.box.container
    docker("restart", container)
    stack.box = boxes.up(stack.box.name)
    stack.wait_for(lambda: stack.run("systemctl", "is-active", "docker", check=False) == "active")


def test_a_foreign_container_with_our_name_is_left_alone(stack: Stack) -> None:
    image = stack.variables["vllm_stack_engine_image"]
    stack.run("docker", "run", "-d", "--name", "vllm-yi", "--entrypoint", "sleep", image, "600")
    run = stack.play()
    assert run.code == 2
    assert "a container named vllm-yi is there and is not ours" in run.failure["msg"]
    assert stack.run("docker", "inspect", "--format", "{{.State.Status}}", "vllm-yi") == "running"
    assert stack.serving() == ["qwen", "tinyllama"]
    note("a foreign container with our name", run.failure["msg"], run.seconds, stack.serving())


def test_a_clock_that_jumps_changes_nothing(stack: Stack) -> None:
    stack.run("sh", "-c", "command -v faketime >/dev/null || apt-get install -qy faketime >/dev/null 2>&1", check=False)
    library = stack.run("sh", "-c", "ls /usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
    stack.run("sh", "-c", "echo +0 > /tmp/clock")
    stack.engine("yi", held="loading")
    fake = {
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": "/tmp/clock",
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    play, reader = stack.playing(_environment=fake)
    play.wait_for("yi         starts:")
    stack.run("sh", "-c", "echo +3h > /tmp/clock")
    stack.engine("yi")
    reader.join()
    assert play.code == 0, play.text
    assert stack.serving() == ALL
    note("clock jump", "(nothing: no bound is measured by the wall clock)", None, ALL)
