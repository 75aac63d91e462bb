# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How engines and whoever asks them meet: who decides it, and what an engine on a socket gets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import sockets
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import parse_models
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack import address, compose, transport
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.yaml_text import dump
from tests.bench.plan import GUIDE, plan_host

PLAN = plan_host([{"name": "NVIDIA GeForce RTX 5090", "uuid": "GPU-abc"}])
NAMES = [str(model["name"]) for model in GUIDE]
OPTIONS = compose.StackOptions(
    *("gpuserve", "vllm/vllm-openai@sha256:0", "cuda", "/var/cache/x", "bridge"),
    transport="socket",
    offline=frozenset(NAMES),
)


def stack(options: compose.StackOptions = OPTIONS, **change: Any) -> dict[str, Any]:
    return compose.render(parse_models([{**GUIDE[0], **change}, *GUIDE[1:]]), PLAN, options)


@pytest.mark.parametrize(
    ("wanted", "version", "gateway", "chosen"),
    [
        ("auto", "0.33.0", True, "socket"),
        ("auto", "0.10.1.1", True, "socket"),
        ("auto", "", True, "socket"),
        ("auto", "0.9.2", True, "tcp"),
        # Nobody but root would reach them.
        ("auto", "0.33.0", False, "tcp"),
        ("socket", "0.33.0", False, "socket"),
        ("tcp", "0.33.0", True, "tcp"),
    ],
)
def test_sockets_where_the_engine_takes_them_and_a_gateway_serves(
    wanted: str, version: str, gateway: bool, chosen: str
) -> None:
    assert transport.choose(wanted, version, gateway) == chosen


ON_SOCKETS = [{"name": "qwen", "endpoints": ["unix:/run/gpuserve/engines/sockets/qwen/http"]}]
ON_PORTS = [{"name": "qwen", "endpoints": ["127.0.0.1:8001"]}, {"name": "older"}]


@pytest.mark.parametrize(
    ("claims", "runs", "serving", "tags", "skipped", "serves"),
    [
        (True, False, [], ["all"], [], True),
        (True, False, [], ["docker_engine", "gateway"], [], True),
        # Nobody would answer at the models' addresses.
        (True, False, ON_PORTS, ["all"], ["gateway"], False),
        (True, False, ON_PORTS, ["vllm_stack"], [], False),
        (True, True, ON_PORTS, ["vllm_stack"], [], True),
        (True, False, ON_SOCKETS, ["vllm_stack"], [], True),
        (False, True, ON_SOCKETS, ["all"], [], False),
    ],
)
def test_a_gateway_serves_that_runs_or_is_about_to(
    claims: bool, runs: bool, serving: list[dict[str, Any]], tags: list[str], skipped: list[str], serves: bool
) -> None:
    assert transport.gateway_serves(claims, runs, serving, tags, skipped) is serves


def test_what_can_not_be_is_refused_by_its_variable() -> None:
    with pytest.raises(FleetError, match=r"vllm_stack_transport: vLLM 0\.9\.2 does not listen on a socket"):
        transport.choose("socket", "0.9.2", True)
    with pytest.raises(FleetError, match=r"there is no transport 'udp'\. Take one of auto, socket, tcp"):
        transport.choose("udp", "0.33.0", True)


def test_an_engine_on_a_socket_has_no_port_and_no_network() -> None:
    rendered = stack()
    assert "networks" not in rendered
    for name, service in rendered["services"].items():
        assert "ports" not in service and service["network_mode"] == "none"
        assert "--port" not in service["command"] and "--host" not in service["command"]
        uds = service["command"][service["command"].index("--uds") + 1]
        (mount,) = [one for one in service["volumes"] if one["target"] == compose.ENGINE_SOCKETS]
        assert uds == f"{mount['target']}/http" and not mount.get("read_only")
        assert mount["source"] == sockets.folder(name) + "${GPUSERVE_SURGE-}"
        assert service["environment"]["VLLM_HOST_IP"] == "127.0.0.1"
        assert "AF_UNIX" in service["healthcheck"]["test"][-1]


