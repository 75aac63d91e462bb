# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the library raises, as one kind of trouble each; what is asked of it, and how often."""

from __future__ import annotations

import errno
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx2 as httpx
import pytest
from huggingface_hub import errors

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub import client as module
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.client import (
    HubError,
    HuggingFaceHub,
    Repository,
    Trouble,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.connect import connect_to

END = "https://hub.example"


def http(kind: Any, status: int, **headers: str) -> Any:
    answer = httpx.Response(status, headers=headers, request=httpx.Request("GET", END))
    return kind("said", response=answer)


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(f"{module.__name__}.time.sleep", found.append)
    return found


@pytest.fixture
def hub(slept: list[float]) -> HuggingFaceHub:
    return HuggingFaceHub(f"{END}/", "hf_token")


def answering(hub: HuggingFaceHub, *answers: Any) -> list[tuple[Any, ...]]:
    """Have each question get the next answer, the last one for ever; return what was asked."""
    asked: list[tuple[Any, ...]] = []

    def answer(*given: Any, **more: Any) -> Any:
        asked.append((*given, more))
        found = answers[min(len(asked), len(answers)) - 1]
        if isinstance(found, BaseException):
            raise found
        return found

    hub._api = SimpleNamespace(model_info=answer)
    return asked


def described(**change: Any) -> Any:
    facts = {"sha": "c0ffee", "id": "Org/Model", "gated": "auto", "private": False, "siblings": [], "card_data": None}
    return SimpleNamespace(**{**facts, **change})


def test_a_repository_at_a_commit(hub: HuggingFaceHub) -> None:
    files = [SimpleNamespace(rfilename="a.json", size=3), SimpleNamespace(rfilename="b", size=None)]
    card = SimpleNamespace(to_dict=lambda: {"license": "other", "license_name": "llama3"})
    asked = answering(hub, described(siblings=files, card_data=card))
    found = hub.describe("org/model", "main")
    assert found == Repository("Org/Model", "c0ffee", True, False, "llama3", {"a.json": 3, "b": 0})
    assert asked == [("org/model", {"revision": "main", "files_metadata": True, "timeout": 10.0})]


@pytest.mark.parametrize(("card", "licence"), [(None, ""), ({}, ""), ({"license": "mit"}, "mit")])
def test_a_licence(hub: HuggingFaceHub, card: Any, licence: str) -> None:
    answering(hub, described(card_data=card if card is None else SimpleNamespace(to_dict=lambda: card)))
    assert hub.describe("a/b", "main").licence == licence


@pytest.mark.parametrize("change", [{"sha": None}, {"id": 7}])
def test_what_is_no_hub_has_neither_commit_nor_id(hub: HuggingFaceHub, change: dict[str, Any]) -> None:
    answering(hub, described(**change))
    with pytest.raises(HubError) as caught:
        hub.describe("a/b", "main")
    assert (caught.value.trouble, caught.value.detail) == (Trouble.NO_HUB, END)


def local_entry(cause: BaseException | None) -> BaseException:
    error: BaseException = errors.LocalEntryNotFoundError("not here\nmore")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("raised", "trouble", "detail"),
    [
        (http(errors.GatedRepoError, 403), Trouble.GATED, ""),
        (http(errors.RevisionNotFoundError, 404), Trouble.REVISION, ""),
        (http(errors.RepositoryNotFoundError, 404), Trouble.MISSING, ""),
        (errors.HFValidationError("bad id"), Trouble.MISSING, ""),
        (local_entry(http(errors.HfHubHTTPError, 503)), Trouble.UNREACHABLE, f"{END} answers 503"),
        (local_entry(None), Trouble.UNREACHABLE, f"{END}: not here"),
        (local_entry(OSError("no route\nhere")), Trouble.UNREACHABLE, f"{END}: no route"),
        (http(errors.EntryNotFoundError, 404) if issubclass(errors.EntryNotFoundError, errors.HfHubHTTPError)
         else errors.EntryNotFoundError("x"), Trouble.FAILED, "a file that it listed is not there"),
        (errors.OfflineModeIsEnabled("x"), Trouble.UNREACHABLE, "HF_HUB_OFFLINE is set"),
        (http(errors.HfHubHTTPError, 401), Trouble.FORBIDDEN, ""),
        (http(errors.HfHubHTTPError, 403), Trouble.FORBIDDEN, ""),
        (http(errors.HfHubHTTPError, 418), Trouble.FAILED, f"{END} answers 418"),
        (ValueError("no JSON"), Trouble.NO_HUB, END),
        (KeyError("id"), Trouble.NO_HUB, END),
        (TypeError("kind"), Trouble.NO_HUB, END),
        (OSError(errno.ENOSPC, "No space left on device"), Trouble.DISK, "No space left on device"),
        (OSError(errno.EACCES, "Permission denied"), Trouble.DISK, "Permission denied"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), Trouble.UNREACHABLE, f"{END}: [Errno 111] refused"),
        (httpx.ConnectTimeout(""), Trouble.UNREACHABLE, f"{END}: ConnectTimeout"),
    ],
)  # fmt: skip
def test_each_error_is_one_kind_of_trouble(
    hub: HuggingFaceHub, raised: BaseException, trouble: Trouble, detail: str
) -> None:
    answering(hub, raised)
    with pytest.raises(HubError) as caught:
        hub.describe("a/b", "main")
    assert (caught.value.trouble, caught.value.detail) == (trouble, detail)


