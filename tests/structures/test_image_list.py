import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from segsuite.structures import ImageList


@given(
    sizes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4),
    divisibility=st.integers(0, 5),
    channels=st.sampled_from([(), (2,)]),
)
def test_pads_at_the_right_and_bottom(sizes, divisibility, channels):
    tensors = [torch.rand(*channels, h, w) for h, w in sizes]
    images = ImageList.from_tensors(tensors, divisibility, pad_value=7.0)
    assert images.image_sizes == sizes and len(images) == len(sizes)
    padded = images.tensor.shape[-2:]
    for dim in (0, 1):
        largest = max(size[dim] for size in sizes)
        assert 0 <= padded[dim] - largest < max(divisibility, 1)
        assert padded[dim] % max(divisibility, 1) == 0
    for i, tensor in enumerate(tensors):
        assert torch.equal(images[i], tensor)
        padding = torch.ones(padded, dtype=torch.bool)
        padding[: sizes[i][0], : sizes[i][1]] = False
        assert (images.tensor[i][..., padding] == 7).all()


def test_keeps_dtype():
    maps = [torch.zeros(2, 3, dtype=torch.uint8), torch.zeros(3, 2, dtype=torch.uint8)]
    images = ImageList.from_tensors(maps, pad_value=255)
    assert images.tensor.dtype == torch.uint8
    assert images.tensor[0].tolist() == [[0, 0, 0], [0, 0, 0], [255, 255, 255]]


def test_errors():
    with pytest.raises(ValueError, match="empty batch"):
        ImageList.from_tensors([])
    with pytest.raises(ValueError, match=r"image 1 is \(1, 4, 4\)"):
        ImageList.from_tensors([torch.zeros(3, 4, 4), torch.zeros(1, 4, 4)])
    with pytest.raises(ValueError, match="uint8"):
        ImageList.from_tensors([torch.zeros(4, 4), torch.zeros(4, 4, dtype=torch.uint8)])
