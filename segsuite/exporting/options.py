"""What can be asked of an export, checked before work starts."""

from __future__ import annotations

import os
from dataclasses import dataclass

from segsuite.errors import ConfigError, UnknownNameError
from segsuite.utils.registry import unknown_name

# Formats, and what their files are called; OpenVINO's, and the page for browsers, are folders.
FORMATS = {"onnx": ".onnx", "openvino": "", "torch_export": ".pt2", "web": ""}
# Precisions, and the formats that have them.
PRECISIONS = {
    "float32": ("onnx", "openvino", "torch_export", "web"),
    "float16": ("onnx", "openvino", "torch_export", "web"),
    "bfloat16": ("torch_export",),  # ONNX Runtime and OpenVINO read no such weights on CPUs
    "int8": ("onnx", "openvino", "web"),
}
_LARGEST_SIDE = 16384
# Shape inference in the exporters takes a size of one for a size that never changes.
_SMALLEST_SIDE = 2


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What the exported file is to be like.

    Args:
        format: "onnx", "openvino", "torch_export" or "web".
        precision: of the network's weights: "float32", "float16", "bfloat16" or "int8". Images,
            logits and what is made of them are not affected.
        batch: number of images that every call has; None: any.
        size: (height, width) of the images of every call, in pixels; None: any.
        bare: the network alone, from normalised images to logits.
        logits: semantic models also return the logits at the size of the labels.
        pasted: models of instances return masks at the size of the image, not those in boxes.
        onnxruntime_web: of a page, the folder of the npm package onnxruntime-web, or one with a
            ``node_modules`` that has it; None: looked for from the current folder upwards.

    Raises:
        UnknownNameError: no such format or precision.
        ConfigError: options that exclude one another, or a size or batch that no image has.
    """

    format: str = "onnx"
    precision: str = "float32"
    batch: int | None = None
    size: tuple[int, int] | None = None
    bare: bool = False
    logits: bool = False
    pasted: bool = False
    onnxruntime_web: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise UnknownNameError(unknown_name(self.format, FORMATS, "formats of an export"))
        if self.precision not in PRECISIONS:
            known = "precisions of an export"
            raise UnknownNameError(unknown_name(self.precision, PRECISIONS, known))
        if self.format not in PRECISIONS[self.precision]:
            having = [name for name, formats in PRECISIONS.items() if self.format in formats]
            raise ConfigError(
                f"precision {self.precision} is not exported as {self.format}, which has "
                f"{', '.join(having)}; {self.precision} is for the format "
                f"{' or '.join(PRECISIONS[self.precision])}"
            )
        self._check_page()
        if self.bare and (self.logits or self.pasted):
            raise ConfigError(
                "a bare network has logits as its only output: leave out the option "
                f"{'logits' if self.logits else 'pasted'}, or bare"
            )
        if self.batch is not None and not (_is_whole(self.batch) and self.batch >= 1):
            raise ConfigError(
                f"a batch of {self.batch!r} images: expected a whole number from 1 on, or none for "
                "any number"
            )
        if self.size is not None:
            _check_size(self.size)

    def _check_page(self) -> None:
        if self.format != "web" and self.onnxruntime_web is not None:
            raise ConfigError(
                f"onnxruntime_web is for the format web, not for {self.format}: leave it out"
            )
        if self.format == "web" and (self.bare or self.batch not in (None, 1)):
            raise ConfigError(
                "a page predicts one image at a time, and needs what comes before and after the "
                f"network: leave out the option {'bare' if self.bare else 'batch'}"
            )


def _check_size(size: tuple[int, int]) -> None:
    sides = tuple(size)
    sound = len(sides) == 2 and all(
        _is_whole(side) and _SMALLEST_SIDE <= side <= _LARGEST_SIDE for side in sides
    )
    if not sound:
        raise ConfigError(
            f"the size {size!r} of images: expected height and width, whole numbers from "
            f"{_SMALLEST_SIDE} to {_LARGEST_SIDE}, such as 480x640, or none for any size"
        )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