def test_only_a_model_that_is_allowed_out_has_a_network_and_it_has_it_alone() -> None:
    rendered = stack(allow_network=True)
    assert rendered["networks"] == {NAMES[0]: {"driver": "bridge"}}
    assert rendered["services"][NAMES[0]]["networks"] == [NAMES[0]]
    # What has yet to fetch its weights can't do without.
    rendered = stack(replace(OPTIONS, offline=frozenset()))
    assert [service["networks"] for service in rendered["services"].values()] == [[name] for name in NAMES]


def test_a_socket_that_a_run_before_left_is_in_nobodys_way() -> None:
    for service in stack()["services"].values():
        script = service["entrypoint"][2]
        assert script.startswith(f"rm -f {compose.ENGINE_SOCKET}; ") and script.endswith('exec "$0" "$@"')
        assert service["entrypoint"][3:] == ["vllm", "serve"]
    secret = stack(replace(OPTIONS, api_key="a-key-of-ours"))["services"][NAMES[0]]["entrypoint"][2]
    assert secret.index("rm -f") < secret.index(compose.SECRETS_FILE) < secret.index("exec")


def test_compose_replaces_the_one_variable_that_is_for_it() -> None:
    text = dump(stack(env={"A": "$HOME"}))
    assert f'"{sockets.folder(NAMES[0])}${{GPUSERVE_SURGE-}}"' in text
    assert 'exec \\"$$0\\" \\"$$@\\"' in text


def test_whoever_looks_at_a_container_knows_where_it_answers() -> None:
    entry = compose.services(stack())[0]
    assert entry["socket"] == sockets.path(NAMES[0]) and entry["network"] == "none"
    labels = stack()["services"][NAMES[0]]["labels"]
    assert address.where(entry["container"], labels, 8001) == entry["socket"]
    assert address.where(entry["container"] + "-surge", labels, 8001) == sockets.path(NAMES[0] + "-surge")
    on_port = {key: value for key, value in labels.items() if not key.endswith("transport")}
    assert address.where(entry["container"], on_port, 8001) == 8001


def test_a_gateway_is_told_of_sockets_and_of_those_that_engines_may_move_to() -> None:
    specs = parse_models(GUIDE)
    here, surge = sockets.endpoint(NAMES[0]), sockets.endpoint(f"{NAMES[0]}-surge")
    found = compose.endpoints(specs, PLAN, replace(OPTIONS, surge_offset=1000))[0]
    assert (found["endpoints"], found["standby"], found["address"]) == ([here], [surge], "127.0.0.1:8001")
    found = compose.endpoints(specs, PLAN, replace(OPTIONS, surge_offset=1000, transport="tcp", moves=True))[0]
    assert (found["endpoints"], found["standby"]) == (["127.0.0.1:8001"], ["127.0.0.1:9001", here, surge])


def test_weights_that_were_fetched_are_no_engines_to_change() -> None:
    def written(options: compose.StackOptions) -> set[str]:
        return {folder.split("/")[4] for folder in compose.cache_folders(stack(options), OPTIONS.cache_dir)}

    assert written(OPTIONS) == {"vllm"}
    assert written(replace(OPTIONS, offline=frozenset(NAMES[1:]))) == {"vllm", "huggingface"}


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (("tcp", "bridge", "26.1.5+dfsg1", False), "engines answer them without a key"),
        (("tcp", "bridge", "27.5.1", True), "engines answer them where they have the key"),
        (("tcp", "bridge", "28.0.0", False), ""),
        (("tcp", "bridge", "", False), ""),
        # Nothing is published.
        (("socket", "bridge", "26.1.5", True), ""),
        (("tcp", "host", "26.1.5", True), "reach what it reaches"),
        (("socket", "host", "29.1.0", True), "reach what it reaches"),
    ],
)
def test_what_a_stack_opens_is_said(how: tuple[str, str, str, bool], said: str) -> None:
    found = transport.warnings(*how)
    assert len(found) == bool(said) and all(said in one for one in found)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (("tcp", "0.9.2", True), "vLLM 0.9.2 does not listen on a socket: engines are on ports of loopback"),
        (("tcp", "0.9.2", False), ""),
        (("tcp", "0.33.0", True), ""),
        (("socket", "0.33.0", True), ""),
    ],
)
def test_an_engine_that_is_too_old_for_sockets_is_told_of(how: tuple[str, str, bool], said: str) -> None:
    found = transport.too_old(*how)
    assert "".join(found).startswith(said) and bool(found) == bool(said)
