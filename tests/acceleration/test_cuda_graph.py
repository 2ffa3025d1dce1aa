"""Graphs of networks: on a pretended device everywhere, on a GPU where there is one."""

import copy
import logging
import pickle
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import segsuite
from segsuite.acceleration import accelerate, accelerated, capture, cuda_graph, remove_acceleration
from segsuite.config import load_config
from segsuite.engine import DefaultTrainer
from segsuite.layers import Conv2d
from segsuite.modeling import build_model
from segsuite.modeling.inference import SemSegAugmentation, SlidingWindow
from tests.finished_runs import tiny_images, tiny_run
from tests.helpers import REPO
from tests.mock_device import MockDevice, OnDevice, to_mock_device
from tests.mock_graphs import MockGraphs
from tests.modeling.rcnn_models import small_cfg

requires_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


class Network(nn.Module):
    """Pixels to two maps, by a method that can be replayed."""

    graph_methods = ("maps",)

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(Conv2d(3, 4, 3, norm="BN"), nn.ReLU(), nn.Linear(8, 8))
        self.head = nn.Conv2d(4, 1, 1)
        self.calls = 0

    def forward(self, x):
        return self.maps(x)

    def maps(self, x):
        self.calls += 1
        features = self.body(x)
        return {"features": features, "heads": [self.head(features), features[:, 0]]}


@pytest.fixture
def graphs(monkeypatch):
    """What every model that is accelerated in the test is captured by."""
    graphs = MockGraphs()
    monkeypatch.setattr(cuda_graph, "CUDAGraphs", lambda: graphs)
    return graphs


@pytest.fixture
def model():
    torch.manual_seed(0)
    return randomise(Network()).eval()


def randomise(model):
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            nn.init.uniform_(value, 0.5 if name.endswith("running_var") else -0.5, 1)
    return model


def images(count=1, height=8):
    return torch.rand(count, 3, height, 8)


def check(model, x, graphs, *, replays, exact=False):
    """The model's result is that of a plain one; whether it comes from a graph."""
    before = graphs.replays
    found = model(x)
    plain = copy.deepcopy(model)
    assert graphs.replays - before == replays
    tolerance = {"rtol": 0, "atol": 0} if exact else {}
    torch.testing.assert_close(found, plain(x), **tolerance)
    return found


@torch.inference_mode()
def test_the_third_of_a_shape_is_replayed(model, graphs):
    accelerate(model, inference=True, cuda_graphs=4)
    inputs = [images() for _ in range(5)]
    results = [check(model, x, graphs, replays=int(i > 1)) for i, x in enumerate(inputs)]
    assert graphs.captures == 1 and graphs.replays == 3
    assert model.calls == 3  # one as it is, one that warms up, one that is captured
    remove_acceleration(model)
    for x, result in zip(inputs, results, strict=True):  # each its own memory
        torch.testing.assert_close(result, model(x))


@torch.inference_mode()
def test_the_numbers_are_those_without_graphs(model, graphs):
    accelerate(model, inference=True)
    x = images()
    expected = model(x)
    accelerate(model, inference=True, cuda_graphs=4)
    for _ in range(4):
        torch.testing.assert_close(model(x), expected, rtol=0, atol=0)
    assert graphs.replays == 2


@torch.inference_mode()
def test_each_shape_layout_and_type_has_a_graph(model, graphs):
    accelerate(model, cuda_graphs=8)
    last = images(2).contiguous(memory_format=torch.channels_last)
    kinds = [images(), images(2), images(height=9), last]
    for x in kinds * 2:
        check(model, x, graphs, replays=0)
    assert graphs.captures == 4
    for x in kinds * 2:
        check(model, x, graphs, replays=1, exact=True)
    model.double()
    for i in range(3):
        check(model, images().double(), graphs, replays=int(i == 2))


@torch.inference_mode()
def test_the_graph_that_is_not_used_for_longest_goes(model, graphs):
    accelerate(model, cuda_graphs=2)
    a, b, c = images(1), images(2), images(3)
    for x in (a, a, b, b):
        check(model, x, graphs, replays=0)
    check(model, a, graphs, replays=1)
    for x in (c, c):  # in the place of b
        check(model, x, graphs, replays=0)
    assert graphs.captures == 3
    for x in (a, c):
        check(model, x, graphs, replays=1)
    check(model, b, graphs, replays=0)  # as if it came for the first time
    assert graphs.captures == 3
    check(model, b, graphs, replays=0)
    assert graphs.captures == 4


def load_others(model):
    model.load_state_dict({k: v * 0.5 for k, v in model.state_dict().items()})


def replace_storage(model):
    model.head.weight.data = model.head.weight.data * 2


def replace_parameter(model):
    model.head.weight = nn.Parameter(model.head.weight.detach() * 2)


def change_statistics(model):
    model.body[0].norm.running_mean.add_(1)


