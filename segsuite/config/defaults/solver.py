"""SOLVER: optimiser, schedule, precision, checkpoints."""

from ..node import CfgNode as CN
from ..node import optional

SOLVER = CN()
# Of OPTIMIZER_REGISTRY: "SGD", "ADAM", "ADAMW", or a plug-in's.
SOLVER.OPTIMIZER = "SGD"
# Arguments of it that have no key here: {EPS: 1.0e-6, AMSGRAD: True}.
SOLVER.OPTIMIZER_ARGS = CN(new_allowed=True)
# Of LR_SCHEDULE_REGISTRY: "WarmupMultiStepLR", "WarmupCosineLR", "WarmupPolyLR", or a plug-in's.
SOLVER.LR_SCHEDULER_NAME = "WarmupMultiStepLR"
SOLVER.MAX_ITER = 40000
# Images per optimiser step, over all processes and accumulation steps.
SOLVER.IMS_PER_BATCH = 16
# Forward/backward passes per optimiser step; IMS_PER_BATCH is divided among them.
SOLVER.ACCUMULATE_STEPS = 1

SOLVER.BASE_LR = 0.001
SOLVER.BASE_LR_END = 0.0  # final LR of WarmupCosineLR
SOLVER.MOMENTUM = 0.9
SOLVER.NESTEROV = False
SOLVER.BETAS = (0.9, 0.999)
SOLVER.WEIGHT_DECAY = 0.0001
SOLVER.WEIGHT_DECAY_NORM = 0.0
SOLVER.WEIGHT_DECAY_BIAS = optional(float)  # null: as WEIGHT_DECAY
SOLVER.BIAS_LR_FACTOR = 1.0
SOLVER.BACKBONE_MULTIPLIER = 1.0  # factor on the backbone's learning rate

SOLVER.GAMMA = 0.1
SOLVER.STEPS = (30000,)
SOLVER.WARMUP_FACTOR = 1.0 / 1000
SOLVER.WARMUP_ITERS = 1000
SOLVER.WARMUP_METHOD = "linear"
SOLVER.POLY_LR_POWER = 0.9
SOLVER.POLY_LR_CONSTANT_ENDING = 0.0

SOLVER.CLIP_GRADIENTS = CN()
SOLVER.CLIP_GRADIENTS.ENABLED = False
SOLVER.CLIP_GRADIENTS.CLIP_TYPE = "value"  # "value", "norm" (of each parameter), "full_model"
SOLVER.CLIP_GRADIENTS.CLIP_VALUE = 1.0
SOLVER.CLIP_GRADIENTS.NORM_TYPE = 2.0

SOLVER.AMP = CN()
SOLVER.AMP.ENABLED = False
SOLVER.AMP.DTYPE = "auto"  # "float16", "bfloat16"; "auto": float16 on CUDA, bfloat16 on CPU

# Each process keeps a share of weights, gradients, optimiser and average (FSDP2), instead of all
# (DistributedDataParallel): for models that need the memory. See docs/clusters.md.
SOLVER.FSDP = CN()
SOLVER.FSDP.ENABLED = False
# False: a block's weights stay whole from its forward pass to its backward pass: more memory, less
# to send.
SOLVER.FSDP.RESHARD_AFTER_FORWARD = True
# Periodic checkpoints are folders that every process writes its share to. False: files as without
# FSDP, written by one.
SOLVER.FSDP.SHARDED_CHECKPOINTS = False

# A running average of the weights, evaluated and saved in place of the last ones.
SOLVER.EMA = CN()
SOLVER.EMA.ENABLED = False
SOLVER.EMA.DECAY = 0.999

SOLVER.CHECKPOINT_PERIOD = 5000
# Periodic checkpoints kept, newest first. At least 2, so that a damaged one has a predecessor.
SOLVER.CHECKPOINTS_TO_KEEP = 2
