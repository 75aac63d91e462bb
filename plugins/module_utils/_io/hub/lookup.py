# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of each model, from the first that knows: the kept files, the hub, or (by saying nothing) the shipped catalogue."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.catalogue import CONFIGS
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.nearest import nearest
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub import reader
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.client import AWAY, Hub, HubError, Trouble
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.kept import Kept

MAIN = "main"
AWAY_NOTE = "away"
PAGE = "https://huggingface.co"
COMMAND = "ansible-playbook playbooks/plan.yml"


def answer_key(model: str, revision: str, config_path: str = "") -> str:
    """Return the name of a model among the answers."""
    return f"{model}@{revision}" + (f" with {config_path}" if config_path else "")


@dataclass(frozen=True)
class Wanted:
    """One model as the inventory names it; it may bring its own config.json, as a mapping or as a file, found as `config_file`."""

    model: str
    revision: str
    where: str
    has_config: bool = False
    config_path: str = ""
    config_file: str = ""

    @property
    def key(self) -> str:
        """Its name among the answers: another config.json is another model."""
        return answer_key(self.model, self.revision, self.config_path)

    @property
    def in_catalogue(self) -> bool:
        """Whether a plan can be made without asking anybody."""
        return self.has_config or (self.model in CONFIGS and self.revision == MAIN)


@dataclass
class Lookup:
    """The way through kept files, hub and catalogue. `hub` makes one when the first model needs it."""

    kept: Kept
    hub: Callable[[], Hub]
    refresh: bool = False
    need_weights: bool = False
    of_this_run: Kept = field(default_factory=Kept)
    new: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _hub: Hub | None = None
    _away: HubError | None = None

    def find(self, wanted: Wanted) -> Mapping[str, Any] | None:
        """Return what is known of a model; None where its own config or the catalogue has to do."""
        info = self.of_this_run.find(wanted.model, wanted.revision, wanted.where)
        if info is None and not self.refresh:
            info = self.kept.find(wanted.model, wanted.revision, wanted.where)
        if info is not None:
            return info
        if wanted.has_config:
            return None
        try:
            info = self._ask(wanted)
        except HubError as error:
            return self._without(wanted, error)
        self.of_this_run.put(info)
        self.new.append(info)
        return info

    def _ask(self, wanted: Wanted) -> dict[str, Any]:
        # A hub that did not answer for one model is not waited for again for the next, nor for the next host's.
        away = self.of_this_run.read_note(AWAY_NOTE)
        if away is not None:
            self._away = HubError(Trouble(away["trouble"]), away["detail"], away["wait_s"])
        if self._away is not None:
            raise self._away
        try:
            self._hub = self._hub or self.hub()
            repository = self._hub.describe(wanted.model, wanted.revision)
            if repository.id != wanted.model and repository.id.casefold() == wanted.model.casefold():
                fail(
                    f"{wanted.where}.model",
                    f"the hub writes {wanted.model} with other letters.",
                    f"Write {repository.id}.",
                )
            found = reader.read_repository(self._hub, repository, wanted.model, f"{wanted.where}.model")
        except HubError as error:
            if error.trouble in AWAY:
                self._away = error
                note = {"trouble": error.trouble.value, "detail": error.detail, "wait_s": error.wait_s}
                self.of_this_run.write_note(AWAY_NOTE, note)
            raise
        return {**found, "revision": wanted.revision}

    def _without(self, wanted: Wanted, error: HubError) -> Mapping[str, Any] | None:
        """Do without the hub where somebody else knows the model, else say what to do."""
        away = error.trouble in AWAY
        old = self.kept.find(wanted.model, wanted.revision, wanted.where) if self.refresh and away else None
        if old is not None:
            self.notes.append(f"{wanted.model}: {_fact(error)}; what was kept of it before holds.")
            return old
        locked = error.trouble in (Trouble.GATED, Trouble.FORBIDDEN)
        if wanted.in_catalogue and (away or (locked and not self.need_weights)):
            self.notes.append(f"{wanted.model}: {_fact(error)}; planned by the shipped catalogue, at no pinned commit.")
            return None
        raise self._sentence(wanted, error) from error

    def _sentence(self, wanted: Wanted, error: HubError) -> FleetError:
        at = f"{wanted.where}.model"
        kept = self.kept.commits(wanted.model)
        match error.trouble:
            case Trouble.MISSING:
                near = nearest(wanted.model, [one for one in self._ids_like(wanted.model) if one != wanted.model])
                known = f"Did you mean {', '.join(near)}?" if near else "Look the id up at " + PAGE + "."
                private = " For a private model give a token that may read it in vllm_stack_hf_token."
                return FleetError(at, f"the hub has no {wanted.model}.", known + private)
            case Trouble.REVISION:
                return FleetError(
                    f"{wanted.where}.revision",
                    f"{wanted.model} has no {wanted.revision}.",
                    f"Take a branch, tag or commit of {PAGE}/{wanted.model}/commits/main, or leave it out.",
                )
            case Trouble.GATED:
                return FleetError(
                    at,
                    f"{wanted.model} is gated, and nothing here may read it yet.",
                    f"Accept its terms at {PAGE}/{wanted.model} and give a token of that account in vllm_stack_hf_token.",
                )
            case Trouble.FORBIDDEN:
                return FleetError(
                    at,
                    f"the hub does not let this token read {wanted.model}.",
                    "Give one that may in vllm_stack_hf_token.",
                )
            case Trouble.FAILED:
                return FleetError(at, f"{wanted.model} can't be read ({error.detail}).", "Run it again.")
        if kept:
            return FleetError(
                f"{wanted.where}.revision",
                f"of {wanted.model} commit {' and '.join(kept)} is kept, not {wanted.revision}, and {_fact(error)}.",
                f"Write revision: {kept[-1]}, or run {COMMAND} where there is a network.",
            )
        near = nearest(wanted.model, [*self.kept.ids(), *CONFIGS])
        asked = f"Did you mean {', '.join(near)}? Else run" if near else "Run"
        return FleetError(
            at,
            f"nothing is kept of {wanted.model}, the catalogue does not know it, and {_fact(error)}.",
            f"{asked} {COMMAND} where there is a network and bring its folder along, or give its config.json as config_path.",
        )

    def _ids_like(self, model: str) -> list[str]:
        """Return ids to look among: what is kept, what ships, and what the hub finds by the name and by the owner."""
        owner, _slash, name = model.rpartition("/")
        found = [*self.kept.ids(), *CONFIGS]
        for asked in ({"text": name}, {"author": owner}):
            try:
                found += self._hub.search(**asked) if self._hub and any(asked.values()) else []
            except HubError:
                continue
        return found


def _fact(error: HubError) -> str:
    """Say why the hub gave no answer, in half a sentence."""
    match error.trouble:
        case Trouble.BUSY:
            wait = f" to be asked again in {error.wait_s:.0f} s" if error.wait_s else ""
            return f"the hub is busy and asks{wait or ' to wait'}"
        case Trouble.NO_HUB:
            return f"{error.detail} answers, but not as a hub does (a login page, or a wrong HF_ENDPOINT)"
        case Trouble.NO_LIBRARY:
            return f"the hub can't be asked: {error.detail}"
        case Trouble.GATED | Trouble.FORBIDDEN:
            return "the hub does not let this token read it"
        case _:
            return f"the hub can't be reached ({error.detail})"
