"""Evaluation of semantic segmentation."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from segsuite.config import CfgNode, configurable
from segsuite.data.catalog import MetadataCatalog, label_names
from segsuite.data.sem_seg import read_sem_seg
from segsuite.errors import ConfigError, DataError
from segsuite.runs.files import EvaluationFiles
from segsuite.structures import SemSegPrediction, as_sem_seg, num_labels
from segsuite.utils import comm
from segsuite.utils.files import write_json
from segsuite.utils.record_name import record_name

from .base import DatasetEvaluator, check_distributed
from .boundary import boundary_confusion_matrix, boundary_iou
from .calibration import NUM_BINS, calibration_counts, calibration_figures
from .image_counts import ImageCounts, save_image_counts
from .image_tables import check_table_format, image_columns, worst_images, write_table
from .metrics import averaged_labels, check_rule, sem_seg_metrics
from .registry import EVALUATOR_REGISTRY
from .sem_seg_slices import figure_intervals, sem_seg_slices
from .slice_figures import SliceFigures, write_slices
from .slices import Slices, slices_of

logger = logging.getLogger(__name__)


@EVALUATOR_REGISTRY.register(name="sem_seg")
class SemSegEvaluator(DatasetEvaluator):
    """IoU, accuracy and Dice of semantic predictions, by class and in the mean.

    Of a data set that names one class, label maps hold 0 for background and 1 for the class. The
    figures of both are given, and the means are those of the class alone: that most of an image is
    background, and found, says little.

    What is kept is one confusion matrix on the predictions' device, which processes add up at the
    end; where files are written, each image's pixel counts too. Predictions are ``{"sem_seg":
    SemSegPrediction}``, or at the size of the ground truth logits (K, H, W), floating point, or
    labels (H, W), integer, of which there is no calibration. The ground truth is the record's
    ``sem_seg_gt``, (H, W) integers at the size of the prediction, else it is read from its
    ``sem_seg_file_name``.
    """

    @configurable
    def __init__(
        self,
        dataset_name: str,
        distributed: bool = True,
        output_dir: str | os.PathLike | None = None,
        *,
        class_names: Sequence[str] | None = None,
        ignore_index: int | None = None,
        label_map: Mapping[int, int] | None = None,
        absent_classes: str = "detectron2",
        boundary_dilation_ratio: float | None = None,
        save_predictions: bool = False,
        image_table: str = "",
        slices: Slices | None = None,
        colors: Sequence[tuple[int, int, int]] | None = None,
    ):
        """
        Args:
            dataset_name: of a registered data set, which has the facts that are not given here; or
                with `class_names` any name, for messages and files.
            distributed: False says that there is one process; the figures are of all anyway.
            output_dir: gets ``sem_seg_evaluation.json`` (figures, intervals of IoU, confusion
                matrix, calibration) and ``image_counts.pt`` (see `load_image_counts`).
            class_names: of the classes 0 .. K - 1; None: the data set's. A single one is label 1.
            ignore_index: label of the pixels that do not count; None: the data set's, else 255.
            label_map: stored value -> label, where the ground truth is read from files; None: the
                data set's.
            absent_classes: a key of `metrics.ABSENT_CLASS_RULES`.
            boundary_dilation_ratio: width of the band of boundary IoU as a share of the image
                diagonal; None: no boundary IoU.
            save_predictions: write ``predictions/<image_id>.png`` there too, class ids as an 8-bit
                palette PNG (16-bit grey for more than 256 classes).
            image_table: "csv" or "parquet": write the figures of each image there too; "": don't.
            slices: of the data set, whose figures are given, too.
            colors: RGB of each class, for the palette; None: the data set's.

        Raises:
            ValueError: there are several processes, but `distributed` is False.
            UnknownNameError: there is no such rule.
            ConfigError, MissingPackageError: see `check_table_format`.
            AttributeError: neither `class_names` nor the data set's are known.
        """
        check_distributed(distributed)
        check_rule(absent_classes)
        check_table_format(image_table)
        metadata = MetadataCatalog.get(dataset_name)
        if class_names is None:
            class_names = metadata.stuff_classes
        if ignore_index is None:
            ignore_index = metadata.get("ignore_label", 255)
        if colors is None:
            colors = metadata.semantic_colors() if metadata.get("stuff_classes") else ()
        self._dataset_name = dataset_name
        self._class_names = label_names(class_names)
        self._averaged = averaged_labels(class_names)
        self._ignore_index: int = ignore_index
        self._label_map = metadata.get("label_map") if label_map is None else label_map
        self._absent_classes = absent_classes
        self._boundary_dilation_ratio = boundary_dilation_ratio
        self._files = None if output_dir is None else EvaluationFiles(output_dir)
        self._predictions = self._files.predictions if self._files and save_predictions else None
        self._image_table, self._slices = image_table, slices
        self._colors = [tuple(color) for color in colors]
        self.reset()

    @classmethod
    def from_config(
        cls, cfg: CfgNode, dataset_name: str, output_dir: str | os.PathLike | None = None
    ) -> dict[str, Any]:
        metadata = MetadataCatalog.get(dataset_name)
        num_classes = cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
        if len(metadata.semantic_labels()) != num_labels(num_classes):
            raise ConfigError(
                f"data set '{dataset_name}' has {len(metadata.stuff_classes)} classes, but "
                f"MODEL.SEM_SEG_HEAD.NUM_CLASSES is {num_classes}; set it to the data set's"
            )
        test = cfg.TEST.SEM_SEG
        return {
            "dataset_name": dataset_name,
            "absent_classes": test.ABSENT_CLASSES,
            "boundary_dilation_ratio": test.BOUNDARY_DILATION_RATIO if test.BOUNDARY_IOU else None,
            "output_dir": output_dir,
            "save_predictions": test.SAVE_PREDICTIONS,
            "image_table": test.IMAGE_TABLE,
            "slices": slices_of(cfg.TEST.SLICES, dataset_name),
        }

    @property
    def _num_classes(self) -> int:
        return len(self._class_names)

    def reset(self) -> None:
        size = (self._num_classes + 1,) * 2
        self._matrix = torch.zeros(size, dtype=torch.int64)
        self._boundary_matrix = torch.zeros(size, dtype=torch.int64)
        self._image_counts = ImageCounts()
        self._calibration = torch.zeros(NUM_BINS, 3, dtype=torch.int64)

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Count the pixels of a batch.

        Raises:
            DataError: the ground truth is missing, of another size, or holds a label that is no
                class.
            ConfigError: the prediction has another number of classes.
            ValueError: the prediction is of another shape or type.
        """
        for record, output in zip(inputs, outputs, strict=True):
            prediction = _as_prediction(output["sem_seg"], record)
            target = self._ground_truth(record)
            self._check(record, prediction, target)
            self._count(record, prediction, target.to(prediction.device, non_blocking=True))
            if self._predictions is not None:
                path = self._predictions / f"{record['image_id']}.png"
                self._write_prediction(path, prediction)

    def _count(
        self,
        record: dict[str, Any],
        prediction: SemSegPrediction,
        target: torch.Tensor,
    ) -> None:
        device = target.device
        num_classes, ignored = self._num_classes, self._ignore_index
        matrix = prediction.confusion(target, num_classes, ignore_index=ignored)
        self._matrix = self._matrix.to(device) + matrix
        boundary = self._count_boundary(prediction, target)
        if self._keeps_images:
            name = record.get("file_name", "")
            self._image_counts.add(record.get("image_id", name), name, matrix, boundary)
            if prediction.has_confidence:
                self._calibration = self._calibration.to(device) + calibration_counts(
                    prediction, target, ignore_index=ignored
                )
        # On a GPU this would wait for it; there `evaluate` looks.
        if device.type == "cpu" and self._matrix[-1].any():
            raise DataError(self._outside_message(record, target))

    def _count_boundary(
        self, prediction: SemSegPrediction, target: torch.Tensor
    ) -> torch.Tensor | None:
        """The matrix of an image's bands, which is added to that of all; None where none is."""
        if self._boundary_dilation_ratio is None:
            return None
        matrix = boundary_confusion_matrix(
            prediction.labels(),
            target,
            self._num_classes,
            ignore_index=self._ignore_index,
            dilation_ratio=self._boundary_dilation_ratio,
        )
        self._boundary_matrix = self._boundary_matrix.to(matrix.device) + matrix
        return matrix

    def evaluate(self) -> dict[str, dict[str, Any]]:
        """The figures of all processes' images, in percent, NaN for classes left out by the rule.

        Returns:
            ``{"sem_seg": {"mIoU", "fwIoU", "mACC", "pACC", "mDice", "IoU-<class>", "ACC-<class>",
            "Dice-<class>", "absent_classes"}}``, with boundary IoU ``"mBIoU"`` and
            ``"BIoU-<class>"`` too. ``absent_classes`` is the rule, as text: the means are not
            comparable without it. Where the data set names one class ``means`` says so. With slices
            also ``slices``, see `SliceFigures`.

        Raises:
            DataError: the ground truth holds labels that are no classes.
        """
        # Stacking copies: what was counted here stays as it is.
        matrix, boundary_matrix = comm.all_reduce_sum_(
            torch.stack([self._matrix, self._boundary_matrix.to(self._matrix.device)])
        ).cpu()
        outside = int(matrix[-1].sum())
        if outside:
            raise DataError(
                f"{outside} pixels of data set '{self._dataset_name}' have labels that are neither "
                f"classes (0 to {self._num_classes - 1}) nor {self._ignore_index}, the ignored "
                "one; segsuite.data.check_semantic_dataset names the files"
            )
        not_finite = int(matrix[:, -1].sum())
        if not_finite:
            logger.warning(
                "%s: %d pixels have NaN logits, or are predicted as no class, and count as wrong",
                *(self._dataset_name, not_finite),
            )
        rule, averaged = self._absent_classes, self._averaged
        metrics = sem_seg_metrics(matrix, absent_classes=rule, averaged=averaged)
        figures = metrics.named(self._class_names)
        if self._boundary_dilation_ratio is not None:
            biou = boundary_iou(boundary_matrix, absent_classes=rule)
            figures["mBIoU"] = biou[averaged].nanmean()
            named = zip(self._class_names, biou, strict=True)
            figures |= {f"BIoU-{name}": value for name, value in named}
        results: dict[str, Any] = {name: 100 * value.item() for name, value in figures.items()}
        results["absent_classes"] = rule
        if len(averaged) < self._num_classes:
            (name,) = (self._class_names[k] for k in averaged)
            results["means"] = f"of {name} alone; the figures of background stand beside them"
        if self._keeps_images:
            images = self._image_counts.gather()
            calibration = comm.all_reduce_sum_(self._calibration.clone())
            by_slice = None
            if comm.is_main_process():
                by_slice = self._by_slice(images)
                self._write(results, matrix, calibration, images, by_slice)
            by_slice = comm.broadcast_object(by_slice)
            if by_slice is not None:
                results["slices"] = by_slice
        return {"sem_seg": results}

    @property
    def _keeps_images(self) -> bool:
        return self._files is not None or self._slices is not None

    def _by_slice(self, images: dict[str, Any]) -> SliceFigures | None:
        if self._slices is None:
            return None
        options = (self._class_names, self._absent_classes, self._averaged)
        return sem_seg_slices(self._slices, images, *options)

    def _write(
        self,
        results: dict[str, Any],
        matrix: torch.Tensor,
        calibration: torch.Tensor,
        images: dict[str, Any],
        by_slice: SliceFigures | None,
    ) -> None:
        if self._files is None:
            return
        save_image_counts(self._files.image_counts, images)
        classes, options = self._class_names, (self._absent_classes, self._averaged)
        content = {
            "dataset": self._dataset_name,
            "classes": classes,
            "averaged": self._averaged,
            "results": {k: None if v != v else v for k, v in results.items()},  # JSON has no NaN
            "confusion_matrix": matrix.tolist(),
            "calibration": calibration_figures(calibration),
            "intervals": figure_intervals(images["counts"], classes, *options),
            "worst_images": worst_images(images, classes),
        }
        if by_slice is not None:
            content["slices"] = by_slice
            write_slices(self._files.slices("sem_seg"), by_slice)
        write_json(self._files.sem_seg, content)
        if self._image_table and images["counts"] is not None:
            columns = image_columns(images, classes, self._averaged, self._slices)
            write_table(self._files.image_table(self._image_table), columns)

    def _ground_truth(self, record: dict[str, Any]) -> torch.Tensor:
        if "sem_seg_gt" in record:
            return record["sem_seg_gt"]
        if "sem_seg_file_name" not in record:
            raise DataError(
                f"{record_name(record)} has no label map (no sem_seg_file_name in its record), so "
                "its prediction can't be evaluated; leave it out of data set "
                f"'{self._dataset_name}'"
            )
        return torch.from_numpy(read_sem_seg(record["sem_seg_file_name"], self._label_map))

    def _check(
        self,
        record: dict[str, Any],
        prediction: SemSegPrediction,
        target: torch.Tensor,
    ) -> None:
        if prediction.num_labels not in (None, self._num_classes):
            raise ConfigError(
                f"the model predicts {prediction.num_labels} classes, data set "
                f"'{self._dataset_name}' has {self._num_classes}; set "
                f"MODEL.SEM_SEG_HEAD.NUM_CLASSES to {len(self._averaged)}, the data set's"
            )
        if tuple(prediction.size) != tuple(target.shape):
            (height, width), (label_height, label_width) = prediction.size, target.shape
            raise DataError(
                f"{record_name(record)} is {height} x {width} (height x width) but its label map "
                f"{_label_map_name(record)} is {label_height} x "
                f"{label_width}; both must be of one size"
            )

    def _outside_message(self, record: dict[str, Any], target: torch.Tensor) -> str:
        outside = (target != self._ignore_index) & ((target >= self._num_classes) | (target < 0))
        values, counts = target[outside].unique(return_counts=True)
        found = ", ".join(f"{v} ({n} pixels)" for v, n in zip(values, counts, strict=True))
        return (
            f"label map {_label_map_name(record)} holds {found}; data set '{self._dataset_name}' "
            f"has classes 0 to {self._num_classes - 1} and {self._ignore_index} for ignored "
            "pixels. Fix the file, or give the data set a label_map"
        )

    def _write_prediction(self, path: Path, prediction: SemSegPrediction) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        labels = prediction.labels().cpu().numpy()
        if self._num_classes > 255:
            Image.fromarray(labels.astype("uint16")).save(path)
            return
        image = Image.fromarray(labels.astype("uint8"))
        if self._colors:
            image.putpalette([value for color in self._colors for value in color])
        image.save(path)


def _as_prediction(
    sem_seg: SemSegPrediction | torch.Tensor, record: dict[str, Any]
) -> SemSegPrediction:
    try:
        return as_sem_seg(sem_seg)
    except ValueError as error:
        raise ValueError(f"{record_name(record)}: {error}") from error


def _label_map_name(record: dict[str, Any]) -> str:
    return str(record.get("sem_seg_file_name", f"of {record_name(record)}"))
