# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Galaxy and Ansible read of the collection is whole."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

import yaml

COLLECTION = Path(__file__).parents[2]
HANDED_OUT = {
    "extensions",
    *("README.md", "README.ko.md", "CHANGELOG.md", "LICENSE", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "SECURITY.md"),
    *("changelogs", "docs", "inventories", "meta", "playbooks", "plugins", "roles"),
}


def read(name: str) -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load((COLLECTION / name).read_text(encoding="utf-8"))
    return found


def test_every_module_is_in_the_action_group() -> None:
    groups = read("meta/runtime.yml")["action_groups"]
    modules = sorted(path.stem for path in (COLLECTION / "plugins/modules").glob("*.py"))
    assert groups == {"all": modules}


def test_galaxy_is_told_where_everything_is() -> None:
    galaxy = read("galaxy.yml")
    for name in ("description", "readme", "license_file", "tags", "repository", "documentation", "issues"):
        assert galaxy.get(name), name
    for name in ("README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "SECURITY.md"):
        assert (COLLECTION / name).exists(), name


def test_everything_at_the_top_is_handed_out_or_kept_back_on_purpose() -> None:
    ignored = read("galaxy.yml")["build_ignore"]
    assert isinstance(ignored, list)
    top = {path.name for path in COLLECTION.iterdir()}
    kept_back = {name for name in top for pattern in ignored if fnmatch.fnmatch(name, pattern)}
    # What a run of a tool leaves is not in git, and so in no release.
    assert top - kept_back - HANDED_OUT - {"galaxy.yml"} == set()
    assert HANDED_OUT & kept_back == set()


def test_the_changelog_knows_this_version() -> None:
    releases = read("changelogs/changelog.yaml")["releases"]
    assert isinstance(releases, dict)
    assert str(read("galaxy.yml")["version"]) in releases


def test_fragments_of_the_changelog_are_of_its_sections() -> None:
    sections = read("changelogs/config.yaml")["sections"]
    assert isinstance(sections, list)
    known = {section[0] for section in sections} | {"release_summary", "trivial"}
    for path in (COLLECTION / "changelogs/fragments").glob("*"):
        if path.name.startswith("."):
            continue
        assert path.suffix in (".yml", ".yaml"), path.name
        fragment = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert set(fragment) <= known, path.name
        for section, changes in fragment.items():
            assert isinstance(changes, str if section == "release_summary" else list), path.name


def test_workflows_call_the_targets_that_everybody_calls() -> None:
    makefiles = [COLLECTION / "Makefile", *COLLECTION.glob("mk/*.mk")]
    targets = {name for path in makefiles for name in re.findall(r"^([a-z-]+):", path.read_text(), re.MULTILINE)}
    workflows = sorted((COLLECTION / ".github/workflows").glob("*.yml"))
    assert [path.stem for path in workflows] == ["check", "release", "test"]
    for path in workflows:
        for job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values():
            for line in "\n".join(step.get("run", "") for step in job["steps"]).splitlines():
                words = line.split()
                assert not words or words[0] in ("make", "sudo", "sha256sum", "gh", "bash"), (path.name, line)
                called = (
                    [word for word in words[words.index("make") + 1 :] if "=" not in word] if "make" in words else []
                )
                assert set(called) <= targets, (path.name, line)


def test_workflows_take_actions_by_commit_and_keep_no_credentials() -> None:
    for path in (COLLECTION / ".github/workflows").glob("*.yml"):
        text = path.read_text(encoding="utf-8")
        for line in re.findall(r"uses:.*", text):
            assert re.fullmatch(r"uses: [\w./-]+@[0-9a-f]{40}  # v[0-9.]+", line), (path.name, line)
        jobs = yaml.safe_load(text)["jobs"].values()
        checkouts = [step for job in jobs for step in job["steps"] if "checkout" in step.get("uses", "")]
        assert checkouts, path.name
        assert all(step["with"] == {"persist-credentials": False} for step in checkouts), path.name


def test_every_role_has_a_page() -> None:
    for path in COLLECTION.glob("roles/*/tasks"):
        assert (path.parent / "README.md").exists(), path.parent.name


def test_files_of_the_execution_environment_are_there() -> None:
    named = read("meta/execution-environment.yml")["dependencies"]
    assert isinstance(named, dict)
    for name in named.values():
        assert (COLLECTION / str(name)).read_text(encoding="utf-8").strip(), name


def test_the_execution_environment_has_this_collection_in_it() -> None:
    definition, collection = read("extensions/execution-environment.yml"), read("galaxy.yml")
    needed = definition["dependencies"]
    assert isinstance(needed, dict) and definition["version"] == 3
    assert needed["galaxy"] == {"collections": [{"name": f"{collection['namespace']}.{collection['name']}"}]}
    assert needed["ansible_core"] == {"package_pip": f"ansible-core{read('meta/runtime.yml')['requires_ansible']}"}


def test_what_contributing_names_is_there() -> None:
    text = (COLLECTION / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for name in re.findall(r"`((?:plugins|tests)/[A-Za-z0-9_./]+)`", text):
        assert (COLLECTION / name).exists(), name
    for name in re.findall(r"`(_core/[a-z_/]+\.py)`", text):
        assert (COLLECTION / "plugins/module_utils" / name).exists(), name


def test_the_examples_of_contributing_are_lines_of_the_code() -> None:
    text = (COLLECTION / "CONTRIBUTING.md").read_text(encoding="utf-8")
    code = "\n".join(path.read_text(encoding="utf-8") for path in (COLLECTION / "plugins/module_utils").rglob("*.py"))
    lines = {line.strip() for line in code.splitlines()}
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(examples) >= 3
    for line in "".join(examples).splitlines():
        if line.strip() and not line.strip().startswith("#"):
            assert line.strip() in lines, line


def test_the_commands_of_contributing_are_there() -> None:
    text = (COLLECTION / "CONTRIBUTING.md").read_text(encoding="utf-8")
    makefiles = [COLLECTION / "Makefile", *COLLECTION.glob("mk/*.mk")]
    targets = {name for path in makefiles for name in re.findall(r"^([a-z-]+):", path.read_text(), re.MULTILINE)}
    called = [word for command in re.findall(r"`make\s+([a-z\s-]+)`", text) for word in command.split()]
    assert len(called) >= 5
    assert sorted(set(called) - targets) == []
    for command in re.findall(r"`pytest\s+([^`]+)`", text):
        for name in command.split():
            assert (COLLECTION / name).exists(), name
