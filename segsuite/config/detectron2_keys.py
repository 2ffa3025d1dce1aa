"""Keys of Detectron2 for what is not here; the config.yaml of its every run lists them."""

from __future__ import annotations

from typing import Any

_UNUSED = (
    "DATASETS.PRECOMPUTED_PROPOSAL_TOPK_TEST",
    "DATASETS.PRECOMPUTED_PROPOSAL_TOPK_TRAIN",
    "DATASETS.PROPOSAL_FILES_TEST",
    "DATASETS.PROPOSAL_FILES_TRAIN",
    "GLOBAL",
    "MODEL.ANCHOR_GENERATOR.ANGLES",
    "MODEL.RESNETS.DEFORM_MODULATED",
    "MODEL.RESNETS.DEFORM_NUM_GROUPS",
    "MODEL.RESNETS.DEFORM_ON_PER_STAGE",
    "MODEL.RETINANET",
    "MODEL.ROI_KEYPOINT_HEAD",
    "SOLVER.REFERENCE_WORLD_SIZE",
    "TEST.EXPECTED_RESULTS",
    "TEST.KEYPOINT_OKS_SIGMAS",
    "VIS_PERIOD",
)


def is_unused(name: str, value: Any, source: str) -> bool:
    """Whether a model from here is the same with and without the key `name`.

    Keys that would ask for another model are refused elsewhere: META_ARCHITECTURE RetinaNet,
    KEYPOINT_ON, LOAD_PROPOSALS.

    Raises:
        ValueError: deformable convolutions, or a batch size scaled to the number of processes.
    """
    if name == "MODEL.RESNETS.DEFORM_ON_PER_STAGE" and any(value):
        raise ValueError(f"{source}: {name} is {value}, but there are no deformable convolutions")
    if name == "SOLVER.REFERENCE_WORLD_SIZE" and value:
        raise ValueError(
            f"{source}: {name} is {value}, but the batch size and the learning rate do not follow "
            "the number of processes here; leave it out"
        )
    return name in _UNUSED
