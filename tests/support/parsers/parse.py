# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hand command lines to the parsers of `vllm serve`; run by sources.py in an environment of its own.

stdin   {version: [folder of its Python files, [command line, ...]]}
stdout  {version: [{"exit": int, "said": str, "fields": {name: value}}, ...]}

The parsers are the published ones, on vLLM's own CPU platform: neither a card nor a compiled kernel is needed to parse.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import importlib.util
import io
import json
import multiprocessing
import sys
from typing import Any

# Whatever every release imports is imported once, before there is a process for each of them.
SHARED = ("torch", "torch._inductor.standalone_compile", "torch.distributed", "transformers", "openai", "fastapi")
AT_ONCE = 2


def parse_all(version: str, folder: str, lines: list[list[str]]) -> list[dict[str, Any]]:
    """Return what one release makes of each command line."""
    sys.path.insert(0, folder)
    import vllm.platforms
    from vllm.platforms.cpu import CpuPlatform

    vllm.platforms.current_platform = CpuPlatform()
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.entrypoints.cli.serve import ServeSubcommand

    if not vllm.__file__.startswith(folder):
        raise RuntimeError(f"this is not the vLLM of {folder}: {vllm.__file__}")
    home = "vllm.utils.argparse_utils" if importlib.util.find_spec("vllm.utils.argparse_utils") else "vllm.utils"
    parser = importlib.import_module(home).FlexibleArgumentParser()
    command = ServeSubcommand()
    command.subparser_init(parser.add_subparsers(required=True, dest="subparser"))
    names = [field.name for field in dataclasses.fields(AsyncEngineArgs)]
    return [_parse(parser, command, AsyncEngineArgs, names, line) for line in lines]


def _parse(parser: Any, command: Any, engine: Any, names: list[str], line: list[str]) -> dict[str, Any]:
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            found = parser.parse_args(["serve", *line])
            command.validate(found)
            settings = engine.from_cli_args(found)
    except SystemExit as stop:
        return {"exit": stop.code, "said": said.getvalue()[-500:], "fields": {}}
    except (TypeError, ValueError) as error:
        return {"exit": 1, "said": str(error)[-500:], "fields": {}}
    fields = {name: getattr(settings, name) for name in names}
    fields |= {
        name: getattr(found, name, None) for name in ("model_tag", "port", "host", "uds", "headless", "lora_modules")
    }
    return {"exit": 0, "said": "", "fields": json.loads(json.dumps(fields, default=_plain))}


def _plain(value: Any) -> Any:
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else str(value)


def main() -> None:
    """Answer what stands on stdin."""
    asked = json.load(sys.stdin)
    with contextlib.redirect_stdout(sys.stderr):
        for name in SHARED:
            importlib.import_module(name)
        # Forked, so that each release is imported into a process that has only what they share.
        with multiprocessing.get_context("fork").Pool(AT_ONCE, maxtasksperchild=1) as pool:
            jobs = [(version, folder, lines) for version, (folder, lines) in asked.items()]
            answers = pool.starmap(parse_all, jobs, chunksize=1)
    json.dump(dict(zip(asked, answers, strict=True)), sys.stdout)


if __name__ == "__main__":
    main()