def replace_module(model):
    model.body[1] = nn.Sigmoid().eval()


def replace_forward(model):
    model.body[1].forward = torch.tanh


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        load_others,
        replace_storage,
        replace_parameter,
        change_statistics,
        replace_module,
        replace_forward,
    ],
)
@torch.no_grad()
def test_a_changed_network_is_captured_anew(model, graphs, change, inference):
    accelerate(model, inference=inference, cuda_graphs=2)
    x = images()
    for i in range(3):
        before = check(model, x, graphs, replays=int(i == 2))
    change(model)
    for i in range(3):
        after = check(model, x, graphs, replays=int(i == 2))
    assert graphs.captures == 2
    assert not torch.allclose(before["heads"][0], after["heads"][0])


@torch.no_grad()
def test_a_network_that_changes_in_every_call_is_never_captured(model, graphs):
    accelerate(model, cuda_graphs=2)
    for _ in range(5):
        load_others(model)
        check(model, images(), graphs, replays=0)
    assert graphs.captures == 0


def test_settings_have_graphs_of_their_own(model, graphs):
    x = images()
    settings = {
        "none": nullcontext,
        "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
        "deterministic": lambda: torch.backends.cudnn.flags(deterministic=True),
        "precision": lambda: torch.backends.cudnn.flags(allow_tf32=False),
    }
    modes = (torch.inference_mode, torch.no_grad)
    expected = {}
    for limit in (0, 8):
        accelerate(model, inference=True, cuda_graphs=limit)
        for i in range(4):
            for name, setting in settings.items():
                for mode in modes:
                    before = graphs.replays
                    with mode(), setting():
                        found = model(x)["heads"][0]
                    wanted = expected.setdefault((name, mode), found)
                    torch.testing.assert_close(found, wanted, rtol=0, atol=0)
                    assert found.is_inference() == (mode is torch.inference_mode)
                    assert graphs.replays - before == int(bool(limit) and i > 1)
    assert graphs.captures == len(settings) * len(modes)
    dtypes = {name: found.dtype for (name, _), found in expected.items()}
    assert dtypes.pop("autocast") == torch.bfloat16 and set(dtypes.values()) == {torch.float32}


@torch.no_grad()
def test_cast_weights_are_not_left_behind(graphs):
    """Autocast keeps the weights that it has cast until it ends, a graph has to cast its own."""

    class Linear(nn.Module):
        graph_methods = ("maps",)

        def __init__(self):
            super().__init__()
            self.body = nn.Linear(4, 4)

        def forward(self, x):
            return self.maps(x)

        def maps(self, x):
            return self.body(x)

    model, x = Linear().eval(), torch.rand(2, 4)
    accelerate(model, cuda_graphs=2)
    with torch.autocast("cpu", torch.bfloat16):
        expected = model(x)
        model(x)
        # What the capture casts is not computed: nobody but the graph may see it.
        torch.testing.assert_close(remove_and_call(model, x), expected)
    accelerate(model, cuda_graphs=2)
    for _ in range(4):
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(model(x), expected)


def remove_and_call(model, x):
    remove_acceleration(model)
    return model(x)


@contextmanager
def training(model):
    model.body[1].train()
    yield
    model.body[1].eval()


@contextmanager
def hook(model, register="register_forward_hook"):
    handle = getattr(model.body[0], register)(lambda *_: None)
    yield
    handle.remove()


def pre_hook(model):
    return hook(model, "register_forward_pre_hook")


@contextmanager
def global_hook(_, register=nn.modules.module.register_module_forward_hook):
    handle = register(lambda *_: None)
    yield
    handle.remove()


def global_pre_hook(model):
    return global_hook(model, nn.modules.module.register_module_forward_pre_hook)


@contextmanager
def compiled(model):
    model.head._compiled_call_impl = model.head._call_impl  # what nn.Module.compile sets
    yield
    model.head._compiled_call_impl = None


@pytest.mark.parametrize(
    "context, reason",
    [
        (lambda _: torch.enable_grad(), "gradients are enabled"),
        (training, "in training mode"),
        (hook, "a hook looks into it, at a Conv2d"),
        (pre_hook, "a hook looks into it, at a Conv2d"),
        (global_hook, "a hook looks into it"),
        (global_pre_hook, "a hook looks into it"),
        (compiled, "compiled by torch.compile"),
        (lambda _: FlopCounterMode(display=False), None),
    ],
)
@torch.no_grad()
def test_calls_that_are_not_replayed(model, graphs, context, reason, caplog):
    accelerate(model, cuda_graphs=2)
    x = images()
    for _ in range(3):
        model(x)
    caplog.clear()
    with caplog.at_level(logging.INFO, "segsuite"):
        for _ in range(2):
            calls = model.calls
            with context(model):
                model(x)
            assert model.calls == calls + 1
    messages = [record.getMessage() for record in caplog.records]
    if reason is None:
        assert not messages
    else:
        (message,) = messages
        assert message.startswith("Network.maps is computed without a CUDA graph: ")
        assert reason in message
    replays = graphs.replays
    model(x)
    assert graphs.captures == 1 and graphs.replays == replays + 1


