# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of a stack on disk: the one that compose_stack rendered, the last that proved itself, and the one before that.

A set is a folder with `compose.yml`, the secret files that it names (`env/`), and, where it is kept, `plan.json` ({"inputs_digest",
"plan", "services", "endpoints", "sum"}; by the sum a record is known that a disk or somebody has changed). Everything is closed from its
first moment. A set becomes the rendered one by the rename of its compose file alone: the secret files that it names are there by then,
and those of the set before stay until no engine reads them.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.target import Target
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack import record as record_sums
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack import secrets
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic, mark, ownership
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage.notes import Notes

PROVED, BEFORE = "proved", "proved.before"
_COMPOSE, _PLAN = "compose.yml", "plan.json"
_PROVED_DRAFT, _RENDER_DRAFT, _GONE = ".proved.draft", ".rendered.draft", ".proved.gone"


class Sets(Notes):
    """The sets of one project folder."""

    def __init__(self, project_dir: str) -> None:
        super().__init__(Path(project_dir))

    def compose_file(self, name: str = "") -> Path:
        """The compose file of the rendered set, or of a kept one."""
        return self.folder / name / _COMPOSE

    # The rendered set

    def rendered(self) -> tuple[str, dict[str, str]]:
        """The compose file of the rendered set and the secret files that it names, by their path; empty where there is none."""
        text = _text(self.compose_file())
        files = {name: _text(self.folder / name) for name in secrets.named_in(text)}
        return text, {name: content for name, content in files.items() if (self.folder / name).is_file()}

    def render(self, text: str, files: Mapping[str, str], validate: Callable[[Path], None]) -> None:
        """Make a set the rendered one, once `validate` has let its draft pass; whatever it raises, nothing was changed."""
        ownership.check(self.folder)
        mark.adopt(self.folder)
        draft = self.folder / _RENDER_DRAFT
        atomic.clear(draft)
        try:
            atomic.make_folder(draft)
            atomic.write(draft / _COMPOSE, text)
            if files:
                atomic.make_folder(draft / "env")
            for name, content in files.items():
                atomic.write(draft / name, content)
            validate(draft / _COMPOSE)
            self._commit(draft, files)
        finally:
            with contextlib.suppress(OSError):
                atomic.clear(draft)

    def _commit(self, draft: Path, files: Mapping[str, str]) -> None:
        """Put the draft's files in place, its compose file last; undo what was put where one can't be."""
        bare = not (self.folder / "env").exists()  # a set without secrets has no such folder
        if files:
            atomic.make_folder(self.folder / "env")
        put: list[str] = []
        try:
            for name in files:
                if (self.folder / name).exists():
                    os.link(self.folder / name, draft / f"{name}.before")
                put.append(name)
                atomic.move(draft / name, self.folder / name)
            atomic.move(draft / _COMPOSE, self.compose_file())
        except OSError:
            for name in put:
                with contextlib.suppress(OSError):
                    _undo(draft / f"{name}.before", self.folder / name)
            if bare:
                with contextlib.suppress(OSError):
                    (self.folder / "env").rmdir()
            raise

    def _forget(self) -> None:
        """Remove secret files that neither the rendered set nor the proved one names: no other engine is there any more."""
        needed = {name for kept in ("", PROVED) for name in secrets.named_in(_text(self.compose_file(kept)))}
        with self._noted("env"):
            for path in sorted((self.folder / "env").glob("*")):
                if f"env/{path.name}" not in needed:
                    path.unlink(missing_ok=True)

    # Kept sets

    def read(self, name: str) -> dict[str, Any] | None:
        """What a kept set holds; None where there is none, or none that is whole."""
        found = self._record(self._place(name))
        if found is None and (self.folder / name).exists():
            self._note(f"{name}/{_PLAN} is not what we wrote: there is no such set to go back to")
        return found

    def _record(self, name: str) -> dict[str, Any] | None:
        try:
            found = json.loads((self.folder / name / _PLAN).read_text(encoding="utf-8"))
            # What can't be made into a target can't be gone back to either.
            whole = bool(Target.of(found).gpus) and isinstance(found.get("endpoints", []), list)
            whole = whole and record_sums.is_as_written(found) and self.compose_file(name).is_file()
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        return found if whole else None

    def prove(self, plan: Mapping[str, Any], services: list[dict[str, Any]], endpoints: list[dict[str, Any]]) -> bool:
        """Remember the rendered set as proved; the one that was goes one place back. Tell whether anything differs.

        A disk that is full keeps the set that was proved before: `notes` says so, and what serves goes on.
        """
        record = {
            "inputs_digest": plan.get("inputs_digest", ""),
            "plan": plan,
            "services": services,
            "endpoints": endpoints,
        }
        text = json.dumps({**record, record_sums.SUM: record_sums.sum_of(record)}, indent=1, sort_keys=True) + "\n"
        known = self.read(PROVED)
        new = known is None or known["services"] != services
        with self._noted(PROVED):
            ownership.check(self.folder)
            self._finish()
            if new:
                self._keep(text)
            else:
                # What the plan expects is another now, and what runs is the same.
                for name, content in ((_COMPOSE, _text(self.compose_file())), (_PLAN, text)):
                    if _text(self.folder / PROVED / name) != content:
                        atomic.write(self.folder / PROVED / name, content)
            self._strip(BEFORE)
        self._forget()
        return new

    def _keep(self, record: str) -> None:
        draft = self.folder / _PROVED_DRAFT
        atomic.clear(draft)
        try:
            atomic.make_folder(draft)
            compose, files = self.rendered()
            atomic.write(draft / _COMPOSE, compose)
            if files:
                atomic.make_folder(draft / "env")
            for name, content in files.items():
                atomic.write(draft / name, content)
            # Last: a draft that has it is whole.
            atomic.write(draft / _PLAN, record)
        except OSError:
            atomic.clear(draft)
            raise
        self._shift()

    def _shift(self) -> None:
        """The draft becomes the proved set, and that the one before."""
        proved, before, gone = (self.folder / name for name in (PROVED, BEFORE, _GONE))
        atomic.clear(gone)
        if proved.exists():
            if before.exists():
                atomic.move(before, gone)
            atomic.move(proved, before)
        atomic.move(self.folder / _PROVED_DRAFT, proved)
        atomic.clear(gone)

    def _place(self, name: str) -> str:
        """Where a kept set is: after a power cut between the two renames of `_shift` the proved one is the whole draft."""
        cut = name == PROVED and not (self.folder / PROVED).exists() and self._record(_PROVED_DRAFT) is not None
        return _PROVED_DRAFT if cut else name

    def _finish(self) -> None:
        if self._place(PROVED) == _PROVED_DRAFT:
            self._shift()

    def _strip(self, name: str) -> None:
        """Let a set that is kept to go back to forget the tokens: those that hold by then are put in."""
        for path in (self.folder / name / "env").glob("*.env"):
            text = _text(path)
            bare = secrets.without_tokens(text)
            if bare != text:
                atomic.write(path, bare)

    def is_rendered(self, name: str) -> bool:
        """Whether a kept set is the one that stands in the folder now."""
        try:
            return self.compose_file().read_bytes() == self.compose_file(name).read_bytes()
        except OSError:
            return False

    def put_back(self, name: str) -> None:
        """Make a kept set the rendered one again, so that what stands in the folder is what runs.

        The proved one comes with its own tokens, which its engines were proved with; the one before it with those that hold now.
        """
        ownership.check(self.folder)
        self._finish()
        kept, present = self.folder / name, self._present_tokens()
        files = secrets.named_in(kept.joinpath(_COMPOSE).read_text(encoding="utf-8"))
        if files:
            atomic.make_folder(self.folder / "env")
        for path in sorted(files):
            if name == BEFORE:
                own = (kept / path).read_text(encoding="utf-8")
                atomic.write(self.folder / path, secrets.with_tokens(own, present))
            else:
                _copy(kept / path, self.folder / path)
        _copy(kept / _COMPOSE, self.compose_file())

    def keep_failed(self) -> None:
        """Leave the rendered compose file for a person to look at, before a set that proved itself takes its place."""
        with self._noted("compose.failed.yml"):
            atomic.write(self.folder / "compose.failed.yml", _text(self.compose_file()))

    def _present_tokens(self) -> dict[str, str]:
        """The stack's tokens as they were rendered last."""
        _compose, files = self.rendered()
        found: dict[str, str] = {}
        for content in files.values():
            found.update({name: value for name, value in secrets.parse(content).items() if name in secrets.TOKENS})
        return found


def _text(path: Path) -> str:
    """A file's text; empty where there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _copy(source: Path, target: Path) -> None:
    """Have the same file in another place at once. A full disk has room for a second name, if not for a second file."""
    try:
        atomic.write(target, source.read_bytes())
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        draft = target.with_name(f".{target.name}.draft")
        draft.unlink(missing_ok=True)
        os.link(source, draft)
        atomic.move(draft, target)


def _undo(before: Path, place: Path) -> None:
    """Put back what was in a place, or nothing if nothing was."""
    if before.exists():
        os.rename(before, place)
    else:
        place.unlink(missing_ok=True)
