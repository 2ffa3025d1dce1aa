"""Seconds and memory of reading annotations at the scale of COCO, and of the check before training.

    python benchmarks/data_scale.py /path/to/coco_tiny
    python benchmarks/data_scale.py /path/to/coco_tiny --copies 50 --runs 1

A file of 30,000 images and 264,375 annotations is made of 375 copies of coco_tiny's training set.
It is read by `json.load`, by orjson, and as a data set, first and again, each in a process of its
own; then by two training processes with four loader workers each. The check before training is
timed on it, first and again, and on label maps that are drawn from the same annotations. All that
is made goes away at the end.

Peak memory is the most that was resident, beyond what was before reading. Private memory is what no
other process shares, likewise, when all is read. Both are read from /proc, which Linux has.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAME = "benchmark"
# Files that are younger are not kept in the cache.
SETTLE = 2.5
WORKERS, PROCESSES, BATCHES = 4, 2, 100


def make_annotations(source: Path, copies: int, target: Path) -> tuple[int, int]:
    """Write `copies` times the images and annotations of a file, numbered anew."""
    content = json.loads(source.read_text())
    images, annotations = [], []
    for copy in range(copies):
        first = len(images)
        numbers = {image["id"]: first + i for i, image in enumerate(content["images"])}
        images += [{**image, "id": numbers[image["id"]]} for image in content["images"]]
        annotations += [
            {**a, "id": copy * len(content["annotations"]) + i, "image_id": numbers[a["image_id"]]}
            for i, a in enumerate(content["annotations"])
        ]
    made = {"images": images, "annotations": annotations, "categories": content["categories"]}
    target.write_text(json.dumps(made))
    return len(images), len(annotations)


def make_label_maps(json_file: Path, images: Path, copies: int, target: Path) -> None:
    """Folders of label maps of the objects' categories, and of their images, `copies` of each."""
    import numpy as np
    from PIL import Image

    from segsuite.data import load_coco_json
    from segsuite.structures.rle import decode_masks, to_rle

    for kind in ("originals", "images", "labels"):
        (target / kind).mkdir(parents=True)
    for record in load_coco_json(json_file, images):
        labels = np.full((record["height"], record["width"]), 255, np.uint8)
        for annotation in record["annotations"]:
            (mask,) = decode_masks(
                [to_rle(annotation["segmentation"], *labels.shape)], *labels.shape
            )
            labels[mask.numpy()] = annotation["category_id"]
        stem = Path(record["file_name"]).stem
        label_file = target / "originals" / f"{stem}.png"
        Image.fromarray(labels).save(label_file)
        for copy in range(copies):
            (target / "images" / f"{stem}_{copy}.jpg").symlink_to(record["file_name"])
            (target / "labels" / f"{stem}_{copy}.png").symlink_to(label_file)


def memory(name: str) -> int:
    """Of this process, "VmHWM", the most that was resident, or "Private_Dirty", what no other
    process shares; 0 where it can't be told. Of pages of a mapped file the system keeps one copy,
    however many processes read them."""
    file = "/proc/self/status" if name.startswith("Vm") else "/proc/self/smaps_rollup"
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith(name))


def measure(function: Callable[[], Any]) -> dict[str, float]:
    """Seconds and memory of a call; what it returns is kept meanwhile."""
    before, resident = memory("Private_Dirty"), memory("VmRSS")
    start = time.perf_counter()
    kept = function()
    seconds = time.perf_counter() - start
    private = memory("Private_Dirty") - before
    del kept
    return {"seconds": seconds, "peak": memory("VmHWM") - resident, "private": private}


def read_with_json(path: str) -> Any:
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def read_with_orjson(path: str) -> Any:
    import orjson

    with open(path, "rb") as file:
        return orjson.loads(file.read())


def register(json_file: str, images: str) -> None:
    from segsuite.data import register_coco_instances

    register_coco_instances(NAME, {}, json_file, images)


def check_instances() -> None:
    from segsuite.data import check_instance_dataset

    check_instance_dataset(NAME, num_classes=80)


def check_labels(folder: str) -> None:
    from segsuite.data import check_semantic_dataset, register_sem_seg_folder

    names = [str(i) for i in range(80)]
    register_sem_seg_folder("labels", f"{folder}/images", f"{folder}/labels", names)
    check_semantic_dataset("labels", num_classes=80, ignore_label=255)


class NotesMemory:
    """A mapper that makes each record whole and reads no image; it tells what a worker's private
    memory has grown by since its first record, at every 50th."""

    def __init__(self) -> None:
        self.number = 0
        self.first = 0

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        self.number += 1
        if self.number == 1:
            self.first = memory("Private_Dirty")
        grown = memory("Private_Dirty") - self.first if self.number % 50 == 0 else 0
        return {"grown": grown, "values": sum(map(len, record["annotations"]))}


