# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import collections
import re
from pathlib import Path

import pytest
import yaml

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.distribution import Distribution
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.docker_engine import distro_docker
from ansible_collections.gpuserve.fleet.tests.support.lab import (
    answers,
    bases,
    boxes,
    demo,
    docker_host,
    failures,
    last_screen,
    models,
    whole,
)
from ansible_collections.gpuserve.fleet.tests.support.lab.common import CHECKOUT, LabError, shown


def test_the_inventory_serves_what_is_made_and_the_first_lines_say_so() -> None:
    served = yaml.safe_load((CHECKOUT / "inventories/demo/group_vars/gpu_hosts.yml").read_text())["vllm_stack_models"]
    assert [model["model"] for model in served] == [f"{demo.MODELS_ON_HOST}/{name}" for name in models.NAMES]
    assert [model["name"] for model in served] == list(models.NAMES)
    opening = (CHECKOUT / "mk/demo.txt").read_text()
    assert all(name in opening for name in models.NAMES)
    assert f"{demo.DISK_COLD / demo.GB:.0f} GB of free disk" in opening
    assert f":{demo.GATEWAY_PORT}" in opening
    assert len(opening.splitlines()) <= 20, "a first screen"
    assert max(map(len, opening.splitlines())) <= 120


def test_a_base_image_is_named_after_what_went_in() -> None:
    plain = bases.Base("x", "trixie", ("python3",), systemd=True)
    assert plain.image == bases.Base("x", "trixie", ("python3",), systemd=True).image
    assert plain.image != bases.Base("x", "trixie", ("python3", "curl"), systemd=True).image
    assert plain.image != bases.Base("x", "bookworm", ("python3",), systemd=True).image


def test_a_box_with_docker_has_all_that_our_role_would_install_there() -> None:
    trixie = Distribution("debian", "13", "13", docker_host.SUITE, "debian", "Debian 13")
    assert set(docker_host.PACKAGES) == set(distro_docker(trixie).packages)
    assert docker_host.image_name() != bases.host_base(docker_host.SUITE).image
    with pytest.raises(LabError, match="no base image with Docker for suite bookworm: choose trixie"):
        boxes.up("some", suite="bookworm", with_docker=True)


def test_a_lab_of_another_name_has_a_subnet_of_its_own() -> None:
    assert boxes.second_octet("gpuserve-lab") == 213
    others = {boxes.second_octet(f"lab-{number}") for number in range(200)}
    assert others <= set(range(214, 254))
    assert len(others) > 20


def test_the_table_has_units_and_says_what_was_up_already() -> None:
    report = {
        "models": [
            {"name": "qwen", "ready_s": 31.4, "planned_bytes": 3 << 29, "measured_bytes": 5 << 28},
            {"name": "llama", "ready_s": None, "planned_bytes": 1 << 30, "measured_bytes": None},
        ]
    }
    lines = last_screen.table(report)
    assert "memory planned" in lines[0]
    assert "31 s" in lines[1]
    assert "1.50 GiB" in lines[1]
    assert "1.25 GiB" in lines[1]
    assert "was up" in lines[2]
    assert lines[2].endswith("-")


class _Client:
    """A client whose models answer what it was told."""

    def __init__(self, near: list[float]) -> None:
        self._near = near

    def chat(self, model: str, _question: str, max_tokens: int = 40) -> str:
        return f"{model} said {max_tokens} words"

    def similarities(self, _model: str, _text: str, _sentences: object) -> list[float]:
        return self._near


def test_the_nearest_sentence_comes_first() -> None:
    lines = last_screen.talk(_Client([0.1, 0.25, 0.7]))  # type: ignore[arg-type]
    place = next(n for n, line in enumerate(lines) if "nearest " in line and "0.70" in line)
    assert answers.SENTENCES[2] in lines[place]
    assert [line.split()[0] for line in lines[place + 1 : place + 3]] == ["0.25", "0.10"]
    assert lines[1].strip() == "smollm2 said 40 words"
    assert any("weights are random" in line for line in lines)