@pytest.mark.parametrize(
    ("raised", "times", "waits"),
    [
        (http(errors.HfHubHTTPError, 500), 4, [0.5, 1.0, 2.0]),
        (http(errors.HfHubHTTPError, 429, **{"Retry-After": "3"}), 4, [3.0, 3.0, 3.0]),
        (http(errors.HfHubHTTPError, 429, **{"Retry-After": "30"}), 4, [30.0, 30.0, 30.0]),
        (http(errors.HfHubHTTPError, 429, **{"Retry-After": "31"}), 1, []),
        (http(errors.HfHubHTTPError, 429, **{"Retry-After": "soon"}), 4, [0.5, 1.0, 2.0]),
        (http(errors.HfHubHTTPError, 499), 1, []),
        (ConnectionResetError("reset"), 1, []),
    ],
)
def test_how_often_a_busy_hub_is_asked(
    hub: HuggingFaceHub, slept: list[float], raised: BaseException, times: int, waits: list[float]
) -> None:
    asked = answering(hub, raised)
    with pytest.raises(HubError):
        hub.describe("a/b", "main")
    assert (len(asked), slept) == (times, waits)


def test_a_hub_that_asks_to_wait_too_long_says_how_long(hub: HuggingFaceHub) -> None:
    answering(hub, http(errors.HfHubHTTPError, 429, **{"Retry-After": "60"}))
    with pytest.raises(HubError) as caught:
        hub.describe("a/b", "main")
    assert (caught.value.trouble, caught.value.detail, caught.value.wait_s) == (Trouble.BUSY, END, 60.0)


def test_a_hub_that_was_busy_for_a_moment_answers(hub: HuggingFaceHub) -> None:
    answering(hub, http(errors.HfHubHTTPError, 502), described())
    assert hub.describe("a/b", "main").commit == "c0ffee"


class Listing:
    """A session that answers a search."""

    def __init__(self, body: Any, status: int = 200) -> None:
        self.answer = httpx.Response(status, json=body, request=httpx.Request("GET", END))
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def get(self, url: str, **more: Any) -> httpx.Response:
        self.asked.append((url, more))
        return self.answer


def listing(hub: HuggingFaceHub, monkeypatch: pytest.MonkeyPatch, body: Any, status: int = 200) -> Listing:
    """Have searches answered so."""
    session = Listing(body, status)
    monkeypatch.setattr(hub._http, "get_session", lambda: session)
    return session


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({"text": "qwen"}, {"search": "qwen"}),
        ({"author": "Qwen"}, {"author": "Qwen"}),
        ({"quantized_from": "Qwen/Q"}, {"filter": ["base_model:quantized:Qwen/Q", "safetensors"]}),
    ],
)
def test_a_search_is_by_downloads_and_ends(
    hub: HuggingFaceHub, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], asked: dict[str, Any]
) -> None:
    session = listing(hub, monkeypatch, [{"id": "a/b"}, {"id": "c/d"}])
    assert hub.search(**given) == ["a/b", "c/d"]
    ((url, more),) = session.asked
    assert url == f"{END}/api/models" and more["params"] == {"limit": 100, "sort": "downloads", **asked}
    assert more["timeout"] == 10.0 and more["headers"]["authorization"] == "Bearer hf_token"


@pytest.mark.parametrize("body", [{"error": "no"}, ["a/b"], [{"name": "a/b"}], [{"id": 7}]])
def test_a_search_that_no_hub_answered(hub: HuggingFaceHub, monkeypatch: pytest.MonkeyPatch, body: Any) -> None:
    listing(hub, monkeypatch, body)
    with pytest.raises(HubError) as caught:
        hub.search("qwen")
    assert caught.value.trouble is Trouble.NO_HUB


def test_an_error_of_another_kind_of_server(hub: HuggingFaceHub, monkeypatch: pytest.MonkeyPatch) -> None:
    listing(hub, monkeypatch, ["no"], 404)
    with pytest.raises(HubError) as caught:
        hub.search("qwen")
    assert caught.value.trouble is Trouble.NO_HUB


