# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error family of the collection, and its one shape: where, what, and the remedy."""

from __future__ import annotations

from typing import NoReturn

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import credentials


class FleetError(Exception):
    """A failure that a person can mend.

    `where` is the variable (with the element's place, as people write it), the file or the address that it is about, and empty where it
    is about the host as a whole. `what` and `remedy` are sentences.
    """

    def __init__(self, where: str, what: str, remedy: str) -> None:
        # What is repeated of a variable may be an address with an account.
        where, what = credentials.hidden(where), credentials.hidden(what)
        super().__init__(where, what, remedy)
        self.where = where
        self.what = what
        self.remedy = remedy

    @property
    def message(self) -> str:
        """What is wrong, without the remedy."""
        return f"{self.where}: {self.what}" if self.where else self.what

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


def fail(where: str, what: str, remedy: str) -> NoReturn:
    """Fail with where it is wrong, what is wrong, and the remedy."""
    raise FleetError(where, what, remedy)
