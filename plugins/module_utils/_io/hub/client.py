# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hub as huggingface_hub speaks to it: what a repository is, the first bytes of its files, ids like another. Nothing is downloaded."""

from __future__ import annotations

import contextlib
import errno
import importlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from types import ModuleType
from typing import Any, Protocol, TypeVar

# What reads a hub may take whole; each read of the network is bounded by READ_S.
READ_S = 10.0
WHOLE_S = 120.0
# A hub that asks to wait is waited for so long, so often.
MOST_WAIT_S = 30.0
ATTEMPTS = 4
T = TypeVar("T")
_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO})


class Trouble(Enum):
    """Why the hub gave no answer."""

    MISSING = "missing"
    REVISION = "revision"
    GATED = "gated"
    FORBIDDEN = "forbidden"
    BUSY = "busy"
    NO_HUB = "no hub"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    NO_LIBRARY = "no library"
    DISK = "disk"
    STALLED = "stalled"


# Nothing can be asked of such a hub, whatever the model.
AWAY = frozenset({Trouble.UNREACHABLE, Trouble.STALLED, Trouble.NO_HUB, Trouble.BUSY, Trouble.NO_LIBRARY})


class HubError(Exception):
    """The hub gave no answer; `wait_s` is what it asked to wait."""

    def __init__(self, trouble: Trouble, detail: str = "", wait_s: float = 0.0) -> None:
        super().__init__(f"{trouble.value} {detail}".strip())
        self.trouble = trouble
        self.detail = detail
        self.wait_s = wait_s


@dataclass(frozen=True)
class Repository:
    """One model at one commit."""

    id: str
    commit: str
    gated: bool
    private: bool
    licence: str
    files: dict[str, int] = field(default_factory=dict)


class Hub(Protocol):
    """What is asked of a hub."""

    def describe(self, model: str, revision: str) -> Repository:
        """Return what the repository is at a revision."""

    def read(self, model: str, commit: str, path: str, most: int) -> bytes:
        """Return a file's first bytes, at most so many."""

    def search(self, text: str = "", author: str = "", quantized_from: str = "") -> list[str]:
        """Return ids of models, the most downloaded first."""


