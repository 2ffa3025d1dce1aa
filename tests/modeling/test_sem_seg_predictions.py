import pytest
import torch
import torch.nn.functional as F

from segsuite.modeling.sem_seg import sem_seg_predictions
from segsuite.structures import ImageList


def batch(stride=4):
    """Two images of unequal, odd size and the logits of a head with `stride`."""
    images = ImageList.from_tensors([torch.zeros(3, 33, 50), torch.zeros(3, 41, 30)])
    h, w = (-(-size // stride) for size in images.tensor.shape[-2:])
    return images, torch.randn(2, 5, h, w)


@pytest.mark.parametrize("sizes", [[(33, 50), (41, 30)], [(66, 99), (20, 15)]])
def test_two_steps_are_those_of_detectron2(sizes):
    images, logits = batch()
    predictions = sem_seg_predictions(logits, images, sizes, stride=4)
    upsampled = F.interpolate(logits, scale_factor=4, mode="bilinear")
    for prediction, x, (h, w), size in zip(
        predictions, upsampled, images.image_sizes, sizes, strict=True
    ):
        expected = F.interpolate(x[None, :, :h, :w], size, mode="bilinear")[0]
        torch.testing.assert_close(prediction.full(), expected)
        assert (prediction.labels() == expected.argmax(0)).float().mean() > 0.999


def test_logits_stay_small_where_the_first_step_changes_nothing():
    images, logits = batch()
    for prediction in sem_seg_predictions(logits, images, images.image_sizes, stride=4):
        assert prediction.logits.shape == (5, 11, 13)


def test_an_image_without_padding_covers_all_of_any_logits():
    # 100 * (112 / 100) is more than 112.
    (prediction,) = sem_seg_predictions(
        torch.randn(1, 2, 112, 160),
        ImageList(torch.zeros(1, 3, 100, 150), [(100, 150)]),
        [(50, 75)],
    )
    assert prediction.source_size == (112, 160)
    assert prediction.labels().shape == (50, 75)


def test_one_step_covers_the_batch_from_edge_to_edge():
    images, logits = batch()
    sizes = [(66, 100), (82, 60)]
    upsampled = F.interpolate(logits, (82, 100), mode="bilinear")
    for prediction, x, (h, w) in zip(
        sem_seg_predictions(logits, images, sizes), upsampled, sizes, strict=True
    ):
        assert prediction.logits.shape == (5, 11, 13)
        torch.testing.assert_close(prediction.full(), x[:, :h, :w])
