# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The demonstration's last screen: what serves, what each model answered, how long it took, and how to go on or stop."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible_collections.gpuserve.fleet.tests.support.lab import answers, models

GIB = 1 << 30


def table(report: Mapping[str, Any]) -> list[str]:
    """Return the report's models as a table with units."""
    head = ("model", "ready after", "memory planned", "memory measured")
    rows = [
        (
            model["name"],
            f"{model['ready_s']:.0f} s" if model.get("ready_s") is not None else "was up",
            _gib(model.get("planned_bytes")),
            _gib(model.get("measured_bytes")),
        )
        for model in report["models"]
    ]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]


def talk(client: answers.Client) -> list[str]:
    """Return what each model answers to what it is for."""
    said = client.chat(models.CHAT, answers.QUESTION)
    near = client.similarities(models.EMBEDDING, answers.SEARCH, answers.SENTENCES)
    noise = client.chat(models.RANDOM, answers.QUESTION, max_tokens=12)
    ranked = sorted(zip(near, answers.SENTENCES, strict=True), reverse=True)
    return [
        f'  {models.CHAT} was asked "{answers.QUESTION}"',
        f"    {' '.join(said.split())}",
        f'  {models.EMBEDDING} looked for the sentence nearest to "{answers.SEARCH}"',
        *(
            f"    {'nearest' if place == 0 else '       '}  {cosine:5.2f}  {sentence}"
            for place, (cosine, sentence) in enumerate(ranked)
        ),
        f"  {models.RANDOM} was asked what smollm2 was; its weights are random, so its words mean nothing",
        f"    {noise!r}",
    ]


def took(whole_s: float, warm: bool, made_s: Mapping[str, float], play_s: float, registry: str) -> list[str]:
    """Return how long it took, what of it went where, and where the images came from."""
    made = [f"{what} {seconds:.0f} s" for what, seconds in made_s.items()]
    return [
        f"Took {whole_s:.0f} s with {'warm' if warm else 'cold'} caches, {play_s:.0f} s of it in site.yml"
        f" (images: pulled from {registry}).",
        f"Made before it, side by side: {', '.join(made)}."
        if made
        else "Nothing had to be built or fetched before it.",
    ]


def go_on(url: str, key_file: str) -> list[str]:
    """Return a request to paste, and how to stop."""
    body = {"model": models.CHAT, "messages": [{"role": "user", "content": "Write one sentence about the sea."}]}
    return [
        "Ask it yourself:",
        f"  curl {url}/v1/chat/completions \\",
        f'    -H "Authorization: Bearer $(cat {key_file})" \\',
        "    -H 'Content-Type: application/json' \\",
        f"    -d '{json.dumps(body)}'",
        "Run it again, as it is (nothing changes) or with a change to inventories/demo: make demo",
        "To stop it:",
        "  make demo-down   # removes what the demonstration made on its host",
        "  make clean       # removes that, the caches and everything else that this checkout made here",
    ]


def _gib(size: float | None) -> str:
    return "-" if size is None else f"{size / GIB:.2f} GiB"
