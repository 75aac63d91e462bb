# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages of modules and roles say what the code says."""

from __future__ import annotations

import re

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import spec, spec_reference
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import collection_variables
from ansible_collections.gpuserve.fleet.tests.support import reference_docs


def test_every_page_is_current() -> None:
    made = reference_docs.pages()
    stale = [path.name for path, text in made.items() if not path.exists() or path.read_text() != text]
    extra = [
        path.name
        for kind in ("modules", "roles")
        for path in (reference_docs.DOCS / kind).glob("*.md")
        if path not in made
    ]
    assert (stale, extra) == ([], []), "run `make docs`"


def test_every_key_of_a_model_entry_is_explained() -> None:
    assert set(spec_reference.KEYS) == set(spec._KNOWN), "add a row to _core/spec_reference.KEYS and run `make docs`"
    for name, key, default in spec_reference.rows():
        assert default, name
        assert key.what.endswith("."), name


def test_ansible_doc_shows_every_key() -> None:
    text = reference_docs.stack_specs()
    assert [name for name in spec_reference.KEYS if f"C({name}) (" not in text] == []


def test_markup_becomes_markdown() -> None:
    assert reference_docs.plain(["See O(path) and V(a(b)).", "M(x.y.z)"]) == "See `path` and `a(b)`. `x.y.z`"


def test_inner_options_carry_their_whole_name() -> None:
    options = {
        "disks": {"type": "list", "elements": "dict", "suboptions": {"path": {"type": "path", "required": True}}}
    }
    assert [name for name, _spec in reference_docs.rows(options)] == ["disks", "disks[].path"]
    assert "| `disks[].path` | path | required |" in reference_docs.table(options)


def test_attributes_come_from_the_fragment_and_a_module_says_only_where_it_differs() -> None:
    doc = {
        "extends_documentation_fragment": ["gpuserve.fleet.attributes.reads"],
        "attributes": {"check_mode": {"details": ["x"]}},
    }
    merged = reference_docs.extended(doc, "attributes")
    assert (merged["check_mode"]["support"], merged["check_mode"]["details"]) == ("full", ["x"])
    assert merged["diff_mode"]["support"] == "none"


def test_no_module_writes_the_fragment_s_words_itself() -> None:
    for path in (reference_docs.CHECKOUT / "plugins/modules").glob("*.py"):
        source = path.read_text()
        assert "gpuserve.fleet.attributes" in source and "Can run in check mode" not in source, path.name


# What only playbooks read begins so; a word before or behind a dot is a module's or a filter's name, and key_file is one of a mapping.
_OF_PLAYBOOKS = re.compile(
    r"(?<![\w./])(?:gpuserve|airgap|preflight|plan|diagnose|usage|fit|key(?!_file)|calibration|benchmark|backup)_[a-z0-9_]+(?![\w.])"
)


def test_every_variable_that_a_playbook_reads_has_a_row_in_meta_playbooks_yml() -> None:
    collection = collection_variables.COLLECTION
    found = set()
    for path in collection.glob("playbooks/**/*.yml"):
        found |= set(_OF_PLAYBOOKS.findall(path.read_text()))
    table = {name for specs in collection_variables.playbooks().values() for name in specs}
    roles = {name for specs in collection_variables.specifications().values() for name in specs}
    tasks = {path.stem for path in collection.glob("playbooks/**/*.yml")}
    assert sorted({name for name in found - roles - tasks if not name.endswith("_")} - table) == []
    read = "".join(
        path.read_text()
        for folder in ("playbooks", "roles", "plugins")
        for path in (collection / folder).rglob("*.*")
        if path.suffix in (".yml", ".py")
    )
    assert [name for name in table if name not in read] == [], "nothing reads them"
