# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What transformers' classes make of each key that the planner reads: the value where a file leaves it out, parameters where it is another.

    python -m ansible_collections.gpuserve.fleet.tests.support.class_defaults [ID...]

writes them into tests/data/class_defaults.json for the configurations of class_parameters.json, one of each class over each encoder; unit
tests hold the planner to both. It takes a quarter of an hour with the environment of the flags' test (torch and transformers), seconds for
a few ids, and runs only when somebody asks. With --table in place of ids it writes the planner's own table, _core/models/defaults.py: what
the signature of each class says, where the file of a configuration says nothing; with --off only what the planner's count is off.
"""

from __future__ import annotations

import ast
import copy
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "data" / "class_defaults.json"
CONFIGURATIONS = DATA.with_name("class_parameters.json")
CORE = Path(__file__).parents[2] / "plugins" / "module_utils" / "_core" / "models"
TABLE = CORE / "defaults.py"
# Read by the planner, but not of what a file leaves out: marks of words, routing, and what only says where an encoder is looked into.
NOT_TABLED = (
    "pad_token_id",
    "topk_group",
    "window",
    "vision_feature_layer",
    "hidden_act",
    "bits",
    "size",
    "layers",
    "version",
)
# Names of classes and dtypes are told elsewhere, and no number of the class's depends on them.
NOT_ASKED = (
    "architectures",
    "model_type",
    "dtype",
    "torch_dtype",
    "quantization_config",
    "rope_parameters",
    "rope_scaling",
)

# What a class has whatever a file says: HunYuanMoEV1Moe one MLP beside its experts.
ALWAYS = {"hunyuan_v1_moe": {"num_shared_expert": 1}}


def read_keys() -> list[str]:
    """Return every word that the planner may look up in a config.json."""
    found: set[str] = set()
    for path in sorted(CORE.glob("*.py")):
        if path == TABLE:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= {node.value, *node.value.split(".")}
    return sorted(word for word in found - {*NOT_ASKED, *NOT_TABLED} if word.isidentifier())


def sort_of(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a configuration is one of: its class, and the types of its sections."""
    config = entry["config"]
    types = [str(value.get("model_type")) for value in config.values() if isinstance(value, dict)]
    return (str(config["architectures"][0]), str(config["model_type"]), *types)


