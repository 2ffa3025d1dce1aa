import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from segsuite.structures import (
    SemSegLabels,
    SemSegLogits,
    SemSegPrediction,
    as_sem_seg,
    sem_seg_labels,
)

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
    assert as_sem_seg(labels).labels() is labels and sem_seg_labels(labels) is labels
    for other in (logits[0], logits.long(), logits[None]):
        with pytest.raises(ValueError, match=r"the prediction is \(.*expected SemSegLogits"):
            as_sem_seg(other)


class SemSegPredictionContract:
    """What evaluators and pictures rely on. A subclass says what `make` gives."""

    def make(self, logits: torch.Tensor, size: tuple[int, int]) -> SemSegPrediction:
        raise NotImplementedError

    @pytest.fixture
    def logits(self):
        return torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(1))

    def test_size_and_labels(self, logits):
        prediction = self.make(logits, (10, 9))
        labels = prediction.labels()
        assert tuple(labels.shape) == tuple(prediction.size) == (10, 9)
        assert not labels.is_floating_point() and prediction.device == labels.device
        assert prediction.num_labels in (None, 3)

    def test_confident_labels_are_those_of_the_whole(self, logits):
        prediction = self.make(logits, (10, 9))
        confidence = prediction.confidence()
        assert (confidence is not None) == prediction.has_confidence
        rows, columns = torch.tensor([0, 4, 9]), torch.tensor([2, 8])
        if confidence is None:
            with pytest.raises(ValueError, match="probabilities are not known"):
                prediction.confident_labels(rows, columns)
            return
        probability, label = prediction.confident_labels(rows, columns)
        torch.testing.assert_close(probability, confidence[rows][:, columns])
        assert torch.equal(label.long(), prediction.labels()[rows][:, columns].long())

    def test_confusion_counts_the_labels(self, logits):
        prediction = self.make(logits, (10, 9))
        target = torch.randint(0, 4, (10, 9), generator=torch.Generator().manual_seed(2))
        target[target == 3] = 255
        counted = target != 255
        matrix = prediction.confusion(target, 3, ignore_index=255)
        pairs = target[counted] * 4 + prediction.labels()[counted].long()
        expected = pairs.bincount(minlength=16).view(4, 4)
        assert torch.equal(matrix.cpu(), expected)


class TestSemSegLogits(SemSegPredictionContract):
    def make(self, logits, size):
        return SemSegLogits(logits, (5, 7), size)


class TestSemSegLabels(SemSegPredictionContract):
    def make(self, logits, size):
        made = SemSegLogits(logits, (5, 7), size)
        return SemSegLabels(made.labels(), made.confidence(), 3)


class TestLabelsAlone(SemSegPredictionContract):
    def make(self, logits, size):
        return as_sem_seg(SemSegLogits(logits, (5, 7), size).labels())
