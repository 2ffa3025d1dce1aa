"""Graphs of whole models: on a pretended device everywhere, on a GPU where there is one."""

import copy

import numpy as np
import pytest
import torch

import segsuite
from segsuite.acceleration import accelerate, accelerated, capture
from segsuite.config import load_config
from segsuite.engine import DefaultTrainer
from segsuite.modeling import build_model
from segsuite.modeling.inference import SemSegAugmentation, SlidingWindow
from tests.finished_runs import tiny_images, tiny_run
from tests.helpers import REPO
from tests.mock_device import MockDevice, OnDevice, to_mock_device
from tests.modeling.rcnn_models import PANOPTIC, small_cfg

from .graphed import (
    Network,
    bool_index,
    images,
    item,
    load_others,
    nonzero,
    randomise,
    requires_gpu,
    unique,
)


def semantic_model(recipe="lraspp"):
    torch.manual_seed(0)
    return build_model(recipe_cfg(recipe)).eval()


def recipe_cfg(recipe):
    options = ["MODEL.DEVICE", "cpu", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", "4", "MODEL.WEIGHTS", ""]
    return load_config(REPO / "configs" / "_base_" / f"{recipe}.yaml", options)


def record(height=64, width=64):
    return {"image": torch.randint(0, 256, (3, height, width), dtype=torch.uint8)}


@torch.inference_mode()
def test_semantic_models(graphs):
    model = semantic_model()
    batches = [[record(60 + i, 64)] for i in range(4)]  # padded to one shape, or not
    divisibility = max(model.backbone.size_divisibility, 1)
    with accelerated(model):
        expected = [model(batch)[0]["sem_seg"].labels() for batch in batches for _ in range(3)]
    with accelerated(model, cuda_graphs=8):
        found = [model(batch)[0]["sem_seg"].labels() for batch in batches for _ in range(3)]
    shapes = len({-(-(60 + i) // divisibility) for i in range(4)})
    assert graphs.captures == shapes and graphs.replays == 12 - 2 * shapes
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@torch.inference_mode()
def test_windows_and_scales_repeat_shapes(graphs):
    model = semantic_model()
    windows = SlidingWindow(model, window_size=(64, 64), overlap=0.25)
    inference = SemSegAugmentation(windows, min_sizes=[0], flip=True)
    image = record(64, 160)
    with accelerated(inference):
        expected = inference([image])[0]["sem_seg"].logits
    with accelerated(inference, cuda_graphs=8):
        found = inference([image])[0]["sem_seg"].logits
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert graphs.captures == 1 and graphs.replays >= 4


@pytest.mark.parametrize("recipe", ["lraspp", "mask_rcnn_resnet18_fpn"])
@torch.no_grad()
def test_nothing_waits_on_a_device(recipe):
    """Nor is anything brought there from the CPU, which a capture would not do again."""
    model = build_model(recipe_cfg(recipe)).eval()
    with MockDevice() as device:
        to_mock_device(model)
        with capture.NothingWaits():
            x = OnDevice(torch.rand(2, 3, 64, 64))
            if recipe == "lraspp":
                found = model.logits(x)
            else:
                (*_, found) = model.proposal_generator.predict(model.features(x))[-1]
    assert isinstance(found, OnDevice) and device.waits == []


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["deeplab_v3_plus", "hrnet_ocr", "segformer", "unet", "upernet"])
@torch.inference_mode()
def test_architectures(graphs, recipe):
    model, batches = semantic_model(recipe), [[record(96, 128)] for _ in range(3)]
    with accelerated(model):
        expected = [model(batch)[0]["sem_seg"].logits for batch in batches]
    with accelerated(model, cuda_graphs=1):
        found = [model(batch)[0]["sem_seg"].logits for batch in batches]
    assert graphs.captures == graphs.replays == 1
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("base, options, methods", [("FPN", {}, 2), ("FPN", PANOPTIC, 3)])
@torch.inference_mode()
def test_instance_models(graphs, base, options, methods):
    """Up to the scores and offsets of the anchors; the number of proposals is another each time."""
    torch.manual_seed(0)
    model = build_model(small_cfg(base, **options)).eval()
    batches = [[record(), record(48, 60)] for _ in range(4)]
    with accelerated(model):
        expected = [model(batch) for batch in batches]
    with accelerated(model, cuda_graphs=8):
        found = [model(batch) for batch in batches]
    assert graphs.captures == methods and graphs.replays == 2 * methods
    for batch, wanted in zip(found, expected, strict=True):
        for got, want in zip(batch, wanted, strict=True):
            assert len(got["instances"]) > 0
            got_boxes, want_boxes = (x["instances"].pred_boxes.tensor for x in (got, want))
            assert torch.equal(got_boxes, want_boxes)
            assert torch.equal(got["instances"].scores, want["instances"].scores)
            if options:
                assert torch.equal(got["panoptic_seg"][0], want["panoptic_seg"][0])


def test_predictor_and_evaluation(graphs, tmp_path):
    file = tiny_images()[0]
    plain = segsuite.Predictor(tiny_run())
    predict = segsuite.Predictor(tiny_run(), ["TEST.CUDA_GRAPHS", "2"])
    for _ in range(4):
        assert np.array_equal(predict(file).labels, plain(file).labels)
    assert graphs.captures == 1 and graphs.replays == 2

    results = []
    for limit in (0, 2):
        cfg = predict.cfg.clone()
        cfg.merge_from_list(["TEST.CUDA_GRAPHS", limit, "OUTPUT_DIR", str(tmp_path / str(limit))])
        cfg.merge_from_list(["TEST.EXAMPLES", 0])
        results.append(DefaultTrainer.test(cfg, plain.model))
    assert results[0] == results[1]
    assert graphs.captures == 2 and graphs.replays > 2


@requires_gpu
@pytest.mark.parametrize("dtype", [None, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("recipe", ["lraspp", "unet"])
@torch.inference_mode()
def test_on_a_gpu(recipe, dtype, monkeypatch):
    captured = []
    real = capture.CUDAGraphs.capture
    monkeypatch.setattr(
        capture.CUDAGraphs, "capture", lambda *args: captured.append(real(*args)) or captured[-1]
    )
    model = semantic_model(recipe).cuda().to(memory_format=torch.channels_last)
    batches = [[record(128, 160) for _ in range(2)] for _ in range(5)]

    def run():
        with torch.autocast("cuda", dtype, enabled=dtype is not None):
            outputs = [model(batch) for batch in batches]
        return [x["sem_seg"].logits for output in outputs for x in output]

    with accelerated(model):
        expected = run()
    with accelerated(model, cuda_graphs=2):
        found = run()
        assert len(captured) == 1
        load_others(model)
        changed = run()
        assert len(captured) == 2
    with accelerated(model):
        others = run()
    for a, b in ((found, expected), (changed, others)):
        for x, y in zip(a, b, strict=True):
            torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-3 * float(y.abs().max()))


@requires_gpu
@torch.inference_mode()
def test_instances_on_a_gpu():
    torch.manual_seed(0)
    model = build_model(small_cfg()).eval().cuda()
    batches = [[record(), record(48, 60)] for _ in range(5)]
    with accelerated(model):
        expected = [model(batch) for batch in batches]
    with accelerated(model, cuda_graphs=2):
        found = [model(batch) for batch in batches]
    for got, want in zip(found, expected, strict=True):
        for a, b in zip(got, want, strict=True):
            torch.testing.assert_close(
                a["instances"].scores, b["instances"].scores, rtol=1e-3, atol=1e-4
            )


@requires_gpu
@pytest.mark.parametrize("work", [item, nonzero, bool_index, unique, lambda x: x + x.cpu().numel()])
@torch.no_grad()
def test_a_model_that_waits_on_a_gpu(caplog, work):
    """Afterwards everything works: streams, the allocator, random numbers, other graphs."""

    class Waiting(Network):
        def maps(self, x):
            return work(super().maps(x)["features"])

    model, other = randomise(Waiting()).eval().cuda(), randomise(Network()).eval().cuda()
    accelerate(model, cuda_graphs=2)
    accelerate(other, cuda_graphs=2)
    stream = torch.cuda.current_stream()
    for _ in range(4):
        x = images().cuda()
        torch.testing.assert_close(model(x), copy.deepcopy(model)(x))
        torch.testing.assert_close(other(x), copy.deepcopy(other)(x))
    assert torch.cuda.current_stream() == stream
    assert "Waiting.maps is computed without a CUDA graph" in caplog.text
    torch.rand(3, device="cuda").sum().item()
    torch.cuda.synchronize()


@requires_gpu
@torch.no_grad()
def test_memory_of_graphs_comes_back():
    model = randomise(Network()).eval().cuda()
    x = torch.rand(8, 3, 512, 8, device="cuda")
    model(x)
    before = torch.cuda.memory_allocated()
    with accelerated(model, cuda_graphs=2):
        for height in (512, 256, 128, 512):  # more than are kept
            for _ in range(3):
                model(x[:, :, :height])
    torch.cuda.synchronize()
    assert torch.cuda.memory_allocated() <= before + 2**20
