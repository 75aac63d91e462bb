# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway's variables, to their edges: what is taken, what is refused and with which words."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import config
from ansible_collections.gpuserve.fleet.tests.unit.plugins.module_utils._core.gateway.settings import (
    MODELS,
    ROLE,
    SECRET,
    gateway,
    settings,
)


def refusal(more_keys: Any = (), **changed: Any) -> str:
    """Return the sentence that a mistake is refused with."""
    with pytest.raises(FleetError) as caught:
        config.parse(settings(**changed), more_keys, "box")
    assert caught.value.remedy, "every refusal names a remedy"
    assert str(caught.value).startswith(caught.value.where), "every refusal begins with the variable"
    return str(caught.value)


def model(**changed: Any) -> list[dict[str, Any]]:
    """Return one model with a setting changed."""
    return [{**MODELS[0], **changed}]


def test_the_role_hands_over_every_field_and_no_other() -> None:
    written = yaml.safe_load((ROLE / "vars" / "main.yml").read_text(encoding="utf-8"))["_gateway_settings"]
    assert set(written) == set(config.Gateway.__dataclass_fields__)


def test_defaults_are_a_gateway() -> None:
    parsed = gateway()
    assert (parsed.url, parsed.account, parsed.tls) == ("http://127.0.0.1:8000", "0:0", "off")
    assert {variable: str(one) for variable, one in parsed.listeners.items()} == {
        "gateway_port": "0.0.0.0:8000",
        "gateway_metrics_address": "127.0.0.1:9401",
    }


