# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a diagnosis takes a host out of service, and what has to be gone before it comes back: judged by the rules of diagnose itself."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.diagnose import xid
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.diagnose.findings import Finding, Severity
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet import quarantine
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet.quarantine import Cause, Register

ENGINE = Finding("oom", Severity.FAIL, "engine qwen", "it does not run: no memory", "Lower max_model_len.")
DISK = Finding("disk_full", Severity.FAIL, "disk", "nothing is free", "Free some.")


def data(*findings: Finding) -> list[dict[str, Any]]:
    """Return findings as the module returns them."""
    return [{**asdict(one), "severity": one.severity.value} for one in findings]


def of_xid(number: int, because: str = "") -> Finding:
    meaning = xid.MEANINGS[number]
    severity = Severity.FAIL if meaning.fatal else Severity.WARN
    return Finding(f"xid_{number}", severity, "card 0000:01:00", f"Xid {number}", meaning.action.value, because=because)


@pytest.mark.parametrize("number", sorted(xid.MEANINGS))
def test_an_xid_takes_a_host_out_where_nothing_more_is_computed_on_the_card(number: int) -> None:
    found = quarantine.reason(data(DISK, of_xid(number)), Cause.GPUS)
    assert found == (f"card 0000:01:00: Xid {number}" if xid.MEANINGS[number].fatal else "")


def test_engines_take_a_host_out_only_where_that_is_asked_for_and_consequences_never() -> None:
    assert quarantine.reason(data(ENGINE, DISK), Cause.GPUS) == ""
    assert quarantine.reason(data(DISK, ENGINE), Cause.GATES) == "engine qwen: it does not run: no memory"
    assert quarantine.reason(data(of_xid(79, because="no_card")), Cause.GATES) == ""
    gone = Finding("no_card", Severity.FAIL, "host", "no NVIDIA card is on the PCI bus", "Power the host off.")
    assert quarantine.reason(data(gone), Cause.GPUS) == "host: no NVIDIA card is on the PCI bus"


def test_a_host_comes_back_by_a_passed_check_only() -> None:
    quarantine.check_release("gpu03", data(ENGINE, DISK, of_xid(13)))
    with pytest.raises(FleetError) as refused:
        quarantine.check_release("gpu03", data(ENGINE, of_xid(79)))
    said = str(refused.value)
    assert said.startswith("gpu03: it stays in quarantine: card 0000:01:00: Xid 79. Power the host off and on;")


def test_the_register_keeps_the_first_day_and_the_newest_reason() -> None:
    register = Register().with_host("b", "Xid 79", "2026-11-20").with_host("a", "loud\x1b[2J", "2026-11-21")
    register = register.with_host("b", "Xid 95", "2026-11-26")
    assert register.hosts["b"] == quarantine.Entry("Xid 95", "2026-11-20")
    assert register.hosts["a"].reason.isprintable()
    assert list(register.data()["hosts"]) == ["a", "b"]
    assert Register.read(register.data(), "there") == register
    assert list(register.without("b").without("b").hosts) == ["a"]


@pytest.mark.parametrize("kept", [None, [], {}, {"hosts": []}, {"hosts": {"a": {}}}, {"hosts": {"a": {"reason": " "}}}])
def test_a_register_that_says_nothing_is_no_empty_one(kept: Any) -> None:
    with pytest.raises(FleetError, match="gpuserve_quarantine_file: there is no register of quarantine"):
        Register.read(kept, "there")
