# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines for a person, whatever callback is set; programs that read a run find them in results instead."""

from __future__ import annotations

from typing import Any

from ansible import constants as settings
from ansible.utils.display import Display

# Others read what these print, and expect nothing else there.
MACHINE_CALLBACKS = ("json", "ansible.posix.json", "ansible.posix.jsonl", "junit", "null")

display = Display()


def is_read_by_a_program() -> bool:
    """Tell whether what is printed is for a program alone."""
    return settings.config.get_config_value("DEFAULT_STDOUT_CALLBACK") in MACHINE_CALLBACKS


def shown(text: Any) -> list[str]:
    """Print a text or a list of lines, unless only programs read what is printed; return the lines."""
    lines = [str(line) for line in text] if isinstance(text, list) else str(text).rstrip("\n").splitlines()
    if not is_read_by_a_program():
        for line in lines:
            display.display(line)
    return lines
