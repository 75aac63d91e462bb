# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's command line: `lab box up NAME`, `lab box down NAME`, `lab down`, `lab clean`."""

from __future__ import annotations

import argparse
import json
import shutil
import sys

from ansible_collections.gpuserve.fleet.tests.support.lab import (
    bases,
    boxes,
    demo,
    doubles,
    engine,
    images,
    models,
    whole,
)
from ansible_collections.gpuserve.fleet.tests.support.lab.common import CACHE, LabError, say

CACHED = (
    "builder-*",
    "debs",
    "demo",
    "doubles",
    "locks",
    "log",
    "models",
    "mypy",
    "parsers",
    "pip",
    "pycache",
    "release-*",
    "sanity",
    "scratch",
    "ssh",
    "test",
    "venv-*",
)


def main() -> int:
    """Do what the command line says; failures are one sentence and exit status 1."""
    if sys.version_info < (3, 11):
        print("lab: needs Python 3.11 or newer.", file=sys.stderr)
        return 1
    arguments = _parser().parse_args()
    try:
        arguments.do(arguments)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lab", description="Simulated hosts on this machine's Docker Engine, all labelled owner=gpuserve-lab."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add(commands, "engine", "make sure that a Docker Engine answers", _engine)
    base = _add(commands, "base", "make the base image of a suite and print its name", _base)
    base.add_argument("suite", choices=bases.SUITES)

    box = commands.add_parser("box", help="make, find and remove boxes").add_subparsers(required=True, metavar="ACTION")
    up = _add(box, "up", "make or start a box; print how to reach it as JSON", _box_up)
    up.add_argument("name")
    up.add_argument("--suite", choices=bases.SUITES, default="trixie")
    up.add_argument(
        "--publish",
        action="append",
        default=[],
        metavar="127.0.0.1:8000:8000",
        help="a port of the box on this machine",
    )
    up.add_argument(
        "--with-docker", action="store_true", help="Docker's packages are there, and nothing of it runs (trixie)"
    )
    up.add_argument("--fresh", action="store_true", help="remove an older box of this name first")
    up.add_argument(
        "--docker-option",
        action="append",
        default=[],
        metavar="OPTION",
        help="handed to docker run (write --docker-option=--memory=2g)",
    )
    found = _add(box, "show", "print how to reach a running box as JSON", _box_show)
    found.add_argument("name")
    down = _add(box, "down", "remove a box with its volumes", _box_down)
    down.add_argument("name")
    _add(box, "list", "list the boxes of this checkout", _box_list)
    double = _add(
        box, "doubles", "give a box doubles of NVML, a card and an engine; print them as variables", _box_doubles
    )
    double.add_argument("name")
    double.add_argument("--cards", type=int, default=1)

    _add(commands, "images", "make the engine's and the gateway's image, print them as variables (JSON)", _images)
    _add(commands, "models", "make the demonstration's models and print their folder", _models)
    show = commands.add_parser("demo", help="the demonstration").add_subparsers(required=True, metavar="ACTION")
    _add(show, "up", "bring it up and show it (DEMO_HOST=user@address: on a real machine)", lambda _: demo.up())
    _add(show, "prepare", "make its host ready for the play, and stop there", lambda _: demo.prepare())
    _add(show, "down", "remove what it made on its host", lambda _: demo.down())
    _add(commands, "test", "run everything that CI runs", _test)
    _add(commands, "down", "remove every box of this checkout", _down)
    _add(commands, "clean", "remove every box of this checkout, then what the lab's boxes share", _clean)
    return parser


def _add(commands, name, text, do):  # type: ignore[no-untyped-def]
    parser = commands.add_parser(name, help=text)
    parser.set_defaults(do=do)
    return parser


def _engine(_arguments: argparse.Namespace) -> None:
    engine.ensure_engine()


def _base(arguments: argparse.Namespace) -> None:
    print(bases.ensure_base(bases.host_base(arguments.suite)))


def _box_up(arguments: argparse.Namespace) -> None:
    box = boxes.up(
        arguments.name,
        suite=arguments.suite,
        publish=tuple(arguments.publish),
        options=tuple(arguments.docker_option),
        fresh=arguments.fresh,
        with_docker=arguments.with_docker,
    )
    print(box.as_json())


def _box_show(arguments: argparse.Namespace) -> None:
    print(boxes.get(arguments.name).as_json())


def _box_down(arguments: argparse.Namespace) -> None:
    say(f"box {arguments.name} is removed" if boxes.down(arguments.name) else f"there was no box {arguments.name}")


def _box_list(_arguments: argparse.Namespace) -> None:
    for name in boxes.names():
        print(name)


def _box_doubles(arguments: argparse.Namespace) -> None:
    print(json.dumps(doubles.install(arguments.name, arguments.cards), indent=2))


def _images(_arguments: argparse.Namespace) -> None:
    print(json.dumps(images.ensure_images(), indent=2))


def _models(_arguments: argparse.Namespace) -> None:
    print(models.ensure_models())


def _test(_arguments: argparse.Namespace) -> None:
    if not whole.whole_test():
        sys.exit(1)


def _down(_arguments: argparse.Namespace) -> None:
    gone = boxes.remove_all_of_this_checkout()
    say(f"removed {', '.join(gone)}" if gone else "there was no box of this checkout")


def _clean(arguments: argparse.Namespace) -> None:
    if engine.answers():
        _down(arguments)
        others = boxes.of_other_checkouts()
        if others:
            say(f"{others} box(es) of another checkout still use the shared images and caches: those stay")
            return
        for line in boxes.remove_shared():
            say(line)
    # By name, so that nothing else goes if somebody put the cache into a folder with other things.
    for pattern in CACHED:
        for path in CACHE.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    if CACHE.is_dir() and not any(CACHE.iterdir()):
        CACHE.rmdir()
    say(f"removed what was cached in {CACHE}")


if __name__ == "__main__":
    sys.exit(main())
