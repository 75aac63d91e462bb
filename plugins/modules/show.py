#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: show
short_description: Show text as it is
version_added: 0.2.0
description:
  - Prints lines of text, such as a table, without quotes and without indenting them, whatever callback is set and whether or not it shows
    tasks that changed nothing. A callback for programs gets them as RV(text).
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  text:
    description:
      - The text, or its lines as a list.
    type: raw
    required: true
extends_documentation_fragment:
  - gpuserve.fleet.attributes.reads
"""

EXAMPLES = r"""
- name: Show the table
  gpuserve.fleet.show:
    text: "{{ preflight.table }}"
"""

RETURN = r"""
text:
  description: The lines, for a callback that only programs read.
  returned: with such a callback
  type: list
  elements: str
  sample: ["gpu01   ok"]
"""
