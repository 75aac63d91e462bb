# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measurements of starts as a file that people hand on: what may be in it, what is left out of it, and what a host takes from one.

    {"format": "gpuserve.fleet calibration", "version": 1,
     "starts": [{"gpu": str, "image": str, "model": str, "args": [str], "fixed_bytes": [int], "errors_bytes": [int]}]}

A file holds nothing that somebody chose: cards by the driver's names, images by digest, public models by hub id, flags with numbers and
words of closed sets. A start of which more would have to be told is left out whole, for without all of its flags it counts for nobody.
What is written and what is read go through the same check.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine import vllm
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan import calibration
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.text import harmless
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB, MIB

FORMAT = "gpuserve.fleet calibration"
VERSION = 1
MOST_FILE_BYTES = 1024 * 1024
MOST_ARGS = 100
MOST_BYTES = 1024 * GIB
_REMEDY = "Take the file as playbooks/calibration.yml wrote it."
_FIELDS = frozenset({"gpu", "image", "model", "args", "fixed_bytes", "errors_bytes"})
_GPU = re.compile(r"[A-Z][A-Za-z0-9 ().+-]{1,79}")
_IMAGE = re.compile(r"sha256:[0-9a-f]{64}")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_FLAG = re.compile(r"--[a-z][a-z0-9-]{0,60}")
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?")
# Flags whose values are words, and the words that say nothing of whoever set them.
_WORDS = {
    "--dtype": re.compile(r"auto|half|float|(b?float)(16|32)"),
    "--kv-cache-dtype": re.compile(r"auto|fp8(_e[0-9]m[0-9])?"),
    "--quantization": re.compile("|".join(map(re.escape, vllm.QUANTIZATIONS))),
    "--revision": re.compile(r"[0-9a-f]{40}"),
    "--runner": re.compile(r"generate|pooling"),
    "--convert": re.compile(r"embed|classify"),
    "--task": re.compile(r"embed|score|classify"),
    "--allowed-media-domains": re.compile(re.escape(vllm.NO_MEDIA_DOMAIN)),
}


@dataclass(frozen=True)
class LeftOut:
    """A kind of start that stays on its host, by its model, and what it says too much of; nothing where only the model may be private."""

    model: str
    reason: str = ""


def export(stores: Iterable[Any], public: Collection[str]) -> tuple[dict[str, Any], list[LeftOut]]:
    """Return the document of what these hosts measured, and what is left out of it; `public` are the hub ids that may be named."""
    merged: dict[str, dict[str, Any]] = {}
    left: dict[LeftOut, None] = {}
    for store in stores:
        for entry in calibration.Calibration.read(store, "?").starts.values():
            # What was handed in is for whoever measured it to hand on.
            if entry.get("imported"):
                continue
            shared: dict[str, Any] = {name: entry.get(name) for name in _FIELDS} | {
                "image": calibration.identity(entry["image"])
            }
            reason = _unfit(shared)
            if reason or entry["model"] not in public:
                left[LeftOut(harmless(entry["model"]), reason)] = None
                continue
            key = calibration.key_of(shared["gpu"], shared["image"], shared["model"], shared["args"])
            merged[key] = _together(merged[key], shared) if key in merged else shared
    return document([merged[key] for key in sorted(merged)]), list(left)


