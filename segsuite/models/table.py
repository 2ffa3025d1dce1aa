"""The models that have a name: one table of what each is."""

from __future__ import annotations

from dataclasses import dataclass

from segsuite.errors import UnknownNameError
from segsuite.utils.registry import closest


@dataclass(frozen=True)
class ModelInfo:
    """What a named model is.

    Attributes:
        name: what `create_model` takes.
        summary: what it is, in a line.
        paper: authors, year and address.
        backbone: the one it has unless another is asked for.
        takes: "images", a tensor, or "records", a list of dicts as Detectron2's models do.
        config: its configuration, as the recipe that a YAML file may name as ``_BASE_``.
        strides: of the features that its head, or the pyramid below the heads, reads; "coarsest"
            stands for the coarsest feature, and empty for one of each stride that there is.
        output_stride: the coarsest feature has at most this stride if the backbone can be dilated.
    """

    name: str
    summary: str
    paper: str
    backbone: str
    config: str
    strides: tuple[int | str, ...]
    output_stride: int | None = None
    takes: str = "images"

    def __str__(self) -> str:
        return f"{self.name}: {self.summary} ({self.paper})"


_PYRAMID = (4, 8, 16, 32)
_MODELS = (
    ModelInfo(
        "unet",
        "U-Net on a ResNet: an encoder and a decoder joined at each resolution",
        "Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597",
        "resnet18",
        "_base_/unet_resnet",
        (),
    ),
    ModelInfo(
        "unet_2015",
        "U-Net with the encoder of the paper, and batch norm: logits at every pixel",
        "Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597",
        "unet_encoder",
        "_base_/unet",
        (),
    ),
    ModelInfo(
        "fcn",
        "a convolution on a dilated backbone, with an auxiliary head",
        "Long et al. 2015, https://arxiv.org/abs/1411.4038",
        "resnet50",
        "_base_/fcn",
        ("coarsest",),
        8,
    ),
    ModelInfo(
        "fcn8s",
        "scores of three resolutions added up, as on VGG-16",
        "Long et al. 2015, https://arxiv.org/abs/1411.4038",
        "vgg16",
        "_base_/fcn8s_vgg16",
        (8, 16, 32),
    ),
    ModelInfo(
        "fcn16s",
        "scores of two resolutions added up, as on VGG-16",
        "Long et al. 2015, https://arxiv.org/abs/1411.4038",
        "vgg16",
        "_base_/fcn16s_vgg16",
        (16, 32),
    ),
    ModelInfo(
        "fcn32s",
        "scores of the coarsest resolution, as on VGG-16",
        "Long et al. 2015, https://arxiv.org/abs/1411.4038",
        "vgg16",
        "_base_/fcn32s_vgg16",
        (32,),
    ),
    ModelInfo(
        "pspnet",
        "averages over grids of the image beside the features, with an auxiliary head",
        "Zhao et al. 2017, https://arxiv.org/abs/1612.01105",
        "resnet50s",
        "_base_/pspnet",
        ("coarsest",),
        8,
    ),
    ModelInfo(
        "deeplabv3",
        "convolutions of several dilations (ASPP), as in torchvision, with an auxiliary head",
        "Chen et al. 2017, https://arxiv.org/abs/1706.05587",
        "resnet50",
        "_base_/deeplab_v3",
        ("coarsest",),
        8,
    ),
    ModelInfo(
        "deeplabv3plus",
        "DeepLabV3 at stride 16 and a decoder that joins a fine feature",
        "Chen et al. 2018, https://arxiv.org/abs/1802.02611",
        "resnet50",
        "_base_/deeplab_v3_plus",
        (4, "coarsest"),
        16,
    ),
    ModelInfo(
        "drn",
        "a 1x1 convolution on a dilated residual network",
        "Yu et al. 2017, https://arxiv.org/abs/1705.09914",
        "drn_d_22",
        "_base_/drn",
        ("coarsest",),
        8,
    ),
    ModelInfo(
        "hrnet",
        "HRNetV2: four resolutions side by side, joined at the finest",
        "Wang et al. 2019, https://arxiv.org/abs/1908.07919",
        "hrnet_w18",
        "_base_/hrnet",
        _PYRAMID,
    ),
    ModelInfo(
        "hrnet_ocr",
        "HRNet with object-contextual representations",
        "Yuan et al. 2020, https://arxiv.org/abs/1909.11065",
        "hrnet_w18",
        "_base_/hrnet_ocr",
        _PYRAMID,
    ),
    ModelInfo(
        "segformer",
        "a Mix Transformer and linear layers",
        "Xie et al. 2021, https://arxiv.org/abs/2105.15203",
        "mit_b0",
        "_base_/segformer",
        _PYRAMID,
    ),
    ModelInfo(
        "upernet",
        "a feature pyramid on pyramid pooling, with an auxiliary head",
        "Xiao et al. 2018, https://arxiv.org/abs/1807.10221",
        "resnet50",
        "_base_/upernet",
        _PYRAMID,
    ),
    ModelInfo(
        "semantic_fpn",
        "the levels of a feature pyramid added up",
        "Kirillov et al. 2019, https://arxiv.org/abs/1901.02446",
        "resnet50",
        "_base_/semantic_fpn",
        _PYRAMID,
    ),
    ModelInfo(
        "lraspp",
        "Lite R-ASPP: a small network for phones",
        "Howard et al. 2019, https://arxiv.org/abs/1905.02244",
        "mobilenet_v3_large",
        "_base_/lraspp",
        (8, "coarsest"),
        16,
    ),
    ModelInfo(
        "faster_rcnn",
        "boxes of objects in two stages, on a feature pyramid",
        "Ren et al. 2015, https://arxiv.org/abs/1506.01497",
        "resnet50",
        "_base_/faster_rcnn",
        _PYRAMID,
        takes="records",
    ),
    ModelInfo(
        "mask_rcnn",
        "boxes and masks of objects in two stages, on a feature pyramid",
        "He et al. 2017, https://arxiv.org/abs/1703.06870",
        "resnet50",
        "_base_/mask_rcnn",
        _PYRAMID,
        takes="records",
    ),
    ModelInfo(
        "cascade_mask_rcnn",
        "Mask R-CNN whose boxes are refined three times",
        "Cai and Vasconcelos 2018, https://arxiv.org/abs/1712.00726",
        "resnet50",
        "_base_/cascade_mask_rcnn",
        _PYRAMID,
        takes="records",
    ),
    ModelInfo(
        "panoptic_fpn",
        "Mask R-CNN for things and a semantic head for stuff on one pyramid",
        "Kirillov et al. 2019, https://arxiv.org/abs/1901.02446",
        "resnet50",
        "_base_/panoptic_fpn",
        _PYRAMID,
        takes="records",
    ),
)
_BY_NAME = {model.name: model for model in _MODELS}


def list_models() -> dict[str, ModelInfo]:
    """The models that `create_model` builds, by name::

    for model in segsuite.list_models().values():
        print(model.name, model.summary, model.paper)
    """
    return dict(_BY_NAME)


def find_model(name: str) -> ModelInfo:
    """The model called `name`.

    Raises:
        UnknownNameError: there is none; names the closest.
    """
    if name in _BY_NAME:
        return _BY_NAME[name]
    match = closest(name, _BY_NAME)
    hint = f" Did you mean '{match}'?" if match else ""
    raise UnknownNameError(f"no model '{name}'.{hint} There are {', '.join(_BY_NAME)}")
