"""Small semantic models whose pixels see a known distance."""

import torch
from torch import nn

from segsuite.layers import Conv2d, ShapeSpec
from segsuite.modeling import SemanticSegmentor
from segsuite.modeling.backbone import Backbone
from segsuite.modeling.sem_seg import SemSegHead


class Patches(Backbone):
    """Patches of stride x stride pixels, and 3x3 convolutions on them: each sees one patch more."""

    def __init__(self, stride, convs, size_divisibility):
        super().__init__()
        self.stride, self.size_divisibility = stride, size_divisibility
        self.embed = nn.Conv2d(3, 8, stride, stride=stride)
        self.convs = nn.Sequential(*[Conv2d(8, 8, 3, activation=torch.tanh) for _ in range(convs)])

    def forward(self, x):
        bottom, right = (-size % self.stride for size in x.shape[-2:])
        x = nn.functional.pad(x, (0, right, 0, bottom))
        return {"patches": self.convs(self.embed(x))}

    def output_shape(self):
        return {"patches": ShapeSpec(8, self.stride)}


class Linear(SemSegHead):
    def __init__(self, **kwargs):
        super().__init__(in_features=["patches"], **kwargs)
        self.stride = self.in_shapes[0].stride
        self.predictor = nn.Conv2d(8, self.num_classes, 1)

    def forward(self, features):
        return 5 * self.predictor(features["patches"])


def model(stride=4, convs=0, size_divisibility=0, num_classes=5):
    torch.manual_seed(0)
    backbone = Patches(stride, convs, size_divisibility)
    head = Linear(input_shape=backbone.output_shape(), num_classes=num_classes)
    mean_std = {"pixel_mean": [100.0, 110.0, 120.0], "pixel_std": [50.0, 60.0, 70.0]}
    return SemanticSegmentor(backbone=backbone, sem_seg_head=head, **mean_std).eval()


def record(h, w, **extra):
    return {"image": torch.randint(0, 256, (3, h, w), dtype=torch.uint8), **extra}
