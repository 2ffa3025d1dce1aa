import pytest
import torch

from segsuite.modeling.inference import SemSegAugmentation, SlidingWindow

from .models import model, record


def symmetric_model(**kwargs):
    """It does not tell left from right."""
    m = model(**kwargs)
    for module in m.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.weight.data = (module.weight + module.weight.flip(-1)) / 2
    return m


@torch.no_grad()
@pytest.mark.parametrize("width, size_divisibility", [(96, 32), (96, 0), (68, 0)])
def test_mirroring_changes_nothing_for_a_symmetric_model(width, size_divisibility):
    m = symmetric_model(size_divisibility=size_divisibility)
    batch = [record(48, width)]
    expected = m(batch)[0]["sem_seg"].full().log_softmax(0)
    result = SemSegAugmentation(m)(batch)[0]["sem_seg"]
    torch.testing.assert_close(result.full(), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_the_mean_of_the_versions():
    m = model(convs=1)
    given = record(60, 90, height=77, width=111)
    result = SemSegAugmentation(m, min_sizes=[0, 30, 90])([given])[0]["sem_seg"]
    assert result.size == (77, 111) and result.logits.shape == (5, 77, 111)
    total = 0
    for height, width in [(60, 90), (30, 45), (90, 135)]:
        image = given["image"].float()
        if height != 60:
            image = torch.nn.functional.interpolate(
                image[None], (height, width), mode="bilinear", antialias=True
            )[0]
        for mirrored in (False, True):
            version = {"image": image.flip(-1) if mirrored else image, "height": 77, "width": 111}
            p = m([version])[0]["sem_seg"].full().softmax(0)
            total = total + (p.flip(-1) if mirrored else p)
    torch.testing.assert_close(result.logits.softmax(0), total / 6)
    torch.testing.assert_close(result.logits.exp().sum(0), torch.ones(77, 111))


@torch.no_grad()
def test_constant_logits_stay_constant_in_windows_too():
    m = model()
    torch.nn.init.zeros_(m.sem_seg_head.predictor.weight)
    sliding = SlidingWindow(m, window_size=(32, 32))
    result = SemSegAugmentation(sliding, min_sizes=[33, 70])([record(51, 75)])[0]["sem_seg"]
    expected = (5 * m.sem_seg_head.predictor.bias).log_softmax(0)
    torch.testing.assert_close(result.full(), expected.view(-1, 1, 1).expand(-1, 51, 75))


def test_the_longer_edge_is_limited():
    seen = []
    m = model().eval()
    m.backbone.register_forward_pre_hook(lambda _, args: seen.append(tuple(args[0].shape[-2:])))
    with torch.no_grad():
        SemSegAugmentation(m, min_sizes=[40, 80], max_size=100, flip=False)([record(60, 90)])
    assert seen == [(40, 60), (67, 100)]


@pytest.mark.parametrize("options", [{"min_sizes": []}, {"min_sizes": [-1]}, {"max_size": 0}])
def test_errors(options):
    with pytest.raises(ValueError, match="expected one length of the shorter edge"):
        SemSegAugmentation(model(), **options)
