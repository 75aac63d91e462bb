# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials that stand where they are not looked for: in addresses, in options with a telling name, in a key of the wrong kind."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# An address with an account. A password may hold any sign, also those that should have been escaped.
ACCOUNT = re.compile(r"://([^/\s\"']*|[^/\s\"':]+:[^\s\"']*)@")
# Names of options that hold a token, such as Splunk's in Docker's log-opts.
_TELLING = re.compile(r"token|passw(or)?d|secret|credential|api[-_]?key", re.IGNORECASE)
_ESCAPED = re.compile(r"%([0-9A-Fa-f]{2})")
_PRIVATE = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY.*?(-----END[A-Z ]*-----|$)", re.DOTALL)
# Ansible blots what it is told out of all that it prints: a short word would take names and figures with it.
SHORTEST = 6


def hidden(text: str) -> str:
    """Return a text with the accounts of its addresses and private keys blotted out."""
    return ACCOUNT.sub("://***@", _PRIVATE.sub("***", text))


def is_in(value: Any) -> bool:
    """Tell whether an address in a value, or in anything below it, has an account."""
    if isinstance(value, Mapping):
        return any(is_in(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return any(is_in(item) for item in value)
    return isinstance(value, str) and ACCOUNT.search(value) is not None


def is_private_key(value: Any) -> bool:
    """Tell whether a text is a private key in any armour."""
    return isinstance(value, str) and _PRIVATE.search(value) is not None


def secrets(value: Any, name: str = "") -> set[str]:
    """Collect every text that must not be shown: addresses with an account, the account, its password; what a telling name holds."""
    if isinstance(value, Mapping):
        return {text for key, item in value.items() for text in secrets(item, str(key))}
    if isinstance(value, (list, tuple)):
        return {text for item in value for text in secrets(item, name)}
    if not isinstance(value, str):
        return set()
    if is_private_key(value):
        return {value, value.strip()}
    found = {value} if _TELLING.search(name) and len(value) >= SHORTEST else set()
    for match in ACCOUNT.finditer(value):
        account = match.group(1)
        password = account.partition(":")[2]
        forms = {password, _ESCAPED.sub(lambda code: chr(int(code.group(1), 16)), password)}
        found |= {value, account} | {form for form in forms if len(form) >= SHORTEST}
    return {text for text in found if text}


def redacted(value: Any, name: str = "") -> Any:
    """Return a value as it may be shown: nested data as it was, without what `secrets` collects."""
    if isinstance(value, Mapping):
        return {key: redacted(item, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [redacted(item, name) for item in value]
    if not isinstance(value, str):
        return value
    if is_private_key(value) or _TELLING.search(name):
        return "***"
    return hidden(value)


def refusal(variable: str, value: Any) -> tuple[str, str] | None:
    """Return what is wrong and the remedy where an address has an account, or where a private key stands for a public one."""
    if is_in(value):
        what = "it holds an account and its password, which would stand in files and process lists that others on the host read."
        return what, _remedy(variable)
    if is_private_key(value):
        return "it is a private key, which nobody but its owner may have.", "Give the public one."
    return None


def refusals(values: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each variable that is refused."""
    found = ((variable, refusal(variable, value)) for variable, value in values.items())
    return [f"{variable}: {' '.join(said)}" for variable, said in found if said]


def _remedy(variable: str) -> str:
    if variable.endswith("_repository_key_url"):
        return f"Give the key itself in {variable.removesuffix('_url')}."
    if variable.endswith("_repository_url"):
        return (
            "Write the address without them; apt takes them from a file in /etc/apt/auth.conf.d on the host, mode 0600."
        )
    if variable.endswith("_hub_endpoint"):
        return "Write the address without them; a token goes into vllm_stack_hf_token."
    return "Write the address without them."
