import pytest
import torch

from segsuite.modeling.meta_arch.preprocessing import preprocess_images

MEAN, STD = torch.tensor([90.0, 100, 110]).view(3, 1, 1), torch.tensor([3.0, 5, 7]).view(3, 1, 1)


@pytest.mark.parametrize(
    "dtypes", [(torch.uint8,) * 3, (torch.float32,) * 3, (torch.uint8, torch.float32, torch.uint8)]
)
@pytest.mark.parametrize("sizes", [[(8, 16)] * 3, [(8, 16), (7, 16), (8, 9)], [(9, 10)] * 3])
def test_images_of_a_batch_are_normalised_as_alone(sizes, dtypes):
    torch.manual_seed(0)
    images = [torch.randint(0, 256, (3, *s)).to(d) for s, d in zip(sizes, dtypes, strict=True)]
    given = [image.clone() for image in images]
    batch = preprocess_images([{"image": image} for image in images], MEAN, STD, 8)
    assert batch.image_sizes == sizes
    for i, image in enumerate(images):
        assert torch.equal(batch[i], (image.float() - MEAN) / STD)
        assert torch.equal(image, given[i])
    covered = torch.zeros(batch.tensor.shape[0], *batch.tensor.shape[-2:], dtype=torch.bool)
    for i, (height, width) in enumerate(sizes):
        covered[i, :height, :width] = True
    assert (batch.tensor.movedim(1, -1)[~covered] == 0).all()  # the mean colour
    assert all(side % 8 == 0 for side in batch.tensor.shape[-2:])
