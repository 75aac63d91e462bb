# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What templates and Lua are handed, and what is rendered from it."""

from __future__ import annotations

import json
import re
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import view
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import gateway_files
from ansible_collections.gpuserve.fleet.tests.unit.plugins.module_utils._core.gateway.settings import MODELS, gateway

KEYS: list[dict[str, Any]] = [
    {"name": "default", "key": "a-key-with-a-name-of-nginx-s", "requests_per_minute": 90},
    {
        "name": "batch",
        "sha256": "1" * 64,
        "models": ["Qwen/Qwen2.5-3B-Instruct"],
        "max_concurrent": 3,
        "expires": "2027-01-31",
    },
]


def rendered(**changed: Any) -> gateway_files.Rendered:
    return gateway_files.render(gateway(**{"keys": KEYS, **changed}))


def test_lua_gets_its_decisions() -> None:
    data = json.loads(rendered().files["data.json"])
    assert data["names"] == {
        "qwen": {"at": 0, "alias": 0},
        "Qwen/Qwen2.5-3B-Instruct": {"at": 0, "alias": 1},
        "yi": {"at": 1, "alias": 0},
    }
    assert [model["queue"] for model in data["models"]] == [120, 0]
    assert data["models"][1]["all"] == ["127.0.0.1:8003", "[::1]:8004", "127.0.0.1:9003"]
    assert list(data["watched"]) == ["127.0.0.1:8002", "127.0.0.1:8003", "[::1]:8004", "127.0.0.1:9003"]
    assert data["watched"]["[::1]:8004"] == "[::1]:8004"
    assert data["keys"]["1" * 64] == {
        "name": "batch",
        "models": {"0": 1},
        "expires": 1801353600,
        "requests_per_minute": 0,
        "max_concurrent": 3,
        "tokens_per_day": 0,
        "tokens_per_month": 0,
        "policy": {},
    }
    assert data["anyone"]["models"] is None and data["cors_origins"] == []


def test_ports_of_other_hosts_are_told_and_none_of_this_one() -> None:
    assert json.loads(rendered().files["data.json"])["distant_ports"] == []
    endpoints = ["127.0.0.1:8001", "gpu02:8002", "[2001:db8::1]:8003", "192.0.2.9:8002"]
    models = [
        {"name": "qwen", "endpoints": endpoints},
        {"name": "yi", "endpoints": ["unix:/run/gpuserve/engines/yi/http"]},
    ]
    assert json.loads(rendered(models=models, keys=[]).files["data.json"])["distant_ports"] == [8002, 8003]


def test_paths_below_v1_are_direct_addresses_too() -> None:
    data = json.loads(rendered(paths=["/v1/completions", "/tokenize"]).files["data.json"])
    assert (sorted(data["posts"]), sorted(data["direct"])) == (["/tokenize", "/v1/completions"], ["/v1/completions"])


def test_without_auth_no_key_is_there() -> None:
    assert json.loads(rendered(auth=False).files["data.json"])["keys"] == {}


def test_keys_of_engines_are_in_one_file_that_no_diff_shows() -> None:
    files = rendered()
    holding = [name for name, text in files.files.items() if "engine-key-of-yi" in text]
    assert holding == ["engine_keys.conf"] and "engine_keys.conf" in files.quiet
    assert '1 "Bearer engine-key-of-yi";' in files.files["engine_keys.conf"]


def test_no_key_in_the_clear_is_rendered() -> None:
    files = rendered()
    assert KEYS[0]["key"] not in "".join(files.files.values()) + files.compose


def test_a_diff_names_whose_keys_changed_and_holds_no_digest() -> None:
    shown = view.redacted(rendered().files["data.json"])
    assert "batch" in shown and not re.search(r"[0-9a-f]{64}", shown.replace(json.loads(shown)["generation"], ""))


def test_every_generation_is_of_what_was_rendered() -> None:
    same = rendered().generation
    assert rendered().generation == same
    assert rendered(keys=KEYS[:1]).generation != same
    assert rendered(models=MODELS[:1], keys=KEYS[:1]).generation != rendered(keys=KEYS[:1]).generation


def test_plain_http_answers_acme_beside_the_redirect() -> None:
    files = rendered(tls="self_signed", port=443, redirect_port=80, address="[::]")
    conf = files.files["nginx.conf"]
    assert "listen [::]:80 ipv6only=off;" in conf and "listen [::]:443 ipv6only=off ssl backlog=4096;" in conf
    assert conf.index("/.well-known/acme-challenge/") < conf.index("return 308 https")
    assert "/var/lib/gpuserve/acme:/acme:ro" in files.compose
    assert "/acme" not in rendered(tls="self_signed").compose


def test_workers_are_one_account_whoever_opens_the_port() -> None:
    """As root's children they were the image's own account, which can't write what was used."""
    low = gateway_files.render(gateway(uid=850, gid=851, port=443))
    # What the image has as its default is not in the passwd that it is given.
    assert all("user gpuserve-gateway;" in low.files[name] for name in ("nginx.conf", "trial.conf"))
    assert "gpuserve-gateway:x:850:851:" in low.files["passwd"] and "gpuserve-gateway:x:851:" in low.files["group"]
    assert "/opt/gpuserve/gateway/conf/live/passwd:/etc/passwd:ro" in low.compose
    judged = view.trial(gateway(uid=850, port=443), "/candidate")
    assert "/candidate/passwd:/etc/passwd:ro" in judged and "/candidate/group:/etc/group:ro" in judged
    high = gateway_files.render(gateway(uid=850))
    assert "passwd" not in high.files and "passwd" not in high.compose and "\nuser " not in high.files["nginx.conf"]


def test_memory_for_what_was_used_grows_with_keys_and_models() -> None:
    assert "lua_shared_dict usage 4m;" in rendered().files["nginx.conf"]
    many = [{"name": f"key-{number}", "sha256": f"{number:064x}"} for number in range(3000)]
    assert "lua_shared_dict usage 64m;" in rendered(keys=many).files["nginx.conf"]


def test_what_judges_has_the_rights_of_what_will_run() -> None:
    low = view.trial(gateway(uid=850, port=443), "/candidate")
    assert low.count("--cap-add") == 4 and "0:0" in low
    high = view.trial(gateway(uid=850, gid=851), "/candidate")
    assert "--cap-add" not in high and "850:851" in high and "/candidate:/etc/gpuserve/live:ro" in high


def test_what_listens_elsewhere_is_another_container_since_a_reload_can_t_open_it_beside_the_old_one() -> None:
    own = rendered().compose
    assert rendered().compose == own
    for changed in ({"metrics_address": "0.0.0.0:9401"}, {"metrics_address": ""}, {"address": "127.0.0.1"}):
        assert rendered(**changed).compose != own, changed
