"""Scores of images whose records write their boxes in another way than COCO's files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from segsuite.data import Metadata
from segsuite.predict.example_scores import instance_scores
from segsuite.runs.files import EvaluationFiles
from segsuite.structures import Boxes, BoxMode, Instances
from segsuite.visualization import Prediction
from segsuite.visualization.examples import instance_pictures

SIZE = (50, 80)
BOX = [10.0, 5, 30, 35]
METADATA = Metadata("scored").set(thing_classes=["light", "dark"])


@pytest.mark.parametrize("mode", [m for m in BoxMode if m != BoxMode.XYWHA_ABS])
class TestBoxModes:
    def annotation(self, mode):
        return {
            "bbox": BoxMode.convert(BOX, BoxMode.XYWH_ABS, mode, SIZE),
            "bbox_mode": mode,
            "category_id": 1,
            "segmentation": [[10, 5, 40, 5, 40, 40, 10, 40]],
        }

    @pytest.mark.parametrize("with_size", [True, False])
    def test_a_found_object_is_found(self, tmp_path, mode, with_size):
        Image.new("RGB", SIZE[::-1]).save(tmp_path / "a.png")
        record = {"file_name": tmp_path / "a.png", "annotations": [self.annotation(mode)]}
        if with_size:
            record |= {"height": SIZE[0], "width": SIZE[1], "file_name": "none.png"}
        files = EvaluationFiles(tmp_path)
        detection = {"image_id": "a", "category_id": 1, "bbox": BOX, "score": 0.9}
        files.coco_results.write_text(json.dumps([detection]))
        scores = instance_scores(files, {"a": record}, METADATA)
        assert scores is not None
        assert scores.scores == {"a": 1.0} and scores.classes == {"a": ["dark"]}

    def test_pictures(self, mode):
        nothing = Instances(
            SIZE,
            pred_boxes=Boxes([]),
            scores=torch.zeros(0),
            pred_classes=torch.zeros(0, dtype=torch.int64),
            pred_masks=torch.zeros(0, *SIZE, dtype=torch.bool),
        )
        image = np.full((*SIZE, 3), 90, np.uint8)
        truths = [
            instance_pictures(
                Prediction(image, {"instances": nothing}, METADATA), [self.annotation(m)], ["dark"]
            ).views["truth"]
            for m in (mode, BoxMode.XYWH_ABS)
        ]
        assert np.array_equal(*truths) and (truths[0] != 90).any()