@pytest.mark.parametrize("setting", sorted(config.Gateway.__dataclass_fields__))
def test_what_is_missing_is_named(setting: str) -> None:
    short = settings()
    del short[setting]
    with pytest.raises(FleetError, match=f"gateway_{setting}: it isn't set"):
        config.parse(short)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"models": []}, "gateway_models: it is empty"),
        ({"models": "qwen"}, "'qwen' is no list"),
        ({"models": [{"name": "qwen"}]}, "gateway_models[0]: it needs a name and its endpoints"),
        ({"models": model(name="a/b")}, "gateway_models[0].name: 'a/b' is no name of a model"),
        ({"models": model(name="a\n")}, "gateway_models[0].name: 'a\\n' is no name"),
        ({"models": model(name="a;b")}, "no name of a model"),
        ({"models": model(name="a" * 65)}, "at most 64"),
        ({"models": model(aliases=['x"y'])}, "gateway_models[0].aliases: 'x\"y' is no name of a model"),
        ({"models": model(aliases=["qwen"])}, "qwen is already a name of gateway_models[0]"),
        (
            {"models": [*MODELS, {**MODELS[0], "name": "third"}]},
            "Qwen/Qwen2.5-3B-Instruct is already a name of gateway_models[0]",
        ),
        ({"models": model(adapters=["yi", "yi"])}, "yi is already a name of gateway_models[0]"),
        ({"models": model(endpoints=["127.0.0.1"])}, "'127.0.0.1' is no endpoint"),
        ({"models": model(endpoints=["127.0.0.1:0"])}, "'127.0.0.1:0' is no endpoint"),
        ({"models": model(endpoints=["127.0.0.1:65536"])}, "no endpoint"),
        ({"models": model(endpoints=["::1:8001"])}, "'::1:8001' is no endpoint"),
        ({"models": model(endpoints=["[::g]:8001"])}, "'[::g]' is no address"),
        ({"models": model(endpoints=["127.0.0.1.1:80"])}, "'127.0.0.1.1' is no address"),
        ({"models": model(endpoints=["a b:80"])}, "'a b' is no address"),
        ({"models": model(endpoints=["127.0.0.1:8000"])}, "127.0.0.1:8000 is the gateway's own, by gateway_port"),
        ({"models": model(standby=["[::1]:8000"])}, "[::1]:8000 is the gateway's own"),
        ({"models": model(color="red")}, "gateway_models[0].color: there is no such setting"),
        ({"models": model(max_num_seqs=-1)}, "gateway_models[0].max_num_seqs: -1 is out of bounds"),
        ({"auth": "maybe"}, "gateway_auth: 'maybe' is neither true nor false"),
        ({"address": "0.0.0"}, "gateway_address: '0.0.0' is no address"),
        ({"address": ""}, "gateway_address: it is missing."),
        ({"port": 0}, "gateway_port: 0 is out of bounds"),
        ({"port": 65536}, "from 1 to 65535"),
        ({"port": True}, "gateway_port: True is out of bounds"),
        ({"metrics_address": "9401"}, "gateway_metrics_address: '9401' is no endpoint"),
        ({"metrics_address": "127.0.0.1:8000"}, "gateway_metrics_address: 127.0.0.1:8000 is already gateway_port's"),
        ({"redirect_port": 80}, "gateway_redirect_port: it sends requests to TLS, and gateway_tls is off"),
        (
            {"redirect_port": 8000, "tls": "self_signed"},
            "gateway_redirect_port: 0.0.0.0:8000 is already gateway_port's",
        ),
        ({"tls": "on"}, "gateway_tls: there is no 'on'. Take one of off, self_signed, files"),
        ({"tls": "files"}, "gateway_tls_certificate: it is empty"),
        ({"tls": "files", "tls_certificate": "/a", "tls_key": "b"}, "gateway_tls_key: 'b' is no absolute path"),
        ({"tls": "self_signed", "tls_name": "a,b"}, "gateway_tls_name: 'a,b' is no name of a host"),
        ({"tls": "self_signed", "tls_name": "a/b"}, "gateway_tls_name"),
        ({"paths": ["/v1/../metrics"]}, "gateway_paths: '/v1/../metrics' is no path of an engine"),
        ({"paths": ["v1/completions"]}, "gateway_paths"),
        ({"drain_dir": "draining"}, "gateway_drain_dir: 'draining' is no absolute path"),
        ({"drain_dir": "/run/../etc"}, "gateway_drain_dir"),
        ({"drain_dir": "/run/a b"}, "gateway_drain_dir"),
        ({"drain_dir": "/run/draining\n"}, "gateway_drain_dir"),
        ({"acme_dir": "/srv:/etc"}, "gateway_acme_dir"),
        ({"max_body": "lots"}, "gateway_max_body: 'lots' is no size. Write digits and k, m or g, such as 32m."),
        ({"max_body": 0}, "gateway_max_body: 0 is no size"),
        ({"tmp_size": "64m,exec"}, "gateway_tmp_size"),
        ({"tmp_size": "64m"}, "gateway_max_bytes: 256m is more than gateway_tmp_size, 64m, has room for"),
        ({"max_body": "1g"}, "gateway_max_body: 1g is more than gateway_max_key_bytes, 128m, has room for"),
        ({"memory": "256m"}, "gateway_tmp_size: 384m is more than gateway_memory, 256m"),
        ({"workers": "many"}, "gateway_workers: 'many' is out of bounds"),
        ({"sticky": "X-Session; drop"}, "gateway_sticky"),
        (
            {"models": [{**MODELS[0], "address": "127.0.0.1:8000"}]},
            "gateway_models[0].address: 127.0.0.1:8000 is already gateway_port's",
        ),
        (
            {"models": [{**MODELS[0], "address": "[::1]:8007"}, {**MODELS[1], "address": "127.0.0.1:8007"}]},
            "the gateway listens on 8007 elsewhere, too",
        ),
        (
            {"models": [{**MODELS[0], "address": "127.0.0.1:8002"}]},
            "127.0.0.1:8002 is the gateway's own, by gateway_models[0].address",
        ),
        ({"draining": ["8001"]}, "gateway_draining: '8001' is no endpoint"),
        ({"draining": ["unix:engine.sock"]}, "gateway_draining: 'unix:engine.sock' is no socket"),
        ({"draining": ["unix:/run/../etc/x"]}, "gateway_draining"),
        ({"draining": ["unix:/run/a b"]}, "gateway_draining"),
        ({"draining": ["unix:/run/a;}"]}, "gateway_draining"),
        ({"draining": ["unix:/" + "a" * 107]}, "at most 107 bytes"),
        ({"image": "a b"}, "gateway_image: 'a b' is no image"),
        ({"uid": 61800}, "gateway_uid: 61800 is a number that systemd or others give to somebody else"),
        ({"uid": 65534}, "gateway_uid"),
        ({"cors_origins": ["chat.example.org"]}, "gateway_cors_origins: 'chat.example.org' is no origin"),
        ({"cors_origins": ["https://a.example/path"]}, "gateway_cors_origins"),
        ({"cors_origins": "https://a.example"}, "is no list"),
        ({"queue_factor": "four"}, "gateway_queue_factor: 'four' is out of bounds"),
        ({"check_interval_s": 0}, "gateway_check_interval_s: 0 is out of bounds"),
    ],
)
def test_what_cannot_work_is_refused_by_its_variable(changed: dict[str, Any], words: str) -> None:
    assert words in refusal(**changed)


