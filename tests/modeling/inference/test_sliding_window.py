import pytest
import torch

from segsuite.config import get_cfg
from segsuite.evaluation import SemSegEvaluator
from segsuite.modeling import build_inference
from segsuite.modeling.inference import SemSegAugmentation, SlidingWindow

from .models import model, record

SIZES = [(64, 96), (97, 131), (160, 40), (200, 257), (31, 20), (64, 65)]


@torch.no_grad()
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("overlap", [0.0, 0.5])
@pytest.mark.parametrize("size_divisibility, stride", [(0, 4), (32, 8), (0, 1)])
def test_pointwise_models_see_the_whole_image(size, overlap, size_divisibility, stride):
    """Any windows will do where patches do not look at each other, overlapping or not."""
    whole = model(stride=stride, size_divisibility=size_divisibility)
    sliding = SlidingWindow(whole, window_size=(64, 96), overlap=overlap)
    batch = [record(*size), record(*size, height=75, width=111)]
    for expected, result in zip(whole(batch), sliding(batch), strict=True):
        expected, result = expected["sem_seg"], result["sem_seg"]
        assert result.source_size == pytest.approx(expected.source_size)
        assert result.size == expected.size and result.logits.shape == expected.logits.shape
        torch.testing.assert_close(result.logits, expected.logits, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(result.full(), expected.full(), rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("size_divisibility", [0, 32])
def test_what_pixels_see_within_a_quarter_of_the_overlap_is_exact(size, size_divisibility):
    """Image borders included: zero padding is where the whole image has it, and nowhere else."""
    whole = model(stride=4, convs=2, size_divisibility=size_divisibility)
    sliding = SlidingWindow(whole, window_size=(64, 64), overlap=0.5)  # 8 cells, a quarter is 2
    batch = [record(*size)]
    expected, result = whole(batch)[0]["sem_seg"], sliding(batch)[0]["sem_seg"]
    torch.testing.assert_close(result.logits, expected.logits, rtol=1e-5, atol=1e-5)
    assert torch.equal(result.labels(), expected.labels())


@torch.no_grad()
def test_models_that_see_further_are_blended_without_seams():
    whole = model(stride=4, convs=8)
    batch = [record(160, 224)]
    expected = whole(batch)[0]["sem_seg"].logits

    def error(overlap):
        sliding = SlidingWindow(whole, window_size=(96, 96), overlap=overlap)
        return (sliding(batch)[0]["sem_seg"].logits - expected).abs()

    hard, blended = error(0), error(0.67)
    assert blended.mean() < 0.2 * hard.mean() and blended.amax() < hard.amax()


@torch.no_grad()
def test_constant_logits_stay_constant():
    whole = model()
    torch.nn.init.zeros_(whole.sem_seg_head.predictor.weight)
    result = SlidingWindow(whole, window_size=(64, 32), overlap=0.3)([record(133, 201)])
    expected = 5 * whole.sem_seg_head.predictor.bias.view(-1, 1, 1).expand(-1, 133, 201)
    torch.testing.assert_close(result[0]["sem_seg"].full(), expected)


@torch.no_grad()
@pytest.mark.parametrize("image", [(200, 130), (31, 20), (97, 131)])
@pytest.mark.parametrize("size", [None, (333, 70), (50, 400)])
def test_bands_are_the_full_logits(image, size):
    sliding = SlidingWindow(model(stride=8), window_size=(64, 64), overlap=0.5)
    extra = {} if size is None else dict(zip(("height", "width"), size, strict=True))
    given = record(*image, **extra)
    expected = sliding([given])[0]["sem_seg"].full()
    end = 0
    for rows, logits in sliding.bands(given):
        assert rows.start == end and logits.shape[1] == rows.stop - rows.start <= 64
        torch.testing.assert_close(logits, expected[:, rows], rtol=1e-5, atol=1e-5)
        end = rows.stop
    assert end == expected.shape[1]


@torch.no_grad()
def test_the_model_sees_no_more_than_a_window():
    seen = []
    whole = model()
    whole.backbone.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[-2:]))
    SlidingWindow(whole, window_size=(64, 32))([record(150, 150)])
    assert max(h for h, _ in seen) == 64 and max(w for _, w in seen) == 32
    assert len(seen) == 4 * 5  # no window twice


def config(**options):
    cfg = get_cfg()
    for key, value in options.items():
        cfg.merge_from_list([f"TEST.{key.replace('__', '.')}", value])
    return cfg


@torch.no_grad()
def test_from_config_and_evaluated():
    cfg = config(SLIDING_WINDOW__ENABLED=True, SLIDING_WINDOW__SIZE=[64, 64])
    whole = model()
    sliding = build_inference(cfg, whole)
    assert isinstance(sliding, SlidingWindow) and sliding.alignment == 32
    assert build_inference(get_cfg(), whole) is whole
    batch = [record(100, 130, sem_seg_gt=torch.randint(0, 5, (100, 130)))]
    results = []
    for m in (whole, sliding):
        evaluator = SemSegEvaluator(dataset_name="windows", class_names="abcde")
        evaluator.process(batch, m(batch))
        results.append(evaluator.evaluate()["sem_seg"])
    assert results[0] == results[1]
    both = build_inference(config(SLIDING_WINDOW__ENABLED=True, AUG__ENABLED=True), whole)
    assert isinstance(both, SemSegAugmentation) and isinstance(both.model, SlidingWindow)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"window_size": (64, 100)}, r"SIZE is \[64, 100\]; .* multiples of 32"),
        (
            {"window_size": (64, 64), "overlap": 1.0},
            r"OVERLAP is 1.0; expected a share in",
        ),
        ({"window_size": (64,)}, r"expected \(height, width\)"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        SlidingWindow(model(), **options)


def test_other_models_are_refused():
    cfg = config(SLIDING_WINDOW__ENABLED=True)
    with pytest.raises(ValueError, match=r"TEST.SLIDING_WINDOW can't be used with a Linear"):
        build_inference(cfg, torch.nn.Linear(1, 1))


def test_strides_that_do_not_fit_are_named():
    sliding = SlidingWindow(model(stride=12), window_size=(64, 64))
    with torch.no_grad(), pytest.raises(ValueError, match="6 logits for 64 pixels"):
        sliding([record(100, 100)])
