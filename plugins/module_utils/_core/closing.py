# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How site.yml ends: what serves, where, with which key, a request to paste, and what to do next. One screen."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import gib

_LOOPBACK = ("127.", "localhost", "::1", "[::1]")
_COLUMNS = 2
NEXT = (
    "Next: playbooks/keys.yml adds a key for a client, playbooks/rollback.yml goes back to the set before, playbooks/teardown.yml takes",
    "      it all down. A changed inventory takes effect with the same command as this run.",
)


def render(host: str, models: Sequence[Mapping[str, Any]], access: Mapping[str, Any], address: str) -> list[str]:
    """Return the lines for one host: `models` as the gateway has them and the bring-up measured them, `access` how clients come in.

    Nobody comes in at a host that computes for others alone: it has no access.
    """
    if not access:
        return [f"{host} answers for no model itself: it computes for the first host of its group."]
    url = _url(access, address)
    lines = [f"{host} {summary(models, access, address)}"]
    rows = [_row(model) for model in models]
    widths = [max(len(row[column]) for row in rows) for column in range(_COLUMNS)] if rows else []
    lines += [
        "  " + "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[_COLUMNS]]).rstrip()
        for row in rows
    ]
    lines += _key(access)
    lines += _request(models, access, url)
    if _is_loopback(access):
        lines.append(
            f"The gateway listens on the host alone: ssh -L {access['port']}:127.0.0.1:{access['port']} {host} brings it here."
        )
    return [*lines, *NEXT]


def summary(models: Sequence[Mapping[str, Any]], access: Mapping[str, Any], address: str) -> str:
    """Return how many models are served, and where, for a line of somebody else."""
    return f"serves {len(models)} model{'' if len(models) == 1 else 's'}   {_url(access, address)}/v1"


def _row(model: Mapping[str, Any]) -> list[str]:
    requests, length = model.get("max_num_seqs"), model.get("max_model_len")
    asked = f"{requests:,} requests at once" if requests else ""
    asked += f" of up to {length:,} tokens" if asked and length else ""
    measured, planned = model.get("measured_bytes"), model.get("planned_bytes")
    memory = f"{gib(measured)} (planned {gib(planned)})" if measured and planned else ""
    return [str(model["name"]), asked, memory]


def _key(access: Mapping[str, Any]) -> list[str]:
    if not access.get("auth"):
        return ["No key is asked for: gateway_auth is false."]
    if access.get("key_file"):
        return [f"Key: {access['key_file']} (on this controller; only your account reads it)."]
    return ["Key: one of gateway_keys, or of playbooks/keys.yml; put it into $KEY."]


def _request(models: Sequence[Mapping[str, Any]], access: Mapping[str, Any], url: str) -> list[str]:
    if not models:
        return []
    generating = [model for model in models if model.get("generates")]
    if generating:
        path, body = "completions", {"model": generating[0]["name"], "prompt": "Hello, I am", "max_tokens": 32}
    else:
        path, body = "embeddings", {"model": models[0]["name"], "input": "Hello"}
    options = " -k" if access.get("tls") == "self_signed" else ""
    if access.get("auth"):
        key = f"$(cat {shlex.quote(str(access['key_file']))})" if access.get("key_file") else "$KEY"
        options += f' -H "Authorization: Bearer {key}"'
    return [
        f"  curl{options} -H 'Content-Type: application/json' \\",
        f"    {url}/v1/{path} -d {shlex.quote(json.dumps(body))}",
    ]


def _url(access: Mapping[str, Any], address: str) -> str:
    scheme = "http" if access.get("tls") == "off" else "https"
    host = "127.0.0.1" if _is_loopback(access) else address
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{access['port']}"


def _is_loopback(access: Mapping[str, Any]) -> bool:
    return str(access.get("address", "")).startswith(_LOOPBACK)
