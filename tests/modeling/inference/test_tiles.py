import numpy as np
import pytest
import torch
from torch import nn

from segsuite.config import load_config
from segsuite.errors import ConfigError
from segsuite.modeling import build_inference, build_model
from segsuite.modeling.inference import TiledInstances
from segsuite.structures import Boxes, Instances, ROIMasks, masks_union

THRESHOLD = 20  # pixels of an object that a tile has to show for it to be found there


class Oracle(nn.Module):
    """Finds in its input what is painted there: the red channel is the object, green its class."""

    def __init__(self, masks="pixels", noise=0.0):
        super().__init__()
        self.masks, self.noise = masks, noise

    def forward(self, records):
        return [{"instances": self.find(record["image"].numpy())} for record in records]

    def find(self, image):
        size = image.shape[1:]
        found = {"boxes": [], "masks": [], "classes": [], "scores": []}
        for number in np.unique(image[0]):
            mask = image[0] == number
            if not number or mask.sum() < THRESHOLD:
                continue
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
            rng = np.random.default_rng(int(mask.sum()))
            box += self.noise * rng.uniform(-1, 1, 4)
            found["boxes"].append(box.clip(0, [*size[::-1]] * 2))
            found["masks"].append(mask)
            found["classes"].append(int(image[1][mask][0]))
            found["scores"].append(0.5 + 0.5 * mask.sum() / mask.size)
        boxes = torch.tensor(np.array(found["boxes"], np.float32).reshape(-1, 4))
        instances = Instances(
            size,
            pred_boxes=Boxes(boxes),
            scores=torch.tensor(found["scores"]).float(),
            pred_classes=torch.tensor(found["classes"], dtype=torch.int64),
        )
        if self.masks == "pixels":
            masks = np.array(found["masks"], bool).reshape(-1, *size)
            instances.pred_masks = torch.from_numpy(masks)
        elif self.masks == "boxes":
            instances.pred_masks = ROIMasks(torch.ones(len(boxes), 7, 7), boxes, size)
        return instances


def scene(size, objects):
    """An image with ellipses: (y, x, ry, rx, class) each; earlier ones are covered by later."""
    image = torch.zeros(3, *size, dtype=torch.uint8)
    rows, columns = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    for number, (y, x, ry, rx, label) in enumerate(objects, 1):
        inside = ((rows - y) / ry) ** 2 + ((columns - x) / rx) ** 2 <= 1
        image[0][inside], image[1][inside] = number, label
    return image