class HuggingFaceHub:
    """Hub over huggingface_hub, which is imported when it is first needed."""

    def __init__(self, endpoint: str = "", token: str | bool = "", within_s: float = math.inf) -> None:
        # All that it is ever asked has to be answered by then.
        self._until = time.monotonic() + within_s
        self._library: ModuleType = importlib.import_module("huggingface_hub")
        self._http: ModuleType = importlib.import_module("huggingface_hub.utils")
        self._errors: ModuleType = importlib.import_module("huggingface_hub.errors")
        # None lets the library use a token that somebody logged in with on this machine; False sends none.
        self._token = None if token == "" else token
        self.endpoint = (endpoint or importlib.import_module("huggingface_hub.constants").ENDPOINT).rstrip("/")
        self._api: Any = self._library.HfApi(endpoint=self.endpoint, token=self._token)

    def describe(self, model: str, revision: str) -> Repository:
        """Return what the repository is at a revision."""
        with self._translated():
            found = self._again(
                lambda: self._api.model_info(model, revision=revision, files_metadata=True, timeout=self._read_s())
            )
        files = {str(item.rfilename): int(item.size or 0) for item in found.siblings or []}
        model_card = found.card_data.to_dict() if found.card_data is not None else {}
        licence = model_card.get("license_name") or model_card.get("license") or ""
        if not isinstance(found.sha, str) or not isinstance(found.id, str):
            raise HubError(Trouble.NO_HUB, self.endpoint)
        return Repository(found.id, found.sha, bool(found.gated), bool(found.private), str(licence), files)

    def read(self, model: str, commit: str, path: str, most: int) -> bytes:
        """Return a file's first bytes, at most so many, whether or not a server on the way knows ranges."""
        url = self._library.hf_hub_url(model, path, revision=commit, endpoint=self.endpoint)
        headers = {**self._http.build_hf_headers(token=self._token), "Accept-Encoding": "identity"}
        headers["Range"] = f"bytes=0-{most - 1}"
        with self._translated():
            return self._again(lambda: self._stream(url, headers, most), self._transport_errors())

    def search(self, text: str = "", author: str = "", quantized_from: str = "") -> list[str]:
        """Return ids of models, the most downloaded first."""
        asked: dict[str, Any] = {"limit": 100, "sort": "downloads"}
        asked |= {"search": text} if text else {}
        asked |= {"author": author} if author else {}
        asked |= {"filter": [f"base_model:quantized:{quantized_from}", "safetensors"]} if quantized_from else {}
        with self._translated():
            found = self._again(lambda: self._list(asked))
        if not isinstance(found, list) or not all(
            isinstance(one, dict) and isinstance(one.get("id"), str) for one in found
        ):
            raise HubError(Trouble.NO_HUB, self.endpoint)
        return [str(one["id"]) for one in found]

    def _list(self, asked: dict[str, Any]) -> Any:
        """Return a page of models. The library's own list_models waits for an answer without end."""
        headers = self._http.build_hf_headers(token=self._token)
        url = f"{self.endpoint}/api/models"
        answer = self._http.get_session().get(url, params=asked, headers=headers, timeout=self._read_s())
        self._http.hf_raise_for_status(answer)
        return answer.json()

    def _read_s(self) -> float:
        """Return how long one read may take; nothing is asked once all time is over."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise HubError(Trouble.STALLED, f"{self.endpoint} took too long")
        return min(READ_S, left)

    def fetch(self, model: str, revision: str, path: str, cache_dir: str, force: bool, progress: type) -> None:
        """Have a file in the cache whole; `progress` is a class like tqdm's that hears of bytes."""
        with self._translated():
            self._library.hf_hub_download(
                model,
                path,
                revision=revision,
                endpoint=self.endpoint,
                token=self._token,
                cache_dir=cache_dir,
                force_download=force,
                tqdm_class=progress,
            )

    def _stream(self, url: str, headers: dict[str, str], most: int) -> bytes:
        began = time.monotonic()
        deadline = min(began + WHOLE_S, self._until)
        got = bytearray()
        session = self._http.get_session()
        with session.stream("GET", url, headers=headers, timeout=self._read_s(), follow_redirects=True) as answer:
            if answer.status_code >= 400:
                answer.read()
            self._http.hf_raise_for_status(answer)
            for chunk in answer.iter_bytes():
                got += chunk
                if len(got) >= most:
                    break
                if time.monotonic() > deadline:
                    raise HubError(
                        Trouble.UNREACHABLE, f"{self.endpoint} sent {len(got)} bytes in {deadline - began:.0f} s"
                    )
        return bytes(got[:most])

    def _again(self, ask: Callable[[], T], passing: tuple[type[BaseException], ...] = ()) -> T:
        """Ask, and ask again where the hub says that it is busy, fails, or (where the caller says so) breaks off."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return ask()
            except self._errors.HfHubHTTPError as error:
                status = error.response.status_code
                wait = _wait_s(error) or 2.0**attempt / 4
                if (status != 429 and status < 500) or self._gives_up(attempt, wait):
                    raise
            except passing:
                wait = 2.0**attempt / 4
                if self._gives_up(attempt, wait):
                    raise
            time.sleep(wait)

    def _gives_up(self, attempt: int, wait_s: float) -> bool:
        return attempt == ATTEMPTS or wait_s > MOST_WAIT_S or time.monotonic() + wait_s > self._until

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn what the library raises into a HubError."""
        errors = self._errors
        try:
            yield
        except errors.GatedRepoError as error:
            raise HubError(Trouble.GATED) from error
        except errors.RevisionNotFoundError as error:
            raise HubError(Trouble.REVISION) from error
        except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
            raise HubError(Trouble.MISSING) from error
        except errors.LocalEntryNotFoundError as error:
            cause = error.__cause__
            if isinstance(cause, errors.HfHubHTTPError):
                raise _by_status(cause, self.endpoint) from error
            raise HubError(Trouble.UNREACHABLE, f"{self.endpoint}: {_first_line(cause or error)}") from error
        except errors.EntryNotFoundError as error:
            raise HubError(Trouble.FAILED, "a file that it listed is not there") from error
        except errors.OfflineModeIsEnabled as error:
            raise HubError(Trouble.UNREACHABLE, "HF_HUB_OFFLINE is set") from error
        except errors.HfHubHTTPError as error:
            raise _by_status(error, self.endpoint) from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # What is no JSON, or JSON of another kind, does not come from a hub: the library reads an error's body unchecked.
            raise HubError(Trouble.NO_HUB, self.endpoint) from error
        except self._transport_errors() as error:
            if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
                raise HubError(Trouble.DISK, str(error.strerror)) from error
            raise HubError(Trouble.UNREACHABLE, f"{self.endpoint}: {_first_line(error)}") from error

    @staticmethod
    def _transport_errors() -> tuple[type[BaseException], ...]:
        """Return the errors of the HTTP library that this release of huggingface_hub stands on."""
        found: list[type[BaseException]] = [OSError]
        for name in ("httpx2", "httpx"):
            with contextlib.suppress(ImportError):
                found.append(importlib.import_module(name).HTTPError)
        return tuple(found)


def _by_status(error: Any, endpoint: str) -> HubError:
    status = error.response.status_code
    if status == 429:
        return HubError(Trouble.BUSY, endpoint, _wait_s(error))
    if status in (401, 403):
        return HubError(Trouble.FORBIDDEN)
    if status >= 500:
        return HubError(Trouble.UNREACHABLE, f"{endpoint} answers {status}")
    return HubError(Trouble.FAILED, f"{endpoint} answers {status}")


def _wait_s(error: Any) -> float:
    value = str(error.response.headers.get("Retry-After") or "")
    return float(value) if value.isdigit() else 0.0


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
