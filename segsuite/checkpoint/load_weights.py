"""`load_weights`: initialise a model from a file, and say what fitted and what did not."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .load_state import load_state

logger = logging.getLogger(__name__)

# What DistributedDataParallel and torch.compile put before every name.
_WRAPPER_PREFIXES = ("module.", "_orig_mod.")
_MAX_ROWS = 30


@dataclass
class LoadReport:
    """The names of tensors that `load_weights` loaded, found missing in the file, left unused."""

    loaded: list[str]
    missing: list[str]
    unexpected: list[str]


def load_weights(
    model: nn.Module,
    path: str | os.PathLike[str],
    *,
    origin: str = "MODEL.WEIGHTS",
    strict: bool = False,
) -> LoadReport:
    """Load what `path` (see `load_state`) has for `model`; log the rest as compact tables.

    The weights are the file's dict itself or its entry "model" or "state_dict"; prefixes that
    wrappers put before every name are taken off.

    Args:
        origin: the config key or option that named the file, for the messages.
        strict: whether names on one side only are an error.

    Raises:
        FileNotFoundError, ImportError: as `load_state`.
        ValueError: as `load_state`; or shapes differ, no name fits, or with `strict` not all do.
    """
    weights = _strip_wrapper_prefixes(_unwrap(load_state(path, origin=origin)))
    tensors = {name: value for name, value in weights.items() if torch.is_tensor(value)}
    own = model.state_dict()
    misfits = [
        (name, str(tuple(tensor.shape)), str(tuple(own[name].shape)))
        for name, tensor in tensors.items()
        if name in own and tensor.shape != own[name].shape
    ]
    if misfits:
        raise ValueError(
            f"{origin}: '{path}' does not fit the model. Shapes that differ: {len(misfits)}\n"
            + _table([("name", "file", "model"), *misfits])
            + "\nMake the config's architecture and class count those of the file, or choose "
            "another file"
        )
    if not tensors.keys() & own.keys():
        raise ValueError(
            f"{origin}: no name in '{path}' is one of the model's. The file has "
            f"{_examples(weights)}; the model has {_examples(own)}"
        )
    result = model.load_state_dict(tensors, strict=False)
    report = LoadReport(
        loaded=[name for name in own if name in tensors],
        missing=sorted(result.missing_keys),
        unexpected=sorted(result.unexpected_keys + list(weights.keys() - tensors.keys())),
    )
    missing = _table(group_names(report.missing, own))
    unexpected = _table(group_names(report.unexpected, weights))
    if strict and (missing or unexpected):
        raise ValueError(
            f"{origin}: '{path}' does not fit the model. Missing from the file:\n"
            f"{missing or '  nothing'}\nNot in the model:\n{unexpected or '  nothing'}"
        )
    logger.info("%d of %d tensors loaded from '%s'", len(report.loaded), len(own), path)
    if missing:
        logger.warning("Not in '%s', left at their initial values:\n%s", path, missing)
    if unexpected:
        logger.warning("In '%s' but not in the model, not used:\n%s", path, unexpected)
    return report


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
