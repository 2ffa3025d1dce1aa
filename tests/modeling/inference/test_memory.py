import pytest
import torch
from torch import nn

from segsuite.acceleration import accelerate
from segsuite.modeling.inference import SemSegAugmentation, SlidingWindow, peak_activation_bytes

from .models import model, record


class Chain(nn.Module):
    """Three maps of N x N float32, of which two are there at the same time."""

    def forward(self, batch):
        x = batch[0]["image"].float()
        for _ in range(2):
            x = x + 1
        return x


class Keeps(nn.Module):
    """Views and changes in place take nothing; what is referred to stays."""

    def __init__(self):
        super().__init__()
        self.register_buffer("offset", torch.ones(1), persistent=False)

    def forward(self, batch):
        kept = [batch[0]["image"] + self.offset for _ in range(5)]
        kept[0].add_(1).view(-1).mul_(2)
        return kept


def test_tensors_count_while_they_are_referred_to():
    image = {"image": torch.zeros(1, 64, 64, dtype=torch.uint8)}
    assert peak_activation_bytes(Chain(), image) == 2 * 4 * 64 * 64
    assert peak_activation_bytes(Keeps(), image) == 5 * 4 * 64 * 64
    assert torch.equal(image["image"], torch.zeros(1, 64, 64, dtype=torch.uint8))


def test_it_grows_with_the_image_and_windows_keep_it_down():
    whole = model(stride=1, convs=2)
    sizes = [peak_activation_bytes(whole, record(n, n)) for n in (64, 128, 256)]
    assert sizes[1] == pytest.approx(4 * sizes[0], rel=0.01)
    assert sizes[2] == pytest.approx(4 * sizes[1], rel=0.01)
    windows = SlidingWindow(whole, window_size=(64, 64))
    assert sizes[0] < peak_activation_bytes(windows, record(256, 256)) < 0.8 * sizes[2]
    several = SemSegAugmentation(whole, min_sizes=(0, 96), flip=True)
    assert peak_activation_bytes(several, record(64, 64)) > 2 * sizes[0]


def test_the_model_is_left_as_it_was():
    whole = model(stride=4, convs=2)
    image = record(64, 64)
    with torch.inference_mode():
        before = whole([image])[0]["sem_seg"].logits
        size = peak_activation_bytes(whole, image)
        accelerate(whole, inference=True)
        assert peak_activation_bytes(whole, image) == size > 0
        torch.testing.assert_close(whole([image])[0]["sem_seg"].logits, before)
        assert peak_activation_bytes(whole, image) == size


def test_shapes_that_depend_on_the_content_are_told():
    class Dynamic(nn.Module):
        def forward(self, batch):
            return batch[0]["image"].nonzero()

    with pytest.raises(RuntimeError):
        peak_activation_bytes(Dynamic(), record(8, 8))
