from __future__ import annotations

import cv2
import pytest
import torch
from PIL import Image

import segsuite
from segsuite.config import load_config
from segsuite.engine import DefaultPredictor
from segsuite.structures import SemSegLogits
from tests.finished_runs import tiny_images, tiny_run


@pytest.fixture(scope="module")
def cfg():
    return load_config(tiny_run() / "config.yaml", ["OUTPUT_DIR", str(tiny_run())])


@pytest.mark.parametrize("image_format", ["BGR", "RGB"])
def test_an_image_of_opencv_gives_what_the_file_gives(cfg, image_format):
    cfg = cfg.clone()
    cfg.INPUT.FORMAT = image_format
    expected = segsuite.Predictor.from_config(cfg)(tiny_images()[0])
    outputs = DefaultPredictor(cfg)(cv2.imread(str(tiny_images()[0])))
    assert isinstance(outputs["sem_seg"], SemSegLogits)
    assert torch.equal(outputs["sem_seg"].logits, expected.outputs["sem_seg"].logits)


def test_what_it_knows(cfg):
    predictor = DefaultPredictor(cfg)
    assert predictor.cfg is cfg and not predictor.model.training
    assert predictor.metadata.stuff_classes == ["ground", "box"]


@pytest.mark.parametrize("read", [str, Image.open, lambda path: cv2.imread(str(path), 0)])
def test_anything_else_is_refused(cfg, read):
    with pytest.raises(ValueError, match=r"takes an image \(height, width, 3\) uint8 BGR"):
        DefaultPredictor(cfg)(read(tiny_images()[0]))