def train(json_file: str, images: str, results: Any) -> None:
    """A training process: its loader, and some batches of its workers."""
    from segsuite.data import build_train_loader, get_records

    register(json_file, images)
    before = memory("Private_Dirty")
    start = time.perf_counter()
    loader = build_train_loader(
        get_records(NAME), mapper=NotesMemory(), batch_size=16, num_workers=WORKERS
    )
    private = memory("Private_Dirty") - before
    batches = iter(loader)
    grown = max(sample["grown"] for _ in range(BATCHES) for sample in next(batches))
    seconds = time.perf_counter() - start
    results.put({"seconds": seconds, "private": private, "worker": grown})


def train_twice(json_file: str, images: str) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    group = [
        context.Process(target=train, args=(json_file, images, results)) for _ in range(PROCESSES)
    ]
    for process in group:
        process.start()
    found = [results.get() for _ in group]
    for process in group:
        process.join()
    return {key: max(result[key] for result in found) for key in found[0]}


def run_alone(way: str, json_file: str, images: str, labels: str) -> dict[str, float]:
    """One measurement, in a process of its own."""
    if way == "json.load":
        return measure(lambda: read_with_json(json_file))
    if way == "orjson.loads":
        import orjson  # noqa: F401

        return measure(lambda: read_with_orjson(json_file))
    if way == "2 x 4 workers":
        return train_twice(json_file, images)

    from segsuite.data import get_records

    if way.startswith("check of label maps"):
        return measure(lambda: check_labels(labels))
    register(json_file, images)
    if way.startswith("check"):
        return measure(check_instances)
    return measure(lambda: get_records(NAME))


def start(way: str, *paths: Path, cache: str) -> dict[str, float]:
    command = [sys.executable, __file__, str(paths[0]), "--measure", way, *map(str, paths)]
    environment = {**os.environ, "SEGSUITE_CACHE": cache, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{way}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def row(name: str, runs: list[dict[str, float]]) -> str:
    def middle(key: str) -> float:
        return statistics.median(run[key] for run in runs)

    cells = [f"{middle('seconds'):9.2f}"]
    for key in ("peak", "private", "worker"):
        cells.append(f"{middle(key) / 1e6:9.0f}" if key in runs[0] else f"{'-':>9}")
    return f"{name:<32}" + "".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("coco", type=Path, help="a folder with annotations/ and train2017/")
    parser.add_argument("--copies", type=int, default=375, help="of the 80 images")
    parser.add_argument("--label-copies", type=int, default=25, help="of the 80 label maps")
    parser.add_argument("--runs", type=int, default=3, help="of which the median is printed")
    parser.add_argument(
        "--measure", nargs=4, metavar=("WAY", "JSON", "IMAGES", "LABELS"), help=argparse.SUPPRESS
    )
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(run_alone(*args.measure)))
        return

    source = args.coco / "annotations" / "instances_train2017.json"
    images = (args.coco / "train2017").resolve()
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        json_file, labels = made / "instances.json", made / "labels"
        os.environ["SEGSUITE_CACHE"] = "off"
        counts = make_annotations(source, args.copies, json_file)
        make_label_maps(source, images, args.label_copies, labels)
        time.sleep(SETTLE)
        size = json_file.stat().st_size / 1e6
        print(
            f"{counts[0]} images, {counts[1]} annotations, {size:.0f} MB of JSON; "
            f"{80 * args.label_copies} label maps"
        )
        print(f"{'':<32}{'seconds':>9}{'peak MB':>9}{'private':>9}{'a worker':>9}")
        paths = (json_file, images, labels)
        read: dict[str, list[dict[str, float]]] = {}
        # By turns, so that a disturbance of the machine falls on all of them.
        for number in range(args.runs):
            cache = str(made / f"cache{number}")
            for way in ("json.load", "orjson.loads", "first reading", "later reading"):
                read.setdefault(way, []).append(start(way, *paths, cache=cache))
            for way in ("check of images, first", "check of images, later"):
                read.setdefault(way, []).append(start(way, *paths, cache=cache))
            for way in ("check of label maps, first", "check of label maps, later"):
                read.setdefault(way, []).append(start(way, *paths, cache=cache))
        way = "2 x 4 workers"
        read[way] = [start(way, *paths, cache=str(made / "cache0")) for _ in range(args.runs)]
        for name, runs in read.items():
            print(row(name, runs))
        ratio = statistics.median(
            ours["seconds"] / theirs["seconds"]
            for ours, theirs in zip(read["first reading"], read["orjson.loads"], strict=True)
        )
        cached = sum(f.stat().st_size for f in (made / "cache0").rglob("*.columns")) / 1e6
        print(f"first reading / orjson.loads: {ratio:.2f}; the cache takes {cached:.0f} MB")


if __name__ == "__main__":
    main()
