# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides and renders the gateway's configuration on the controller, and puts it on the host in one trip."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import sockets
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet import drift
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import config, host, keys, registry, view
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import (
    gateway_drift,
    gateway_files,
    private_files,
    this_run,
    unreached,
)
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.key_registry import Registry
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.plain import plain
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.shown import shown

HOST_MODULE = "gpuserve.fleet.gateway_host"
ARGUMENTS = ("settings", "state", "keys_file", "key_dir", "use_saved", "change", "follow", "folder")
# What of a model says where its engines are met.
MEETING = ("endpoints", "standby", "address", "listener_uid")


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """Check, render and hand over."""

    _requires_connection = True
    _supports_check_mode = True

    @unreached.is_failure
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what changed and what has to be reloaded; nothing of it is a secret."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self._variables = task_vars or {}
        args = self._task.args
        try:
            unknown = sorted(set(args) - set(ARGUMENTS))
            if unknown:
                fail(f"{unknown[0]}", "there is no such option.", f"Known are {', '.join(ARGUMENTS)}.")
            if args.get("state") == "checked":
                return {**result, **self._check()}
            if args.get("state") == "compared":
                return {**result, **self._compare()}
            return {**result, **self._configure()}
        except FleetError as error:
            return {**result, "failed": True, "changed": False, "msg": str(error), "field": error.where}

    def _check(self) -> dict[str, Any]:
        """Judge the variables, then the host."""
        gateway, facts = self._parsed()
        return {
            "changed": False,
            "kept_image": facts.kept_image,
            "uid": facts.uid,
            "gid": facts.gid,
            "url": gateway.url,
            "warnings": list(gateway.warnings),
        }

    def _compare(self) -> dict[str, Any]:
        """Compare the variables with what the host has; nothing of the answer is a secret or its digest."""
        settings = plain(self._task.args.get("settings") or {})
        gateway = self._parse(settings)
        folder = str(self._task.args.get("folder") or gateway_files.FOLDER)
        with self._unseen():
            facts = self._on_host({"state": "read", "folder": folder, "saved": True, "live": True})["facts"]
        if facts["first_key_sha256"] and not self._task.args.get("change"):
            gateway = self._with_first_key(gateway, host.Facts.of(facts))[0]
        saved = facts.get("saved") or {}
        found = gateway_drift.found(facts["live"], saved, facts["is_running"] if facts["has_compose"] else None)
        wanted = gateway_drift.wanted(gateway, settings, gateway_files.render(gateway).files)
        wanted["files"] = self._written({**settings, **saved, "keys": settings.get("keys")}) if saved else {}
        return {"changed": False, "differences": [asdict(one) for one in drift.gateway(found, wanted)]}

    def _written(self, saved: dict[str, Any]) -> dict[str, str]:
        """Return what the last run wrote by its variables; nothing where this version can't read them."""
        try:
            gateway = self._parse(saved)
        except FleetError:
            return {}
        return gateway_drift.written(gateway, gateway_files.render(gateway))

    def _parsed(self) -> tuple[config.Gateway, host.Facts]:
        settings = plain(self._task.args.get("settings") or {})
        if self._flag("use_saved"):
            facts = self._facts(settings, None, saved=True)
            if not facts.saved:
                fail(
                    "gateway_keys_file",
                    "no gateway has been set up on this host.",
                    "Run playbooks/site.yml there first.",
                )
            settings = {**settings, **facts.saved, "keys": settings.get("keys")}
            settings["models"] = _met_at(settings["models"], plain(self._task.args.get("follow") or []))
            return self._parse(settings), facts
        gateway = self._parse(settings)
        if self._task.args.get("state") == "checked":
            facts = self._facts(settings, gateway)
            with self._nothing_changed():
                host.judge(gateway, facts, self._task.check_mode)
            self._note_first_key(facts.first_key_sha256)
            return gateway, facts
        # Whether there is a first key is all that is left to ask, and only where somebody may need it.
        noted = self._noted_first_key()
        if not gateway.auth or settings.get("keys"):
            return gateway, host.Facts()
        return gateway, self._facts(settings, None) if noted is None else host.Facts(first_key_sha256=noted)

    def _note_first_key(self, digest: str) -> None:
        """Keep what the check found for the configuration that follows; no result may hold it."""
        with this_run.alone(this_run.FIRST_KEYS) as folder:
            private_files.write(folder / str(self._variables.get("inventory_hostname", "")), digest)

    def _noted_first_key(self) -> str | None:
        """Return what the check found, once: whoever configures again may have changed it."""
        with this_run.alone(this_run.FIRST_KEYS) as folder:
            path = folder / str(self._variables.get("inventory_hostname", ""))
            if not path.exists():
                return None
            found = private_files.read(path)
            path.unlink()
        return found

    def _parse(self, settings: dict[str, Any]) -> config.Gateway:
        self._settings = settings
        with self._nothing_changed():
            return config.parse(settings, self._registry(), str(self._variables.get("inventory_hostname", "")))

    @staticmethod
    @contextlib.contextmanager
    def _nothing_changed() -> Iterator[None]:
        """Say of a refusal that it came before any change."""
        try:
            yield
        except FleetError as error:
            fail(error.where, error.what, f"{error.remedy} Nothing was changed.")

    def _registry(self) -> list[dict[str, Any]]:
        """Return this host's entries of the keys' file, with a change that is about to be made."""
        path = str(self._task.args.get("keys_file") or "")
        entries = Registry(Path(path), self._loader).entries() if path else []
        change = self._change()
        if change and change.verb == "add" and self._task.args.get("state") == "checked":
            entries = registry.changed(entries, change, keys.digest("a key that is not made yet"))
        return registry.for_host(entries, str(self._variables.get("inventory_hostname", "")))

    def _facts(self, settings: dict[str, Any], gateway: config.Gateway | None, *, saved: bool = False) -> host.Facts:
        args: dict[str, Any] = {"state": "read", "image": str(settings.get("image", "")), "saved": saved}
        if gateway:
            files = [gateway.tls_certificate, gateway.tls_key] if gateway.tls == "files" else []
            ports = [listener.port for listener in gateway.listeners.values()]
            args = {**args, "ports": ports, "paths": files}
        with self._unseen() if saved else contextlib.nullcontext():
            return host.Facts.of(self._on_host(args)["facts"])

    @contextlib.contextmanager
    def _unseen(self) -> Iterator[None]:
        """Keep the connection from showing, at -vvv, what a module answers: engines' keys are in it."""
        # The action's own play context is another copy, which the connection does not look at.
        context = self._connection._play_context
        before, context.no_log = context.no_log, True
        try:
            yield
        finally:
            context.no_log = before

    def _on_host(self, args: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module(
            module_name=HOST_MODULE, module_args=args, task_vars=self._variables
        )
        answer.pop("invocation", None)
        if answer.get("failed"):
            where = str(answer.get("field", ""))
            fail(where, str(answer.get("msg", "")).removeprefix(f"{where}: "), "")
        return answer

    def _configure(self) -> dict[str, Any]:
        gateway, facts = self._parsed()
        gateway, first, written = self._with_first_key(gateway, facts)
        rendered = gateway_files.render(gateway)
        payload = {
            "files": rendered.files,
            "quiet": rendered.quiet,
            "compose": rendered.compose,
            "settings": json.dumps(self._saved(gateway), indent=2, sort_keys=True) + "\n",
            "group": gateway.gid,
            "trial": view.trial(gateway, gateway_files.CANDIDATE),
            "tls": {
                "kind": gateway.tls,
                "certificate": gateway.tls_certificate,
                "key": gateway.tls_key,
                "name": gateway.tls_name,
                "names": view.certificate_names(gateway),
            },
            # Who replaces an engine says in the first which key the new one asks for; workers write in the other what clients used.
            "folders": {"engine_keys": [0, gateway.gid], "usage": [gateway.uid, gateway.gid]},
            "drain_dir": gateway.drain_dir,
            "socket_dir": sockets.FOLDER,
            "acme_dir": gateway.acme_dir if gateway.redirect_port else "",
            "first_key_sha256": first,
            "first_key_gone": registry.change_of_first(self._change(), [key.name for key in gateway.keys]) == "revoke",
        }
        answer = self._on_host({"state": "present", "payload": json.dumps(payload)})
        if written and not self._task.check_mode:
            at = f"The gateway's first API key is in {self._first_key_file()} on this controller"
            shown(f"{at}; only your account reads that file.")
        return {
            **answer,
            "generation": rendered.generation,
            "url": gateway.url,
            "key_file": str(self._first_key_file()) if first and self._is_first_key(first) else "",
            "key_made": written,
        }

    def _saved(self, gateway: config.Gateway) -> dict[str, Any]:
        """Return the settings as the host keeps them, for a change of keys without the rest: no key in the clear."""
        return {name: value for name, value in self._settings.items() if name != "keys"}

    def _with_first_key(self, gateway: config.Gateway, facts: host.Facts) -> tuple[config.Gateway, str, bool]:
        """Return the gateway with the first key where nobody wrote one, its digest, and whether it was made now."""
        if not gateway.auth or self._settings.get("keys"):
            return gateway, "", False
        path, digest = self._first_key_file(), facts.first_key_sha256
        change = registry.change_of_first(self._change(), [key.name for key in gateway.keys])
        if change == "revoke":
            if not gateway.keys:
                fail("key_revoke", "default is the only key.", "Add another first, or rotate it.")
            if not self._task.check_mode:
                path.unlink(missing_ok=True)
            return gateway, "", False
        written = False
        if change == "rotate" or not (digest or gateway.keys):
            key = "" if change == "rotate" else private_files.read(path)
            if not key:
                key, written = private_files.new_key(), True
                if not self._task.check_mode:
                    private_files.write(path, key)
            digest = keys.digest(key)
        if not digest or any(key.name.lower() == keys.FIRST for key in gateway.keys):
            return gateway, "", False
        return gateway.with_keys((*gateway.keys, keys.Key(keys.FIRST, digest))), digest, written

    def _change(self) -> registry.Change | None:
        return registry.change(plain(self._task.args.get("change") or {}), now=time.time())

    def _first_key_file(self) -> Path:
        return Path(str(self._task.args.get("key_dir", ""))) / str(self._variables.get("inventory_hostname", ""))

    def _is_first_key(self, digest: str) -> bool:
        """Tell whether this controller has the key that the host has the digest of; another one may have made it."""
        return keys.digest(private_files.read(self._first_key_file())) == digest

    def _flag(self, name: str, default: bool = False) -> bool:
        return str(self._task.args.get(name, default)).lower() in ("true", "yes", "1")


def _met_at(models: list[dict[str, Any]], follow: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the models as they were, keys of their engines included, met where `follow` says."""
    told = {str(entry.get("name")): entry for entry in follow}
    found = []
    for model in models:
        entry = told.get(str(model.get("name")), model)
        stays = {name: value for name, value in model.items() if name not in MEETING}
        found.append({**stays, **{name: entry[name] for name in MEETING if name in entry}})
    return found
