"""`load_weights`: initialise a model from a file, and say what fitted and what did not."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from segsuite.errors import WeightsError

from .addresses import read_weights
from .convert import Classes, Conversion, coco_names, convert
from .input_channels import adapt_input_channels
from .transfer import ClassTransfer

logger = logging.getLogger(__name__)

# What DistributedDataParallel and torch.compile put before every name.
_WRAPPER_PREFIXES = ("module.", "_orig_mod.")
_MAX_ROWS = 30


@dataclass
class LoadReport:
    """Names of tensors, as `load_weights` found them.

    Attributes:
        loaded: taken from the file as they are.
        missing: the model's, but not in the file.
        unexpected: in the file, but not the model's, or not used.
        carried: of another class list, every row taken from the file by its class's name.
        reinitialized: of another class list, with rows left at their initial values.
        source: the library the file came from, if its names were converted; else "".
    """

    loaded: list[str]
    missing: list[str]
    unexpected: list[str]
    carried: list[str] = field(default_factory=list)
    reinitialized: list[str] = field(default_factory=list)
    source: str = ""


def load_weights(
    model: nn.Module,
    path: str | os.PathLike[str],
    *,
    origin: str = "MODEL.WEIGHTS",
    strict: bool = False,
    classes: Classes | None = None,
    state: dict[str, Any] | None = None,
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

    Raises:
        MissingFileError, MissingPackageError, FileAccessError: as `read_weights`.
        WeightsError: as `read_weights`; shapes differ, no name fits, or with `strict` not all do.
    """
    if state is None:
        state = read_weights(path, origin=origin)
    weights = file_weights(state)
    own = model.state_dict()
    tensors = {name: value for name, value in weights.items() if torch.is_tensor(value)}
    conversion = Conversion("", tensors, {name: name for name in tensors}, [], {})
    if not strict:
        conversion = convert(tensors, own)
    tensors = conversion.weights
    if not strict:
        tensors = adapt_input_channels(tensors, own, origin)
    lists = ({}, {}) if strict else (_classes_of(state, conversion), classes or {})
    transfer = ClassTransfer(model, tensors, *lists)
    resized, misfits = {}, []
    for name in (n for n in own if n in tensors):
        shape, own_shape = tensors[name].shape, own[name].shape
        if shape == own_shape and not transfer.is_reordered(name):
            continue
        if not strict and transfer.fits(name, shape, own_shape):
            resized[name] = transfer.carry(name, tensors[name].to(own[name]), own[name])
        else:
            misfits.append((name, str(tuple(shape)), str(tuple(own_shape))))
    if misfits:
        raise WeightsError(
            f"{origin}: '{path}' does not fit the model. Shapes that differ: {len(misfits)}\n"
            + _table([("name", "file", "model"), *misfits])
            + "\nMake the config's architecture and class count those of the file, or choose "
            "another file"
        )
    if not tensors.keys() & own.keys():
        raise WeightsError(
            f"{origin}: no name in '{path}' is one of the model's. The file has "
            f"{_examples(weights)}; the model has {_examples(own)}"
        )
    rows = [
        (name, str(theirs), str(ours), str(taken))
        for name, (_, taken, (theirs, ours)) in resized.items()
    ]
    carried = [name for name, (_, taken, counts) in resized.items() if taken == counts[1]]
    result = model.load_state_dict(
        tensors | {name: tensor for name, (tensor, *_) in resized.items()}, strict=False
    )
    report = LoadReport(
        loaded=[name for name in own if name in tensors and name not in resized],
        missing=sorted(result.missing_keys),
        unexpected=sorted(
            [conversion.origins.get(name, name) for name in result.unexpected_keys]
            + [name for name, _ in conversion.unused]
            + [name for name, value in weights.items() if not torch.is_tensor(value)]
        ),
        carried=carried,
        reinitialized=[name for name in resized if name not in carried],
        source=conversion.source,
    )
    _tell(report, weights, own, rows, f"'{path}'", origin, strict)
    return report


def _tell(
    report: LoadReport,
    weights: Collection[str],
    own: Collection[str],
    rows: Collection[tuple[str, ...]],
    file: str,
    origin: str,
    strict: bool,
) -> None:
    """Log what was loaded from `file` and what was not; with `strict` the latter is an error.

    Args:
        weights, own: names in the file and in the model.
        rows: of the table about other classes.
    """
    missing = _table(group_names(report.missing, own))
    unexpected = _table(group_names(report.unexpected, weights))
    if strict and (missing or unexpected):
        raise WeightsError(
            f"{origin}: {file} does not fit the model. Missing from the file:\n"
            f"{missing or '  nothing'}\nNot in the model:\n{unexpected or '  nothing'}"
        )
    kind = f" ({report.source}, converted)" if report.source else ""
    logger.info("%d of %d tensors loaded from %s%s", len(report.loaded), len(own), file, kind)
    if rows:
        logger.warning(
            "Of other classes in %s; rows were taken over by class name, the others are left at "
            "their initial values:\n%s",
            file,
            _table([("name", "file", "model", "taken over"), *rows]),
        )
    if missing:
        logger.warning("Not in %s, left at their initial values:\n%s", file, missing)
    if unexpected:
        logger.warning("In %s but not in the model, not used:\n%s", file, unexpected)


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


def conversion_report(conversion: Conversion) -> str:
    """What became of the names of a file: which library's they are, and which are not used, why."""
    if not conversion.source:
        return f"{len(conversion.weights)} names, of no library that is known: left as they are"
    lines = [f"{conversion.source}: {len(conversion.origins)} names converted"]
    for why in dict.fromkeys(why for _, why in conversion.unused):
        names = [name for name, reason in conversion.unused if reason == why]
        rows = group_names(names, [*conversion.origins.values(), *names])
        lines.append(f"not used, {why}:\n{_table(rows)}")
    for group, classes in conversion.classes.items():
        lines.append(f"{len(classes)} classes of {group}: {', '.join(classes[:4])}, ...")
    return "\n".join(lines)


def group_names(names: Iterable[str], among: Iterable[str]) -> list[tuple[str, str]]:
    """Rows (name or pattern, count) for `names`, which are some of `among`.

    A branch ``a.b.*`` of the module tree is one row if all of it is in `names`.
    """
    names = set(names)
    incomplete = {prefix for name in set(among) - names for prefix in _prefixes(name)}

    def branch(name: str) -> str:
        return next((p for p in _prefixes(name) if p not in incomplete), name)

    members = sorted(names)
    counts = Counter(map(branch, members))
    rows = {
        name if counts[branch(name)] == 1 else f"{branch(name)}.*": str(counts[branch(name)])
        for name in members
    }
    return list(rows.items())


def _prefixes(name: str) -> list[str]:
    """The modules above `name`, outermost first: "a.b.c" -> ["a", "a.b"]."""
    parts = name.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts))]


def _table(rows: Collection[tuple[str, ...]]) -> str:
    """`rows` in aligned columns, cut at _MAX_ROWS; "" for none."""
    shown = list(rows)[:_MAX_ROWS]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    lines = []
    for row in shown:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  " + "  ".join(cells).rstrip())
    if len(rows) > len(shown):
        lines.append(f"  ... and {len(rows) - len(shown)} more")
    return "\n".join(lines)


def _examples(names: Collection[str]) -> str:
    first = ", ".join(f"'{name}'" for name in list(names)[:3])
    return f"{first}, ... ({len(names)} names)"


def _unwrap(state: dict[str, Any]) -> dict[str, Any]:
    for key in ("model", "state_dict"):
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
