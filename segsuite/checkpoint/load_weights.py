"""`load_weights`: initialise a model from a file, and say what fitted and what did not."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import yaml
from torch import nn

from segsuite.errors import WeightsError

from .addresses import read_weights
from .convert import Classes, Conversion, coco_names, convert
from .convert.formats import NOT_A_WEIGHT, Settings
from .coverage import check_extras, check_share
from .facts import address_facts
from .hidden import hidden_differences, hidden_settings
from .input_channels import adapt_input_channels
from .report import LoadReport, Rows
from .tables import examples, table
from .transfer import ClassTransfer

# What DistributedDataParallel and torch.compile put before every name.
_WRAPPER_PREFIXES = ("module.", "_orig_mod.")
# Where files have the weights among other things.
_CONTAINERS = ("model", "state_dict", "model_state_dict", "model_state")


def load_weights(
    model: nn.Module,
    path: str | os.PathLike[str],
    *,
    origin: str = "MODEL.WEIGHTS",
    strict: bool = False,
    classes: Classes | None = None,
    state: dict[str, Any] | None = None,
    parts: Collection[str] = (),
    settings: Mapping[str, Any] | None = None,
) -> LoadReport:
    """Load what `path`, a file or an address (see `read_weights`), has for `model`; log the rest.

    The weights are the file's dict itself or its entry "model" or "state_dict"; prefixes that
    wrappers put before every name are taken off. Files of other libraries are converted. Tensors
    that have another number of rows than the model's score other classes: the rows of classes that
    both know are carried over by name, the others keep their initial values. A first convolution of
    colours is made one of as many channels as the model's, see `adapt_input_channels`.

    Args:
        origin: the config key or option that named the file, for the messages.
        strict: whether names on one side only, and class lists that differ, are an error.
        classes: the model's class names behind each group of heads, see `class_names`.
        state: what `path` holds, where that has been read already.
        parts: the parts of the model to load, such as ("backbone",), which declares that the rest
            of the file is not wanted; empty: all that there are.
        settings: keys of the configuration that the model does not know itself, to be compared with
            what the file's library has: ``{"INPUT.FORMAT": "RGB"}``.

    Raises:
        MissingFileError, MissingPackageError, FileAccessError: as `read_weights`.
        WeightsError: as `read_weights`; the file's network is not built here, or is another one
            than the model; shapes differ; most of the model would be left at its initial values,
            and not all of its backbone is loaded either; or with `strict` not all names fit.
    """
    if state is None:
        state = read_weights(path, origin=origin)
    weights = file_weights(state)
    label = f"{origin}: '{path}'"
    tensors = {name: value for name, value in weights.items() if torch.is_tensor(value)}
    if strict:
        return _load_all(model, weights, tensors, label)
    own = model.state_dict()
    conversion = convert(tensors, own)
    _keep_parts(conversion, parts)
    _check_refusal(conversion, parts, label)
    conversion.weights = tensors = adapt_input_channels(conversion.weights, own, origin)
    if not tensors.keys() & own.keys():
        raise WeightsError(
            f"{origin}: no name in '{path}' is one of the model's. The file has "
            f"{examples(weights)}; the model has {examples(own)}"
        )
    facts = address_facts(path)
    theirs = facts.classes or _classes_of(state, conversion)
    resized = _fit(model, conversion, theirs, classes or {}, label)
    check_extras(
        model, {n: t for n, t in tensors.items() if n not in own}, conversion.origins, label
    )
    check_share(model, own, tensors.keys() & own.keys(), weights, label)
    result = model.load_state_dict(
        tensors | {name: row.tensor for name, row in resized.items()}, strict=False
    )
    report = LoadReport(
        loaded=[name for name in own if name in tensors and name not in resized],
        missing=sorted(result.missing_keys),
        unexpected=sorted(
            [conversion.origins.get(name, name) for name in result.unexpected_keys]
            + [name for name, why in conversion.unused if why != NOT_A_WEIGHT]
            + [name for name, value in weights.items() if not torch.is_tensor(value)]
        ),
        carried=[name for name, row in resized.items() if row.taken == row.ours],
        reinitialized=[name for name, row in resized.items() if row.taken != row.ours],
        source=conversion.source,
    )
    told = {**conversion.settings, **_settings_inside(state), **facts.settings}
    report.differing = _differing(model, told, dict(settings or {}), report)
    rows: Rows = [
        (name, str(row.theirs), str(row.ours), str(row.taken)) for name, row in resized.items()
    ]
    report.tell(weights, own, rows, f"'{path}'")
    return report


def _load_all(
    model: nn.Module, weights: Mapping[str, Any], tensors: dict[str, torch.Tensor], label: str
) -> LoadReport:
    """Load a file that has exactly what the model has."""
    own = model.state_dict()
    misfits: Rows = [
        (name, str(tuple(tensor.shape)), str(tuple(own[name].shape)))
        for name, tensor in tensors.items()
        if name in own and own[name].shape != tensor.shape
    ]
    _check_shapes(misfits, label)
    if not tensors.keys() & own.keys():
        raise WeightsError(
            f"{label}: no name in it is one of the model's. The file has {examples(weights)}; the "
            f"model has {examples(own)}"
        )
    report = LoadReport(
        loaded=[name for name in own if name in tensors],
        missing=sorted(own.keys() - tensors.keys()),
        unexpected=sorted(weights.keys() - own.keys()),
    )
    report.check_complete(weights, own, label)
    model.load_state_dict(tensors)
    report.tell(weights, own, [], label)
    return report


@dataclass
class _Resized:
    """A tensor of other classes: `taken` of `ours` rows are from the `theirs` of the file."""

    tensor: torch.Tensor
    taken: int
    theirs: int
    ours: int


def _fit(
    model: nn.Module, conversion: Conversion, theirs: Classes, ours: Classes, label: str
) -> dict[str, _Resized]:
    """The tensors that score other classes, by name, after a look at all shapes."""
    own, tensors = model.state_dict(), conversion.weights
    transfer = ClassTransfer(model, tensors, theirs, ours)
    resized: dict[str, _Resized] = {}
    misfits: Rows = []
    for name in (n for n in own if n in tensors):
        shape, own_shape = tensors[name].shape, own[name].shape
        if shape == own_shape and not transfer.is_reordered(name):
            continue
        if transfer.fits(name, shape, own_shape):
            tensor, taken, counts = transfer.carry(name, tensors[name].to(own[name]), own[name])
            resized[name] = _Resized(tensor, taken, *counts)
        else:
            misfits.append((name, str(tuple(shape)), str(tuple(own_shape))))
    _check_shapes(misfits, label, _known(conversion))
    return resized


def _check_shapes(misfits: Rows, label: str, advice: str = "") -> None:
    if misfits:
        raise WeightsError(
            f"{label} does not fit the model. Shapes that differ: {len(misfits)}\n"
            + table([("name", "file", "model"), *misfits])
            + "\nMake the config's architecture and class count those of the file, or choose "
            f"another file{advice}"
        )


def _keep_parts(conversion: Conversion, parts: Collection[str]) -> None:
    """Leave out what is not in `parts`."""
    for name in list(conversion.weights) if parts else ():
        if name.partition(".")[0] not in parts:
            del conversion.weights[name]
            conversion.unused.append((conversion.origins.get(name, name), "not asked for"))


def _check_refusal(conversion: Conversion, parts: Collection[str], label: str) -> None:
    if conversion.refused and not parts:
        raise WeightsError(
            f"{label} is of {conversion.source}, which is not built here: {conversion.refused}. "
            "Where the backbone alone will do, say so: MODEL.WEIGHTS_PARTS [backbone]"
        )


def _known(conversion: Conversion) -> str:
    if not conversion.source:
        return ""
    return (
        f". It is of {conversion.source}: `segsuite convert FILE OUTPUT` prints the configuration "
        "that fits it"
    )


def _differing(
    model: nn.Module, theirs: Settings, known: Settings, report: LoadReport
) -> list[tuple[str, str, str]]:
    """See `LoadReport.differing`."""
    heads = {name.partition(".")[0] for name in [*report.loaded, *report.carried]} - {"backbone"}
    is_backbone = hasattr(model, "output_shape")
    ours = {**hidden_settings(model), **known}
    return hidden_differences(theirs, ours, backbone_only=is_backbone or not heads)


def _settings_inside(state: dict[str, Any]) -> Settings:
    """The keys and values of the configuration that a checkpoint of segsuite was written with."""
    try:
        config = yaml.safe_load(state["config"])
    except (KeyError, TypeError, AttributeError, yaml.YAMLError):
        return {}
    settings: Settings = {}

    def collect(node: Any, prefix: str) -> None:
        for key, value in node.items() if isinstance(node, dict) else ():
            collect(value, f"{prefix}{key}.")
            if value is not None and not isinstance(value, dict):
                settings[f"{prefix}{key}"] = value

    collect(config, "")
    # A pyramid's, say, not that of the network below it.
    settings.pop("MODEL.BACKBONE.NAME", None)
    return settings


def _classes_of(state: dict[str, Any], conversion: Conversion) -> Classes:
    """The class names behind the heads of a file, if it says so or is known."""
    if isinstance(state.get("classes"), dict):
        return state["classes"]
    scores = conversion.weights.get("roi_heads.box_predictor.cls_score.bias")
    if "Detectron2" in str(state.get("__author__")) and scores is not None and len(scores) == 81:
        return {"roi_heads": [name for name in coco_names() if name != "N/A"]}
    return conversion.classes


def file_weights(state: dict[str, Any]) -> dict[str, Any]:
    """The names and weights in what a file holds."""
    return _strip_wrapper_prefixes(_unwrap(state))


def _unwrap(state: dict[str, Any]) -> dict[str, Any]:
    for key in _CONTAINERS:
        if isinstance(state.get(key), dict):
            return state[key]
    return state


def _strip_wrapper_prefixes(weights: dict[str, Any]) -> dict[str, Any]:
    names = list(map(str, weights))
    while prefix := next(
        (p for p in _WRAPPER_PREFIXES if names and all(name.startswith(p) for name in names)), None
    ):
        names = [name.removeprefix(prefix) for name in names]
    return dict(zip(names, weights.values(), strict=True))
