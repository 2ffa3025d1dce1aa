import numpy as np
import pytest
import torch

from segsuite.data import Metadata
from segsuite.data.palette import default_colors
from segsuite.structures import Boxes, Instances, SemSegLogits
from segsuite.visualization import Prediction
from segsuite.visualization.summary import ClassSummary, confidence_map, summarize

IMAGE = np.full((10, 20, 3), 120, np.uint8)
NAMES = Metadata("zoo").set(
    thing_classes=["cat", "dog"],
    thing_colors=[(250, 0, 0), (0, 0, 250)],
    stuff_classes=["things", "grass", "sky"],
    stuff_colors=[(255, 255, 255), (0, 200, 0), (0, 100, 200)],
)


def semantic(shares):
    """Certain of one class on the left and of another on the right, 3 to 1 and 1 to 1."""
    logits = torch.zeros(3, 1, 2)
    logits[1, 0, 0], logits[2, 0, 1] = np.log(6), np.log(2)
    return SemSegLogits(logits, (1.0, 2.0), shares)


def instances(scores=(0.9, 0.7, 0.6, 0.2), classes=(1, 1, 0, 0)):
    masks = torch.zeros(4, 10, 20, dtype=torch.bool)
    masks[0, :5, :10] = masks[1, :5, 5:15] = masks[2, 5:, :2] = masks[3] = True
    return Instances(
        (10, 20),
        pred_boxes=Boxes(torch.tensor([[0.0, 0, 10, 5]] * 4)),
        scores=torch.tensor(scores),
        pred_classes=torch.tensor(classes),
        pred_masks=masks,
    )


def test_label_map():
    found = summarize(Prediction(IMAGE, {"sem_seg": semantic((1, 2))}, NAMES))
    assert found == [
        ClassSummary("grass", (0, 200, 0), None, 0.5, pytest.approx(6 / 8)),
        ClassSummary("sky", (0, 100, 200), None, 0.5, pytest.approx(2 / 4)),
    ]


def test_instances_of_a_class_are_counted_and_their_pixels_once():
    prediction = Prediction(IMAGE, {"instances": instances()}, NAMES)
    assert summarize(prediction) == [
        ClassSummary("dog", (0, 0, 250), 2, pytest.approx(75 / 200), pytest.approx(0.8)),
        ClassSummary("cat", (250, 0, 0), 1, pytest.approx(10 / 200), pytest.approx(0.6)),
    ]
    assert prediction.class_colors_of_things() == [(0, 0, 250), (0, 0, 250), (250, 0, 0)]
    boxes = instances()
    boxes.remove("pred_masks")
    assert [c.share for c in summarize(Prediction(IMAGE, {"instances": boxes}, NAMES))] == [
        None
    ] * 2
    assert summarize(Prediction(IMAGE, {"instances": instances()}, NAMES, min_score=0.95)) == []


def test_panoptic_things_are_drawn_in_the_colours_of_their_classes():
    segmentation = torch.zeros(10, 20, dtype=torch.int32)
    segmentation[:, :4], segmentation[:5, 4:8], segmentation[:, 10:] = 1, 2, 3
    segments = [
        {"id": 1, "isthing": True, "category_id": 1, "score": 0.9},
        {"id": 2, "isthing": True, "category_id": 1, "score": 0.7},
        {"id": 3, "isthing": False, "category_id": 2, "area": 100},
    ]
    outputs = {
        "panoptic_seg": (segmentation, segments),
        "sem_seg": semantic((10, 20)),
        "instances": instances(),
    }
    prediction = Prediction(IMAGE, outputs, NAMES)
    dog, sky = summarize(prediction)
    assert dog == ClassSummary("dog", (0, 0, 250), 2, pytest.approx(0.3), pytest.approx(0.8))
    assert (sky.name, sky.count, sky.share) == ("sky", None, 0.5)
    assert sky.confidence == pytest.approx(prediction.confidence[:, 10:].mean())
    picture = prediction.draw(prediction.class_colors_of_things())
    assert (picture == (0, 0, 250)).all(-1).any()  # the outline
    assert not (picture == default_colors(2)[1]).all(-1).any()
    assert (prediction.draw() == default_colors(2)[1]).all(-1).any()


def test_confidence_map():
    picture = confidence_map(np.array([[0.0, 0.5, 1.0]]))
    assert picture.shape == (1, 3, 3) and picture.dtype == np.uint8
    low, _, high = picture[0].astype(int)
    assert low.sum() < 200 and high[0] > 200 and high[1] > 200 and high[2] < 80
