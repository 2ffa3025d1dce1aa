"""How often a training step and an evaluation of instances wait for the device."""

import pytest
import torch

from segsuite.modeling import build_model
from segsuite.structures import BitMasks
from tests.mock_device import MockDevice, OnDevice, to_mock_device

from .rcnn_models import PANOPTIC, record, small_cfg
from .test_rcnn import MODELS

SQUARES = [(8, 8, 24), (40, 16, 40), (2, 30, 20), (60, 2, 12)]
WITHOUT_MERGING = {**PANOPTIC, "MODEL__PANOPTIC_FPN__COMBINE__ENABLED": False}
MODELS = {**MODELS, "panoptic": ("FPN", WITHOUT_MERGING)}
# Numbers of images.
COUNTS = dict.fromkeys(MODELS, (1, 3)) | {"FPN": (1, 2, 8)}
FAST = ("FPN", "C4", "panoptic")


def cases(*names):
    return [pytest.param(x, marks=() if x in FAST else pytest.mark.slow) for x in names]


def build(name):
    torch.manual_seed(0)
    base, options = MODELS[name]
    return build_model(small_cfg(base, **options))


def records(count, bit_masks=False):
    """Images of several sizes with 0 to 4 objects, the first with one."""
    torch.manual_seed(0)
    batch = []
    for i in range(1, count + 1):
        height, width = 64 - 6 * (i % 3), 96 - 8 * (i % 2)
        x = record(*SQUARES[: i % 5], height=height, width=width)
        x["sem_seg"] = torch.randint(0, 4, (height, width))
        x["height"], x["width"] = 2 * height, 2 * width
        if bit_masks:
            masks = x["instances"].gt_masks
            x["instances"].gt_masks = BitMasks.from_polygon_masks(masks, height, width)
        batch.append(x)
    return batch


def train(model, batch):
    torch.manual_seed(1)
    losses = model.train()(batch)
    sum(losses.values()).backward()
    return losses


@pytest.mark.parametrize("name", cases(*MODELS, "bits"))
def test_training_waits_once(name):
    """For where the foreground is, whatever the number of images."""
    bit_masks, name = name == "bits", "FPN" if name == "bits" else name
    for count in COUNTS[name]:
        with MockDevice() as device:
            losses = train(to_mock_device(build(name)), records(count, bit_masks))
        assert all(isinstance(loss, OnDevice) for loss in losses.values())
        assert len(device.waits) == 1, (count, device.waits)
    # What was computed there is what is computed here; there proposals are sampled among more
    # places, so other ones.
    expected = train(build(name), records(count, bit_masks))
    for key in ("loss_rpn_cls", "loss_rpn_loc"):
        torch.testing.assert_close(losses[key].value, expected[key])


@torch.no_grad()
@pytest.mark.parametrize("name", cases(*MODELS))
def test_inference_waits_once(name):
    """For which detections there are, whatever the number of images."""
    for count in COUNTS[name]:
        with MockDevice() as device:
            found = to_mock_device(build(name)).eval()(records(count))
        assert len(device.waits) == 1, (count, device.waits)
    expected = build(name).eval()(records(count))
    for got, want in zip(found, expected, strict=True):
        torch.testing.assert_close(got["instances"].scores.value, want["instances"].scores)
        masks = got["instances"].pred_masks
        torch.testing.assert_close(masks.boxes.value, want["instances"].pred_masks.boxes)
        assert masks.probabilities.value.shape == want["instances"].pred_masks.probabilities.shape


def test_the_device_is_seen_to_wait():
    """What waits for a GPU is noted, what does not is not."""
    host = torch.arange(6.0).view(2, 3)
    with MockDevice() as device:
        x = host.to("meta", non_blocking=True)
        y = (x * 2 + x.new_zeros(3)).clamp(max=4)
        y[0] = 1
        y.masked_fill_(y > 1, 0).take_along_dim(y.argmax(1, keepdim=True), 1)
        assert device.waits == []
        for wait in (
            lambda: host.to("meta"),
            lambda: x.cpu(),
            lambda: x.tolist(),
            lambda: float(x.sum()),
            lambda: bool((x > 0).any()),
            lambda: x[x > 0],
            lambda: x[torch.tensor([0, 1])],
            lambda: (x > 0).nonzero(),
            lambda: x.masked_select(x > 0),
            lambda: x.new_tensor([1.0, 2.0]),
            lambda: torch.tensor([1.0, 2.0], device="meta"),
            lambda: x.long().flatten().bincount(),
            lambda: x.unique(),
        ):
            before = len(device.waits)
            wait()
            assert len(device.waits) == before + 1
        with pytest.raises(AssertionError, match="on the device and on the CPU"):
            x + host
