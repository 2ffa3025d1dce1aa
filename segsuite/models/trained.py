"""`load`: a trained model, from wherever it is."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from segsuite.checkpoint import read_weights
from segsuite.config import CfgNode, load_config
from segsuite.data import register_from_config
from segsuite.errors import MissingFileError, WeightsError
from segsuite.modeling import build_model
from segsuite.runs import Run, exported_config
from segsuite.runs.plugins import naming_missing_plugins
from segsuite.runs.weights import load_trained_weights
from segsuite.runtime import is_exported

from .create import plain

_WEIGHTS = (".pth", ".pt", ".safetensors", ".pkl", ".npz")


def load(
    source: str | os.PathLike[str] | Run,
    weights: str | os.PathLike[str] | None = None,
    overrides: Mapping[str, Any] | Iterable[Any] = (),
) -> nn.Module:
    """A trained model, on the CPU, in evaluation mode::

        net = segsuite.load("output/demo")
        logits = net(net.normalize(images))  # (N, C, H, W) uint8 -> (N, K, H, W) float

    For pictures rather than tensors there is `Predictor`, which resizes and reads them as the run's
    evaluation does.

    Args:
        source: what says what the model is: a run or its folder, a checkpoint of segsuite's (its
            configuration is inside), a YAML file, the name of a recipe, or an exported file.
        weights: a file or address instead of those that `source` has: model_final.pth or else
            model_best.pth of a run, MODEL.WEIGHTS of a YAML file or recipe.
        overrides: ``{KEY: VALUE}``, or KEY, VALUE, KEY, ... in a row.

    Returns:
        What `create_model` returns for the same architecture: for semantic models a
        `SemSegNetwork`, which takes normalised images and whose `normalize` makes them, channels in
        the order of INPUT.FORMAT; for others, and exported files, the model that takes records.

    Raises:
        MissingFileError: `source` or its weights do not exist.
        MissingPackageError: a plug-in of the run is missing.
        WeightsError: the weights are not all of the model's, or damaged.
    """
    pairs = override_list(overrides)
    cfg = config_of(source, ["MODEL.DEVICE", "cpu", *pairs])
    if weights is not None:
        cfg.MODEL.WEIGHTS = os.fspath(weights)
    with naming_missing_plugins(cfg.OUTPUT_DIR):
        register_from_config(cfg)
        model = build_model(cfg)
    load_trained_weights(model, cfg)
    return plain(model).eval()


def override_list(overrides: Mapping[str, Any] | Iterable[Any] | None) -> list[Any]:
    """Overrides as `load_config` takes them: KEY, VALUE, KEY, VALUE, ..., paths as text."""
    if isinstance(overrides, Mapping):
        overrides = [word for pair in overrides.items() for word in pair]
    return [os.fspath(w) if isinstance(w, os.PathLike) else w for w in overrides or ()]


def config_of(
    source: str | os.PathLike[str] | Run | CfgNode, overrides: Iterable[Any] = ()
) -> CfgNode:
    """The configuration of a trained model, with KEY, VALUE, KEY, ... set: of a run, its folder, a
    checkpoint, a YAML file, a recipe or an exported file; or a copy of the one that is given."""
    overrides = list(overrides)
    if isinstance(source, CfgNode):
        cfg = source.clone()
        cfg.defrost()
        cfg.merge_from_list(overrides)
        return cfg
    if isinstance(source, Run):
        return source.load_config(overrides)
    if is_exported(source):
        return exported_config(source, overrides)
    path = Path(source)
    if path.is_dir():
        return Run(path).load_config(overrides)
    if path.suffix in _WEIGHTS:
        return _config_inside(path, overrides)
    return load_config(source, overrides)


def _config_inside(path: Path, overrides: list[Any]) -> CfgNode:
    """The configuration that a checkpoint was written with, and itself as the weights."""
    if not path.is_file():
        raise MissingFileError(f"there is no checkpoint '{path}'")
    text = read_weights(path, origin="load").get("config")
    if not isinstance(text, str):
        raise WeightsError(
            f"'{path}' does not say what model it is of; name that first, as a YAML file, recipe "
            f"or run: segsuite.load('my.yaml', weights='{path}')"
        )
    inside = yaml.safe_load(text)
    cfg = load_config(None, (), inside.get("PLUGINS") or ())
    cfg.merge_from_other_cfg(inside)
    cfg.merge_from_list(["MODEL.WEIGHTS", os.fspath(path), *overrides])
    return cfg
