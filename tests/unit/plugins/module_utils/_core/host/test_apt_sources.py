# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of one repository, found in whatever file and form they stand."""

from __future__ import annotations

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import apt_sources
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.apt_sources import MAIN, PARTS, Edit

DOCKER = "https://download.docker.com/linux/debian"
OURS = f"{PARTS}/docker.sources"
CONTENT = f"Types: deb\nURIs: {DOCKER}\nSuites: bookworm\nComponents: stable\nSigned-By: /etc/apt/keyrings/ours.gpg\n"
DEBIAN = "deb http://deb.example.org/debian bookworm main\n"
# What `add-apt-repository "deb [...] https://download.docker.com/..."` writes, and under which name.
ADDED = f"{PARTS}/archive_uri-https_download_docker_com_linux_debian-bookworm.list"


def plan(files: dict[str, str], replaces: tuple[str, ...] = ()) -> dict[str, Edit]:
    return {edit.path: edit for edit in apt_sources.plan(files, OURS, CONTENT, replaces, "amd64")}


@pytest.mark.parametrize(
    "uri",
    [
        DOCKER,
        f"{DOCKER}/",
        "http://download.docker.com/linux/debian",
        "https://Download.Docker.com:443/linux//debian/",
        "https://me:secret@download.docker.com/linux/debian",
        "https://download.docker.com/./linux/debian",
    ],
)
@pytest.mark.parametrize("options", ["", "[arch=amd64] ", "[ arch=amd64 signed-by=/etc/apt/keyrings/docker.gpg ] "])
def test_an_entry_is_found_by_its_address_whatever_its_file_is_called(uri: str, options: str) -> None:
    edits = plan({ADDED: f"deb {options}{uri} bookworm stable\n"})
    assert edits[ADDED].after is None
    assert edits[OURS].after == CONTENT


def test_only_its_line_goes_from_a_file_with_others() -> None:
    text = f"{DEBIAN}# from Docker's page\ndeb-src {DOCKER} bookworm stable\ndeb {DOCKER} bookworm stable\n"
    edits = plan({MAIN: text})
    assert edits[MAIN].after == f"{DEBIAN}# from Docker's page\n"


def test_sources_list_is_emptied_and_never_removed() -> None:
    assert plan({MAIN: f"deb {DOCKER} bookworm stable\n"})[MAIN].after == ""


def test_only_its_stanza_goes_from_a_deb822_file() -> None:
    other = "Types: deb\nURIs: https://packages.example.com/apt\nSuites: stable\nComponents: main"
    mine = f"# Docker\nTypes: deb\nURIs:\n {DOCKER}\nSuites: bookworm\nComponents: stable"
    path = f"{PARTS}/all.sources"
    assert plan({path: f"{other}\n\n{mine}\n\n{other}\n"})[path].after == f"{other}\n\n{other}\n"


def test_only_its_address_goes_from_a_stanza_with_several() -> None:
    path = f"{PARTS}/all.sources"
    text = f"Types: deb\nURIs: https://a.example/x\n {DOCKER}\nSuites: bookworm\nComponents: stable\n"
    after = plan({path: text})[path].after
    assert after == "Types: deb\nURIs: https://a.example/x\nSuites: bookworm\nComponents: stable\n"


def test_a_key_written_into_a_stanza_that_stays_is_kept_line_by_line() -> None:
    path = f"{PARTS}/all.sources"
    key = "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQ=="
    text = f"Types: deb\nURIs: {DOCKER} https://a.example/x\nSuites: bookworm\nComponents: stable\n{key}\n"
    assert plan({path: text})[path].after == text.replace(f"{DOCKER} ", "")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (f"{PARTS}/off.list", f"# deb {DOCKER} bookworm stable\n"),
        (
            f"{PARTS}/off.sources",
            f"Enabled: no\nTypes: deb\nURIs: {DOCKER}\nSuites: bookworm\nComponents: stable\n",
        ),
        (f"{PARTS}/other.list", "deb https://download.docker.com/linux/debian-staging bookworm stable\n"),
        (MAIN, DEBIAN),
    ],
)
def test_what_is_switched_off_or_another_repository_stays(path: str, text: str) -> None:
    assert list(plan({path: text})) == [OURS]


def test_older_places_of_the_repository_are_named_by_what_lies_above_them() -> None:
    nvidia = "https://nvidia.github.io"
    lines = {
        f"{PARTS}/a.list": f"deb {nvidia}/libnvidia-container/debian11/$(ARCH) /\n",
        f"{PARTS}/b.list": f"deb {nvidia}/nvidia-docker/ubuntu18.04/$(ARCH) /\n",
        f"{PARTS}/c.list": f"deb {nvidia}-else/x /\n",
    }
    edits = plan(lines, (f"{nvidia}/libnvidia-container", f"{nvidia}/nvidia-docker"))
    assert sorted(edits) == [f"{PARTS}/a.list", f"{PARTS}/b.list", OURS]


def test_the_architecture_is_filled_in() -> None:
    content = "Types: deb\nURIs: https://x.example/deb/amd64/\nSuites: /\n"
    files = {f"{PARTS}/old.list": "deb https://x.example/deb/$(ARCH) /\n"}
    edits = apt_sources.plan(files, f"{PARTS}/new.sources", content, (), "amd64")
    assert [edit.path for edit in edits] == [f"{PARTS}/new.sources", f"{PARTS}/old.list"]


def test_another_repository_in_a_file_of_our_name_stays_and_a_second_run_changes_nothing() -> None:
    other = "Types: deb\nURIs: https://packages.example.com/apt\nSuites: stable\nComponents: main\n"
    edit = plan({OURS: f"{other}\nTypes: deb\nURIs: {DOCKER}\nSuites: buster\nComponents: test\n"})[OURS]
    assert edit.after == f"{CONTENT}\n{other}"
    assert plan({OURS: edit.after}) == {}


@pytest.mark.parametrize("name", ["docker.list", "a_b-c.sources"])
def test_names_that_apt_reads(name: str) -> None:
    assert apt_sources.is_read_by_apt(name)


@pytest.mark.parametrize("name", ["docker.list.save", "docker.list~", "my docker.list", "docker.sources.bak", "README"])
def test_names_that_apt_passes_over(name: str) -> None:
    assert not apt_sources.is_read_by_apt(name)