def test_the_last_lines_say_what_was_made_and_pulled_and_how_to_stop_without_a_key() -> None:
    text = "\n".join(
        [
            *last_screen.took(171.2, False, {"models (fetched)": 14.4}, 150, "registry.lab:5000"),
            *last_screen.go_on("http://localhost:8000", "~/keys/demo"),
        ]
    )
    assert "171 s with cold caches, 150 s of it in site.yml (images: pulled from registry.lab:5000)" in text
    assert "models (fetched) 14 s" in text
    assert '"Authorization: Bearer $(cat ~/keys/demo)"' in text
    assert "make demo-down" in text
    assert "Nothing had to be built" in last_screen.took(9, True, {}, 8, "Docker Hub")[1]


def test_a_path_is_shown_as_a_person_writes_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert shown(tmp_path / "a" / "b") == "~/a/b"
    assert shown(Path("/srv/x")) == "/srv/x"


def test_a_machine_that_cannot_do_it_is_told_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(LabError, match="x86_64"):
        demo.can_begin(warm=True)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("shutil.disk_usage", lambda _path: type("Usage", (), {"free": 3_000_000_000})())
    with pytest.raises(LabError, match=r"16 GB of free disk .* and 3 are free"):
        demo.can_begin(warm=False)
    demo.can_begin(warm=True)


def test_every_scenario_is_in_the_whole_test() -> None:
    folders = {path.parent.name for path in (CHECKOUT / "molecule").glob("*/converge.yml")}
    assert set(whole.scenarios()) == folders


def test_the_real_engines_start_beside_the_quick_tier_and_then_comes_the_longest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(whole, "TIMES", tmp_path / "times.json")
    names = [name for name, _do in whole.jobs_of(whole.Tally())]
    assert names[:4] == ["end to end", "quick tier", "molecule fleet", "bring-up on doubles"]
    assert set(names) == {*whole.FIRST, *whole.SUITES, *(f"molecule {name}" for name in whole.scenarios())}
    assert set(whole.LONG_S) <= set(names), "what is said to take long is there"


def test_a_green_run_s_times_say_what_is_begun_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(whole, "TIMES", tmp_path / "times.json")
    monkeypatch.setattr(whole, "TALLY", tmp_path / "tally")
    took = {"lint": 60.0, "unit": 40.0, "molecule rpm": 2000.0, "end to end": 1.0}
    whole._report(whole.Tally(seconds=took), "warm", 2.0)
    assert whole._times()["parts"] == {**took, "quick tier": 100}
    names = [name for name, _do in whole.jobs_of(whole.Tally())]
    assert names[:4] == ["quick tier", "end to end", "molecule rpm", "molecule fleet"]
    bad = whole.Tally({"rpm": whole.Outcome(failures=[failures.Failure("rpm", ())])}, {"molecule rpm": 1.0})
    whole._report(bad, "warm", 2.0)
    assert whole._times()["parts"]["molecule rpm"] == 2000, "a part that failed may have ended early"


def test_parts_that_send_modules_keep_their_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/srv/theirs")
    assert whole._environment()["PYTHONPATH"] == f"{whole.SITE}:/srv/theirs"
    assert (whole.SITE / "sitecustomize.py").exists()
    assert "GPUSERVE_LAB_CODE" not in whole._environment(plain=True)
    assert whole._environment(plain=True)["PYTHONPATH"] == "/srv/theirs"


def test_what_is_sent_to_boxes_is_not_packed_twice() -> None:
    told = whole._environment()["ANSIBLE_SSH_ARGS"].split()
    assert "-C" not in told and "ControlMaster=auto" in told


def test_the_idle_share_is_of_all_processors_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole, "processors", lambda: (130, 400))
    assert whole.idle_share((100, 300)) == 0.3
    assert whole.idle_share((130, 400)) == 0


