"""The names of the files of a run: each is spelled here, and everybody else asks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from segsuite.errors import DataError
from segsuite.utils.files import parse_json

_EVALUATION = "evaluation"
_LOG_OF_RANK = "log.rank{}.txt"


class RunFiles:
    """The paths of what a run has in its output folder, whether it is there or not.

    Attributes:
        folder: OUTPUT_DIR.
        config: the whole configuration, which runs again as it is.
        info: where the run comes from, see `run_info`.
        metrics: the figures over the iterations, a JSON object a line.
        report: the page about the run.
        final, best: weights after the last iteration, and those of the best evaluation.
        lock: held by the process that uses the folder.
        tensorboard, profile: folders of TensorBoard's files, and of traces.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        # Checkpoints need PyTorch, the names of an evaluation's files don't.
        from segsuite.checkpoint.checkpointer import BEST, FINAL

        self.folder = Path(folder)
        self.config = self.folder / "config.yaml"
        self.info = self.folder / "run_info.json"
        self.metrics = self.folder / "metrics.json"
        self.report = self.folder / "report.html"
        self.final = self.folder / f"{FINAL}.pth"
        self.best = self.folder / f"{BEST}.pth"
        self.lock = self.folder / ".lock"
        self.tensorboard = self.folder / "tensorboard"
        self.profile = self.folder / "profile"

    def log(self, rank: int = 0) -> Path:
        """The log of a process."""
        return self.folder / ("log.txt" if rank == 0 else _LOG_OF_RANK.format(rank))

    def logs(self) -> list[Path]:
        """The logs there are."""
        of_main = [self.log()] if self.log().exists() else []
        return of_main + sorted(self.folder.glob(_LOG_OF_RANK.format("*")))

    def trace(self, rank: int) -> Path:
        """The profiler's trace of a process."""
        return self.profile / f"rank{rank}.json"

    def nonfinite(self, iteration: int) -> Path:
        """The batch whose loss or gradient was not finite."""
        return self.folder / f"nonfinite_{iteration:07d}.pth"

    def checkpoints(self) -> list[Path]:
        """The checkpoints there are: those by iteration, ascending, then the best and the final."""
        from segsuite.checkpoint.checkpointer import Checkpointer

        periodic = Checkpointer(self.folder).periodic()[::-1]
        return [*periodic, *(path for path in (self.best, self.final) if path.exists())]

    def evaluation(self, dataset_name: str) -> EvaluationFiles:
        """What evaluations on a data set leave."""
        return EvaluationFiles(self.folder / _EVALUATION / dataset_name)

    def evaluations(self) -> list[EvaluationFiles]:
        """The folders of evaluations there are, by name."""
        folders = sorted(self.folder.glob(f"{_EVALUATION}/*"))
        return [EvaluationFiles(folder) for folder in folders if folder.is_dir()]


class EvaluationFiles:
    """The paths of what evaluators and the evaluation loop write into one folder.

    Attributes:
        folder: ``evaluation/<data set>`` of a run, or any.
        sem_seg: semantic figures, intervals, confusion matrix and calibration.
        image_counts: pixel counts of each image, see `load_image_counts`.
        coco, panoptic: figures of instances, and panoptic ones.
        coco_results: detections in COCO's results format.
        panoptic_results, panoptic_maps: the same of panoptic predictions: a file, and the folder
            of its PNG files.
        predictions: a folder of semantic predictions as PNG files.
        speed: where the time of the evaluation went.
        examples, examples_index: a folder of pictures, and the file that says what they are.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = Path(folder)
        self.sem_seg = self.folder / "sem_seg_evaluation.json"
        self.image_counts = self.folder / "image_counts.pt"
        self.predictions = self.folder / "predictions"
        self.coco = self.folder / "coco_evaluation.json"
        self.coco_results = self.folder / "coco_instances_results.json"
        self.panoptic = self.folder / "panoptic_evaluation.json"
        self.panoptic_results = self.folder / "panoptic_results.json"
        self.panoptic_maps = self.panoptic_results.with_suffix("")
        self.speed = self.folder / "speed.json"
        self.examples = self.folder / "examples"
        self.examples_index = self.examples / "examples.json"

    def slices(self, task: str) -> Path:
        """The figures of slices of a task as CSV."""
        return self.folder / f"slices_{task}.csv"

    def image_table(self, suffix: str) -> Path:
        """The semantic figures of each image, "csv" or "parquet"."""
        return self.folder / f"images.{suffix}"

    @property
    def figures(self) -> dict[str, Path]:
        """The files of figures by task; the instances' has several, the first is named."""
        return {"sem_seg": self.sem_seg, "bbox": self.coco, "panoptic_seg": self.panoptic}


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file of a run; empty where there is no file.

    Raises:
        DataError: it is no JSON object.
    """
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise DataError(f"{path} is damaged: it is not JSON ({error}); remove it") from None
    if not isinstance(content, dict):
        raise DataError(f"{path} is damaged: it holds a {type(content).__name__}, not an object")
    return content