def test_nothing_is_asked_or_waited_for_once_the_time_is_over(
    monkeypatch: pytest.MonkeyPatch, slept: list[float]
) -> None:
    clock = iter((0.0, 1.0, 1.5, 18.0, 19.5))
    monkeypatch.setattr(f"{module.__name__}.time.monotonic", lambda: next(clock, 21.0))
    hub = HuggingFaceHub(END, "", 20.0)
    session = listing(hub, monkeypatch, {}, 502)
    with pytest.raises(HubError) as caught:
        hub.search("qwen")
    # A second try has what is left, and a third would come too late.
    assert caught.value.detail == f"{END} answers 502" and slept == [0.5]
    assert [more["timeout"] for _url, more in session.asked] == [10.0, 2.0]
    with pytest.raises(HubError) as caught:
        hub.describe("a/b", "main")
    assert (caught.value.trouble, caught.value.detail) == (Trouble.STALLED, f"{END} took too long")


class Stream:
    """A session whose answer comes in pieces."""

    def __init__(self, pieces: list[bytes], status: int = 200, breaks: int = 0) -> None:
        self.pieces, self.status_code, self.breaks = pieces, status, breaks
        self.asked: list[Any] = []

    def stream(self, method: str, url: str, **more: Any) -> Any:
        self.asked.append((method, url, more["headers"]))
        if len(self.asked) <= self.breaks:
            raise httpx.ReadError("broken off")
        return self

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def read(self) -> bytes:
        return b""

    def iter_bytes(self) -> Any:
        yield from self.pieces


def reading(hub: HuggingFaceHub, monkeypatch: pytest.MonkeyPatch, stream: Stream) -> None:
    def judge(answer: Stream) -> None:
        if answer.status_code >= 400:
            raise http(errors.HfHubHTTPError, answer.status_code)

    monkeypatch.setattr(hub._http, "get_session", lambda: stream)
    monkeypatch.setattr(hub._http, "hf_raise_for_status", judge)


@pytest.mark.parametrize(("breaks", "asked"), [(0, 1), (3, 4)])
def test_the_first_bytes_of_a_file(
    hub: HuggingFaceHub, monkeypatch: pytest.MonkeyPatch, breaks: int, asked: int
) -> None:
    stream = Stream([b"abc", b"def", b"never asked for"], breaks=breaks)
    reading(hub, monkeypatch, stream)
    assert hub.read("a/b", "c0ffee", "x.json", 5) == b"abcde"
    method, url, headers = stream.asked[-1]
    assert (len(stream.asked), method, url) == (asked, "GET", f"{END}/a/b/resolve/c0ffee/x.json")
    assert (headers["Range"], headers["Accept-Encoding"]) == ("bytes=0-4", "identity")
    assert headers["authorization"] == "Bearer hf_token"


@pytest.mark.parametrize(
    ("stream", "trouble"),
    [(Stream([], 404), Trouble.FAILED), (Stream([], breaks=9), Trouble.UNREACHABLE)],
)
def test_a_file_that_does_not_come(
    hub: HuggingFaceHub, monkeypatch: pytest.MonkeyPatch, stream: Stream, trouble: Trouble
) -> None:
    reading(hub, monkeypatch, stream)
    with pytest.raises(HubError) as caught:
        hub.read("a/b", "c0ffee", "x.json", 5)
    assert caught.value.trouble is trouble


def test_a_hub_that_drips_is_away(hub: HuggingFaceHub, monkeypatch: pytest.MonkeyPatch) -> None:
    reading(hub, monkeypatch, Stream([b"a"] * 9))
    moments = iter(range(0, 1000, 50))
    monkeypatch.setattr(f"{module.__name__}.time.monotonic", lambda: next(moments))
    with pytest.raises(HubError) as caught:
        hub.read("a/b", "c0ffee", "x.json", 100)
    assert caught.value.detail == f"{END} sent 2 bytes in 120 s"


def test_a_file_is_fetched_as_it_was_asked_for(hub: HuggingFaceHub) -> None:
    asked: list[Any] = []
    hub._library = SimpleNamespace(hf_hub_download=lambda *given, **more: asked.append((given, more)))  # type: ignore[assignment]
    hub.fetch("a/b", "main", "x", "/cache", True, dict)
    assert asked == [
        (
            ("a/b", "x"),
            {
                "revision": "main",
                "endpoint": END,
                "token": "hf_token",
                "cache_dir": "/cache",
                "force_download": True,
                "tqdm_class": dict,
            },
        )
    ]


@pytest.mark.parametrize(("token", "sent"), [("", None), (False, False), ("hf_x", "hf_x")])
def test_which_token_is_sent(token: str | bool, sent: str | bool | None) -> None:
    assert HuggingFaceHub(END, token)._token == sent


def test_a_hub_is_made_once_and_only_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    kind: Callable[..., Any] = lambda endpoint, token, within_s: made.append(endpoint) or SimpleNamespace()  # type: ignore[func-returns-value]  # noqa: E731
    monkeypatch.setattr("ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.connect.HuggingFaceHub", kind)
    connect = connect_to(END, "")
    assert made == []
    assert connect() is connect()
    assert made == [END]


def test_a_host_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(f"{module.__name__}.importlib.import_module", missing)
    with pytest.raises(HubError) as caught:
        connect_to(END, "")()
    assert caught.value.trouble is Trouble.NO_LIBRARY
    assert "huggingface_hub" in caught.value.detail
