"""TEST: evaluation."""

from ..node import CfgNode as CN
from ..node import optional

TEST = CN()
# Iterations between evaluations; 0: only at the end.
TEST.EVAL_PERIOD = 0
# Evaluators of EVALUATOR_REGISTRY beside the one that each data set asks for: names, or
# {NAME: {ARGUMENT: value}}.
TEST.EVALUATORS = ()

# Autocast the model in evaluation, as SOLVER.AMP does in training; weights stay as they are.
TEST.AMP = CN()
TEST.AMP.ENABLED = False
TEST.AMP.DTYPE = "auto"  # "float16", "bfloat16"; "auto": float16 on CUDA, bfloat16 on CPU

# On a CUDA device, evaluation and prediction replay the network as a CUDA graph for shapes that
# come again, so that small models are not slowed by launching kernels; with the same numbers. This
# is how many shapes are kept, such as 8, each of which takes memory; 0: none. See
# docs/inference.md.
TEST.CUDA_GRAPHS = 0

# A CSV file of images and their tags (night, rain, site A): all figures are given for the images
# of each tag, too, with confidence intervals. See docs/metrics.md. `segsuite eval --slices FILE`.
TEST.SLICES = ""

# The most instances that are kept of an image.
TEST.DETECTIONS_PER_IMAGE = 100

# Overlapping windows of an image instead of the whole: blended by semantic models, by detectors
# joined to whole objects. See docs/inference.md.
TEST.SLIDING_WINDOW = CN()
TEST.SLIDING_WINDOW.ENABLED = False
TEST.SLIDING_WINDOW.SIZE = [512, 512]  # height, width
TEST.SLIDING_WINDOW.OVERLAP = 0.25  # share of a window that its neighbour covers at least
# Prediction of single images (not evaluation) uses windows by itself where the activations of the
# whole image take more than this many MiB; 0: more than half of the memory that is free.
TEST.SLIDING_WINDOW.MEMORY_LIMIT = 0

# Semantic models: the mean of predictions at several lengths of the shorter edge (0: the image's
# own), at most MAX_SIZE at the longer, and of the mirrored image.
TEST.AUG = CN()
TEST.AUG.ENABLED = False
TEST.AUG.MIN_SIZES = (400, 500, 600, 700, 800, 900, 1000, 1100, 1200)
TEST.AUG.MAX_SIZE = 4000
TEST.AUG.FLIP = True

# OUTPUT_DIR/report.html after each evaluation: one file with figures, curves and pictures.
TEST.REPORT = True
# How many of the worst images, and of the best, are predicted again and drawn for it; 0: none.
TEST.EXAMPLES = 6

TEST.SEM_SEG = CN()
# What a class without ground-truth pixels does to the means: "detectron2", "nanmean", "zero" or
# "one". See docs/metrics.md.
TEST.SEM_SEG.ABSENT_CLASSES = "detectron2"
TEST.SEM_SEG.BOUNDARY_IOU = False
# Width of the boundary band as a share of the image diagonal.
TEST.SEM_SEG.BOUNDARY_DILATION_RATIO = 0.02
# Write each predicted label map as a PNG beside the figures.
TEST.SEM_SEG.SAVE_PREDICTIONS = False
# Write the figures of each image: "csv", or "parquet" (needs pyarrow); "": no table.
TEST.SEM_SEG.IMAGE_TABLE = ""

TEST.INSTANCES = CN()
# "coco", "lvis", or "auto": LVIS's where the ground truth says what its images do not have
# (neg_category_ids), else COCO's. See docs/metrics.md.
TEST.INSTANCES.RULES = "auto"
# AP of masks by the IoU of their boundaries too, "boundary/AP".
TEST.INSTANCES.BOUNDARY_AP = False
# Width of the boundary band as a share of the image diagonal.
TEST.INSTANCES.BOUNDARY_DILATION_RATIO = 0.02

TEST.PANOPTIC = CN()
# Which crowds excuse a segment, where an image has several of its category: "panopticapi", the last
# one in the list, as the reference implementation has it; "all" of them. See docs/metrics.md.
TEST.PANOPTIC.CROWDS = "panopticapi"
TEST.PANOPTIC.BOUNDARY_PQ = False
# Width of the boundary band as a share of the image diagonal.
TEST.PANOPTIC.BOUNDARY_DILATION_RATIO = 0.02

# What computes COCO's figures: "pycocotools", the reference, or the same in Rust or C++, "hotcoco"
# or "faster_coco_eval"; "auto": the fastest that is installed and right.
TEST.COCO_ENGINE = "auto"
# AP and AR are of the best 100 detections of an image and category. Other limits, such as (300,),
# for figures beside these: AP@300, AR@300.
TEST.COCO_MAX_DETECTIONS = ()
# Tell errors by kind (class, localisation, duplicate, ...) and what each costs in AP. Null: of a
# model's predictions, but not of a results file's, where they take longer than the figures.
TEST.COCO_ERRORS = optional(bool)

# The figure that chooses model_best and stops early, named as in metrics.json; larger is better.
# Empty: the main figure of the task, panoptic_seg/PQ, segm/AP, bbox/AP or sem_seg/mIoU.
TEST.BEST_METRIC = ""
# Stop when BEST_METRIC has not risen in this many evaluations; 0: never.
TEST.EARLY_STOPPING_PATIENCE = 0

TEST.PRECISE_BN = CN()
# Recompute BatchNorm statistics on NUM_ITER training batches before each evaluation.
TEST.PRECISE_BN.ENABLED = False
TEST.PRECISE_BN.NUM_ITER = 200
