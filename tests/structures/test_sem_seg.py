import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from segsuite.structures import SemSegLogits, as_sem_seg, sem_seg_labels

sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))


@given(sizes, sizes)
def test_whole_map_is_bilinear_interpolation(source, size):
    logits = torch.randn(3, *source)
    prediction = SemSegLogits(logits, source, size)
    expected = F.interpolate(logits[None].double(), size, mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(prediction.full(), expected.float())


def test_padding_is_cropped_after_upsampling():
    """An image of 12x20 padded to 16x24, logits at stride 4, output at twice the image's size."""
    logits = torch.randn(5, 4, 6)
    prediction = SemSegLogits(logits, (12 * 4 / 16, 20 * 6 / 24), (24, 40))
    padded = F.interpolate(logits[None], (32, 48), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(prediction.full(), padded[:, :24, :40])
    assert torch.equal(prediction.labels(), prediction.full().argmax(0).to(torch.uint8))


@pytest.mark.parametrize("num_classes, dtype", [(255, torch.uint8), (256, torch.int16)])
def test_labels_hold_every_class(num_classes, dtype):
    logits = torch.zeros(num_classes, 1, 1, dtype=torch.bfloat16)
    logits[-1] = 1
    prediction = SemSegLogits(logits, (1, 1), (2, 3))
    assert prediction.full().dtype == torch.float32
    labels = prediction.labels()
    assert labels.dtype == dtype and labels.shape == (2, 3)
    assert (labels == num_classes - 1).all()


def test_confidence_and_entropy():
    prediction = SemSegLogits(3 * torch.randn(4, 9, 12), (8.5, 12), (70, 90))
    p = prediction.full().double().softmax(0)
    confidence, entropy = prediction.confidence(), prediction.entropy()
    assert confidence.dtype == entropy.dtype == torch.float32
    torch.testing.assert_close(confidence.double(), p.amax(0), rtol=1e-5, atol=1e-6)
    expected = -(p * p.log()).sum(0) / torch.tensor(4.0).log()
    torch.testing.assert_close(entropy.double(), expected.double(), rtol=1e-5, atol=1e-6)
    even = SemSegLogits(torch.zeros(4, 2, 2), (2, 2), (4, 4))
    torch.testing.assert_close(even.entropy(), torch.ones(4, 4))
    sure = SemSegLogits(torch.tensor([500.0, -500.0]).view(2, 1, 1), (1, 1), (2, 3))
    assert torch.equal(sure.entropy(), torch.zeros(2, 3))


def test_plain_tensors():
    """As Detectron2's models give them: logits (K, H, W) at the size of the image, or labels."""
    logits = torch.randn(3, 4, 5)
    assert torch.equal(as_sem_seg(logits).full(), logits)
    assert torch.equal(sem_seg_labels(logits).long(), logits.argmax(0))
    assert torch.equal(sem_seg_labels(as_sem_seg(logits)).long(), logits.argmax(0))
    labels = logits.argmax(0)
    assert as_sem_seg(labels) is labels and sem_seg_labels(labels) is labels
    for other in (logits[0], logits.long(), logits[None]):
        with pytest.raises(ValueError, match=r"the prediction is \(.*expected SemSegLogits"):
            as_sem_seg(other)
