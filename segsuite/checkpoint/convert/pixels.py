"""How libraries normalise the pixels of their images, as settings."""

from __future__ import annotations

from .formats import Settings

_MEAN, _STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]

# RGB in [0, 1] less (0.485, 0.456, 0.406), divided by (0.229, 0.224, 0.225).
IMAGENET: Settings = {
    "MODEL.PIXEL_MEAN": _MEAN,
    "MODEL.PIXEL_STD": _STD,
    "INPUT.FORMAT": "RGB",
}
# Caffe's: BGR, not divided.
CAFFE: Settings = {
    "MODEL.PIXEL_MEAN": _MEAN[::-1],
    "MODEL.PIXEL_STD": [1.0, 1.0, 1.0],
    "INPUT.FORMAT": "BGR",
}
# Of Detectron's ResNeXt-101: Caffe's order, divided.
CAFFE_DIVIDED: Settings = {**CAFFE, "MODEL.PIXEL_STD": _STD[::-1]}
