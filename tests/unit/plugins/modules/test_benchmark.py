# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible calls it, with a daemon that is a table and a client that answers: runs, records, comparison, and where keys go."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.benchmark.records import KEPT
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import docker_socket
from ansible_collections.gpuserve.fleet.plugins.modules import benchmark

KEY = "gsk-a-key-that-opens-all-models"
SMI = "0, NVIDIA GeForce RTX 5090, 575.64.05, {clock}, {warm}, [N/A]\n"


def entry(name: str) -> dict[str, Any]:
    return {"Id": name, "Labels": {"fleet.gpuserve.stack": "gpuserve", "fleet.gpuserve.model": name}}


def inspected(name: str, container: str) -> dict[str, Any]:
    labels = {"fleet.gpuserve.model": name, "fleet.gpuserve.digest": f"{name}-digest"}
    command = [f"a/{name}", "--served-model-name", name, "--port", "8000", "--max-num-seqs", "8"]
    return {"Name": f"/{container}", "Config": {"Labels": labels, "Cmd": command, "Image": "vllm@sha256:0"}}


class Host:
    """A daemon with engines, cards that get warm, and clients that measure."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {
            "/containers/json": [entry("qwen"), entry("yi"), {"Id": "x", "Labels": {}}, entry("surge")],
            "/containers/qwen/json": inspected("qwen", "vllm-qwen"),
            "/containers/yi/json": inspected("yi", "vllm-yi"),
            "/containers/surge/json": inspected("qwen", "vllm-qwen-surge"),
        }
        self.asked: list[tuple[list[str], str]] = []
        self.duration = 1.0
        self.status = 0
        self.warm = 40

    def get(self, _path: str, endpoint: str) -> Any:
        return self.answers.get(endpoint)

    def command(self, argv: list[str], **_options: Any) -> tuple[int, str, str]:
        assert argv[0] == "/bin/nvidia-smi"
        self.warm += 10
        return (0, SMI.format(clock=2400, warm=self.warm), "")

    def client(self, argv: list[str], **options: Any) -> Any:
        self.asked.append((argv, options["input"]))
        found = {"duration": self.duration, "completed": 16, "total_output_tokens": 512, "errors": [""] * 16}
        found |= {"ttfts": [0.05] * 16, "itls": [[0.01] * 31] * 16}
        # Of clients that begin together one takes a quarter of a second longer to start.
        found |= {"start_times": [100.5 + (0.25 if "yi" in argv[argv.index("--name") + 1] else 0.0)] * 16}
        said = f"INFO\nError: {options['input'].strip()} was refused" if self.status else "INFO"
        return subprocess.CompletedProcess(argv, self.status, json.dumps(found), said)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    found = Host()
    monkeypatch.setattr(docker_socket, "get", found.get)
    monkeypatch.setattr(AnsibleModule, "run_command", found.command)
    monkeypatch.setattr(AnsibleModule, "get_bin_path", lambda _module, name, **_options: f"/bin/{name}")
    monkeypatch.setattr(subprocess, "run", found.client)
    return found


def call(capsys: pytest.CaptureFixture[str], folder: Path, check: bool = False, **more: Any) -> dict[str, Any]:
    """Run the module as Ansible would and return what it answers."""
    places = {"state_dir": str(folder / "state"), "project_dir": str(folder / "stack"), "name": "gpu01"}
    with patch_module_args({**places, **more, "_ansible_check_mode": check}), pytest.raises(SystemExit):
        benchmark.main()
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_an_engine_that_computes_for_another_hosts_is_measured_there(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def group(name: str, place: str) -> dict[str, Any]:
        labels = {**entry(name)["Labels"], "fleet.gpuserve.group": place}
        return {**entry(name), "Labels": labels}

    host.answers["/containers/json"] = [group("qwen", "0/2"), group("yi", "1/2")]
    record = call(capsys, tmp_path)["record"]
    assert list(record["models"]) == ["qwen"] and {run["model"] for run in record["runs"]} == {"qwen"}
    named = call(capsys, tmp_path, models=["yi"])
    assert named["failed"] and named["msg"] == "benchmark_models: yi does not run here. Running are qwen."


def test_each_way_is_measured_kept_and_compared(host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = call(capsys, tmp_path, gateway_url="http://127.0.0.1:8000", gateway_key=KEY)
    assert first["changed"] is False and first["regressions"] == []
    assert [(run["model"], run["way"], run["together"]) for run in first["record"]["runs"]] == [
        ("qwen", "engine", False),
        ("qwen", "gateway", False),
        ("yi", "engine", False),
        ("yi", "gateway", False),
        ("qwen", "engine", True),
        ("yi", "engine", True),
    ]
    assert first["record"]["models"]["yi"]["digest"] == "yi-digest"
    assert first["record"]["at_once"] == 0.75
    assert "All asked at the same time for 75% of the shortest run." in "\n".join(first["table"])
    (card,) = first["record"]["cards"]
    assert card["before"] == {"clock_mhz": 2400.0, "temperature_c": 50.0, "power_w": None}
    assert card["after"]["temperature_c"] == 100.0
    kept = Path(first["path"])
    assert json.loads(kept.read_text())["runs"] == first["record"]["runs"]
    assert kept.stat().st_mode & 0o777 == 0o600 and kept.parent.stat().st_mode & 0o777 == 0o700

    kept.rename(kept.with_name("quick-20200101T000000Z.json"))
    host.duration = 2.0
    again = call(capsys, tmp_path, thresholds=[{"model": "yi", "tokens_per_s": 300}])
    assert "qwen, alone, 4 at once: 256 tokens/s, 512 before" in again["regressions"]
    assert again["below"] == ["yi, alone, 4 at once: tokens_per_s 256, threshold 300"]
    assert any(line.startswith("  Worse: qwen, alone") for line in again["table"])


def test_a_run_of_another_model_is_nothing_to_compare_with(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = Path(call(capsys, tmp_path, models=["qwen"])["path"])
    kept.rename(kept.with_name("quick-20200101T000000Z.json"))
    other = call(capsys, tmp_path, models=["yi"])
    assert other["table"][-1].endswith("There is no run of this profile to compare with yet.")
    Path(other["path"]).rename(kept.with_name("quick-20200102T000000Z.json"))
    assert call(capsys, tmp_path, models=["yi"])["table"][-1].endswith("Nothing is worse than in the last run.")


def test_what_was_measured_of_the_same_engines_is_enough_where_it_is_good_enough(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = [{"model": "yi", "tokens_per_s": 300}]
    first = call(capsys, tmp_path, reuse=True, thresholds=expected)
    asked = len(host.asked)
    again = call(capsys, tmp_path, reuse=True, thresholds=expected)
    assert len(host.asked) == asked and again["record"] == first["record"] and again["below"] == []
    assert again["table"] == [f"gpu01   accepted as measured on {first['record']['when']}: the same engines"]
    # More is expected of them, another engine runs, or nobody asked for the old figures: they are measured.
    assert call(capsys, tmp_path, reuse=True, thresholds=[{"model": "yi", "tokens_per_s": 900}])["below"]
    assert len(host.asked) == 2 * asked
    host.answers["/containers/yi/json"]["Config"]["Labels"]["fleet.gpuserve.digest"] = "another"
    call(capsys, tmp_path, reuse=True, thresholds=expected)
    call(capsys, tmp_path, thresholds=expected)
    assert len(host.asked) == 4 * asked


def test_what_was_to_be_measured_and_could_not_be_is_below_its_threshold(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host.status = 1
    below = call(capsys, tmp_path, thresholds=[{"model": "yi", "tokens_per_s": 300}])["below"]
    assert len(below) == 1 and below[0].startswith("yi, alone, 4 at once: not measured ("), below


def test_a_key_goes_by_a_pipe_and_is_in_nothing_else(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host.status = 1
    answer = call(capsys, tmp_path, models=["qwen"], gateway_url="https://127.0.0.1:8000", gateway_key=KEY)
    direct, through = host.asked
    assert through[1] == f"{KEY}\n" and direct[1] == "\n"
    assert KEY not in json.dumps([argv for argv, _ in host.asked])
    assert KEY not in json.dumps(answer) and KEY not in Path(answer["path"]).read_text()
    assert all(run["result"] is None and "was refused" in run["skipped"] for run in answer["record"]["runs"])
    # The engine's own key never leaves the file that its container has.
    assert "/run/gpuserve/env" in " ".join(direct[0]) and "/run/gpuserve/env" not in " ".join(through[0])


def test_a_client_is_beside_its_engine_without_a_card_and_goes(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call(capsys, tmp_path, models=["yi"], gateway_url="http://127.0.0.1:8000")
    direct, through = (argv for argv, _ in host.asked)
    assert direct[:3] == ["/bin/docker", "run", "--rm"]
    assert direct[direct.index("--network") + 1] == "container:vllm-yi"
    assert through[through.index("--network") + 1] == "host"
    assert direct[direct.index("--volumes-from") + 1] == "vllm-yi:ro"
    assert direct[direct.index("--entrypoint") + 2] == "vllm@sha256:0"
    assert not {"--gpus", "--device", "--privileged", "--publish"} & {*direct, *through}


def test_a_client_that_does_not_end_is_removed(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[list[str]] = []

    def never(argv: list[str], **options: Any) -> Any:
        if argv[1] == "rm":
            removed.append(argv)
            return subprocess.CompletedProcess(argv, 0, "", "")
        raise subprocess.TimeoutExpired(argv, options["timeout"])

    monkeypatch.setattr(subprocess, "run", never)
    answer = call(capsys, tmp_path, models=["yi"], timeout_s=3)
    assert answer["record"]["runs"][0]["skipped"] == "it did not end within 3 s"
    assert removed == [["/bin/docker", "rm", "--force", "gpuserve-benchmark-yi"]]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"profile": "guid"}, "benchmark_profile: 'guid' is none. Did you mean guide"),
        ({"models": ["qwne"]}, "benchmark_models: qwne does not run here. Running are qwen, yi."),
        ({"objectives": {"ttft": 1}}, "benchmark_objectives.ttft: there is no such objective."),
        ({"thresholds": [{"tokens_per_s": 1}]}, "it names no model"),
        ({"project_name": "other"}, "no engine of this stack runs here."),
    ],
)
def test_a_mistake_is_known_before_anything_is_asked(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str], given: dict[str, Any], said: str
) -> None:
    answer = call(capsys, tmp_path, **given)
    assert answer["failed"] and said in answer["msg"]
    assert host.asked == [] and not (tmp_path / "state").exists()


def test_check_mode_says_how_much_would_be_asked(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = call(capsys, tmp_path, check=True, profile="sweep")
    assert answer["table"] == ["gpu01   10 runs of profile sweep would be made"]
    assert host.asked == [] and not (tmp_path / "state").exists()


def test_tasks_are_those_of_the_proved_set(host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "stack/proved").mkdir(parents=True)
    plan = {"gpus": [{"models": [{"name": "qwen", "task": "embed"}, {"name": "yi", "task": "transcribe"}]}]}
    (tmp_path / "stack/proved/plan.json").write_text(json.dumps({"plan": plan}))
    answer = call(capsys, tmp_path, together=False)
    assert [argv[argv.index("--backend") + 1] for argv, _ in host.asked] == ["openai-embeddings"]
    assert answer["record"]["runs"][1]["skipped"] == "vLLM's client has no benchmark for the task transcribe"


@pytest.mark.parametrize("record", ["[" * 100_000, '{"plan": {"gpus": [{"models": ["qwen"]}]}}', "[]"])
def test_a_record_of_the_proved_set_that_is_none_leaves_engines_what_they_mostly_are(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str], record: str
) -> None:
    (tmp_path / "stack/proved").mkdir(parents=True)
    (tmp_path / "stack/proved/plan.json").write_text(record)
    call(capsys, tmp_path, together=False)
    assert {argv[argv.index("--backend") + 1] for argv, _ in host.asked} == {"openai"}


def test_old_records_are_forgotten_and_bad_ones_count_as_none(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "state/benchmarks"
    folder.mkdir(parents=True)
    for number in range(KEPT + 5):
        (folder / f"quick-2020{number:04}T000000Z.json").write_text("{")
    (folder / "guide-20200101T000000Z.json").write_text("{")
    answer = call(capsys, tmp_path, models=["qwen"])
    assert answer["table"][-1].endswith("There is no run of this profile to compare with yet.")
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == KEPT + 1 and Path(answer["path"]).name in names and names[0].startswith("guide-")
