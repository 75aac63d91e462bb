# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pip's options as people write them, less their secrets: those go to pip by its environment, which only its owner reads."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import credentials

_SHORT = {"-i": "--index-url", "-f": "--find-links"}


def split(options: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the options for pip's command line, and the environment for those that hold an account: PIP_INDEX_URL and the like.

    pip reads each long option from a variable of its name; one that is given several times has its values there with blanks between.
    """
    command: list[str] = []
    secret: dict[str, list[str]] = {}
    rest = list(options)
    while rest:
        option = rest.pop(0)
        if not credentials.is_in(option):
            follows = bool(rest) and option.startswith("-") and "=" not in option and credentials.is_in(rest[0])
            if not follows:
                command.append(option)
                continue
            value = rest.pop(0)
        elif option.startswith("--"):
            option, _sign, value = option.partition("=")
        else:
            # The short form with its value in one word.
            option, value = option[:2], option[2:].lstrip("=")
        name = _SHORT.get(option, option).removeprefix("--").replace("-", "_").upper()
        secret.setdefault(f"PIP_{name}", []).append(value)
    return command, {name: " ".join(values) for name, values in secret.items()}
