"""Evaluation of instance segmentation and detection."""

from __future__ import annotations

import functools
import json
import logging
import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from segsuite.config import CfgNode, configurable
from segsuite.data.catalog import MetadataCatalog
from segsuite.errors import ConfigError, DataError
from segsuite.runs.files import EvaluationFiles
from segsuite.utils import comm
from segsuite.utils.record_name import record_name

from .base import DatasetEvaluator, check_distributed
from .coco_arrays import COCODetections, COCOObjects, COCOPart, split_images
from .coco_engine_choice import choose_engine
from .coco_files import COCOGroundTruth
from .coco_limits import check_limits
from .coco_metrics import limits, match, named_figures
from .coco_output import json_lines, write_figures, write_results
from .coco_results import detection_columns, read_coco_results, tasks_of_counts
from .coco_rules import COCORules, LVISRules, Rules, choose_rules
from .registry import EVALUATOR_REGISTRY
from .slices import Slices, slices_of
from .spool import Spool, Spooled

if TYPE_CHECKING:
    import torch

    from segsuite.structures import ImageMasks, Instances

    from .coco_analysis import COCOAnalysis

logger = logging.getLogger(__name__)


@EVALUATOR_REGISTRY.register(name="coco")
class COCOEvaluator(DatasetEvaluator):
    """COCO's average precision and recall of boxes and masks, and of the boundaries of masks.

    Predictions are ``{"instances": Instances}`` at the size of the image file, with `pred_boxes`,
    `scores`, `pred_classes` and, for masks, `pred_masks`: `ImageMasks` or (N, H, W) bool. They go
    to disk as they come, masks run-length encoded; the ground truth is read at the end.
    """

    _own_rules = "auto"

    @configurable
    def __init__(
        self,
        dataset_name: str,
        tasks: Sequence[str] | CfgNode | None = None,
        distributed: bool = True,
        output_dir: str | os.PathLike | None = None,
        *,
        json_file: str | os.PathLike | None = None,
        category_ids: Mapping[int, int] | None = None,
        num_classes: int | None = None,
        image_ids: Sequence[int] | None = None,
        engine: str = "auto",
        max_detections: Sequence[int] = (),
        detections_per_image: int | None = None,
        boundary_dilation_ratio: float | None = None,
        rules: str = "auto",
        slices: Slices | None = None,
        errors: bool | None = None,
    ):
        """
        Args:
            dataset_name: of a registered data set, or with `json_file` any name, for messages and
                files.
            tasks: "bbox", "segm" or both; None: masks too, where they are predicted. As in older
                code for Detectron2 a configuration: those of its model.
            distributed: False says that there is one process; the figures are of all anyway.
            output_dir: gets ``coco_instances_results.json``, the detections in COCO's results
                format, and ``coco_evaluation.json``, the figures and
                precision over recall.
            json_file: the ground truth, a COCO instances file. None: the data set's, or, where it
                has none, the annotations of its records.
            category_ids: id in `json_file` -> predicted class; None: the data set's, with
                `json_file` the ids counted in ascending order.
            num_classes: how many classes the model predicts, to compare with the categories.
            image_ids: of the images of the ground truth that count; None: all.
            engine: one of `coco_engine_choice.ENGINES`.
            max_detections: limits of the detections of an image and category at which figures are
                given beside those of COCO, which are at 100.
            detections_per_image: how many the model gives at most, for a warning where that is more
                than count, or less than there are objects.
            boundary_dilation_ratio: for Boundary AP, task "boundary", wherever there are masks: the
                width of the band along their outlines as a share of the image diagonal.
            rules: "coco", "lvis" (`engine` and `max_detections` have no part in these), or "auto":
                LVIS's where the ground truth says which categories its images do not have.
            slices: of the data set, whose figures are given, too.
            errors: tell errors by kind in ``coco_evaluation.json`` and in the log, see
                `ErrorEngine`. None: of a model's predictions, but not of a results file's.

        Raises:
            MissingFileError, DataError: the ground truth is missing or no instances file, or its
                categories are not those of `category_ids`.
            ConfigError: there are not `num_classes` of them; a limit is no positive whole number.
            ValueError: there are several processes, but `distributed` is False; no such task.
            UnknownNameError: no data set, or no rules, of that name.
        """
        check_distributed(distributed)
        self._dataset_name = dataset_name
        self._tasks = _check_tasks(tasks)
        engine, max_detections = choose_engine(engine), limits(check_limits(max_detections))
        self._detections_per_image = detections_per_image
        self._boundary_dilation_ratio = boundary_dilation_ratio
        self._slices, self._errors = slices, errors
        self._files = None if output_dir is None else EvaluationFiles(output_dir)
        metadata = MetadataCatalog.get(dataset_name)
        if json_file is None:
            json_file = metadata.get("json_file")
            image_ids = metadata.get("image_ids") if image_ids is None else image_ids
            if category_ids is None:
                category_ids = metadata.get("thing_dataset_id_to_contiguous_id")
        if json_file is not None:
            image_root = metadata.get("image_root")
            self._truth = COCOGroundTruth.read(json_file, image_ids, image_root)
        else:
            self._truth = COCOGroundTruth.of_records(dataset_name, image_ids)
        if category_ids is None:
            category_ids = {c: k for k, c in enumerate(self._truth.categories)}
        unknown = sorted(category_ids.keys() - self._truth.categories.keys())
        if unknown:
            raise DataError(
                f"category {unknown[0]} of data set '{dataset_name}' is not in {self._truth.path}"
            )
        if num_classes is not None and num_classes != len(category_ids):
            raise ConfigError(
                f"data set '{dataset_name}' has {len(category_ids)} classes, but "
                f"MODEL.ROI_HEADS.NUM_CLASSES is {num_classes}; set it to the data set's"
            )
        self._category_ids = {k: c for c, k in category_ids.items()}
        ratio = boundary_dilation_ratio or 0.0
        self._rules: Rules
        if choose_rules(self._own_rules if rules == "auto" else rules, self._truth) == "lvis":
            self._rules = LVISRules(self._truth, ratio)
        else:
            self._rules = COCORules(self._truth, engine, max_detections, ratio)
        self.reset()

    @classmethod
    def from_config(
        cls, cfg: CfgNode, dataset_name: str, output_dir: str | os.PathLike | None = None
    ) -> dict[str, Any]:
        return {
            "dataset_name": dataset_name,
            "tasks": _tasks_of_model(cfg),
            "num_classes": cfg.MODEL.ROI_HEADS.NUM_CLASSES,
            "engine": cfg.TEST.COCO_ENGINE,
            "max_detections": cfg.TEST.COCO_MAX_DETECTIONS,
            "detections_per_image": cfg.TEST.DETECTIONS_PER_IMAGE,
            "boundary_dilation_ratio": (
                cfg.TEST.INSTANCES.BOUNDARY_DILATION_RATIO
                if cfg.TEST.INSTANCES.BOUNDARY_AP
                else None
            ),
            "rules": cfg.TEST.INSTANCES.RULES,
            "slices": slices_of(cfg.TEST.SLICES, dataset_name),
            "errors": cfg.TEST.COCO_ERRORS,
            "output_dir": output_dir,
        }

    def reset(self) -> None:
        self._spool = Spool(None if self._files is None else self._files.folder)
        self._with_masks = False
        self._num_detections = self._num_masks = 0

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Write down the detections of a batch.

        Raises:
            DataError: the image is not in the ground truth or of another size there, or a score or
                a box is not finite.
            ConfigError: a class is not in the data set, or there are no masks.
        """
        for record, output in zip(inputs, outputs, strict=True):
            instances = output["instances"].to("cpu")
            with_masks = self._with_masks_of(record, instances)
            self._check(record, instances, with_masks)
            detections = self._detections(record["image_id"], instances, with_masks)
            self._spool.add(record["image_id"], json_lines(detections))
            self._with_masks |= with_masks
            self._num_detections += len(detections)
            self._num_masks += len(detections) * with_masks

    def evaluate(self) -> dict[str, dict[str, Any]]:
        """The figures of all processes' images, in percent.

        Returns:
            For each task ``{"AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100",
            "ARs", "ARm", "ARl", "AP-<class>"}``; NaN where the ground truth has nothing to find.
            With Boundary AP the tasks are "bbox", "segm" and "boundary". By LVIS's rules the
            figures are those of `lvis_figures`.

        Raises:
            DataError: an image was predicted twice.
        """
        images = self._spool.gather()
        gathered = comm.gather((self._with_masks, self._num_detections, self._num_masks))
        results = None
        if comm.is_main_process():
            self._warn_of_missing(set(images.image_ids))
            if self._files is not None:
                write_results(self._files.coco_results, images)
            tasks = self._tasks or self._predicted_tasks(*map(sum, zip(*gathered, strict=True)))
            results = self._compare(
                tasks,
                functools.partial(self._parts, images),
                self._detections_per_image,
                errors=self._errors is not False,
            )
        return comm.broadcast_object(results)

    def _predicted_tasks(self, with_masks: int, total: int, num_masks: int) -> list[str]:
        """
        Args:
            with_masks: how many processes had predictions with masks, perhaps of no detection.
            total, num_masks: how many detections there are, and how many have a mask.
        """
        if not total:
            return ["bbox", "segm"] if with_masks else ["bbox"]
        return tasks_of_counts(total, total, num_masks, f"data set '{self._dataset_name}'")

    def _warn_of_missing(self, predicted: set[Any]) -> None:
        missing = self._truth.sizes.keys() - predicted
        if missing:
            first = next(i for i in self._truth.index.image_ids if i in missing)
            logger.warning(
                "%s: %d of the %d images in %s were not predicted, the first is %s; their "
                "objects count as missed",
                *(self._dataset_name, len(missing), len(self._truth.sizes)),
                *(self._truth.path, first),
            )

    def reads_file(self, content_start: str) -> bool:
        return content_start == "["

    def evaluate_file(self, path: str | os.PathLike) -> dict[str, dict[str, Any]]:
        """The figures of a results file: `coco_instances_results.json`, or any tool's.

        Tasks are those that the file has boxes or masks for.

        Raises:
            MissingFileError, DataError: see `read_coco_results`.
        """
        results = None
        if comm.is_main_process():
            detections, tasks = read_coco_results(path, self._truth.index)
            results = self._compare(
                tasks,
                lambda objects: split_images(self._truth.index.sizes, objects, detections),
                errors=bool(self._errors),
            )
        return comm.broadcast_object(results)

    def _with_masks_of(self, record: dict[str, Any], instances: Instances) -> bool:
        """Whether the masks of a prediction are evaluated."""
        has_masks = instances.has("pred_masks")
        if self._tasks is None:
            return has_masks
        if "segm" in self._tasks and not has_masks:
            raise ConfigError(
                f"{record_name(record)}: masks of data set '{self._dataset_name}' are to be "
                "evaluated, but the model predicts none; set MODEL.MASK_ON to what the model is"
            )
        return "segm" in self._tasks

    def _check(self, record: dict[str, Any], instances: Instances, with_masks: bool) -> None:
        name = record_name(record)
        size = self._truth.sizes.get(record["image_id"])
        if size is None:
            raise DataError(
                f"{name}: image_id {record['image_id']!r} of data set '{self._dataset_name}' is "
                f"not in {self._truth.path}"
            )
        if instances.image_size != size:
            (height, width), (true_height, true_width) = instances.image_size, size
            raise DataError(
                f"{name} was predicted at {height} x {width} (height x width), but is "
                f"{true_height} x {true_width} in {self._truth.path}; predictions are compared at "
                "the size given there"
            )
        classes = instances.pred_classes
        if len(classes) and (classes.min() < 0 or int(classes.max()) not in self._category_ids):
            raise ConfigError(
                f"{name}: class {int(classes.max())} was predicted, but data set "
                f"'{self._dataset_name}' has {len(self._category_ids)} classes; set "
                "MODEL.ROI_HEADS.NUM_CLASSES to the data set's"
            )
        if not (instances.scores.isfinite().all() and instances.pred_boxes.tensor.isfinite().all()):
            raise DataError(f"{name}: a score or a box that was predicted is not finite")
        if with_masks and _mask_size(instances.pred_masks) != size:
            height, width = _mask_size(instances.pred_masks)
            raise DataError(
                f"{name}: pred_masks are masks of {height} x {width} pixels (height x width), the "
                f"image has {size[0]} x {size[1]}"
            )

    def _detections(
        self, image_id: int | str, instances: Instances, with_masks: bool
    ) -> list[dict[str, Any]]:
        # PyTorch, and what needs it, is imported where there are predictions: a file of results is
        # evaluated without it in a fraction of the time and memory.
        from segsuite.structures import ImageMasks, encode_masks

        corners = instances.pred_boxes.tensor.double().clone()
        corners[:, 2:] -= corners[:, :2]
        detections = [
            {"image_id": image_id, "category_id": self._category_ids[k], "bbox": b, "score": s}
            for k, b, s in zip(
                instances.pred_classes.tolist(),
                corners.tolist(),
                instances.scores.tolist(),
                strict=True,
            )
        ]
        if with_masks:
            masks = instances.pred_masks
            masks = masks.rle() if isinstance(masks, ImageMasks) else encode_masks(masks)
            for detection, rle in zip(detections, masks, strict=True):
                detection["segmentation"] = rle
        return detections

    def _compare(
        self,
        tasks: Sequence[str],
        parts_of: Callable[[COCOObjects], Iterable[COCOPart]],
        detections_per_image: int | None = None,
        *,
        errors: bool,
    ) -> dict[str, Any]:
        """The figures by task; none where there is nothing to compare with.

        Args:
            parts_of: gives all images, with these objects and what was detected.
            errors: whether errors are told by kind.
        """
        truth = self._truth
        if not truth.is_annotated:
            logger.warning(
                "%s: %s has no annotations, as lists of test images have none, so there are no "
                "figures%s",
                *(self._dataset_name, truth.path),
                "" if self._files is None else f"; results are in {self._files.folder}",
            )
            return {}
        objects = truth.objects()
        for text in self._rules.limit_warnings(objects, detections_per_image):
            logger.warning("%s", text)
        if self._boundary_dilation_ratio is not None and "segm" in tasks:
            tasks = [*tasks, "boundary"]
        return self._figures(parts_of(objects), tasks, errors)

    def _parts(self, images: Spooled, objects: COCOObjects) -> Iterator[COCOPart]:
        """What was predicted, with the ground truth, a few images at a time."""
        index = self._truth.index
        numbers = [index.image_numbers.exact[image_id] for image_id in images.image_ids]

        def detections(first: int, last: int) -> COCODetections:
            some = images[bisect_left(numbers, first) : bisect_left(numbers, last)]
            text = ",".join(text for _, text in some if text)
            return detection_columns(json.loads(f"[{text}]"), index, check_masks=False)

        return split_images(index.sizes, objects, detections)

    def _figures(
        self, parts: Iterable[COCOPart], tasks: Sequence[str], errors: bool
    ) -> dict[str, Any]:
        analysis = self._analysis(tasks, errors)
        if analysis is not None:
            parts = analysis.watch(parts)
        curves = match(parts, {task: self._rules.build_engine(task) for task in tasks})
        of_tasks = {task: self._rules.figures_of(of_task) for task, of_task in curves.items()}
        names = {c: self._truth.categories[c] for _, c in sorted(self._category_ids.items())}
        results: dict[str, dict[str, Any]] = {
            task: named_figures(figures, names) for task, figures in of_tasks.items()
        }
        further: dict[str, Any] = {}
        if analysis is not None:
            further = analysis.content(
                self._dataset_name, lambda c: named_figures(self._rules.figures_of(c), names)
            )
        if self._files is not None:
            facts = {"dataset": self._dataset_name, **self._rules.settings}
            write_figures(self._files, facts, results, of_tasks, further)
        for task, of_task in further.get("slices", {}).items():
            results[task]["slices"] = of_task
        return results

    def _analysis(self, tasks: Sequence[str], errors: bool) -> COCOAnalysis | None:
        """What looks at the images besides, if anything is asked for beside the figures."""
        errors &= isinstance(self._rules, COCORules)  # LVIS does not say what all is in its images
        if not errors and self._slices is None:
            return None
        from .coco_analysis import COCOAnalysis

        return COCOAnalysis(self._truth, self._rules, tasks, errors=errors, slices=self._slices)


def _check_tasks(tasks: Sequence[str] | CfgNode | None) -> list[str] | None:
    if isinstance(tasks, CfgNode):
        return _tasks_of_model(tasks)
    if tasks is None:
        return None
    if isinstance(tasks, str) or not tasks or not {"bbox", "segm"}.issuperset(tasks):
        raise ValueError(f"tasks is {tasks!r}; expected ('bbox',), ('segm',) or ('bbox', 'segm')")
    return list(tasks)


def _tasks_of_model(cfg: CfgNode) -> list[str]:
    return ["bbox", "segm"] if cfg.MODEL.MASK_ON else ["bbox"]


def _mask_size(masks: ImageMasks | torch.Tensor) -> tuple[int, int]:
    from segsuite.structures import ImageMasks

    if isinstance(masks, ImageMasks):
        return masks.image_size
    height, width = masks.shape[-2:]
    return height, width
