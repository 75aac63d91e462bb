# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.pip_options import split

INDEX = "https://me:s3cret@index.example/simple"
OTHER = "https://me:other0@index.example/simple"


@pytest.mark.parametrize(
    ("options", "command", "environment"),
    [
        ([], [], {}),
        (["--index-url", "https://index.example/simple", "--pre"], None, {}),
        (["--index-url", INDEX, "--pre"], ["--pre"], {"PIP_INDEX_URL": INDEX}),
        ([f"--index-url={INDEX}"], [], {"PIP_INDEX_URL": INDEX}),
        (["-i", INDEX, "-v"], ["-v"], {"PIP_INDEX_URL": INDEX}),
        ([f"-i{INDEX}"], [], {"PIP_INDEX_URL": INDEX}),
        (
            ["--extra-index-url", INDEX, "--extra-index-url", OTHER],
            [],
            {"PIP_EXTRA_INDEX_URL": f"{INDEX} {OTHER}"},
        ),
        (["--no-index", "-f", INDEX], ["--no-index"], {"PIP_FIND_LINKS": INDEX}),
        (["--proxy=http://me:s3cret@proxy:3128"], [], {"PIP_PROXY": "http://me:s3cret@proxy:3128"}),
    ],
)
def test_no_secret_is_on_the_command_line(
    options: list[str], command: list[str] | None, environment: dict[str, str]
) -> None:
    assert split(options) == (options if command is None else command, environment)
