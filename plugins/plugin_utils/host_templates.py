# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of variables of any host of an inventory, on the controller: plain ones as they are, templates as Ansible renders them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleError, AnsibleUndefinedVariable

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.plain import plain

_UNDEFINED = re.compile(r"'([A-Za-z_]\w*)' is undefined")
# The template of a variable by its name and value; a FleetError where it can't be had.
Template = Callable[[str, Any], Any]


class HostTemplates:
    """The variables of all hosts. declared holds what roles declare, which a host may have in its own way."""

    def __init__(self, templar: Any, hostvars: Any, declared: Callable[[], Mapping[str, Any]]) -> None:
        self._templar = templar
        self._hostvars = hostvars
        self._declared = declared

    def read(self, host: str, name: str, value: Any) -> Any:
        """Return a variable's value, plain ones without an engine of templates."""
        if not _is_template(value):
            return plain(value)
        return self.of(self._hostvars.raw_get(host))(name, value)

    def of(self, raw: Mapping[str, Any]) -> Template:
        """Return what renders templates of a host."""
        available = {**self._declared(), **raw, "hostvars": self._hostvars}
        templar = self._templar.copy_with_new_env(available_variables=available)

        def template(name: str, value: Any) -> Any:
            try:
                return plain(templar.template(value))
            except AnsibleUndefinedVariable as error:
                missing = _UNDEFINED.search(str(error))
                what = f"{missing.group(1)} is undefined" if missing else _first_line(error)
                remedy = f"Set {missing.group(1)}." if missing else "Set what it is made of."
                fail(name, f"{what}.", remedy)
            except AnsibleError as error:
                raise _unreadable(name, error) from error

        return template


def _unreadable(name: str, error: Exception) -> FleetError:
    text = _first_line(error)
    if "vault" in text.lower() or "decrypt" in text.lower():
        return FleetError(
            name,
            "it is encrypted with ansible-vault and can't be read without the password.",
            "Add --ask-vault-pass, or --vault-password-file FILE.",
        )
    return FleetError(name, f"{text.rstrip('.')}.", "Mend what it is made of.")


def _is_template(value: Any) -> bool:
    """Tell whether a value has to be rendered, or decrypted."""
    if isinstance(value, Mapping):
        return any(_is_template(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return any(_is_template(item) for item in value)
    return not isinstance(value, (int, float, type(None))) and not (isinstance(value, str) and "{" not in value)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300]
