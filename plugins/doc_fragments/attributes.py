# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every module says of check and diff mode; a module adds only where it differs."""

from __future__ import annotations


class ModuleDocFragment:
    """The block `attributes`: of modules that change a host, that only look (`.reads`), and that have no dry run (`.proves`)."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and return what it would without it.
    support: full
  diff_mode:
    description: Returns what changed.
    support: full
"""

    READS = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and return what it would without it.
    support: full
  diff_mode:
    description: Returns what changed.
    support: none
    details:
      - It changes nothing.
"""

    PROVES = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and return what it would without it.
    support: none
  diff_mode:
    description: Returns what changed.
    support: none
"""