@torch.no_grad()
def test_a_hook_on_the_network_as_a_whole_sees_the_same(model, graphs):
    seen = []
    model.register_forward_hook(lambda module, args, output: seen.append(output))
    accelerate(model, cuda_graphs=2)
    results = [model(images()) for _ in range(4)]
    assert graphs.replays == 2
    assert all(a is b for a, b in zip(seen, results, strict=True))


@torch.no_grad()
def test_on_a_cpu(model, caplog):
    accelerate(model, cuda_graphs=2)
    with caplog.at_level(logging.INFO, "segsuite"):
        for _ in range(4):
            model(images())
    (record,) = caplog.records
    assert "Network.maps" in record.getMessage() and "the model is on cpu" in record.getMessage()
    assert model.calls == 4


def item(x):
    return x * float(x.sum() > 0)


def branch(x):
    return x if x.mean() > -1 else -x


def nonzero(x):
    return x.flatten()[(x.flatten() > 0).nonzero()[:, 0]]


def bool_index(x):
    return x[x > 0]


def bool_assignment(x):
    x = x.clone()
    x[x > 0.5] = 0
    return x


def masked_select(x):
    return x.masked_select(x > 0)


def unique(x):
    return (x * 4).round().unique()


def host_copy(x):
    return x + x.to("meta").numel()


def own_error(x):
    if torch._C._len_torch_dispatch_stack():
        raise KeyError("only now and then")
    return x


@pytest.mark.parametrize(
    "work",
    [
        item,
        branch,
        nonzero,
        bool_index,
        bool_assignment,
        masked_select,
        unique,
        host_copy,
        own_error,
    ],
)
@torch.no_grad()
def test_what_cannot_be_captured_is_computed(graphs, caplog, work):
    """And what went wrong is said once."""

    class Waiting(Network):
        def maps(self, x):
            return work(super().maps(x)["features"])

    model = randomise(Waiting()).eval()
    accelerate(model, cuda_graphs=2)
    with caplog.at_level(logging.INFO, "segsuite"):
        for _ in range(4):
            check(model, images(), graphs, replays=0)
        for _ in range(3):  # nor is another shape tried
            check(model, images(2), graphs, replays=0)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    expected = "KeyError: 'only now" if work is own_error else "waits for the device"
    assert "Waiting.maps is computed without a CUDA graph" in record.getMessage()
    assert expected in record.getMessage()
    assert graphs.captures == 0 and model.calls == 8  # one of them the capture


@torch.no_grad()
def test_graphs_go_where_memory_is_short(graphs, caplog):
    """For a batch for which there is enough without them."""

    class Large(Network):
        def maps(self, x):
            if len(x) > 2 and (len(x) > 3 or graphs.alive):
                raise torch.cuda.OutOfMemoryError("CUDA out of memory.\nTried to allocate much")
            return super().maps(x)

    model = randomise(Large()).eval()
    accelerate(model, cuda_graphs=2)
    with pytest.raises(torch.cuda.OutOfMemoryError):  # which is not that of the graphs
        model(images(4))
    for i in range(3):
        check(model, images(), graphs, replays=int(i == 2))
    assert graphs.alive and not caplog.records
    for count in (3, 3, 1, 1):
        check(model, images(count), graphs, replays=0)
    (record,) = caplog.records
    assert record.getMessage().endswith("OutOfMemoryError: CUDA out of memory.")
    with pytest.raises(torch.cuda.OutOfMemoryError):
        model(images(4))


@torch.no_grad()
def test_errors_of_the_model_are_its_own(model, graphs):
    accelerate(model, cuda_graphs=2)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="expected input"):
            model(torch.rand(1, 5, 8, 8))
    for i in range(3):
        check(model, images(), graphs, replays=int(i == 2))


@torch.no_grad()
def test_copies_are_plain_and_the_context_ends(model, graphs):
    x = images()
    expected = model(x)
    with accelerated(model, cuda_graphs=2):
        for _ in range(3):
            model(x)
        for made in (copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))):
            calls, replays = model.calls, graphs.replays
            copied = made(model)
            copied.calls = 0
            copied(x)
            assert copied.calls == 1 and graphs.replays == replays and model.calls == calls
        with accelerated(model):  # without graphs, and then with them again
            calls = model.calls
            model(x)
            assert model.calls == calls + 1
        for i in range(3):
            check(model, x, graphs, replays=int(i == 2))
    assert "maps" not in vars(model) and "__getstate__" not in vars(model)
    torch.testing.assert_close(model(x), expected)