def document(starts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return starts as a file holds them."""
    return {"format": FORMAT, "version": VERSION, "starts": list(starts)}


def read(text: str, where: str) -> list[dict[str, Any]]:
    """Return the starts of a file that was handed in, or fail with the first thing that is wrong with it."""
    if len(text.encode(errors="replace")) > MOST_FILE_BYTES:
        fail(where, "it is larger than 1 MiB.", "An export is smaller: ask for the file once more.")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        fail(where, "it is no JSON.", _REMEDY)
    return check(found, where)


def check(found: Any, where: str) -> list[dict[str, Any]]:
    """Return the starts of a document, or fail with the first thing that is wrong with it."""
    if not isinstance(found, Mapping) or found.get("format") != FORMAT:
        fail(where, "it is no export of calibration.", _REMEDY)
    if found.get("version") != VERSION or isinstance(found["version"], bool):
        shown = harmless(found.get("version"), 40)
        fail(
            where,
            f"it is of version {shown}, and this collection reads {VERSION}.",
            "Upgrade the collection, or export once more.",
        )
    starts = found.get("starts")
    if set(found) != {"format", "version", "starts"} or not isinstance(starts, list):
        fail(where, "it has other parts than format, version and starts.", _REMEDY)
    if len(starts) > calibration.MOST_ENTRIES:
        fail(
            where,
            f"it holds {len(starts)} starts, and a host keeps {calibration.MOST_ENTRIES}.",
            "Export fewer hosts at once.",
        )
    for number, entry in enumerate(starts):
        if reason := _unfit(entry):
            fail(f"{where}: starts[{number}]", f"{reason}.", _REMEDY)
    return starts


def take(store: Any, starts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a host's store with these starts in place of those imported before; what it measured itself stays, and counts first."""
    own = {
        key: dict(entry)
        for key, entry in calibration.Calibration.read(store, "?").starts.items()
        if not entry.get("imported")
    }
    imported: dict[str, dict[str, Any]] = {}
    for entry in starts:
        key = calibration.key_of(entry["gpu"], entry["image"], entry["model"], entry["args"])
        if key not in own:
            imported[key] = _together(imported[key], entry) if key in imported else dict(entry)
    room = max(0, calibration.MOST_ENTRIES - len(own))
    # The first are forgotten first.
    return {"starts": {key: {**entry, "imported": True} for key, entry in list(imported.items())[:room]} | own}


def _together(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Two measurements of the same kind of start; of more than are kept those that used most, by which a plan goes."""
    pairs = [
        *zip(first["fixed_bytes"], first["errors_bytes"], strict=True),
        *zip(second["fixed_bytes"], second["errors_bytes"], strict=True),
    ]
    kept = sorted(pairs)[-calibration.KEPT :]
    return {
        **first,
        "fixed_bytes": [fixed for fixed, _error in kept],
        "errors_bytes": [error for _fixed, error in kept],
    }


def _unfit(entry: Any) -> str:
    """Say why a start can't be in a file; empty for one that can."""
    if not isinstance(entry, Mapping) or set(entry) != _FIELDS:
        return f"it has other fields than {', '.join(sorted(_FIELDS))}"
    for name, pattern, meaning in (
        ("gpu", _GPU, "no name of a card"),
        ("image", _IMAGE, "no digest of an image"),
        ("model", _MODEL, "no hub id"),
    ):
        if not isinstance(entry[name], str) or not pattern.fullmatch(entry[name]):
            return f"its {name} is {meaning}"
    return _unfit_args(entry["args"]) or _unfit_sizes(entry["fixed_bytes"], entry["errors_bytes"])


def _unfit_args(args: Any) -> str:
    if not isinstance(args, list) or len(args) > MOST_ARGS or not all(isinstance(arg, str) for arg in args):
        return f"its args are no list of up to {MOST_ARGS} texts"
    flag = ""
    for arg in args:
        if _FLAG.fullmatch(arg):
            flag = arg
        elif not _NUMBER.fullmatch(arg) and not (flag in _WORDS and _WORDS[flag].fullmatch(arg)):
            return f"its flag {flag} says more than a number" if flag else "its args begin with no flag"
    return ""


def _unfit_sizes(fixed: Any, errors: Any) -> str:
    for name, sizes, least in (("fixed_bytes", fixed, 1), ("errors_bytes", errors, -MOST_BYTES)):
        if (
            not isinstance(sizes, list)
            or not 1 <= len(sizes) <= calibration.KEPT
            or not all(
                isinstance(size, int) and not isinstance(size, bool) and least <= size <= MOST_BYTES for size in sizes
            )
        ):
            return f"its {name} are no list of 1 to {calibration.KEPT} sizes"
    return "" if len(fixed) == len(errors) else "its fixed_bytes and errors_bytes are not of one length"


def table(host: str, store: Any) -> list[str]:
    """Return what a host knows of starts, for people."""
    starts = calibration.Calibration.read(store, "?").starts.values()
    if not starts:
        return [f"{host}   no start was measured yet"]
    return [f"{host}   {len(starts)} kinds of start", *map(_row, starts)]


def _row(entry: Mapping[str, Any]) -> str:
    most_mib = max(entry["errors_bytes"]) / MIB
    origin = "imported" if entry.get("imported") else f"{len(entry['fixed_bytes'])} measured"
    model, gpu = harmless(entry["model"], 60), harmless(entry["gpu"], 40)
    return f"  {model:40}  {gpu:30}  {origin:12}  used {most_mib:+,.0f} MiB of plan at most"


def summary(document: Mapping[str, Any], left_out: Sequence[LeftOut]) -> list[str]:
    """Return what a written file holds and what it does not, for whoever is about to hand it on."""
    private = sorted({start.model for start in left_out if not start.reason})
    return [
        f"Kinds of start in it: {len(document['starts'])}.",
        *(
            [f"Left out, for they may be private: {', '.join(private)}. calibration_models takes public ones in."]
            if private
            else []
        ),
        *(f"Left out, a start of {start.model}: {start.reason}." for start in left_out if start.reason),
    ]