@pytest.mark.parametrize(
    ("address", "listen", "url"),
    [
        ("0.0.0.0", "0.0.0.0:8000", "http://127.0.0.1:8000"),
        ("[::]", "[::]:8000 ipv6only=off", "http://127.0.0.1:8000"),
        ("::", "[::]:8000 ipv6only=off", "http://127.0.0.1:8000"),
        ("[fd00::1]", "[fd00::1]:8000", "http://[fd00::1]:8000"),
        ("10.0.0.5", "10.0.0.5:8000", "http://10.0.0.5:8000"),
        ("localhost", "localhost:8000", "http://localhost:8000"),
    ],
)
def test_addresses_of_both_families(address: str, listen: str, url: str) -> None:
    parsed = gateway(address=address)
    assert (parsed.listener.listen, parsed.url) == (listen, url)


def test_an_engine_elsewhere_may_have_the_gateway_s_port() -> None:
    assert gateway(models=model(endpoints=["10.0.0.7:8000"])).models[0].endpoints == ("10.0.0.7:8000",)
    assert gateway(address="10.0.0.5", models=model(endpoints=["127.0.0.1:8000"])).port == 8000


def test_words_and_numbers_of_yaml_and_of_the_command_line_are_taken() -> None:
    parsed = gateway(port="8443", auth="no", tls=False, queue_factor="0", workers=2)
    assert (parsed.port, parsed.auth, parsed.tls, parsed.queue_factor, parsed.workers) == (8443, False, "off", 0, "2")


def test_a_low_port_makes_root_begin_and_a_redirect_counts() -> None:
    assert gateway(uid=850, gid=851).account == "850:851"
    assert gateway(uid=850, port=443).account == "0:0"
    assert gateway(uid=850, port=8443, tls="self_signed", redirect_port=80).has_low_port


def test_warnings_are_for_addresses_that_others_reach() -> None:
    assert "anyone who reaches this address can use every model" in gateway(auth=False).warnings[0]
    assert "keys and prompts cross the network in the clear" in gateway().warnings[0]
    for quiet in (
        {"address": "127.0.0.1", "auth": False},
        {"address": "[::1]"},
        {"address": "localhost"},
        {"tls": "self_signed"},
    ):
        assert gateway(**quiet).warnings == ()


def test_a_key_of_the_file_may_not_be_one_of_the_inventory() -> None:
    inventory = [{"name": "team-a", "key": SECRET}]
    by_name = refusal([{"name": "Team-A", "sha256": "0" * 64}], keys=inventory)
    assert by_name.startswith("gateway_keys_file[0]: Team-A is in gateway_keys already, as team-a.")
    digest = gateway(keys=inventory).keys[0].sha256
    assert "is in gateway_keys already" in refusal([{"name": "other", "sha256": digest}], keys=inventory)
