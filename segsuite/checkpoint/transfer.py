"""Heads of another class list: rows of classes that both lists have are carried over by name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from segsuite.errors import WeightsError

from .convert import Classes

# Rows per class, and rows besides (the background of `cls_score`): masks and semantic scores, box
# classes, boxes.
_LAYOUTS = ((1, 0), (1, 1), (4, 0))
# Pascal VOC's names for COCO's.
_SYNONYMS = {
    "airplane": "aeroplane",
    "couch": "sofa",
    "motorcycle": "motorbike",
    "tv": "tvmonitor",
}


class ClassTransfer:
    """Which tensors of a model have rows for classes, and what a file has for them.

    The model answers: a module's attribute `class_layers` names those of its submodules whose
    output channels are the classes, and by that says that nothing else inside it is. Inside a
    group of modules that do not say it, a layer has rows for classes where file and model disagree
    in their number. Where they agree in the number, but not in the names, it is the one layer that
    has as many outputs.

    A semantic head of one class, whose module has ``sigmoid_of_one_class``, and one of background
    and that class are turned into each other: the logit of the sigmoid is the difference of the
    two of the softmax, so the probabilities stay what they are.

    Args:
        model: what is loaded into.
        weights: tensors of the file, by the model's names.
        theirs, ours: class names of the file and of the model for each group, which is the first
            part of the names.

    Raises:
        WeightsError: classes have other names in the file, and it is not known which rows are
            theirs; they would be loaded in the file's order.
    """

    def __init__(
        self,
        model: nn.Module,
        weights: Mapping[str, torch.Tensor],
        theirs: Classes,
        ours: Classes,
    ):
        self.theirs, self.ours = theirs, ours
        modules = dict(model.named_modules())
        self._binary = {
            name
            for name, module in modules.items()
            if getattr(module, "sigmoid_of_one_class", False)
        }
        said = {
            name: layers
            for name, module in modules.items()
            if (layers := getattr(module, "class_layers", None)) is not None
        }
        self._said = tuple(f"{name}." if name else "" for name in said)
        # The dimensions of each tensor that are classes.
        self._dims: dict[str, tuple[int, ...]] = {}
        for owner, layers in said.items():
            for layer in layers:
                name = f"{owner}.{layer}" if owner else layer
                self._add(name, modules[name])
        for group in ours:
            if group in theirs and self._differ(group) and len(theirs[group]) == len(ours[group]):
                self._find_layer(group, modules, weights)

    def is_reordered(self, name: str) -> bool:
        """Whether `name` has rows of classes that the file lists in another way."""
        return name in self._dims and self._differ(_group(name))

    def fits(self, name: str, shape: torch.Size, own_shape: torch.Size) -> bool:
        """Whether a file's tensor of `shape` differs from the model's in its classes alone."""
        if name not in self._dims and name.startswith(self._said):
            return False
        dims = self._dims.get(name, (0,))
        rest = [i for i in range(len(shape)) if i not in dims]
        return len(shape) == len(own_shape) and all(shape[i] == own_shape[i] for i in rest)

    def carry(
        self, name: str, source: torch.Tensor, target: torch.Tensor
    ) -> tuple[torch.Tensor, int, tuple[int, int]]:
        """The model's tensor with the rows that the file has for it, see `carry_rows`.

        Returns:
            The tensor, how many rows were taken, and how many there are in file and model.
        """
        dims, group = self._dims.get(name, (0,)), _group(name)
        if self._is_binary(name, source.shape[dims[0]], target.shape[dims[0]]):
            tensor = _binary_rows(source, target.shape[dims[0]], dims)
            return tensor, target.shape[dims[0]], (source.shape[dims[0]], target.shape[dims[0]])
        tensor, taken = carry_rows(
            source, target, self.theirs.get(group), self.ours.get(group), dims
        )
        return tensor, taken, (source.shape[dims[0]], target.shape[dims[0]])

    def _is_binary(self, name: str, source_rows: int, target_rows: int) -> bool:
        """Whether one side scores a class, and the other background and the same class."""
        group = _group(name)
        if {source_rows, target_rows} != {1, 2} or group not in self._binary:
            return False
        theirs, ours = self.theirs.get(group), self.ours.get(group)
        if theirs is None or ours is None:
            return name in self._dims
        other, own = _comparable(ours, theirs)
        return other[-1] == own[-1]

    def _differ(self, group: str) -> bool:
        theirs, ours = self.theirs.get(group), self.ours.get(group)
        if theirs is None or ours is None:
            return False
        own, other = _comparable(ours, theirs)
        return own != other

    def _add(self, name: str, layer: nn.Module) -> None:
        for parameter, _ in layer.named_parameters(recurse=False):
            self._dims[f"{name}.{parameter}"] = (0,)
        if isinstance(layer, nn.ConvTranspose2d):
            # Its second dimension are the outputs; scores that are upsampled are inputs as well.
            same = layer.in_channels == layer.out_channels
            self._dims[f"{name}.weight"] = (0, 1) if same else (1,)

    def _find_layer(
        self, group: str, modules: Mapping[str, nn.Module], weights: Mapping[str, torch.Tensor]
    ) -> None:
        count = len(self.ours[group])
        candidates = [
            name
            for name, module in modules.items()
            if _group(name) == group
            and f"{name}.weight" in weights
            and not name.startswith(self._said)
            and _scores(module) in [per * count + extra for per, extra in _LAYOUTS]
        ]
        if len(candidates) == 1:
            self._add(candidates[0], modules[candidates[0]])
        is_known = any(_group(name) == group for name in self._dims)
        if candidates[1:] or (not is_known and any(_group(name) == group for name in weights)):
            kind = type(modules[group]).__name__
            found = ", ".join(name.removeprefix(f"{group}.") for name in candidates) or "none"
            raise WeightsError(
                f"the classes of the file are {_shortened(self.theirs[group])} and those of the "
                f"model {_shortened(self.ours[group])}, but {group} ({kind}) does not say which "
                f"of its layers have a row for each class, so their rows can't be brought in "
                f"order: give the class an attribute such as class_layers = ('predictor',). "
                f"Layers with as many outputs: {found}"
            )


def carry_rows(
    source: torch.Tensor,
    target: torch.Tensor,
    theirs: Sequence[str] | None,
    ours: Sequence[str] | None,
    dims: Sequence[int] = (0,),
) -> tuple[torch.Tensor, int]:
    """`target` with the rows of `source` whose class has the same name.

    Args:
        source, target: scores or boxes of the classes `theirs` and `ours`, with the background's
            row last where there is one; of one shape but for `dims`.
        dims: the dimensions that are classes.

    Returns:
        The tensor, and how many rows came from `source`: 0 if a list is missing or does not fit.
    """
    places = []
    for dim in dims:
        pairs = _pairs(source.shape[dim], target.shape[dim], theirs or (), ours or ())
        rows = torch.tensor(pairs, dtype=torch.int64, device=source.device).view(-1, 2)
        source = source.index_select(dim, rows[:, 0])
        places.append((dim, rows[:, 1]))
    return _place(source, target, places), len(places[0][1])


def _binary_rows(source: torch.Tensor, rows: int, dims: Sequence[int]) -> torch.Tensor:
    """Scores of background and a class as those of the class alone, or the reverse.

    Args:
        source: with the two rows, or the one, in each of `dims`, (0,), (1,) or (0, 1).
        rows: how many there are afterwards, 1 or 2.
    """
    if len(dims) == 1:
        first, *second = source.split(1, dims[0])
        if rows == 1:
            return second[0] - first
        return torch.cat([torch.zeros_like(first), first], dims[0])
    # Scores of scores: what the two are multiplied by, where it depends on their difference alone.
    if rows == 1:
        (a, b), (c, d) = source
        return ((a - b + d - c) / 2)[None, None]
    row = torch.cat([source, torch.zeros_like(source)], 1)
    return torch.cat([row, row.flip(1)])


def _place(
    block: torch.Tensor, target: torch.Tensor, places: Sequence[tuple[int, torch.Tensor]]
) -> torch.Tensor:
    """`target` with `block` at the given indices of each of the given dimensions."""
    (dim, index), *others = places
    if others:
        block = _place(block, target.index_select(dim, index), others)
    return target.index_copy(dim, index, block)


def _pairs(
    source_rows: int, target_rows: int, theirs: Sequence[str], ours: Sequence[str]
) -> list[tuple[int, int]]:
    """Rows of the source and of the target that are of one class, or both of the background."""
    for per, extra in _LAYOUTS:
        if (source_rows, target_rows) == (per * len(theirs) + extra, per * len(ours) + extra):
            break
    else:
        return []
    other, own = _comparable(theirs, ours)
    classes = {name: i for i, name in enumerate(other)}
    pairs = [
        (per * classes[name] + row, per * i + row)
        for i, name in enumerate(own)
        if name in classes
        for row in range(per)
    ]
    if extra and pairs:
        pairs.append((source_rows - 1, target_rows - 1))
    return pairs


def _scores(layer: nn.Module) -> int:
    """How many outputs a layer has that nothing follows inside it; 0 if it is no such layer."""
    if getattr(layer, "norm", None) is not None or getattr(layer, "activation", None) is not None:
        return 0
    if isinstance(layer, nn.Linear):
        return layer.out_features
    return layer.out_channels if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)) else 0


def _group(name: str) -> str:
    return name.partition(".")[0]


def _shortened(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def _comparable(theirs: Sequence[str], ours: Sequence[str]) -> tuple[list[str], list[str]]:
    """Both lists in one spelling, or as they are where it would make two of a list the same."""
    other, own = ([_canonical(name) for name in names] for names in (theirs, ours))
    if len(set(other)) < len(set(theirs)) or len(set(own)) < len(set(ours)):
        return list(theirs), list(ours)
    return other, own


def _canonical(name: str) -> str:
    """ "__background__" and "Potted plant" -> "background", "pottedplant"; in any script."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    plain = re.sub(r"[\s!-/:-@\[-`{-~]", "", plain)
    return _SYNONYMS.get(plain, plain)
