# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The key that engines ask for is renewed, in the order in which a bring-up replaces an engine: no request is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import switch_s
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack import secrets
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.engine_keys import EngineKeys
from ansible_collections.gpuserve.fleet.tests.support.gateway.client import KEY
from ansible_collections.gpuserve.fleet.tests.support.gateway.container import Container, scenario_variables

from .test_streams import CHAT

OLD, NEW = "engine-secret-of-old", "engine-secret-of-new"


@pytest.fixture
def gateway() -> Iterator[Container]:
    """A gateway that knows the old key of a model, whose engine asks for it."""
    variables = scenario_variables()
    (swap,) = [one for one in variables["gateway_models"] if one["name"] == "swap"]
    variables["gateway_models"] = [{**swap, "api_key": OLD}]
    variables["gateway_keys"] = [one for one in variables["gateway_keys"] if not one.get("models")]
    with Container(variables) as made:
        made.stop("swap")
        made.start("swap", OLD)
        made.wait_for(lambda: made.ask("POST", CHAT, {"model": "swap"}, KEY).status == 200)
        yield made


class Steady:
    """Requests one after the other, in four threads, for as long as it lasts."""

    def __init__(self, gateway: Container) -> None:
        self.statuses: list[int] = []
        self._gateway, self._over = gateway, threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _at in range(4)]

    def _ask(self) -> None:
        while not self._over.wait(0.01):
            self.statuses.append(self._gateway.ask("POST", CHAT, {"model": "swap"}, KEY).status)

    def __enter__(self) -> Steady:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)


def test_no_request_is_lost_while_engines_get_another_key(gateway: Container) -> None:
    project = gateway.folder / "project"
    keys = EngineKeys(gateway.folder / "engine_keys", project, "gpuserve")
    (gateway.folder / "engine_keys").chmod(0o755)

    def begins(stub: str) -> None:
        """What the hands of a bring-up do before a start."""
        file = project / secrets.file_name("swap", "new")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(secrets.render({secrets.API_KEY: NEW}))
        keys.tell(gateway.endpoint(stub), "swap", "new")
        (gateway.folder / "engine_keys" / gateway.endpoint(stub)).chmod(0o644)
        gateway.start(stub, NEW)

    def everybody_knows() -> None:
        """What a bring-up waits: each of the gateway's processes looks for itself, and what one has seen the other may not have."""
        time.sleep(switch_s(float(gateway.variables.get("gateway_check_interval_s", 2))))

    with Steady(gateway) as steady:
        begins("swap-b")
        gateway.wait_for(lambda: gateway.up("swap-b", "swap") == 1)
        everybody_knows()
        gateway.drain("swap")
        before = gateway.chats("swap-b")
        gateway.wait_for(lambda: gateway.chats("swap-b") > before + 20)
        everybody_knows()
        gateway.stop("swap")
        begins("swap")
        gateway.drain("swap", False)
        gateway.wait_for(lambda: gateway.up("swap", "swap") == 1 and gateway.chats("swap") > 20)
        everybody_knows()
        gateway.stop("swap-b")
        keys.forget_but([gateway.endpoint("swap")])
        # The gateway's own role has run by then.
        gateway.variables["gateway_models"][0]["api_key"] = NEW
        gateway.render()
        gateway.reload()
        gateway.wait_until_it_serves()
        keys.forget_but([])
        number = len(steady.statuses)
        gateway.wait_for(lambda: len(steady.statuses) > number + 40)
    assert set(steady.statuses) == {200}, {status: steady.statuses.count(status) for status in set(steady.statuses)}


def test_an_engine_that_asks_for_none_any_more_is_sent_none(gateway: Container) -> None:
    (gateway.folder / "engine_keys").chmod(0o755)
    file = gateway.folder / "engine_keys" / gateway.endpoint("swap")
    file.write_text("\ngpuserve\n")
    file.chmod(0o644)
    gateway.wait_for(lambda: gateway.ask("POST", CHAT, {"model": "swap"}, KEY).status == 502)
    file.unlink()
    gateway.wait_for(lambda: gateway.ask("POST", CHAT, {"model": "swap"}, KEY).status == 200)