def random_scene(seed, size=(400, 500), count=40):
    rng = np.random.default_rng(seed)
    ry, rx = rng.uniform(4, 40, (2, count))
    y, x = rng.uniform(0, size[0], count), rng.uniform(0, size[1], count)
    return scene(size, list(zip(y, x, ry, rx, rng.integers(0, 3, count), strict=True)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("tile, overlap", [((128, 128), 0.25), ((100, 150), 0.5)])
def test_objects_are_whole_and_none_is_there_twice(seed, tile, overlap):
    image = random_scene(seed)
    whole = Oracle()([{"image": image}])[0]["instances"]
    tiled = TiledInstances(Oracle(), tile_size=tile, overlap=overlap, nms_threshold=0.9)
    (output,) = tiled([{"image": image}])
    found = output["instances"]
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    # An object that others cover may be in several parts, of which tiles see one or the other.
    numbers = [int(image[0][mask].mode().values) for mask in found.pred_masks]
    masks = list(found.pred_masks)
    expected = {int(image[0][m][0]): m for m in whole.pred_masks}
    complete = 0
    for number, mask in expected.items():
        joined = [m for n, m in zip(numbers, masks, strict=True) if n == number]
        assert joined, number
        complete += len(joined) == 1 and torch.equal(joined[0], mask)
    assert complete >= 0.9 * len(expected)
    assert len(found) <= 1.1 * len(expected)


@pytest.mark.parametrize("masks", ["pixels", "boxes", "none"])
def test_one_on_each_kind_of_border(masks):
    """Inside a tile, on one border, where four tiles meet, over many tiles, at the image's edge."""
    objects = [
        (30, 30, 10, 10, 0),
        (60, 112, 12, 14, 1),
        (112, 112, 9, 9, 2),
        (250, 160, 20, 150, 1),
        (5, 200, 8, 8, 0),
    ]
    image = scene((300, 330), objects)
    tiled = TiledInstances(Oracle(masks), tile_size=(128, 128), overlap=0.25)
    found = tiled([{"image": image}])[0]["instances"]
    whole = Oracle(masks)([{"image": image}])[0]["instances"]
    assert sorted(found.pred_classes.tolist()) == sorted(whole.pred_classes.tolist())
    order = [t.tolist() for t in found.pred_boxes.tensor.round()]
    for box in whole.pred_boxes.tensor.tolist():
        assert box in order
    assert found.has("pred_masks") == (masks != "none")


def test_neighbours_of_a_class_stay_apart():
    """Two that touch, in the middle of the overlap and over a border."""
    objects = [(64, 100, 10, 12, 1), (64, 124, 10, 12, 1), (90, 96, 6, 30, 1)]
    image = scene((128, 224), objects)
    tiled = TiledInstances(Oracle(), tile_size=(128, 128), overlap=0.25)
    found = tiled([{"image": image}])[0]["instances"]
    assert len(found) == 3
    assert torch.equal(masks_union(found.pred_masks, range(3)), image[0] > 0)


def test_boxes_that_are_not_exact():
    image = random_scene(7)
    whole = Oracle(noise=2.0)([{"image": image}])[0]["instances"]
    tiled = TiledInstances(Oracle(noise=2.0), tile_size=(128, 128), overlap=0.25)
    found = tiled([{"image": image}])[0]["instances"]
    assert abs(len(found) - len(whole)) <= 0.1 * len(whole)


def test_the_size_that_is_asked_for():
    objects = [(60, 112, 12, 14, 1), (112, 112, 9, 9, 2)]
    image = scene((160, 224), objects)
    record = {"image": image, "height": 80, "width": 112, "file_name": "a.jpg"}
    tiled = TiledInstances(Oracle("boxes"), tile_size=(128, 128), overlap=0.25)
    found = tiled([record])[0]["instances"]
    whole = Oracle("boxes")([{"image": image}])[0]["instances"]
    assert found.image_size == found.pred_masks.image_size == (80, 112)
    boxes = sorted((found.pred_boxes.tensor * 2).tolist())
    assert boxes == sorted(whole.pred_boxes.tensor.tolist())
    with pytest.raises(ConfigError, match="MIN_SIZE_TEST to 0"):
        TiledInstances(Oracle(), tile_size=(128, 128))([record])


def test_nothing_is_found():
    image = torch.zeros(3, 200, 300, dtype=torch.uint8)
    found = TiledInstances(Oracle(), tile_size=(128, 128))([{"image": image}])[0]["instances"]
    assert len(found) == 0 and found.pred_masks.image_size == (200, 300)


def test_what_a_tile_must_not_be():
    with pytest.raises(ConfigError, match=r"SIZE is \[0, 128\]; expected \(height, width\)"):
        TiledInstances(Oracle(), tile_size=[0, 128])
    with pytest.raises(ConfigError, match="OVERLAP is 0; expected a share between 0 and 1"):
        TiledInstances(Oracle(), tile_size=(128, 128), overlap=0)


@torch.no_grad()
def test_a_mask_rcnn_on_an_image_of_one_tile_is_as_it_was():
    words = ["MODEL.DEVICE", "cpu", "TEST.SLIDING_WINDOW.ENABLED", True]
    cfg = load_config("smoke/mask_rcnn_shapes", [*words, "TEST.SLIDING_WINDOW.SIZE", [128, 128]])
    torch.manual_seed(0)
    model = build_model(cfg).eval()
    model.roi_heads.box_predictor.test_score_thresh = 0.0
    record = {"image": torch.randint(0, 255, (3, 96, 128), dtype=torch.uint8)}
    expected = model([record])[0]["instances"]
    found = build_inference(cfg, model)([record])[0]["instances"]
    assert len(found) == len(expected) > 0
    assert torch.equal(found.scores, expected.scores)
    torch.testing.assert_close(found.pred_boxes.tensor, expected.pred_boxes.tensor)
    assert torch.equal(found.pred_masks.tensor, expected.pred_masks.tensor)
    cfg = load_config("smoke/panoptic_fpn_shapes", words)
    with pytest.raises(ConfigError, match="can't be used with a PanopticFPN"):
        build_inference(cfg, build_model(cfg))
