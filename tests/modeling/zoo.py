"""Every semantic architecture as its recipe builds it, but narrow: for tests of whole models."""

from __future__ import annotations

from dataclasses import dataclass

from segsuite.config import CfgNode, load_config
from tests.helpers import REPO


@dataclass(frozen=True)
class Architecture:
    """
    Attributes:
        recipe: below configs/, without the ending.
        options: what makes it narrow, as keys and values below MODEL.
    """

    recipe: str
    options: dict[str, object]

    def config(self, *options: object) -> CfgNode:
        """The configuration, without weights to start from and without dropout, for 11 classes."""
        return load_config(
            REPO / f"configs/{self.recipe}.yaml",
            [
                *(part for k, v in self.options.items() for part in (f"MODEL.{k}", v)),
                *("MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", ""),
                *("MODEL.SEM_SEG_HEAD.NUM_CLASSES", 11, "MODEL.SEM_SEG_HEAD.DROPOUT", 0.0),
                *("MODEL.SEM_SEG_HEAD.ASPP_DROPOUT", 0.0, "MODEL.VGG.FC_DROPOUT", 0.0),
                *("MODEL.MIT.DROP_PATH_RATE", 0.0),
                *options,
            ],
        )


_RESNET = {
    "RESNETS.STEM_OUT_CHANNELS": 16,
    "RESNETS.RES2_OUT_CHANNELS": 16,
    "AUX_HEAD.CONVS_DIM": 16,
}
_VGG = {
    "VGG.DEPTH": 11,
    "VGG.BASE_CHANNELS": 8,
    "VGG.FC_CHANNELS": 128,
    "SEM_SEG_HEAD.TO_FULL_SIZE": True,
}
_HRNET = {"HRNET.WIDTH": 8, "HRNET.MODULES": (1, 1, 1), "HRNET.BLOCKS": 1}

ARCHITECTURES = {
    "fcn32s": Architecture("camvid/fcn32s_vgg16", _VGG),
    "fcn16s": Architecture("camvid/fcn16s_vgg16", _VGG),
    "fcn8s": Architecture("camvid/fcn8s_vgg16", _VGG),
    "dilated_fcn": Architecture("camvid/fcn_resnet18", {**_RESNET, "SEM_SEG_HEAD.CONVS_DIM": 64}),
    "drn": Architecture("camvid/drn_d_22", {"DRN.BASE_CHANNELS": 8}),
    "unet": Architecture(
        "camvid/unet",
        {
            "UNET.CHANNELS": [8, 16, 32, 64, 64],
            "SEM_SEG_HEAD.DECODER_CHANNELS": [64, 32, 16, 16],
        },
    ),
    "pspnet": Architecture("camvid/pspnet_resnet18", {**_RESNET, "SEM_SEG_HEAD.CONVS_DIM": 64}),
    "deeplab_v3": Architecture(
        "camvid/deeplab_v3_resnet18",
        {
            **_RESNET,
            "SEM_SEG_HEAD.CONVS_DIM": 64,
            "SEM_SEG_HEAD.ASPP_CHANNELS": 32,
            "SEM_SEG_HEAD.ASPP_POOL_NORM": "",  # a batch norm there refuses a single image
        },
    ),
    "deeplab_v3_plus": Architecture(
        "camvid/deeplab_v3_plus_resnet18",
        {**_RESNET, "SEM_SEG_HEAD.CONVS_DIM": 32, "SEM_SEG_HEAD.ASPP_CHANNELS": 32},
    ),
    "hrnet": Architecture("camvid/hrnet_w18", _HRNET),
    "hrnet_ocr": Architecture(
        "camvid/hrnet_w18_ocr", {**_HRNET, "OCR.KEY_DIM": 16, "SEM_SEG_HEAD.CONVS_DIM": 32}
    ),
    "semantic_fpn": Architecture(
        "smoke/semantic_fpn_shapes",
        {**_RESNET, "FPN.OUT_CHANNELS": 32, "SEM_SEG_HEAD.CONVS_DIM": 32},
    ),
    "upernet": Architecture("camvid/upernet_resnet18", {**_RESNET, "SEM_SEG_HEAD.CONVS_DIM": 32}),
    "segformer": Architecture("camvid/segformer_b0", {"SEM_SEG_HEAD.CONVS_DIM": 64}),
    "lraspp": Architecture("camvid/lraspp_mobilenet_v3_large", {"MOBILENET.WIDTH_MULT": 0.5}),
}
