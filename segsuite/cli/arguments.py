"""What the subcommands take alike: a configuration or a run, plug-ins, ``KEY VALUE`` overrides."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from segsuite.errors import ConfigError
from segsuite.utils.arguments import add_plugin

if TYPE_CHECKING:
    from segsuite.config import CfgNode

_KEY = re.compile(r"[A-Z][A-Z0-9_]*(\.[A-Z0-9_]+)+")
_FILE_SUFFIX = re.compile(r"\.(JPE?G|PNG|TIFF?|BMP|PPM|PGM|WEBP|MP4|AVI|MOV|MKV)$")


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Descriptions and examples as they are written, options in two columns."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)


def add_config_source(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add ``--config-file`` and ``--run-dir``, one of which says what the model is."""
    group = parser.add_mutually_exclusive_group(required=required)
    group.add_argument(
        "--config-file", metavar="FILE", help="YAML file, or the name of a recipe: segsuite recipes"
    )
    group.add_argument("--run-dir", metavar="RUN", help="OUTPUT_DIR of a training")


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add ``MODEL``, a run's folder or an exported file, besides what `add_config_source` adds."""
    parser.add_argument(
        "model",
        nargs="?",
        metavar="MODEL",
        help="the OUTPUT_DIR of a training, or an exported file: model.onnx, an OpenVINO model's "
        ".xml or folder, a .pt2",
    )
    add_config_source(parser, required=False)


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Add ``--plugin`` and the ``KEY VALUE`` pairs at the end of the line, which `parse` reads."""
    add_plugin(parser)
    parser.add_argument_group(
        "KEY VALUE ...",
        "configuration overrides at the end of the line, such as\n"
        "SOLVER.MAX_ITER 1000 DATASETS.TEST my_val,my_test",
    )
    parser.set_defaults(opts=[])


def parse(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace:
    """Parse a command line that may end in ``KEY VALUE`` pairs.

    The pairs begin at the first word that looks like a key of the configuration, so an option
    before them may take any number of values.

    Raises:
        SystemExit: an option is unknown or lacks its value; the parser has printed which.
    """
    if parser.get_default("opts") is None:
        return parser.parse_args(words)
    start = next((i for i, word in enumerate(words) if _is_key(word)), len(words))
    # Detectron2's demo.py announces the pairs by --opts.
    end = start - 1 if start and words[start - 1] == "--opts" else start
    with _hint_in_errors(parser, words[:end]):
        args = parser.parse_args(words[:end])
    args.opts = list(words[start:])
    return args


def _is_key(word: str) -> bool:
    if os.path.exists(word):
        return False
    from segsuite.config.defaults import _C

    return word in _C or bool(_KEY.fullmatch(word) and not _FILE_SUFFIX.search(word))


@contextmanager
def _hint_in_errors(parser: argparse.ArgumentParser, words: Sequence[str]) -> Iterator[None]:
    """Add to the parser's errors what was probably meant."""
    error = parser.error

    def error_with_hint(message: str) -> NoReturn:
        hint = _hint(words) or f"`{parser.prog} --help` has examples"
        error(f"{message}\n{hint}")

    parser.error = error_with_hint  # type: ignore[method-assign]
    try:
        yield
    finally:
        parser.error = error  # type: ignore[method-assign]


def _hint(words: Sequence[str]) -> str:
    """What the first word that is no option, nor the value of one, was probably meant to be."""
    from segsuite.config.defaults import _C
    from segsuite.config.recipes import recipe_file

    for before, word in zip(["", *words], words, strict=False):
        key, sign, value = word.partition("=")
        if sign and _is_key(key):
            return f"overrides are written with a space: {key} {value}"
        if before.startswith("-") or word.startswith("-"):
            continue
        keys = [key for key in _names_of_keys(_C) if f".{key}".endswith(f".{word.upper()}")]
        if keys:
            return f"did you mean the key {' or '.join(keys[:3])}?"
        if recipe_file(word) or (os.path.isfile(word) and word.endswith((".yaml", ".yml"))):
            return f"did you mean --config-file {word}?"
        if os.path.isdir(word) and _is_run(word):
            return f"did you mean --run-dir {word}?"
    return ""


def _is_run(folder: str) -> bool:
    from segsuite.runs import RunFiles

    return RunFiles(folder).config.is_file()


def _names_of_keys(node: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in node.items():
        yield f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _names_of_keys(value, f"{prefix}{name}.")


def load_from_arguments(args: argparse.Namespace) -> CfgNode:
    """The configuration that ``MODEL``, ``--config-file`` or ``--run-dir``, plug-ins and overrides
    give. Of an exported file the last two say what data sets there are.

    A file that is named is the user's program: the modules in its ``PLUGINS`` are imported. A run's
    folder is data, which may be somebody else's: its modules have to be named by ``--plugin``, also
    to go on with the run.

    Raises:
        ConfigError: none is given, or several.
    """
    from segsuite.runtime import is_exported

    model = getattr(args, "model", None)
    others = [name for name in (args.run_dir, args.config_file) if name is not None]
    if hasattr(args, "model") and model is None and not others:
        raise ConfigError(
            "no model is named: give a run's OUTPUT_DIR or an exported file, or --config-file FILE"
        )
    if model is not None and is_exported(model):
        from segsuite.runs import exported_config

        data = _load(args.run_dir, args.config_file, args.plugin) if others else None
        return exported_config(model, args.opts, args.plugin, data=data)
    if model is not None and others:
        raise ConfigError(
            f"'{model}' and '{others[0]}' are two models; name one (beside an exported file the "
            "second says what data sets there are)"
        )
    return _load(args.run_dir or model, args.config_file, args.plugin, args.opts)


def _load(
    run_dir: str | None,
    config_file: str | None,
    plugins: Sequence[str],
    opts: Sequence[str] = (),
) -> CfgNode:
    if run_dir is not None:
        from segsuite.runs import Run

        return Run(run_dir).load_config(opts, plugins)
    from segsuite.config import load_config
    from segsuite.runs.plugins import naming_missing_plugins

    # The file may be the config.yaml of a run.
    with naming_missing_plugins(os.path.dirname(config_file or "")):
        return load_config(config_file, opts, plugins)
