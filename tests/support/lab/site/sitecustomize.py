# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keep what Python compiles of the modules that Ansible sends.

Each goes out with all its sources in one archive. A run of a playbook parsed them anew for what they import, and the host's Python compiled
them anew at each of the thousands of tasks in `make test`: half of what a task costs. Boxes of `make test` have this (lab/boxes.py), and so
has what plays on this machine (lab/whole.py); nothing that is measured has it. Molecule asks Ansible the same again and again: it no longer
does, and playbooks that wait no longer take what others need of processors.
"""

from __future__ import annotations

import _imp
import marshal
import os
import sys
import zipimport

# Every Python begins with this: what types are named by costs more than the rest of it.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType
    from typing import Any

FOLDER = os.environ.get("GPUSERVE_LAB_CODE", "/var/cache/gpuserve-lab/python")
# Whatever a source's name is: what is kept is found by what it says.
HASH_KEY = 0x10AB


def kept(
    kind: str, source: bytes, load: Callable[[bytes], Any], make: Callable[[], Any], dump: Callable[[Any], bytes]
) -> Any:
    """Return what was kept of a source, else make and keep it; a folder that can't be used costs nothing but the time."""
    place = f"{FOLDER}/{kind}-{sys.implementation.cache_tag}-{_imp.source_hash(HASH_KEY, source).hex()}"
    try:
        with open(place, "rb") as stream:
            return load(stream.read())
    # A file that was cut off can raise anything.
    except Exception:
        made = make()
    draft = f"{place}.{os.urandom(8).hex()}"
    try:
        with open(draft, "wb") as stream:
            stream.write(dump(made))
        os.replace(draft, place)
    except OSError:
        pass
    return made


def code_of(content: bytes) -> CodeType:
    """Return the code that was kept."""
    found = marshal.loads(content)
    if not isinstance(found, type(code_of.__code__)):
        raise TypeError
    return found


_compile: Any = getattr(zipimport, "_compile_source", None)


def compile_source(pathname: str, source: bytes, *more: Any) -> Any:
    """Return the code of a source in an archive."""
    return kept("code", source, code_of, lambda: _compile(pathname, source, *more), marshal.dumps)


def imports_alone(tree: Any) -> Any:
    """Return a module's tree with its imports alone: those of its own, and in one block those that are deeper in each statement."""
    import ast

    body: list[ast.stmt] = []
    for node in tree.body:
        found: list[ast.stmt] = [one for one in ast.walk(node) if isinstance(one, ast.Import | ast.ImportFrom)]
        if found:
            body += found if found[0] is node else [ast.If(test=ast.Constant(value=False), body=found, orelse=[])]
    return ast.Module(body=body, type_ignores=[])


def keep_imports(builder: ModuleType) -> None:
    """Have Ansible read what a source imports once: nothing else of its tree is looked at."""
    import pickle

    parse: Any = getattr(builder, "_compile_module_ast", None)

    def parsed(name: str, source: str | bytes) -> Any:
        raw = source.encode() if isinstance(source, str) else bytes(source)
        return kept("imports", raw, pickle.loads, lambda: imports_alone(parse(name, source)), pickle.dumps)

    if parse is not None:
        builder._compile_module_ast = parsed  # type: ignore[attr-defined]


def ask_once(provisioner: ModuleType) -> None:
    """Have molecule ask once whether there is an ansible-playbook: it asks before each playbook, and each answer is one that starts."""
    ask: Any = provisioner.AnsiblePlaybook._validate_backend
    there = set()

    def asked(playbook: object, backend: str) -> None:
        if backend not in there:
            ask(playbook, backend)
            there.add(backend)

    provisioner.AnsiblePlaybook._validate_backend = asked


def keep_settings(settings: ModuleType) -> None:
    """Have molecule and ansible-lint read what Ansible is set to once, as long as nothing of that changes."""
    import subprocess
    import types

    def check_output(command: list[str], **options: Any) -> Any:
        def make() -> Any:
            return subprocess.check_output(command, **options)

        if command != ["ansible-config", "dump"]:
            return make()
        told = {name: value for name, value in os.environ.items() if name.startswith("ANSIBLE_")}
        files = [
            told.get("ANSIBLE_CONFIG", ""),
            "ansible.cfg",
            os.path.expanduser("~/.ansible.cfg"),
            "/etc/ansible/ansible.cfg",
        ]
        seen = [sys.prefix, os.getcwd(), *sorted(told.items()), *[(path, content_of(path)) for path in files]]
        return kept("settings", repr(seen).encode(), bytes.decode, make, str.encode)

    settings.subprocess = types.SimpleNamespace(**{**vars(subprocess), "check_output": check_output})  # type: ignore[attr-defined]


def content_of(path: str) -> bytes:
    """Return what a file says; of one that can't be read, nothing."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return b""


def wait_calmly(constants: ModuleType) -> None:
    """Have a playbook that waits for its tasks look a hundred times a second: a thousand times is five per cent of a processor.

    It is a setting of no variable, and a playbook of a user's has a machine to itself.
    """
    constants.DEFAULT_INTERNAL_POLL_INTERVAL = 0.01  # type: ignore[attr-defined]


# What is changed as soon as it is loaded.
CHANGED = {
    "ansible.constants": wait_calmly,
    "ansible.executor.module_common": keep_imports,
    "molecule.provisioner.ansible_playbook": ask_once,
    "ansible_compat.config": keep_settings,
}


class Changer:
    """Finds modules as they are found without us, and changes those that are to be once they are loaded."""

    def __init__(self) -> None:
        self.left = dict(CHANGED)

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        """Return where a module is that is to be changed, and leave the way for all else."""
        change = self.left.pop(name, None)
        if change is None:
            return None
        import importlib.util

        spec = importlib.util.find_spec(name)
        loader: Any = spec and spec.loader
        if loader is not None:
            run = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                run(module)
                change(module)

            loader.exec_module = exec_module
        return spec


if _compile is not None:
    zipimport._compile_source = compile_source  # type: ignore[attr-defined]
sys.meta_path.insert(0, Changer())  # type: ignore[arg-type]
