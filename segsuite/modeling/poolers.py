"""`ROIPooler`: regions of interest from the levels of a feature pyramid."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from segsuite.config import CfgNode
from segsuite.errors import UnknownNameError
from segsuite.layers import ShapeSpec
from segsuite.ops import multilevel_roi_align
from segsuite.utils.registry import unknown_name

# Whether the centre of the first pixel is at 0.5, see `segsuite.ops.roi_align`.
_ALIGNED = {"ROIAlign": False, "ROIAlignV2": True}


class ROIPooler(nn.Module):
    """Pools boxes from the features of a batch, each from the level that fits its size.

    Args:
        output_size: the bins (PH, PW) of a box; one number for both.
        scales: 1 / stride of each level: powers of two, each half of the one before.
        sampling_ratio: samples along each side of a bin; 0 takes ceil(side of the bin in pixels).
        pooler_type: "ROIAlignV2", or "ROIAlign" for weights trained with Detectron's first version.
        canonical_box_size: boxes of this size squared, in pixels of the image, are pooled from
        canonical_level: the level of stride ``2 ** canonical_level``.

    Raises:
        UnknownNameError: another `pooler_type`.
    """

    def __init__(
        self,
        *,
        output_size: int | tuple[int, int],
        scales: Sequence[float],
        sampling_ratio: int,
        pooler_type: str,
        canonical_box_size: int = 224,
        canonical_level: int = 4,
    ):
        super().__init__()
        if pooler_type not in _ALIGNED:
            raise UnknownNameError(unknown_name(pooler_type, _ALIGNED, "pooler types"))
        self.output_size = output_size
        self.scales = tuple(scales)
        self.sampling_ratio = sampling_ratio
        self.aligned = _ALIGNED[pooler_type]
        # Below the section of the configuration that is the pooler's.
        self.settings = {
            "POOLER_TYPE": pooler_type,
            "POOLER_SAMPLING_RATIO": sampling_ratio,
        }
        self.canonical_box_size = canonical_box_size
        self.canonical_level = canonical_level

    def forward(self, features: Sequence[Tensor], boxes: Tensor | Sequence[Tensor]) -> Tensor:
        """Pool the boxes of every image.

        Args:
            features: (N, C, H_i, W_i) for each scale, floating point of one type.
            boxes: for each of the N images (M_i, 4) x1, y1, x2, y2 in pixels of the image, floating
                point. Or (R, 5) RoIs: the number of the image and the box.

        Returns:
            (M_1 + ... + M_N, C, PH, PW) of the features' type, in the order of the boxes.

        Raises:
            ValueError: the boxes of some images are missing; see `multilevel_roi_align`.
        """
        if len(features) != len(self.scales):
            raise ValueError(
                f"{len(features)} feature maps for the {len(self.scales)} scales {self.scales}"
            )
        return multilevel_roi_align(
            features,
            boxes,
            self.output_size,
            self.scales,
            self.sampling_ratio,
            self.aligned,
            self.canonical_box_size,
            self.canonical_level,
        )


def build_pooler(section: CfgNode, shapes: Sequence[ShapeSpec]) -> ROIPooler:
    """The pooler of a head, from features of these shapes.

    Args:
        section: ``MODEL.ROI_BOX_HEAD`` or ``MODEL.ROI_MASK_HEAD``.
    """
    return ROIPooler(
        output_size=section.POOLER_RESOLUTION,
        scales=[1.0 / shape.stride for shape in shapes],
        sampling_ratio=section.POOLER_SAMPLING_RATIO,
        pooler_type=section.POOLER_TYPE,
    )
