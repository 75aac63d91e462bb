# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Jinja made of a run's templates, for all its processes: each task is one of its own, and compiled every template anew.

Jinja compiles a template into Python's bytecode, 1.3 ms each, 750 times a host where 360 templates differ; reading it back costs a tenth.
Jinja has a cache of bytecode for files alone, and Ansible's templates are strings: this puts the same cache before those. It lies in the
folder of the run, which only its account reads and which ends with it. Versions of ansible-core that have another engine compile as before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2.bccache import FileSystemBytecodeCache
from jinja2.environment import Environment, TemplateExpression

# What decides how a text is read, beside the text itself.
_OPTIONS = (
    "block_start_string",
    "block_end_string",
    "variable_start_string",
    "variable_end_string",
    "comment_start_string",
    "comment_end_string",
    "line_statement_prefix",
    "line_comment_prefix",
    "trim_blocks",
    "lstrip_blocks",
    "newline_sequence",
    "keep_trailing_newline",
)


def share(folder: Path) -> bool:
    """Have this process and its forks find in a folder what any of them compiled; tell whether this ansible-core is known."""
    try:
        from ansible._internal._templating._jinja_bits import AnsibleEnvironment, _TemplateCompileContext
    except ImportError:
        return False
    if getattr(AnsibleEnvironment, "_debuggable_template_source", False):
        # Somebody who debugs templates wants each of them in a file of its own.
        return False

    def backslashes() -> Any:
        context = _TemplateCompileContext.current(optional=True)
        return context.escape_backslashes if context else None

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    shared = _Shared(FileSystemBytecodeCache(str(folder)), backslashes)
    engine: Any = AnsibleEnvironment
    compiles, compiles_expression = engine.compile, engine.compile_expression

    def compile_text(
        self: Environment, source: Any, name: Any = None, filename: Any = None, *rest: Any, **more: Any
    ) -> Any:
        is_text = isinstance(source, str) and name is None and filename is None and not rest and not more
        if not is_text:
            # Of an expression Jinja hands over the tree that it has read; whoever asked for the expression keeps what comes of it.
            shared.latest = compiles(self, source, name, filename, *rest, **more)
            return shared.latest
        return shared.code(self, "template", source, lambda: compiles(self, source))

    def compile_expression(self: Environment, source: str, undefined_to_none: bool = True) -> TemplateExpression:
        made: list[TemplateExpression] = []

        def compiled() -> Any:
            made.append(compiles_expression(self, source, undefined_to_none))
            return shared.latest

        code = shared.code(self, "expression", source, compiled)
        if made:
            return made[0]
        return TemplateExpression(
            self.template_class.from_code(self, code, self.make_globals(None), None), undefined_to_none
        )

    engine.compile, engine.compile_expression = compile_text, compile_expression
    return True


class _Shared:
    """Compiled templates: those that this process had in hand, and on disk those of the others."""

    def __init__(self, cache: FileSystemBytecodeCache, backslashes: Callable[[], Any]) -> None:
        self._cache = cache
        self._backslashes = backslashes
        self._known: dict[str, Any] = {}
        self.latest: Any = None

    def code(self, environment: Environment, kind: str, source: str, compiled: Callable[[], Any]) -> Any:
        """Return the code of a text, compiled where no process has done it yet. What can't be compiled is kept nowhere."""
        options = tuple(getattr(environment, name) for name in _OPTIONS)
        key = repr((kind, options, self._backslashes(), str(source)))
        if key in self._known:
            return self._known[key]
        try:
            bucket = self._cache.get_bucket(environment, key, None, key)
        except OSError:
            return compiled()
        if bucket.code is None:
            bucket.code = compiled()
            # A full disk, or the end of the run: the next process compiles it again.
            with contextlib.suppress(OSError):
                self._cache.set_bucket(bucket)
        self._known[key] = bucket.code
        return bucket.code