@pytest.mark.parametrize(("ended", "idle", "done"), [(True, 0.3, 3), (True, 0.1, 0), (False, 0.9, 0)])
def test_one_part_more_joins_where_processors_are_idle_and_the_real_vllm_has_ended(
    monkeypatch: pytest.MonkeyPatch, ended: bool, idle: float, done: int
) -> None:
    tally, did = whole.Tally(seconds={"end to end": 1.0} if ended else {}), []
    jobs = collections.deque([lambda: did.append(1)] * 3)
    probes = iter(range(9))

    def sleep(_seconds: float) -> None:
        if next(probes) == 8:  # whoever else takes the parts is done by then
            jobs.clear()

    monkeypatch.setattr("time.sleep", sleep)
    monkeypatch.setattr(whole, "idle_share", lambda _since: idle)
    whole._lane(tally, jobs, extra=True)
    assert len(did) == done
    jobs.extend([lambda: did.append(1)] * 2)
    whole._lane(tally, jobs, extra=False)
    assert len(did) == done + 2, "the others never wait"


def test_what_make_check_runs_in_part_the_whole_test_runs_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    makefile = (CHECKOUT / "Makefile").read_text()
    (parts,) = re.findall(r"\bQUICK=\S+ (.+)$", makefile, re.MULTILINE)
    before = dict(re.findall(r"^([a-z-]+):([ a-z-]*)$", makefile, re.MULTILINE))
    assert set(parts.split()) <= {name for target in whole.QUICK for name in (target, *before.get(target, "").split())}
    monkeypatch.setenv("QUICK", "yes")
    monkeypatch.setenv("MAKEFLAGS", " -- QUICK=yes")
    assert not {"QUICK", "MAKEFLAGS"} & set(whole._environment(plain=True))


def test_molecule_without_a_name_brings_the_whole_box_up() -> None:
    """What its converge plays is what a user does, and it is played again."""
    assert "../../playbooks/site.yml" in (CHECKOUT / "molecule/default/converge.yml").read_text()
    assert "default" in whole.scenarios()


def test_the_steps_compile_what_they_read_once_and_outside_of_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    environment = whole._environment()
    assert "PYTHONDONTWRITEBYTECODE" not in environment
    assert not Path(environment["PYTHONPYCACHEPREFIX"]).is_relative_to(CHECKOUT)


def test_a_real_host_is_read_from_its_address() -> None:
    hostvars = demo.real_host("ops@192.0.2.10:2222")
    assert hostvars["ansible_host"] == "192.0.2.10"
    assert hostvars["ansible_user"] == "ops"
    assert hostvars["ansible_port"] == 2222
    assert hostvars["gpuserve_demo_url"] == "http://192.0.2.10:8000"
    assert "gateway_auth" not in hostvars, "a gateway that the network can reach asks for a key"
    assert "ansible_user" not in demo.real_host("gpu01")


def test_a_failed_test_is_told_by_name_with_the_beginning_of_its_message_and_its_place(tmp_path: Path) -> None:
    report = tmp_path / "bring-up.xml"
    message = "&#10;".join(f"line {number}" for number in range(30))
    report.write_text(
        '<testsuites><testsuite><testcase classname="tests.a" name="test_good" />'
        f'<testcase classname="tests.a" name="test_bad[x]"><failure message="{message}">code\ntests/a.py:7: AssertionError\n'
        "</failure></testcase>"
        '<testcase classname="tests.b" name="test_never"><error message="no box">tests/b.py:1: LabError</error></testcase>'
        "</testsuite></testsuites>"
    )
    failed, errored = failures.failed_tests("bring-up", report)
    assert failed.name == "bring-up: tests.a::test_bad[x]"
    assert failed.lines == (*(f"line {number}" for number in range(14)), "tests/a.py:7: AssertionError")
    assert errored == failures.Failure("bring-up: tests.b::test_never", ("no box", "tests/b.py:1: LabError"))
    assert failures.failed_tests("bring-up", tmp_path / "none.xml") == []


