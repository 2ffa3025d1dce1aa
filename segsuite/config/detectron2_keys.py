"""Keys of Detectron2, and of its projects, for what is not here; every config.yaml lists them."""

from __future__ import annotations

from typing import Any

from segsuite.errors import ConfigError

# Keys and sections that change nothing by themselves. What would make them count is refused where
# it is asked for: META_ARCHITECTURE RetinaNet, TensorMask or PanopticDeepLab, KEYPOINT_ON,
# LOAD_PROPOSALS, a mask head or a semantic head of PointRend.
_WITHOUT_MEANING = (
    "DATASETS.PRECOMPUTED_PROPOSAL_TOPK_TEST",
    "DATASETS.PRECOMPUTED_PROPOSAL_TOPK_TRAIN",
    "DATASETS.PROPOSAL_FILES_TEST",
    "DATASETS.PROPOSAL_FILES_TRAIN",
    "GLOBAL",
    "INPUT.GAUSSIAN_SIGMA",
    "INPUT.IGNORE_CROWD_IN_SEMANTIC",
    "INPUT.IGNORE_STUFF_IN_OFFSET",
    "INPUT.SMALL_INSTANCE_AREA",
    "INPUT.SMALL_INSTANCE_WEIGHT",
    "MODEL.ANCHOR_GENERATOR.ANGLES",
    "MODEL.IMPLICIT_POINTREND",
    "MODEL.INS_EMBED_HEAD",
    "MODEL.PANOPTIC_DEEPLAB",
    "MODEL.POINT_HEAD",
    "MODEL.RESNETS.DEFORM_MODULATED",
    "MODEL.RESNETS.DEFORM_NUM_GROUPS",
    "MODEL.RETINANET",
    "MODEL.ROI_KEYPOINT_HEAD",
    "MODEL.ROI_MASK_HEAD.FC_DIM",
    "MODEL.ROI_MASK_HEAD.IN_FEATURES",
    "MODEL.ROI_MASK_HEAD.NUM_FC",
    "MODEL.ROI_MASK_HEAD.OUTPUT_SIDE_RESOLUTION",
    "MODEL.SEM_SEG_HEAD.HEAD_CHANNELS",
    "MODEL.SEM_SEG_HEAD.LOSS_TOP_K",
    "MODEL.TENSOR_MASK",
    "TEST.EXPECTED_RESULTS",
    "TEST.KEYPOINT_OKS_SIGMAS",
    "VIS_PERIOD",
)

_FEDERATED = "the federated loss of LVIS is not here; leave it out to train with the plain one"
_FIXED_GAMMA = (
    "WarmupStepWithFixedGammaLR is not here; write the iterations of the decays into SOLVER.STEPS "
    "of a WarmupMultiStepLR"
)
# Keys that ask for something: the value that does not, and what to do about another one.
_WITHOUT_EFFECT_AT: dict[str, tuple[Any, str]] = {
    "FLOAT32_PRECISION": (
        "",
        "float32 stays whole here; call torch.set_float32_matmul_precision in a plug-in, or set "
        "SOLVER.AMP.ENABLED True",
    ),
    "INPUT.COLOR_AUG_SSD": (False, "write the strengths into INPUT.COLOR_JITTER instead"),
    "MODEL.RESNETS.DEFORM_ON_PER_STAGE": (
        [False] * 4,
        "there are no deformable convolutions; leave it out",
    ),
    "MODEL.ROI_BOX_HEAD.FED_LOSS_FREQ_WEIGHT_POWER": (0.5, _FEDERATED),
    "MODEL.ROI_BOX_HEAD.FED_LOSS_NUM_CLASSES": (50, _FEDERATED),
    "MODEL.ROI_BOX_HEAD.USE_FED_LOSS": (False, _FEDERATED),
    "MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE": (
        False,
        "boxes are classified by a softmax here; leave it out, or write a box predictor whose "
        "losses are binary and give it to the RoI heads",
    ),
    "MODEL.ROI_MASK_HEAD.POINT_HEAD_ON": (False, "PointRend is not here; leave it out"),
    "SOLVER.NUM_DECAYS": (3, _FIXED_GAMMA),
    "SOLVER.REFERENCE_WORLD_SIZE": (
        0,
        "the batch size and the learning rate do not follow the number of processes here; leave "
        "it out",
    ),
    "SOLVER.RESCALE_INTERVAL": (False, _FIXED_GAMMA),
}


def is_unused(name: str, value: Any, source: str) -> bool:
    """Whether a model from here is the same with and without the key `name`.

    Raises:
        ConfigError: the value asks for something that is not here.
    """
    if name not in _WITHOUT_EFFECT_AT:
        return name in _WITHOUT_MEANING
    default, advice = _WITHOUT_EFFECT_AT[name]
    if (list(value) if isinstance(value, tuple) else value) != default:
        raise ConfigError(f"{source}: {name} is {value!r}, but {advice}")
    return True
