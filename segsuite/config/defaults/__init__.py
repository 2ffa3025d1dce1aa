"""The default configuration, one file per section, data only.

Keys that exist in Detectron2 keep its name, meaning and type; a comment marks where a default
differs.
"""

from ..node import CfgNode as CN
from . import panoptic, rcnn, sem_seg_zoo  # noqa: F401  they add to MODEL
from .data import DATALOADER, DATASETS, INPUT
from .model import MODEL
from .solver import SOLVER
from .test import TEST

_C = CN()
_C.VERSION = 2
# Modules imported before the rest of the file is read; they may register components and, with a
# function `add_config(cfg)`, defaults of their own.
_C.PLUGINS = ()
# Hooks of HOOK_REGISTRY that run beside the built-in ones, in this order: names, or
# {NAME: {ARGUMENT: value}}. See docs/extending.md.
_C.HOOKS = ()
_C.OUTPUT_DIR = "./output"
# One seed governs weights, data order and augmentation. Negative: drawn at start and written to
# OUTPUT_DIR/config.yaml. (Detectron2's default is -1.)
_C.SEED = 0
_C.CUDNN_BENCHMARK = False

_C.MODEL = MODEL
_C.INPUT = INPUT
_C.DATASETS = DATASETS
_C.DATALOADER = DATALOADER
_C.SOLVER = SOLVER
_C.TEST = TEST

_C.LOG = CN()
# Iterations between two writes to the console, metrics.json and TensorBoard.
_C.LOG.PERIOD = 20
_C.LOG.TENSORBOARD = True

# A torch.profiler trace of STEPS iterations from iteration START, in OUTPUT_DIR/profile.
_C.PROFILER = CN()
_C.PROFILER.ENABLED = False
_C.PROFILER.START = 10
_C.PROFILER.STEPS = 5
