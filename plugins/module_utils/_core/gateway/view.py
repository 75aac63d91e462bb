# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the templates and Lua are handed: plain data in which nothing is left to decide."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import listeners, sockets
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import addresses, boxes, certificate, tasks
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway.addresses import Endpoint
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway.config import LOW_PORT_CAPABILITIES, Gateway
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway.keys import Key
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway.models import Model

_DIRECT = "/v1/"
WORKER_ACCOUNT = "gpuserve-gateway"


def data(gateway: Gateway) -> dict[str, Any]:
    """Return what Lua decides by, all but its generation."""
    at = {name: index for index, model in enumerate(gateway.models) for name in model.names}
    ids = {(model.name, one): boxes.identity(model.name, one, gateway.box_at) for model, one in _met(gateway)}
    return {
        "auth": gateway.auth,
        "anyone": _key(Key("anyone", ""), at),
        "keys": {key.sha256: _key(key, at) for key in gateway.keys} if gateway.auth else {},
        "names": {
            name: {"at": index, "alias": int(name in model.aliases)}
            for index, model in enumerate(gateway.models)
            for name in model.names
        },
        "models": [
            {
                "name": model.name,
                "aliases": list(model.aliases),
                "adapters": list(model.adapters),
                "endpoints": [ids[model.name, one] for one in model.endpoints],
                "all": [ids[model.name, one] for one in model.all_endpoints],
                "on_boxes": any(one in gateway.box_at for one in model.endpoints),
                "max_model_len": model.max_model_len,
                "queue": model.queue(gateway.queue_factor),
                "at_once": model.at_once,
                "task": model.task,
                "closed": dict.fromkeys(tasks.closed(model.task), 1),
                "policy": model.policy.as_data(),
                "guarded": _guarded(model),
            }
            for model in gateway.models
        ],
        # By endpoint: the file that keeps new requests away from it.
        "watched": {ids[model.name, one]: sockets.drain_name(one) for model, one in _met(gateway)},
        "posts": dict.fromkeys(gateway.paths, 1),
        "direct": dict.fromkeys((path for path in gateway.paths if path.startswith(_DIRECT)), 1),
        "draining": dict.fromkeys([ids[model.name, one] for model, one in _met(gateway) if one in gateway.draining], 1),
        "distant_ports": _distant_ports(gateway),
        "sticky": gateway.sticky,
        "slow_start_s": gateway.slow_start_s,
        "check_interval_s": gateway.check_interval_s,
        "max_body": gateway.max_body,
        "max_key_bytes": gateway.max_key_bytes,
        "max_bytes": gateway.max_bytes,
        "policy": gateway.policy.as_data(),
        "cors_origins": list(gateway.cors_origins),
        "usage_months": gateway.usage_months,
    }


def _met(gateway: Gateway) -> list[tuple[Model, str]]:
    """Return each model with each of its endpoints."""
    return [(model, one) for model in gateway.models for one in model.all_endpoints]


def _distant_ports(gateway: Gateway) -> list[int]:
    """Return at which ports engines and boxes of other hosts answer; only those can be gone without a word."""
    engines = [addresses.engine(one, "") for _model, one in _met(gateway)]
    return sorted({one.port for one in engines if isinstance(one, Endpoint) and not one.is_loopback})


def _endpoint(model: Model, number: int, address: str, gateway: Gateway) -> dict[str, Any]:
    """Return how nginx reaches an endpoint and asks for its health."""
    box = gateway.box_at.get(address)
    return {
        "index": number,
        "address": address,
        "scheme": "https" if box and box.tls_name else "http",
        "tls_name": box.tls_name if box else "",
        "is_box": box is not None,
        "health": boxes.probe(model.name, address, gateway.box_at),
    }


def _guarded(model: Model) -> dict[str, Any] | None:
    """Return whose the listeners of a model have to be, and the rows of /proc/net/tcp that tell, by endpoint on loopback."""
    if model.listener_uid is None:
        return None
    found = {one: addresses.engine(one, "") for one in model.all_endpoints}
    rows = {
        one: listeners.rows(engine.host, engine.port)
        for one, engine in found.items()
        if isinstance(engine, Endpoint) and engine.is_loopback
    }
    return {
        "uid": model.listener_uid,
        "rows": {one: {"own": list(row.own), "every": list(row.every)} for one, row in rows.items()},
    }


def _key(key: Key, at: Mapping[str, int]) -> dict[str, Any]:
    return {
        "name": key.name,
        "models": {str(at[name]): 1 for name in key.models} if key.models else None,
        "expires": key.expires,
        "requests_per_minute": key.requests_per_minute,
        "max_concurrent": key.max_concurrent,
        "tokens_per_day": key.tokens_per_day,
        "tokens_per_month": key.tokens_per_month,
        "policy": key.policy.as_data(),
    }


