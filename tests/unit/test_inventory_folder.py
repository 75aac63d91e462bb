# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What we keep beside an inventory is no inventory: of a folder Ansible reads every file as one, unless it is hidden or told not to."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import yaml

COLLECTION = Path(__file__).parents[2]


def test_no_folder_of_ours_beside_an_inventory_is_read_as_one() -> None:
    config = configparser.ConfigParser()
    config.read(COLLECTION / "ansible.cfg")
    ignored = [re.compile(pattern) for pattern in config["inventory"]["ignore_patterns"].split(",")]
    texts = [
        str(value)
        for path in COLLECTION.glob("roles/*/defaults/main.yml")
        for value in yaml.safe_load(path.read_text(encoding="utf-8")).values()
        if "inventory_dir" in str(value)
    ]
    # {{ inventory_dir }}/NAME, or inventory_dir ~ '/NAME'.
    folders = {name for text in texts for name in re.findall(r"(?:\}\}|~ ')/([\w.]+)", text)}
    assert folders == {".gpuserve", "model_info"}
    assert all(name.startswith(".") or any(one.search(name) for one in ignored) for name in folders)