def test_a_negative_number_is_refused(model):
    with pytest.raises(ValueError, match=r"TEST\.CUDA_GRAPHS is -1; expected the number of shapes"):
        accelerate(model, cuda_graphs=-1)


class StubbedCUDA:
    """Stands in for streams and captures of `torch.cuda`, and notes what is done with them."""

    device = torch.device("cuda", 0)

    def __init__(self, monkeypatch):
        self.log, self.broken = [], False
        self.default = self.current = self.Stream("default", self)
        self.made = 0
        cuda = {
            "Stream": lambda device: self.new_stream(),
            "current_stream": lambda device=None: self.current,
            "stream": self.stream,
            "graph_pool_handle": lambda: self.log.append("new pool") or object(),
            "CUDAGraph": lambda: self.Graph(self),
            "graph": self.graph,
        }
        for name, value in cuda.items():
            monkeypatch.setattr(torch.cuda, name, value)
        monkeypatch.setattr(
            torch._C,
            "_cuda_endAllocateToPool",
            lambda index, pool: self.log.append(f"allocator {index}"),
        )

    class Stream:
        def __init__(self, name, cuda):
            self.name, self.device, self.cuda = name, cuda.device, cuda

        def wait_stream(self, other):
            self.cuda.log.append(f"{self.name} waits for {other.name}")

    class Graph:
        def __init__(self, cuda):
            self.cuda = cuda

        def replay(self):
            self.cuda.log.append("replay")

    def new_stream(self):
        self.made += 1
        return self.Stream(f"side{self.made}", self)

    @contextmanager
    def stream(self, stream):
        before, self.current = self.current, stream
        try:
            yield
        finally:
            self.current = before

    def graph(self, graph, *, pool, stream, capture_error_mode):
        assert capture_error_mode == "thread_local"  # loaders pin memory meanwhile
        cuda = self

        class Capturing:
            def __enter__(self):
                cuda.current = stream
                cuda.log.append("capture")

            def __exit__(self, *error):
                if cuda.broken:  # and the stream stays as it is, as in PyTorch
                    cuda.current = cuda.Stream("lost", cuda)
                    raise RuntimeError("capture was invalidated")

        return Capturing()


def test_streams_and_memory(monkeypatch):
    """What is captured runs between what the stream was given before and what it is given later,
    and graphs share memory for as long as there is one."""
    cuda = StubbedCUDA(monkeypatch)
    graphs = capture.CUDAGraphs()

    def captured():
        with graphs.turn(cuda.device), graphs.aside(cuda.device):
            assert cuda.current.name == "side1"
            return graphs.capture(lambda: "result")

    replay, result = captured()
    assert result == "result" and cuda.current is cuda.default
    replay()
    others, _ = captured()
    waits = ["side1 waits for default", "capture", "default waits for side1"]
    assert cuda.log == [waits[0], "new pool", *waits[1:], "replay", *waits]
    del replay, others
    cuda.log.clear()
    kept = captured()
    assert cuda.log == [waits[0], "new pool", *waits[1:]]
    cuda.log.clear()
    other = cuda.Stream("other", cuda)
    for stream in (cuda.default, other, other, cuda.default):
        with cuda.stream(stream), graphs.turn(cuda.device):
            kept[0]()
    assert cuda.log == [
        *("replay", "other waits for default", "replay", "replay"),
        *("default waits for other", "replay"),
    ]


def test_a_broken_capture_leaves_nothing_behind(monkeypatch):
    cuda = StubbedCUDA(monkeypatch)
    graphs = capture.CUDAGraphs()

    def fail():
        cuda.broken = True
        raise ValueError("the operator")

    with (
        pytest.raises(RuntimeError, match="invalidated") as error,
        graphs.turn(cuda.device),
        graphs.aside(cuda.device),
    ):
        graphs.capture(fail)
    assert isinstance(error.value.__context__, ValueError)  # which is what is logged
    assert cuda.current is cuda.default
    assert cuda.log[-2:] == ["allocator 0", "default waits for side1"]


def test_what_cuda_can_capture():
    obstacle = capture.CUDAGraphs().obstacle
    assert "the model is on cpu" in obstacle([torch.ones(1)])
    assert "the model is on meta" in obstacle([torch.ones(1, device="meta")])


# Models.


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


PANOPTIC = {
    "MODEL__META_ARCHITECTURE": "PanopticFPN",
    "MODEL__SEM_SEG_HEAD__NUM_CLASSES": 4,
    "MODEL__SEM_SEG_HEAD__CONVS_DIM": 8,
    "MODEL__SEM_SEG_HEAD__IN_FEATURES": ["p2", "p3", "p4", "p5"],
    "MODEL__SEM_SEG_HEAD__NAME": "SemSegFPNHead",
}


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


# On a GPU.


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