def test_a_failed_step_is_told_by_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "lint.log"
    log.write_text("".join(f"line {number}\n\n" for number in range(40)))
    assert failures.step_failure("lint", log).lines == tuple(f"line {number}" for number in range(25, 40))
    assert failures.step_failure("lint", tmp_path / "none.log").lines == ()


SCENARIO = """
TASK [Rescued earlier] ***
fatal: [gw]: FAILED! => expected
INFO     [gateway > verify] Executing
TASK [Compare] ***
TASK [Run it] ***
[ERROR]: Task failed: Module failed: non-zero return code
Origin: /c/verify.yml:4:7
fatal: [gw]: FAILED! =>
    msg: non-zero return code
{stdout}
PLAY RECAP ***
gw                         : ok=0    changed=0    unreachable=0    failed=1
CRITICAL Ansible return code was 2
WARNING  [gateway > verify] An error occurred during the test sequence action: 'verify'. Cleaning up.
INFO     [gateway > destroy] Executing
TASK [Remove the box] ***
ERROR    Ansible return code was 2, command was: ansible-playbook
ERROR    Molecule executed 1 scenario (1 failed)
"""


@pytest.mark.parametrize("lines", [1, 40])
def test_a_failed_scenario_is_told_by_the_task_that_failed_and_not_by_the_end_of_its_box(
    tmp_path: Path, lines: int
) -> None:
    log = tmp_path / "molecule-gateway.log"
    log.write_text(SCENARIO.format(stdout="\n".join(f"    line {number}" for number in range(lines))))
    told = failures.step_failure("molecule gateway", log).lines
    assert told[0] == "TASK [Run it] ***"
    assert told[1].endswith("non-zero return code")
    assert told[-2] == f"    line {lines - 1}"
    assert told[-1].startswith("ERROR    Ansible return code was 2")
    assert len(told) <= failures.LINES


def test_a_failed_run_ends_with_what_failed_and_the_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(whole, "TALLY", tmp_path / "tally")
    monkeypatch.setattr(whole, "TIMES", tmp_path / "times.json")
    many = [failures.Failure(f"unit: test_{number}", (f"why {number}",)) for number in range(failures.TOLD + 1)]
    tally = whole.Tally({"unit": whole.Outcome(5, 0, many)}, {"unit": 1.0})
    whole._report(tally, "warm", 2.0)
    told = (tmp_path / "tally").read_text()
    assert capsys.readouterr().out.endswith(told), "CI repeats exactly what stood last"
    assert "FAILED unit: test_0\n   | why 0\n" in told
    assert f"why {failures.TOLD}" not in told
    names = told[told.index(f"{len(many)} failed:") :].splitlines()
    assert names[1:] == [*(f"  {one.name}" for one in many), f"5 passed, {len(many)} failed"]


def test_a_green_run_ends_with_the_count_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(whole, "TALLY", tmp_path / "tally")
    monkeypatch.setattr(whole, "TIMES", tmp_path / "times.json")
    whole._report(whole.Tally({"unit": whole.Outcome(5, 1)}), "warm", 2.0)
    assert (tmp_path / "tally").read_text() == "5 passed, 0 failed, 1 skipped\n"


def test_many_failures_and_those_of_the_quick_tier_are_not_tried_again() -> None:
    def never() -> whole.Outcome:
        raise AssertionError

    bad = [failures.Failure("x", ())]
    for names in (["lint"], [f"suite {number}" for number in range(whole.AGAIN_AT_MOST + 1)]):
        tally = whole.Tally({name: whole.Outcome(0, 0, bad) for name in names}, again=dict.fromkeys(names, never))
        whole.try_again(tally)
        assert len(tally.failures) == len(names) and not tally.by_chance
