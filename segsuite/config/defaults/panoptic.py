"""MODEL.PANOPTIC_FPN: how things and stuff are trained and brought together."""

from ..node import CfgNode as CN
from .model import MODEL

MODEL.PANOPTIC_FPN = CN()
# Factor on the losses of the RoI heads. (SEM_SEG_HEAD.LOSS_WEIGHT is that of the stuff.)
MODEL.PANOPTIC_FPN.INSTANCE_LOSS_WEIGHT = 1.0
# Merging of the predictions.
MODEL.PANOPTIC_FPN.COMBINE = CN()
MODEL.PANOPTIC_FPN.COMBINE.ENABLED = True
# An instance of which a larger share is covered by better ones is left out.
MODEL.PANOPTIC_FPN.COMBINE.OVERLAP_THRESH = 0.5
# Stuff of fewer pixels in an image is left out.
MODEL.PANOPTIC_FPN.COMBINE.STUFF_AREA_LIMIT = 4096
# Instances of lower scores are left out.
MODEL.PANOPTIC_FPN.COMBINE.INSTANCES_CONFIDENCE_THRESH = 0.5
