"""The worst and best predictions of an evaluation, kept as pictures for the report."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from segsuite.config import CfgNode
from segsuite.data import (
    ImageReader,
    InferenceMapper,
    Metadata,
    MetadataCatalog,
    get_records,
    read_sem_seg,
)
from segsuite.data.panoptic import read_panoptic
from segsuite.evaluation import evaluating
from segsuite.runs.files import EvaluationFiles
from segsuite.utils.files import write_json
from segsuite.visualization import Prediction
from segsuite.visualization.examples import (
    Pictures,
    instance_pictures,
    panoptic_pictures,
    save_pictures,
    semantic_pictures,
)

from .example_scores import ImageScores, instance_scores, panoptic_scores, semantic_scores


def save_examples(
    cfg: CfgNode, model: nn.Module, dataset_name: str, files: EvaluationFiles, *, count: int = 6
) -> None:
    """Predict the images again on which an evaluation went worst and best, and draw them.

    Panoptic predictions are ranked by the image's own PQ, semantic ones by its mIoU, instances by
    its F1, see `example_scores`. Writes ``examples/examples.json``: the ``task`` that the pictures
    are of, and ``examples``, a list with ``image_id``, ``kind``, ``score`` in [0, 1],
    ``score_name``, ``classes``, ``width``, ``height`` and the picture files, and these; nothing for
    data sets without such labels.

    Args:
        files: where the evaluator has written.
        count: the number of worst images, and of best.
    """
    records = {str(r["image_id"]): r for r in get_records(dataset_name)}
    metadata = MetadataCatalog.get(dataset_name)
    ranking = _rank(files, records, metadata)
    if ranking is None:
        return
    ranked = sorted((i for i in ranking.scores if i in records), key=lambda i: ranking.scores[i])
    worst = ranked[: min(count, (len(ranked) + 1) // 2)]
    best = ranked[len(worst) :][-count:][::-1]
    shutil.rmtree(files.examples, ignore_errors=True)
    reader, mapper = ImageReader(cfg), InferenceMapper(cfg)
    examples = []
    with evaluating(model), torch.inference_mode():
        for number, image_id in enumerate(worst + best):
            image = reader.read(records[image_id]["file_name"])
            outputs = model([mapper(image)])[0]
            prediction = Prediction(reader.display(image), outputs, metadata)
            classes = ranking.classes[image_id]
            pictures = _draw(ranking.task, prediction, records[image_id], classes)
            height, width = pictures.views["image"].shape[:2]
            examples.append(
                {
                    "image_id": image_id,
                    "kind": "worst" if number < len(worst) else "best",
                    "score": ranking.scores[image_id],
                    "score_name": ranking.name,
                    "classes": classes,
                    "width": width,
                    "height": height,
                    **save_pictures(files.examples, f"{number:02d}", pictures),
                }
            )
    content = {"task": ranking.task, "examples": examples}
    write_json(files.examples_index, content)


def _rank(
    files: EvaluationFiles, records: Mapping[str, dict], metadata: Metadata
) -> ImageScores | None:
    """The scores of the first task for which all records have labels and there are results."""
    ways = {
        "segments_info": lambda: panoptic_scores(files, metadata),
        "sem_seg_file_name": lambda: semantic_scores(files, metadata),
        "annotations": lambda: instance_scores(files, records, metadata),
    }
    labelled = (way for key, way in ways.items() if all(key in r for r in records.values()))
    return next(filter(None, (way() for way in labelled)), None)


def _draw(
    task: str, prediction: Prediction, record: dict[str, Any], classes: list[str]
) -> Pictures:
    if task == "panoptic_seg":
        segmentation = read_panoptic(record["pan_seg_file_name"])
        return panoptic_pictures(prediction, segmentation, record["segments_info"], classes)
    if task == "sem_seg":
        labels = read_sem_seg(record["sem_seg_file_name"], record.get("label_map"))
        return semantic_pictures(prediction, labels, classes)
    return instance_pictures(prediction, record["annotations"], classes)
