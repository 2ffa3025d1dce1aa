"""`InstanceBatch`: the instances of a batch of images as padded tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import cast, overload

import torch
from torch import Tensor

from .boxes import Boxes
from .image_list import size_tensor
from .instances import Instances


class InstanceBatch(Sequence[Instances]):
    """The instances of N images in tensors with an image axis, each image padded to L places.

    It is the sequence of the images' `Instances` too. These are made when the first is asked for,
    and only then the device is waited for, once for all images.

    Args:
        image_sizes: (height, width) of each image, in pixels.
        valid: (N, L) bool: which places hold an instance.
        fields: (N, L, ...) tensors. Those called ``..._boxes`` are `Boxes` in `Instances`.
        late_fields: for what is computed of instances alone, such as masks, a function from their
            places (R,) int64, counted over all images as in ``valid.flatten()``, to (R, ...).
    """

    def __init__(
        self,
        image_sizes: Sequence[tuple[int, int]],
        valid: Tensor,
        fields: Mapping[str, Tensor],
        late_fields: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
    ):
        self.image_sizes = list(image_sizes)
        self.valid = valid
        self.late_fields = late_fields or {}
        self.fields = fields

    @classmethod
    def of(cls, instances: Sequence[Instances], *names: str) -> InstanceBatch:
        """Pad the fields `names`, which are tensors or `Boxes`, of each image's instances with
        zeros, to one place or more. What is padded already is returned as it is."""
        if isinstance(instances, InstanceBatch):
            return instances
        lengths = [len(x) for x in instances]
        longest = max([1, *lengths])
        fields = {}
        for name in names:
            values = [x.get(name) for x in instances]
            tensors = [v.tensor if isinstance(v, Boxes) else v for v in values]
            padded = tensors[0].new_zeros(len(tensors), longest, *tensors[0].shape[1:])
            for row, tensor in zip(padded, tensors, strict=True):
                row[: len(tensor)] = tensor
            fields[name] = padded
        device = next(iter(fields.values())).device
        counts = torch.tensor(lengths).to(device, non_blocking=True)
        batch = cls([x.image_size for x in instances], first_places(counts, longest), fields)
        batch._instances = list(instances)
        return batch

    @property
    def sizes(self) -> Tensor:
        """(N, 2) float32 height and width of the images, on the fields' device."""
        return size_tensor(self.image_sizes, self.valid.device)

    def trimmed(self) -> InstanceBatch:
        """Without the last places where no image has an instance, if looking for them is free: on
        the CPU. One place stays."""
        if self.valid.device.type != "cpu":
            return self
        used = self.valid.any(dim=0).nonzero()
        length = int(used[-1]) + 1 if len(used) else 1
        fields = {name: field[:, :length] for name, field in self.fields.items()}
        return InstanceBatch(self.image_sizes, self.valid[:, :length], fields)

    @cached_property
    def _instances(self) -> list[Instances]:
        valid = self.valid.cpu()
        counts = valid.sum(dim=1).tolist()
        places = valid.flatten().nonzero()[:, 0].to(self.valid.device, non_blocking=True)
        values = {name: field.flatten(0, 1)[places] for name, field in self.fields.items()}
        values |= {name: compute(places) for name, compute in self.late_fields.items()}
        instances = [Instances(size) for size in self.image_sizes]
        for name, value in values.items():
            for of_image, part in zip(instances, value.split(counts), strict=True):
                of_image.set(name, Boxes(part) if name.endswith("_boxes") else part)
        return instances

    @overload
    def __getitem__(self, index: int) -> Instances: ...
    @overload
    def __getitem__(self, index: slice) -> list[Instances]: ...
    def __getitem__(self, index: int | slice) -> Instances | list[Instances]:
        return self._instances[index]

    def __len__(self) -> int:
        return len(self.image_sizes)


def first_places(counts: Tensor, length: int) -> Tensor:
    """(N, length) bool: the first ``counts[i]`` places of row i; counts are (N,) integers."""
    return torch.arange(length, device=counts.device) < counts[:, None]


def at_most(count: int, length: int) -> int:
    """The lesser of `count` and the length of a dimension, which exporters may know as a symbol."""
    if torch.jit.is_tracing():  # what counts operations traces, and has lengths as tensors
        return min(count, int(length))
    return cast(int, torch.sym_min(count, length))


def take_places(field: Tensor, index: Tensor) -> Tensor:
    """(N, M, ...): the places (N, M) int64 of each image's row of (N, L, ...)."""
    extra = field.shape[2:]
    # Not take_along_dim, of which torch.export keeps the sizes of its example.
    return field.gather(1, index.view(*index.shape, *(1,) * len(extra)).expand(-1, -1, *extra))
