# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the demonstration asks its models, through the gateway and with its key, as any client would."""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.tests.support.lab.common import LabError

# Of the questions tried, the one of whose answer the model is surest: each token is at least 1.0 (in logits) ahead of the next
# best, where bfloat16 and the order of sums move it by a tenth. For the capital of France the first token is 0.1 ahead.
QUESTION, ANSWER = "What is the capital of Japan?", "Tokyo"
SEARCH, NEAREST = "How do I get my money back?", "Refunds are paid within a week of a return."
SENTENCES = (
    "Our parcels travel through the city by bicycle.",
    NEAREST,
    "The shop opens at nine on weekdays.",
)


@dataclass(frozen=True)
class Client:
    """A client of the gateway."""

    url: str
    key: str

    def chat(self, model: str, question: str, max_tokens: int = 40) -> str:
        """Return what a model answers; it answers the same each time."""
        body = {
            "model": model,
            "messages": [{"role": "user", "content": question}],
            "max_tokens": max_tokens,
            "temperature": 0,
        }
        said: str = self._post("chat/completions", body)["choices"][0]["message"]["content"]
        return said

    def similarities(self, model: str, text: str, sentences: Sequence[str]) -> list[float]:
        """Return the cosine between the embedding of a text and that of each sentence."""
        answer = self._post("embeddings", {"model": model, "input": [text, *sentences]})
        first, *others = [row["embedding"] for row in sorted(answer["data"], key=lambda row: row["index"])]
        return [_cosine(first, other) for other in others]

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        request = urllib.request.Request(f"{self.url}/v1/{path}", json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                parsed: dict[str, Any] = json.load(answer)
                return parsed
        except urllib.error.HTTPError as error:
            raise LabError(
                f"{body['model']} answered {error.code} through {self.url}: {error.read().decode(errors='replace')[:200]}"
            ) from None
        except OSError as error:
            raise LabError(f"{body['model']} could not be asked through {self.url}: {error}.") from None


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    return _dot(one, other) / math.sqrt(_dot(one, one) * _dot(other, other))


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
