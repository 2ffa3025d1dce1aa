"""Evaluation of panoptic segmentation."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from typing import Any

import torch

from segsuite.config import CfgNode, configurable
from segsuite.data.catalog import DatasetCatalog, MetadataCatalog
from segsuite.data.panoptic import write_panoptic
from segsuite.errors import ConfigError, DataError
from segsuite.runs.files import EvaluationFiles
from segsuite.utils import comm
from segsuite.utils.files import write_json
from segsuite.utils.record_name import record_name

from .base import DatasetEvaluator, DatasetEvaluators
from .coco import COCOEvaluator
from .panoptic_files import PanopticGroundTruth, read_panoptic_results
from .panoptic_metrics import (
    CROWD_RULES,
    PanopticSegment,
    check_crowd_rule,
    panoptic_counts,
)
from .panoptic_slices import named_figures, panoptic_slices
from .registry import EVALUATOR_REGISTRY
from .sem_seg import SemSegEvaluator
from .slice_figures import SliceFigures, write_slices
from .slices import Slices, slices_of
from .spool import Spool

logger = logging.getLogger(__name__)


class PanopticEvaluator(DatasetEvaluator):
    """Panoptic quality, by category and in the mean over all, over things and over stuff.

    Predictions are ``{"panoptic_seg": (segmentation, segments_info)}``: the ids of segments (H, W)
    int32 at the size of the image file, 0 for none, and dicts with ``id``, ``isthing`` and
    ``category_id``, the thing or stuff class. Figures are summed up image by image; results go to
    disk as they come.
    """

    @configurable
    def __init__(
        self,
        dataset_name: str,
        output_dir: str | os.PathLike | None = None,
        *,
        panoptic_json: str | os.PathLike | None = None,
        panoptic_root: str | os.PathLike | None = None,
        thing_ids: Mapping[int, int] | None = None,
        stuff_ids: Mapping[int, int] | None = None,
        crowds: str = "panopticapi",
        boundary_dilation_ratio: float | None = None,
        slices: Slices | None = None,
    ):
        """
        Args:
            dataset_name: of a registered data set, which has the facts that are not given here; or
                any name, for messages and files.
            output_dir: gets ``panoptic_results.json`` and the folder ``panoptic_results``, the
                predictions in COCO's format, and ``panoptic_evaluation.json``, the figures.
            panoptic_json, panoptic_root: the ground truth in COCO's panoptic format.
            thing_ids, stuff_ids: category id -> predicted class.
            crowds: a key of `panoptic_metrics.CROWD_RULES`.
            boundary_dilation_ratio: width of the band of boundary PQ as a share of the image
                diagonal; None: no boundary PQ.
            slices: of the data set, whose figures are given, too.

        Raises:
            UnknownNameError: there is no such rule.
            MissingFileError, DataError: see `PanopticGroundTruth.read`; or a category of
                `thing_ids` or `stuff_ids` is not in the file.
            AttributeError: something is neither given nor known of the data set.
        """
        check_crowd_rule(crowds)
        metadata = MetadataCatalog.get(dataset_name)
        if panoptic_json is None:
            panoptic_json = metadata.panoptic_json
        if panoptic_root is None:
            panoptic_root = metadata.panoptic_root
        if thing_ids is None:
            thing_ids = metadata.thing_dataset_id_to_contiguous_id
        if stuff_ids is None:
            stuff_ids = metadata.stuff_dataset_id_to_contiguous_id
        self._dataset_name = dataset_name
        self._crowds, self._slices = crowds, slices
        # The figures beside PQ by the letter before their names, and what they count.
        self._ratios: dict[str, float | None] = {"": None}
        if boundary_dilation_ratio is not None:
            self._ratios["B"] = boundary_dilation_ratio
        self._files = None if output_dir is None else EvaluationFiles(output_dir)
        self._truth = PanopticGroundTruth.read(panoptic_json, panoptic_root)
        self._category_ids: dict[tuple[bool, int], int] = {}
        for is_thing, ids in ((True, thing_ids), (False, stuff_ids)):
            for category, predicted in ids.items():
                if category not in self._truth.indices:
                    raise DataError(
                        f"category {category} of data set '{dataset_name}' is not in "
                        f"{panoptic_json}"
                    )
                self._category_ids[is_thing, predicted] = category
        self.reset()

    @classmethod
    def from_config(
        cls, cfg: CfgNode, dataset_name: str, output_dir: str | os.PathLike | None = None
    ) -> dict[str, Any]:
        test = cfg.TEST.PANOPTIC
        return {
            "dataset_name": dataset_name,
            "output_dir": output_dir,
            "crowds": test.CROWDS,
            "boundary_dilation_ratio": test.BOUNDARY_DILATION_RATIO if test.BOUNDARY_PQ else None,
            "slices": slices_of(cfg.TEST.SLICES, dataset_name),
        }

    def reset(self) -> None:
        self._spool = Spool(None if self._files is None else self._files.folder)
        size = len(self._ratios), len(self._truth.names), 4
        self._counts = torch.zeros(size, dtype=torch.float64)
        self._image_counts: dict[Any, torch.Tensor] = {}  # where there are slices

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Match the segments of a batch, and write down what was predicted.

        Raises:
            DataError: the image is not in the ground truth, or its files or the prediction
                contradict themselves.
            ConfigError: a class is not in the data set.
        """
        for record, output in zip(inputs, outputs, strict=True):
            image_id = record["image_id"]
            name = record_name(record)
            if image_id not in self._truth.images:
                raise DataError(
                    f"{name}: image_id {image_id!r} of data set '{self._dataset_name}' is not in "
                    f"{self._truth.json_file}"
                )
            segmentation, segments_info = output["panoptic_seg"]
            segmentation = segmentation.cpu()
            infos = [
                {"id": s["id"], "category_id": self._category_id(s, name)} for s in segments_info
            ]
            segments = {
                i["id"]: PanopticSegment(self._truth.indices[i["category_id"]]) for i in infos
            }
            self._count(image_id, name, segmentation, segments)
            png = self._truth.images[image_id][0]
            if self._files is not None:
                path = self._files.panoptic_maps / png
                path.parent.mkdir(parents=True, exist_ok=True)
                write_panoptic(path, segmentation.numpy())
            annotation = {"image_id": image_id, "file_name": png, "segments_info": infos}
            self._spool.add(image_id, json.dumps(annotation))

    def evaluate(self) -> dict[str, dict[str, Any]]:
        """The figures of all processes' images, in percent.

        Returns:
            ``{"panoptic_seg": {"PQ", "SQ", "RQ", "PQ_th", "SQ_th", "RQ_th", "PQ_st", "SQ_st",
            "RQ_st", "PQ-<class>", "SQ-<class>", "RQ-<class>", "crowds"}}``, th for things, st for
            stuff; NaN for categories that are neither in the ground truth nor predicted. Boundary
            figures are the same with a B before: ``"BPQ"``. The last is the rule, as text.

        Raises:
            DataError: an image was predicted twice.
        """
        annotations = [json.loads(text) for _, text in self._spool.gather()]
        counts = comm.gather((self._counts, self._image_counts))
        results = None
        if comm.is_main_process():
            if self._files is not None:
                write_json(self._files.panoptic_results, {"annotations": annotations})
            done = {annotation["image_id"] for annotation in annotations}
            of_images = {i: c for _, of_process in counts for i, c in of_process.items()}
            results = self._figures(torch.stack([c for c, _ in counts]).sum(0), of_images, done)
        return comm.broadcast_object(results)

    def reads_file(self, content_start: str) -> bool:
        return content_start == "{"

    def evaluate_file(self, path: str | os.PathLike) -> dict[str, dict[str, Any]]:
        """The figures of a results file, `panoptic_results.json` or any tool's in COCO's format.

        Raises:
            MissingFileError, DataError: see `read_panoptic_results`.
        """
        results = None
        self.reset()
        if comm.is_main_process():
            done = set()
            for image_id, segmentation, segments in read_panoptic_results(path, self._truth):
                self._count(image_id, f"{path}: image {image_id}", segmentation, segments)
                done.add(image_id)
            results = self._figures(self._counts, self._image_counts, done)
        return comm.broadcast_object(results)

    def _category_id(self, segment: dict[str, Any], name: str) -> int:
        key = (bool(segment["isthing"]), int(segment["category_id"]))
        if key not in self._category_ids:
            kind = "thing" if key[0] else "stuff"
            known = sorted(k for is_thing, k in self._category_ids if is_thing == key[0])
            raise ConfigError(
                f"{name}: {kind} class {key[1]} was predicted, but those of data set "
                f"'{self._dataset_name}' are {known[0]} to {known[-1]}; set MODEL.ROI_HEADS."
                "NUM_CLASSES and MODEL.SEM_SEG_HEAD.NUM_CLASSES to the data set's"
                if known
                else f"{name}: a {kind} class was predicted, but data set '{self._dataset_name}' "
                "has none"
            )
        return self._category_ids[key]

    def _count(
        self,
        image_id: int,
        name: str,
        segmentation: torch.Tensor,
        segments: dict[int, PanopticSegment],
    ) -> None:
        target, true = self._truth.target(image_id), self._truth.images[image_id][1]
        counts = torch.zeros_like(self._counts)
        for of_kind, ratio in zip(counts, self._ratios.values(), strict=True):
            try:
                of_kind += panoptic_counts(
                    *(segmentation, segments, target, true, len(of_kind)),
                    crowds=self._crowds,
                    dilation_ratio=ratio,
                )
            except DataError as e:
                raise DataError(f"{name}: {e}") from None
        self._counts += counts
        if self._slices is not None:
            self._image_counts[image_id] = counts

    def _figures(
        self, counts: torch.Tensor, of_images: dict[Any, torch.Tensor], done: set[int]
    ) -> dict[str, dict[str, Any]]:
        missing = self._truth.images.keys() - done
        if missing:
            logger.warning(
                "%s: %d of the %d images in %s were not predicted, the first is %s; their segments "
                "count as missed",
                *(self._dataset_name, len(missing), len(self._truth.images)),
                *(self._truth.json_file, min(missing)),
            )
            counts, of_images = counts.clone(), dict(of_images)
            for image_id in missing:
                of_images[image_id] = torch.zeros_like(counts)
                for segment in self._truth.images[image_id][1].values():
                    of_images[image_id][:, segment.category, 3] += not segment.is_crowd
                counts += of_images[image_id]
        self._tell_crowds()
        figures: dict[str, Any] = {}
        for letter, of_kind in zip(self._ratios, counts, strict=True):
            named = named_figures(of_kind, self._truth.names, self._truth.is_thing)
            figures |= {letter + name: value.item() for name, value in named.items()}
        figures["crowds"] = self._crowds
        slices: SliceFigures | None = None
        if self._slices is not None:
            about = (list(self._ratios), self._truth.names, self._truth.is_thing)
            slices = panoptic_slices(self._slices, of_images, *about)
        if self._files is not None:
            content = {
                "dataset": self._dataset_name,
                "results": {k: None if v != v else v for k, v in figures.items()},
            }
            if slices is not None:
                content["slices"] = slices
                write_slices(self._files.slices("panoptic_seg"), slices)
            write_json(self._files.panoptic, content)
        if slices is not None:
            figures["slices"] = slices
        return {"panoptic_seg": figures}

    def _tell_crowds(self) -> None:
        """Say which images have several crowds of a category, on which the rules differ."""
        several = self._truth.images_with_several_crowds()
        if several:
            logger.warning(
                "%s: %d images in %s have several crowds of a category, the first is %s. "
                "TEST.PANOPTIC.CROWDS is %s (%s); figures by the other rule (%s) may differ",
                *(self._dataset_name, len(several), self._truth.json_file, several[0]),
                *(self._crowds, CROWD_RULES[self._crowds]),
                *(rule for rule in CROWD_RULES if rule != self._crowds),
            )


@EVALUATOR_REGISTRY.register(name="coco_panoptic_seg")
def build_panoptic_evaluators(
    cfg: CfgNode, dataset_name: str, output_dir: str | os.PathLike | None = None
) -> DatasetEvaluators:
    """The evaluators of a panoptic data set: of stuff, of things where it has an instances file,
    and of both together."""
    metadata = MetadataCatalog.get(dataset_name)
    if metadata.get("stuff_dataset_id_to_contiguous_id") is None:
        DatasetCatalog.get(dataset_name)  # the classes are known when it has been read
    evaluators: list[DatasetEvaluator] = [SemSegEvaluator(cfg, dataset_name, output_dir)]
    if metadata.get("json_file") is not None:
        evaluators.append(COCOEvaluator(cfg, dataset_name, output_dir))
    evaluators.append(PanopticEvaluator(cfg, dataset_name, output_dir))
    return DatasetEvaluators(evaluators)
