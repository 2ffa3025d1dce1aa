"""COCO's figures of a results file: segsuite with each engine beside the engines alone.

    python benchmarks/coco_evaluation.py [--annotations FILE] [--images N] [--repetitions N]
        [--model-images N]

The work: copies of the images of an instances file (by default the 80 of ../shared/data/coco_tiny)
with detections near their objects, some of another category, boxes and masks, in a results file.
Every run is a process of its own, by turns. Printed are medians, as a table in Markdown, and how
far the figures are apart.

--model-images adds the evaluation of a model that predicts 100 instances of each of so many images:
what `COCOEvaluator` takes in memory while it is fed, and at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TINY = ROOT.parent / "shared/data/coco_tiny/annotations/instances_val2017.json"
ENGINES = ("hotcoco", "faster_coco_eval", "pycocotools")
WAYS = [*(f"{engine} alone" for engine in ENGINES), *(f"segsuite, {engine}" for engine in ENGINES)]
PER_OBJECT = 9.6  # detections
MODEL_SIZE, MODEL_CLASSES = (480, 640), 80  # of the images that a model predicts
NAMES = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]
# Alone, the engines take the area of a detection from its box where the file has one, of masks too.
COMPARED = {"bbox": NAMES, "segm": ["AP", "AP50", "AP75", "AR1", "AR10", "AR100"]}


def make_work(annotations: Path, num_images: int, folder: Path) -> tuple[int, int]:
    """Write gt.json and results.json; the numbers of objects and of detections."""
    import numpy as np
    from pycocotools import mask as coco_mask

    content = json.loads(annotations.read_text())
    rng = np.random.default_rng(0)
    categories = [category["id"] for category in content["categories"]]
    of_image: dict[int, list[dict]] = {image["id"]: [] for image in content["images"]}
    for annotation in content["annotations"]:
        of_image[annotation["image_id"]].append(annotation)
    masks: dict[int, Any] = {}
    moved: dict[tuple[int, int, int], dict] = {}
    images, objects, results = [], [], []
    for number in range(num_images):
        image = content["images"][number % len(content["images"])]
        images.append({**image, "id": 1000 + 7 * number})
        size = (image["height"], image["width"])
        for annotation in of_image[image["id"]]:
            key = annotation["id"]
            objects.append({**annotation, "id": len(objects) + 1, "image_id": images[-1]["id"]})
            if key not in masks:
                rles = coco_mask.frPyObjects(annotation["segmentation"], *size)
                rle = coco_mask.merge(rles) if isinstance(rles, list) else rles
                masks[key] = coco_mask.decode(rle)
            for _ in range(rng.poisson(PER_OBJECT)):
                dy, dx = np.rint(rng.normal(0, 3, 2)).astype(int).tolist()
                if (key, dy, dx) not in moved:
                    mask = np.asfortranarray(np.roll(masks[key], (dy, dx), (0, 1)))
                    rle = coco_mask.encode(mask)
                    counts = rle["counts"].decode()
                    moved[key, dy, dx] = {"size": rle["size"], "counts": counts}
                own = rng.random() < 0.8
                results.append(
                    {
                        "image_id": images[-1]["id"],
                        "category_id": annotation["category_id"]
                        if own
                        else int(rng.choice(categories)),
                        "bbox": _moved_box(annotation["bbox"], rng),
                        "score": round(float(rng.random()), 4),
                        "segmentation": moved[key, dy, dx],
                    }
                )
    truth = {"images": images, "annotations": objects, "categories": content["categories"]}
    (folder / "gt.json").write_text(json.dumps(truth))
    (folder / "results.json").write_text(json.dumps(results))
    return len(objects), len(results)


def _moved_box(box: list[float], rng: Any) -> list[float]:
    x, y, w, h = box
    a, b, c, d = rng.normal(0, 0.08, 4).tolist()
    moved = (x + a * w, y + b * h, w * max(0.2, 1 + c), h * max(0.2, 1 + d))
    return [round(value, 2) for value in moved]


def peak_mib() -> float:
    """Of this process; what Linux tells by `getrusage` includes the one that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (x for x in status.read_text().splitlines() if x.startswith("VmHWM:"))
        return int(line.split()[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def evaluate(way: str, folder: Path) -> dict[str, Any]:
    """One way, in this process."""
    start = time.perf_counter()
    package, _, engine = way.partition(", ")
    if package == "segsuite":
        from segsuite.evaluation import COCOEvaluator as evaluator_class
    else:
        classes = _classes(package.removesuffix(" alone"))
    imported, memory = time.perf_counter(), peak_mib()
    truth, results = folder / "gt.json", folder / "results.json"
    figures: dict[str, list[float]] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        if package == "segsuite":
            evaluator = evaluator_class("benchmark", json_file=truth, engine=engine)
            of_tasks = evaluator.evaluate_file(results)
            figures = {task: [of_tasks[task][n] / 100 for n in NAMES] for task in of_tasks}
        else:
            coco_class, evaluation_class = classes
            gt = coco_class(str(truth))
            dt = gt.loadRes(str(results))
            for task in COMPARED:
                evaluation = evaluation_class(gt, dt, task)
                evaluation.evaluate()
                evaluation.accumulate()
                evaluation.summarize()
                figures[task] = list(map(float, evaluation.stats[: len(NAMES)]))
    seconds = time.perf_counter() - imported
    return {
        "import": imported - start,
        "seconds": seconds,
        "import_mib": memory,
        "mib": peak_mib(),
        "figures": figures,
    }


def _classes(engine: str) -> tuple[type, type]:
    if engine == "hotcoco":
        from hotcoco import COCO, COCOeval
    elif engine == "faster_coco_eval":
        from faster_coco_eval import COCO
        from faster_coco_eval import COCOeval_faster as COCOeval
    else:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    return COCO, COCOeval


def make_truth(num_images: int, folder: Path) -> None:
    """Images with 7 objects each."""
    size, num_classes = MODEL_SIZE, MODEL_CLASSES
    images = [
        {"id": i, "height": size[0], "width": size[1], "file_name": f"{i}.jpg"}
        for i in range(num_images)
    ]
    box = [100, 100, 150, 120]
    objects = [
        {"image_id": i // 7, "category_id": 1 + i % num_classes, "bbox": box, "area": 18000}
        | {"segmentation": [[100, 100, 250, 100, 250, 220, 100, 220]], "iscrowd": 0, "id": i}
        for i in range(7 * num_images)
    ]
    categories = [{"id": k, "name": str(k)} for k in range(1, num_classes + 1)]
    content = {"images": images, "annotations": objects, "categories": categories}
    (folder / "gt.json").write_text(json.dumps(content))


def evaluate_model(num_images: int, folder: Path) -> dict[str, Any]:
    """`COCOEvaluator` fed with 100 instances an image, in this process; memory as it goes."""
    start = time.perf_counter()
    import torch

    from segsuite.evaluation import COCOEvaluator
    from segsuite.structures import Boxes, Instances, ROIMasks

    imported, memory = time.perf_counter(), peak_mib()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    evaluator = COCOEvaluator("benchmark", json_file=folder / "gt.json", output_dir=folder)
    evaluator.reset()
    steps = []
    for i in range(num_images):
        corner = torch.rand(100, 2, generator=generator) * torch.tensor([400.0, 300.0])
        sides = 20 + 150 * torch.rand(100, 2, generator=generator)
        boxes = torch.cat([corner, corner + sides], dim=1)
        instances = Instances(
            MODEL_SIZE,
            pred_boxes=Boxes(boxes),
            scores=torch.rand(100, generator=generator),
            pred_classes=torch.randint(MODEL_CLASSES, (100,), generator=generator),
            pred_masks=ROIMasks(_blobs(100, generator), boxes, MODEL_SIZE),
        )
        record = {"image_id": i, "file_name": f"{i}.jpg"}
        evaluator.process([record], [{"instances": instances}])
        if (i + 1) % max(num_images // 4, 1) == 0:
            steps.append(f"{peak_mib():.0f}")
    evaluator.evaluate()
    return {
        "import": imported - start,
        "seconds": time.perf_counter() - imported,
        "import_mib": memory,
        "mib": peak_mib(),
        "steps": steps,
    }


def _blobs(number: int, generator: Any) -> Any:
    """(N, 28, 28) mask probabilities: round, with a ragged outline."""
    import torch

    line = torch.linspace(-1, 1, 28)
    radius = (line[:, None].square() + line.square()).sqrt()
    noise = torch.nn.functional.interpolate(
        torch.rand(number, 1, 6, 6, generator=generator), size=(28, 28), mode="bilinear"
    )
    return torch.sigmoid(8 * (0.6 - radius + 0.5 * noise[:, 0]))


def in_own_process(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def print_table(rows: dict[str, list[dict[str, Any]]]) -> None:
    print("| | import, s | evaluation, s | after import, MiB | peak, MiB |")
    print("|---|---|---|---|---|")
    for way, runs in rows.items():
        columns = {k: statistics.median(run[k] for run in runs) for k in runs[0] if k in _FORMATS}
        cells = [format(columns[key], form) for key, form in _FORMATS.items()]
        print(f"| {way} | {' | '.join(cells)} |")


_FORMATS = {"import": ".2f", "seconds": ".2f", "import_mib": ".0f", "mib": ".0f"}


def print_differences(rows: dict[str, list[dict[str, Any]]]) -> None:
    """How far all ways are from pycocotools alone, and segsuite's engines from each other."""
    figures = {way: runs[0]["figures"] for way, runs in rows.items()}
    reference = figures["pycocotools alone"]
    apart = max(
        abs(of_way[task][NAMES.index(name)] - reference[task][NAMES.index(name)])
        for of_way in figures.values()
        for task, names in COMPARED.items()
        for name in names
    )
    ours = [of_way for way, of_way in figures.items() if way.startswith("segsuite")]
    apart_here = max(
        abs(a - b)
        for other in ours[1:]
        for task in COMPARED
        for a, b in zip(ours[0][task], other[task], strict=True)
    )
    print(f"largest difference from pycocotools alone: {apart:.1e}")
    print(f"largest difference between segsuite's engines, all 12 figures: {apart_here:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--annotations", type=Path, default=TINY)
    parser.add_argument("--images", type=int, default=1200)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--model-images", type=int, default=0)
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)  # WAY FOLDER, in its own process
    parser.add_argument("--run-model", nargs=2, help=argparse.SUPPRESS)  # IMAGES FOLDER
    arguments = parser.parse_args()
    if arguments.run:
        print(json.dumps(evaluate(arguments.run[0], Path(arguments.run[1]))))
        return
    if arguments.run_model:
        print(json.dumps(evaluate_model(int(arguments.run_model[0]), Path(arguments.run_model[1]))))
        return
    with tempfile.TemporaryDirectory() as name:
        objects, detections = make_work(arguments.annotations, arguments.images, Path(name))
        size = (Path(name) / "results.json").stat().st_size
        print(
            f"{arguments.images} images, {objects:,} objects, {detections:,} detections "
            f"({size / 1e6:.0f} MB), boxes and masks; medians of {arguments.repetitions}\n"
        )
        rows: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
        for _ in range(arguments.repetitions):
            for way in WAYS:
                rows[way].append(in_own_process("--run", way, name))
    print_table(rows)
    print()
    print_differences(rows)
    if arguments.model_images:
        with tempfile.TemporaryDirectory() as name:
            make_truth(arguments.model_images, Path(name))
            of_model = in_own_process("--run-model", str(arguments.model_images), name)
        print(f"\n{arguments.model_images} images of a model, 100 instances each:\n")
        print_table({"segsuite, auto": [of_model]})
        print(f"\npeak MiB after each quarter of the images: {', '.join(of_model['steps'])}")


if __name__ == "__main__":
    main()
