"""Images a second of the training mapper, in one process and one thread.

    SEGSUITE_DATASETS=/path/to/datasets python benchmarks/data_loading.py
    python benchmarks/data_loading.py --coco instances.json --images-of-coco train2017

By default on CamVid: each image is decoded, scaled by 0.5 to 2.0, cropped to 320 x 320, flipped and
made a tensor, with its label map. With --coco on a file in COCO's format: short edge 640 to 800,
long edge up to 1333, flip, and the objects' boxes and polygons. Runs are repeated, because what
else the machine does only ever makes one slower.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import statistics
import time

import cv2
import torch

from segsuite.config import CfgNode, get_cfg
from segsuite.data import (
    DatasetMapper,
    TrainingSampler,
    get_records,
    position_rng,
    register_coco_instances,
)


def semantic_settings() -> CfgNode:
    cfg = get_cfg()
    cfg.INPUT.MIN_SIZE_TRAIN = (0,)
    cfg.INPUT.RANDOM_SCALE = (0.5, 2.0)
    cfg.INPUT.CROP.ENABLED = True
    cfg.INPUT.CROP.TYPE = "absolute"
    cfg.INPUT.CROP.SIZE = [320, 320]
    return cfg


def coco_settings() -> CfgNode:
    cfg = get_cfg()
    cfg.MODEL.MASK_ON = True
    cfg.INPUT.MIN_SIZE_TRAIN = (640, 672, 704, 736, 768, 800)
    return cfg


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="camvid_train")
    parser.add_argument("--coco", metavar="JSON", help="annotations; instead of --dataset")
    parser.add_argument("--images-of-coco", metavar="FOLDER", help="the images of --coco")
    parser.add_argument("--images", type=int, default=367, help="images of a run")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--profile", action="store_true", help="print where one run's time goes")
    args = parser.parse_args()

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if args.coco:
        args.dataset = args.coco
        register_coco_instances(args.coco, {}, args.coco, args.images_of_coco)
    mapper = DatasetMapper(coco_settings() if args.coco else semantic_settings(), is_train=True)
    records = get_records(args.dataset)
    sampler = TrainingSampler(size=len(records), seed=0)

    def run() -> None:
        for position in range(args.images):
            mapper(records[sampler.index(position)], position_rng(0, position))

    run()  # reads the files into the page cache
    if args.profile:
        with cProfile.Profile() as profile:
            run()
        pstats.Stats(profile).sort_stats("tottime").print_stats(15)
        return
    speeds = []
    for _ in range(args.runs):
        start = time.perf_counter()
        run()
        speeds.append(args.images / (time.perf_counter() - start))
    print(
        f"{args.dataset}: best {max(speeds):.0f}, median {statistics.median(speeds):.0f} images/s "
        f"({args.runs} runs of {args.images})"
    )


if __name__ == "__main__":
    main()
