"""`Instances`: what is known about each object of an image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch


class Instances:
    """Fields of one length, an entry for each instance, that are indexed together.

    >>> instances = Instances((480, 640), pred_boxes=boxes, scores=scores)
    >>> instances.pred_classes = classes
    >>> instances[instances.scores > 0.5].pred_boxes

    Fields are tensors, `Boxes`, `PolygonMasks`, `BitMasks`, lists: whatever has a length and takes
    indices. Ground truth has ``gt_boxes, gt_classes, gt_masks``, proposals ``proposal_boxes,
    objectness_logits``, predictions ``pred_boxes, scores, pred_classes, pred_masks``.

    Args:
        image_size: (height, width) of the image, in pixels.
        fields: the first fields.
    """

    def __init__(self, image_size: tuple[int, int], **fields: Any):
        object.__setattr__(self, "_image_size", tuple(image_size))
        object.__setattr__(self, "_fields", {})
        for name, value in fields.items():
            self.set(name, value)

    @property
    def image_size(self) -> tuple[int, int]:
        return self._image_size

    def set(self, name: str, value: Any) -> None:
        """Add or replace a field.

        Raises:
            ValueError: its length differs from that of the fields there are.
        """
        for other, field in self._fields.items():
            if other != name and len(value) != len(field):
                raise ValueError(
                    f"field '{name}' has {len(value)} entries, but '{other}' has {len(field)}"
                )
        self._fields[name] = value

    def has(self, name: str) -> bool:
        return name in self._fields

    def get(self, name: str) -> Any:
        """The field called `name`.

        Raises:
            AttributeError: there is none.
        """
        if name not in self._fields:
            names = ", ".join(self._fields) or "none"
            raise AttributeError(f"Instances have no field '{name}'; the fields are: {names}")
        return self._fields[name]

    def remove(self, name: str) -> None:
        self.get(name)
        del self._fields[name]

    def get_fields(self) -> dict[str, Any]:
        """All fields by name: the dict itself, not a copy."""
        return self._fields

    def __setattr__(self, name: str, value: Any) -> None:
        self.set(name, value)

    def __getattr__(self, name: str) -> Any:
        # Copying and pickling ask for names before there are fields.
        if name.startswith("_"):
            raise AttributeError(name)
        return self.get(name)

    def to(self, *args: Any, **kwargs: Any) -> Instances:
        """Move the fields that can be moved; arguments as for `torch.Tensor.to`."""
        moved = Instances(self.image_size)
        for name, value in self._fields.items():
            moved.set(name, value.to(*args, **kwargs) if hasattr(value, "to") else value)
        return moved

    def __getitem__(self, item: int | slice | torch.Tensor) -> Instances:
        """Some of the instances; one number gives `Instances` of one.

        Raises:
            IndexError: the number is out of range.
        """
        if isinstance(item, int):
            if not -len(self) <= item < len(self):
                raise IndexError(f"instance {item} of {len(self)}")
            item = slice(item, item + 1 or None)
        chosen = Instances(self.image_size)
        for name, value in self._fields.items():
            chosen.set(name, _index(value, item))
        return chosen

    def __len__(self) -> int:
        """The number of instances; 0 without fields."""
        return next((len(value) for value in self._fields.values()), 0)

    def __iter__(self) -> Iterator[Instances]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        height, width = self.image_size
        fields = "".join(f", {name}={value}" for name, value in self._fields.items())
        return f"Instances({len(self)} in {height} x {width}{fields})"

    @classmethod
    def cat(cls, instances: Sequence[Instances]) -> Instances:
        """Those of one after those of another; all are of one image size and have the same fields.

        Raises:
            ValueError: there are none, or they do not fit each other.
        """
        if not instances:
            raise ValueError("Instances.cat needs at least one Instances, got an empty list")
        first = instances[0]
        for other in instances[1:]:
            if other.image_size != first.image_size:
                raise ValueError(
                    f"instances of images of {first.image_size} and {other.image_size} pixels "
                    "(height, width) cannot be joined"
                )
            if other._fields.keys() != first._fields.keys():
                raise ValueError(
                    f"instances with the fields {sorted(first._fields)} and "
                    f"{sorted(other._fields)} cannot be joined"
                )
        joined = cls(first.image_size)
        for name, value in first._fields.items():
            values = [i._fields[name] for i in instances]
            if isinstance(value, torch.Tensor):
                joined.set(name, torch.cat(values))
            elif isinstance(value, list):
                joined.set(name, [entry for part in values for entry in part])
            else:
                joined.set(name, type(value).cat(values))
        return joined


def _index(value: Any, item: slice | torch.Tensor) -> Any:
    if not isinstance(value, list) or isinstance(item, slice):
        return value[item]
    item = torch.as_tensor(item)
    chosen = item.nonzero().flatten() if item.dtype == torch.bool else item
    return [value[i] for i in chosen.tolist()]