def places(config: Mapping[str, Any], written: Mapping[str, Any], keys: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the keys of the file and of its sections ("" is the top) that the planner may read and the class knows."""
    known = set(keys)
    for name in ("", *(key for key, value in config.items() if isinstance(value, dict) and "model_type" in value)):
        said = config[name] if name else config
        has = written.get(name) if name else written
        both = {**(has if isinstance(has, dict) else {}), **said}
        yield from ((name, key) for key, value in both.items() if key in known and not isinstance(value, dict))


def with_value(config: Mapping[str, Any], section: str, key: str, *value: Any) -> dict[str, Any]:
    """Return the configuration with another value of one key, or without it."""
    changed: dict[str, Any] = copy.deepcopy(dict(config))
    inner = changed[section] if section else changed
    inner.pop(key, None)
    if value:
        inner[key] = value[0]
    return changed


def other(value: Any) -> Any:
    """Return a value that is as likely and not the same; None where there is none."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return None if value < 0 else 2 * value or 2
    if isinstance(value, float):
        return 2 * value
    if isinstance(value, list) and len(value) > 1:
        return [value[-1], *value[1:]] if value[0] != value[-1] else value[:-1]
    return None


def is_plain(value: Any) -> bool:
    """Whether a value can stand in a config.json as it is."""
    if isinstance(value, list):
        return all(is_plain(one) for one in value)
    return value is None or isinstance(value, (bool, int, float, str))


def off(config: Mapping[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with what the planner's count is over the class's for each changed key; None where the planner refuses it."""
    from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
    from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape

    changed = {}
    for name, (value, parameters, *_old) in row["changed"].items():
        section, _dot, key = name.rpartition(".")
        try:
            over = ModelShape.from_config(with_value(config, section, key, value)).parameters() - parameters
        except FleetError:
            over = None
        changed[name] = [value, parameters, over]
    return {**row, "changed": changed}


def is_words(value: Any) -> bool:
    """Whether a value is a word for each layer."""
    return isinstance(value, (list, tuple)) and any(isinstance(one, str) for one in value)


class Asked:
    """transformers' classes, asked about one configuration."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config
        self.counts: dict[str, int | None] = {}

    def written(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the whole configuration as the class has it."""
        import transformers  # type: ignore[import-not-found,unused-ignore]

        plain = {key: value for key, value in copy.deepcopy(dict(config)).items() if key != "model_type"}
        return transformers.AutoConfig.for_model(config["model_type"], **plain).to_dict()  # type: ignore[no-any-return,unused-ignore]

    def value(self, config: Mapping[str, Any], section: str, key: str) -> Any:
        """Return what the class has under a key, by whatever name it keeps it."""
        import transformers  # type: ignore[import-not-found,unused-ignore]

        plain = {name: value for name, value in copy.deepcopy(dict(config)).items() if name != "model_type"}
        found = transformers.AutoConfig.for_model(config["model_type"], **plain)
        return getattr(getattr(found, section) if section else found, key)

    def parameters(self, config: Mapping[str, Any]) -> int:
        """Return how many parameters the class has."""
        import torch  # type: ignore[import-not-found,unused-ignore]
        import transformers  # type: ignore[import-not-found,unused-ignore]

        plain = {key: value for key, value in copy.deepcopy(dict(config)).items() if key != "model_type"}
        shape = transformers.AutoConfig.for_model(config["model_type"], **plain)
        with torch.device("meta"):
            model = getattr(transformers, config["architectures"][0])(shape)
        return sum(tensor.numel() for tensor in {id(one): one for one in model.parameters()}.values())

    def answer(self, keys: list[str]) -> dict[str, Any]:
        """Return for each key what the class takes where it is left out, and what it counts where it is another."""
        left_out, changed = {}, {}
        for section, key in places(self.config, self.written(self.config), keys):
            name = f"{section}.{key}" if section else key
            try:
                value = self.value(with_value(self.config, section, key), section, key)
            except Exception:
                continue  # the class can't do without it
            if is_plain(value):
                left_out[name] = value
            now = (self.config[section] if section else self.config).get(key, value)
            if (another := other(now)) is not None:
                try:
                    changed[name] = [another, self.parameters(with_value(self.config, section, key, another))]
                except Exception:
                    continue  # nor is it a model with that value
        return {"left_out": left_out, "changed": changed}


def signatures(
    keys: list[str], types: list[str], classes: list[str], families: list[str], own: dict[str, str]
) -> dict[str, Any]:
    """Return the defaults that the signature of each type's class has, and of which type the sections of a family are."""
    import transformers  # type: ignore[import-not-found,unused-ignore]
    from transformers.models.auto import modeling_auto  # type: ignore[import-not-found,unused-ignore]
    from transformers.models.auto.configuration_auto import (  # type: ignore[import-not-found,unused-ignore]
        CONFIG_MAPPING,
        AutoConfig,
    )

    wanted, sections, rows = set(types), {}, {}
    for mapping in (modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, modeling_auto.MODEL_MAPPING_NAMES):
        wanted |= {of for of, name in mapping.items() if {name} & set(classes)}
    for family in families:
        if family not in CONFIG_MAPPING:
            continue
        whole = CONFIG_MAPPING[family]
        found = {
            key: one["model_type"]
            for key, one in whole().to_dict().items()
            if isinstance(one, dict) and one.get("model_type")
        }
        auto = [key for key, of in whole.sub_configs.items() if of is AutoConfig]
        wanted |= set(found.values())
        # A class that asks the section for its type takes the default only where that says none.
        sections[family] = {key: f"{of}?" if key in auto else of for key, of in sorted(found.items())}
        # And some hand defaults of their own to their language part.
        if inner := getattr(whole, "_default_text_config_kwargs", None):
            rows[f"{family}.text_config"] = {key: value for key, value in inner.items() if key in keys}
    known: dict[str, Any] = {}
    left = list(transformers.PreTrainedConfig.__subclasses__())
    while left:
        one = left.pop()
        known.setdefault(one.model_type, one)
        left += one.__subclasses__()
    known.update({of: CONFIG_MAPPING[of] for of in wanted if of in CONFIG_MAPPING})
    # Where vLLM takes another class for a type: one of transformers', or one of its own, which is not here.
    for of, name in own.items():
        known.pop(of, None)
        if name and hasattr(transformers, name):
            known[of] = getattr(transformers, name)
    rows |= {of: {key: value for key, value in taken(known[of]).items() if key in keys} for of in wanted & set(known)}
    return {
        "rows": {of: rows[of] for of in sorted(rows) if rows[of]},
        "sections": {of: row for of, row in sections.items() if row},
    }


def taken(config: Any) -> dict[str, Any]:
    """Return what a configuration's class takes by itself, less what it derives from other keys."""
    import inspect
    from dataclasses import MISSING, fields

    values: dict[str, Any] = {field.name: field.default for field in fields(config) if field.default is not MISSING}
    values |= {field.name: field.default_factory() for field in fields(config) if field.default_factory is not MISSING}
    # Names of older files, which a class reads from what else it is handed.
    older = r'kwargs(?:\.(?:pop|get|setdefault)\("(\w+)", ([\d.]+)\)|\["(\w+)"\] = ([\d.]+))'
    for key, number, named, hard in re.findall(older, inspect.getsource(config)):
        values[key or named] = json.loads(number or hard)
    values |= ALWAYS.get(config.model_type, {})
    # What appears by itself, and is the same for a model of other sizes.
    made = config()
    # (Widths grow more than counts of heads and layers: what is a share of one by the other is not the same.)
    counts = {key: value for key, value in values.items() if type(value) is int and re.search("hidden|num_|n_", key)}
    sizes = {key: value * (12 if "hidden_size" in key else 2) for key, value in counts.items()}
    try:
        other_one = config(**sizes)
    except Exception:
        other_one = None
    for key in [key for key, value in values.items() if value is None and other_one is not None]:
        try:
            now = getattr(made, key)
            values[key] = now if now == getattr(other_one, key) and not is_words(now) else None
        except Exception:
            continue  # of another size in each layer
    values.update(by_layer(config, values))
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
    return {key: value for key, value in plain.items() if is_plain(value) and value not in (None, "auto")}


def by_layer(config: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return by which pattern a class makes its layers sliding, and how many of the first have no experts, where no key says so."""
    found: dict[str, Any] = {}
    try:
        made = config(num_hidden_layers=24)
    except Exception:
        return found
    kinds, mlps = getattr(made, "layer_types", None), getattr(made, "mlp_layer_types", None)
    letters = {"sliding_attention": "L", "full_attention": "G"}
    if (
        values.get("layer_types") is None
        and kinds
        and set(kinds) == set(letters)
        and not values.get("sliding_window_pattern")
    ):
        word = "".join(letters[kind] for kind in kinds)
        found["sliding_window_pattern"] = next(
            (word[:n] for n in range(2, 9) if (word[:n] * 24)[:23] == word[:23]), None
        )
    if (
        values.get("mlp_layer_types") is None
        and mlps
        and not any(values.get(key) for key in ("first_k_dense_replace", "num_dense_layers"))
    ):
        dense = mlps.index("sparse") if "sparse" in mlps else 0
        if mlps == ["dense"] * dense + ["sparse"] * (24 - dense):
            found["first_k_dense_replace"] = dense
    return found


def wrapped(name: str, pairs: Mapping[str, str]) -> str:
    """Return a row of the table: a name and its pairs, what is too long goes on in lines that begin with a blank."""
    lines = [name]
    for key, value in pairs.items():
        pair = f"{key}={value}"
        if len(lines[-1]) + len(pair) > 138:
            lines.append("")
        lines[-1] += f" {pair}"
    return "\n".join(lines)


def write_table(python: Path, environment: Mapping[str, str]) -> None:
    """Write the planner's table anew."""
    from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import architectures, encoders, sections

    of = [one for entry in json.loads(CONFIGURATIONS.read_text()) for one in sort_of(entry)[1:]]
    # What vLLM brings a class of its own for is not as transformers has it.
    own = json.loads((DATA.parent / "class_names.json").read_text())["own_types"]
    asked = {
        "keys": read_keys(),
        "types": sorted({*of, *sections.LANGUAGE, *encoders.COUNTED}),
        "classes": sorted(architectures.ARCHITECTURES),
        "families": sorted(encoders.COUNTED - set(own)),
        "own": own,
    }
    done = subprocess.run(
        [python, __file__, "--signatures"],
        check=True,
        env=environment,
        input=json.dumps(asked),
        stdout=subprocess.PIPE,
        text=True,
    )
    found = json.loads(
        next(line for line in done.stdout.splitlines() if line.startswith("ANSWER ")).removeprefix("ANSWER ")
    )
    rows = [
        wrapped(name, {key: json.dumps(value, separators=(",", ":")) for key, value in row.items()})
        for name, row in found["rows"].items()
    ]
    families = [wrapped(name, row) for name, row in found["sections"].items()]
    head, _mark, _old = TABLE.read_text().partition("# Made by tests/support/class_defaults.py --table.\n")
    TABLE.write_text(
        f'{head}{_mark}ROWS = """\n' + "\n".join(rows) + '\n"""\nSECTIONS = """\n' + "\n".join(families) + '\n"""\n'
    )


def main() -> None:
    """Renew the file, or the rows of the ids that are named, or the planner's table."""
    if "--signatures" in sys.argv:
        print("ANSWER " + json.dumps(signatures(**json.loads(sys.stdin.read()))))
        return
    if "--inside" in sys.argv:
        asked = json.loads(sys.stdin.read())
        for entry in asked["entries"]:
            answer = Asked(entry["config"]).answer(asked["keys"])
            print("ANSWER " + json.dumps({"id": entry["id"], **answer}), flush=True)
        return
    from ansible_collections.gpuserve.fleet.tests.support.parsers import sources

    entries = {sort_of(entry): entry for entry in reversed(json.loads(CONFIGURATIONS.read_text()))}
    chosen = [entry for entry in entries.values() if entry["id"] in sys.argv[1:] or not sys.argv[1:]]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "OMP_NUM_THREADS": "1"}
    if "--off" in sys.argv:
        write({row["id"]: row for row in json.loads(DATA.read_text())})
        return
    if "--table" in sys.argv:
        write_table(sources.ensure_python(), environment)
        return
    done = subprocess.run(
        [sources.ensure_python(), __file__, "--inside"],
        check=True,
        env=environment,
        input=json.dumps({"keys": read_keys(), "entries": chosen}),
        stdout=subprocess.PIPE,
        text=True,
    )
    kept = {row["id"]: row for row in json.loads(DATA.read_text())} if DATA.exists() and sys.argv[1:] else {}
    for line in done.stdout.splitlines():
        if line.startswith("ANSWER "):
            row = json.loads(line.removeprefix("ANSWER "))
            kept[row["id"]] = row
    write(kept)


def write(rows: Mapping[str, dict[str, Any]]) -> None:
    """Write the file, a line a configuration."""
    configs = {entry["id"]: entry["config"] for entry in json.loads(CONFIGURATIONS.read_text())}
    lines = [json.dumps(off(configs[name], rows[name]), separators=(", ", ": ")) for name in sorted(rows)]
    DATA.write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main()