def view(gateway: Gateway) -> dict[str, Any]:
    """Return what the templates of nginx.conf and compose.yml are rendered with."""
    return {
        "listen": gateway.listener.listen,
        "port": gateway.port,
        "redirect_listen": gateway.redirector.listen if gateway.redirector else "",
        "metrics_listen": gateway.metrics_address,
        "tls": gateway.tls != "off",
        "trusts_boxes": bool(gateway.box_certificates),
        "hsts_max_age_s": gateway.hsts_max_age_s,
        "models": [
            {
                "name": model.name,
                "index": index,
                "endpoints": [_endpoint(model, number, one, gateway) for number, one in enumerate(model.all_endpoints)],
            }
            for index, model in enumerate(gateway.models)
        ],
        "own_listeners": [
            {"listen": str(addresses.endpoint(model.address, "")), "index": index}
            for index, model in enumerate(gateway.models)
            if model.address
        ],
        "own_ports": {
            addresses.endpoint(model.address, "").port: index
            for index, model in enumerate(gateway.models)
            if model.address
        },
        "engine_keys": [
            {"index": index, "key": model.api_key} for index, model in enumerate(gateway.models) if model.api_key
        ],
        "capabilities": list(LOW_PORT_CAPABILITIES) if gateway.has_low_port else [],
        "account": gateway.account,
        "worker_account": WORKER_ACCOUNT if gateway.has_low_port else "",
        "usage_size": f"{gateway.usage_megabytes}m",
        **{
            name: getattr(gateway, name)
            for name in ("image", "workers", "worker_connections", "max_body", "read_timeout_s", "check_interval_s")
        },
        **{name: getattr(gateway, name) for name in ("tmp_size", "memory", "drain_dir", "acme_dir")},
        "socket_dir": sockets.FOLDER,
    }


def certificates(gateway: Gateway) -> dict[str, str]:
    """Return the file of the certificates that boxes are trusted by, where they speak TLS."""
    return {"boxes.pem": gateway.box_certificates} if gateway.box_certificates else {}


def accounts(gateway: Gateway) -> dict[str, str]:
    """Return the container's own passwd and group, where nginx begins as root: it knows accounts by name only.

    Its workers are then who they are without: the account that may read the configuration and write what was used.
    """
    if not gateway.has_low_port:
        return {}
    home = "/nonexistent:/usr/sbin/nologin"
    return {
        "passwd": f"root:x:0:0:root:{home}\n{WORKER_ACCOUNT}:x:{gateway.uid}:{gateway.gid}::{home}\n",
        "group": f"root:x:0:\n{WORKER_ACCOUNT}:x:{gateway.gid}:\n",
    }


def generation(texts: Mapping[str, str]) -> str:
    """Return what /health says is running, so that a reload can be seen to have happened."""
    return hashlib.sha256(json.dumps(sorted(texts.items())).encode()).hexdigest()


def redacted(text: str) -> str:
    """Return data.json for a diff: whose keys they are, and no digest."""
    content = json.loads(text)
    content["keys"] = [key for _digest, key in sorted(content["keys"].items(), key=lambda item: str(item[1]["name"]))]
    return json.dumps(content, indent=2) + "\n"


def trial(gateway: Gateway, candidate: str) -> list[str]:
    """Return what judges a candidate: the image that will run it, with what it will be allowed; no socket is kept."""
    may = [part for capability in LOW_PORT_CAPABILITIES for part in ("--cap-add", capability)]
    may += [part for name in accounts(gateway) for part in ("--volume", f"{candidate}/{name}:/etc/{name}:ro")]
    return [
        *("docker", "run", "--rm", "--network", "host", "--read-only", "--cap-drop", "ALL"),
        *(may if gateway.has_low_port else []),
        *("--security-opt", "no-new-privileges:true", "--user", gateway.account, "--tmpfs", "/tmp:mode=1777"),
        *("--volume", f"{candidate}:/etc/gpuserve/live:ro", "--entrypoint", "sh", gateway.image, "-ec"),
        "nginx -t -q -c /etc/gpuserve/live/nginx.conf; exec nginx -c /etc/gpuserve/live/trial.conf",
    ]


def certificate_names(gateway: Gateway) -> list[str]:
    """Return the names that a certificate of our own bears: the one wanted, and how the host itself gets in."""
    return certificate.names(gateway.tls_name, gateway.address)
