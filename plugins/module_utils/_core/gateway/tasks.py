# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a model is for, and which paths of the engine's API serve that."""

from __future__ import annotations

from collections.abc import Mapping

GENERATE = "generate"
TASKS = (GENERATE, "embed", "score", "classify", "transcribe")
# A model that generates may hear as well, and one that embeds scores by its embeddings. A path that is not here is anybody's.
_SERVE: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            *("/v1/chat/completions", "/v1/completions", "/v1/responses"),
            *("/v1/messages", "/v1/messages/count_tokens"),
        ),
        (GENERATE,),
    ),
    "/v1/embeddings": ("embed",),
    **dict.fromkeys(("/rerank", "/v1/rerank", "/v2/rerank", "/score", "/v1/score"), ("score", "embed", "classify")),
    "/classify": ("classify", "score"),
    **dict.fromkeys(("/v1/audio/transcriptions", "/v1/audio/translations", "/v1/realtime"), ("transcribe", GENERATE)),
}


def closed(task: str) -> tuple[str, ...]:
    """Paths that a model of this task does not serve; none where nobody says what it is for."""
    return tuple(path for path, tasks in _SERVE.items() if task not in tasks) if task else ()
