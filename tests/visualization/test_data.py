import numpy as np
import torch
from PIL import Image

from segsuite.data import Metadata
from segsuite.structures import Boxes, Instances, PolygonMasks
from segsuite.visualization.data import draw_record, draw_sample

METADATA = Metadata("drawn").set(
    stuff_classes=["ground", "sky"],
    stuff_colors=[(200, 0, 0), (0, 0, 200)],
    thing_classes=["cat"],
    label_map={1: 0, 2: 1, 0: 255},
)


def test_stored_annotations(tmp_path):
    Image.fromarray(np.full((40, 60, 3), 100, np.uint8)).save(tmp_path / "a.png")
    labels = np.ones((40, 60), np.uint8)
    labels[:20] = 2
    labels[:, :5] = 0
    Image.fromarray(labels).save(tmp_path / "labels.png")
    record = {"file_name": tmp_path / "a.png", "sem_seg_file_name": tmp_path / "labels.png"}
    picture = draw_record(record, METADATA)
    assert picture[30, 40].argmax() == 0 and picture[10, 40].argmax() == 2
    assert picture[30, 2].tolist() == [100] * 3  # ignored

    polygon = np.array([20.0, 20, 50, 20, 50, 38, 20, 38])
    annotation = {"bbox": [20, 20, 30, 18], "category_id": 0, "segmentation": [polygon]}
    objects = draw_record({"file_name": tmp_path / "a.png", "annotations": [annotation]}, METADATA)
    assert (objects[34, 46] != 100).any() and (objects[5, 58] == 100).all()
    only_box = {k: v for k, v in annotation.items() if k != "segmentation"}
    boxes = draw_record({"file_name": tmp_path / "a.png", "annotations": [only_box]}, METADATA)
    assert (boxes[34, 46] == 100).all() and (boxes[37, 40] != 100).any()


def test_samples_are_drawn_as_the_model_gets_them():
    image = torch.zeros(3, 20, 30, dtype=torch.uint8)
    image[0] = 250  # blue, in BGR
    assert draw_sample({"image": image}, METADATA, "BGR")[3, 3].tolist() == [0, 0, 250]
    assert draw_sample({"image": image}, METADATA, "RGB")[3, 3].tolist() == [250, 0, 0]

    instances = Instances(
        (20, 30),
        gt_boxes=Boxes([[4.0, 4, 26, 16]]),
        gt_classes=torch.tensor([0]),
        gt_masks=PolygonMasks([[[4, 4, 26, 4, 26, 16, 4, 16]]]),
    )
    sample = {"image": image, "instances": instances}
    sample["sem_seg"] = torch.full((20, 30), 255, dtype=torch.uint8)
    picture = draw_sample(sample, METADATA, "BGR")
    assert len(set(picture[18, 28].tolist())) == 1  # no class: grey
    assert len(set(picture[14, 24].tolist())) > 1
    double = draw_sample(sample, METADATA, "BGR", width=60)
    assert double.shape == (40, 60, 3)
    assert len(set(double[36, 56].tolist())) == 1 and len(set(double[28, 48].tolist())) > 1
    empty = instances[torch.zeros(1, dtype=torch.bool)]
    assert draw_sample({"image": image, "instances": empty}, METADATA, "BGR").shape == (20, 30, 3)
