import copy
import pickle
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segsuite.acceleration import accelerate, accelerated, remove_acceleration, winograd
from segsuite.acceleration import conv as conv_module
from segsuite.config import load_config
from segsuite.layers import BilinearResize, Conv2d, FrozenBatchNorm2d
from segsuite.modeling import build_model
from tests.helpers import REPO


def randomise(model):
    torch.manual_seed(0)
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            nn.init.uniform_(value, 0.5 if name.endswith("running_var") else -0.5, 1)
    return model


@pytest.mark.parametrize("norm", ["", "BN", "SyncBN", "FrozenBN", "GN", "LN"])
@pytest.mark.parametrize("channels", [8, 256])
@pytest.mark.parametrize("stride, groups", [(1, 1), (2, 1), (1, 4)])
def test_the_same_outputs(norm, channels, stride, groups):
    conv = Conv2d(
        *(channels, channels, 3), stride=stride, groups=groups, norm=norm, activation=F.relu
    )
    randomise(conv).eval()
    x = torch.randn(2, channels, 9, 11)
    before = copy.deepcopy(conv.state_dict())
    with torch.no_grad():
        expected = conv(x)
        with accelerated(conv):
            found = conv(x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.max()))
    assert before.keys() == conv.state_dict().keys()
    assert all(torch.equal(before[name], value) for name, value in conv.state_dict().items())


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, FrozenBatchNorm2d, nn.InstanceNorm2d])
@pytest.mark.parametrize("bias", [False, True])
def test_norms_behind_convolutions_in_a_sequence(norm, bias):
    model = nn.Sequential(
        *(nn.Conv2d(3, 256, 3, padding=1, bias=bias), norm(256), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=2, dilation=2, bias=bias), norm(256)),
        nn.Conv2d(256, 4, 1),
    )
    randomise(model).eval()
    x = torch.randn(2, 3, 9, 8)
    with torch.no_grad():
        expected = model(x)
        with accelerated(model):
            found = model(x)
        after = model(x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    torch.testing.assert_close(after, expected, rtol=0, atol=0)
    assert "forward" not in model[0].__dict__ and "forward" not in model[1].__dict__


def test_a_wide_layer_takes_winograds_algorithm(monkeypatch):
    """In float32 on a CPU; other layers, and bfloat16, do not."""
    called = []
    monkeypatch.setattr(
        "segsuite.acceleration.conv.winograd_conv3x3",
        lambda x, *args: called.append(x.dtype) or x.clone(),
    )
    for conv in (Conv2d(256, 128, 3), Conv2d(256, 256, 1), Conv2d(256, 256, 3, stride=2)):
        accelerate(conv.eval(), inference=True)
        with torch.no_grad():
            conv(torch.randn(1, 256, 8, 8))
    assert not called
    conv = Conv2d(256, 256, 3, dilation=2).eval()
    accelerate(conv, inference=True)
    with torch.no_grad():
        with torch.autocast("cpu", torch.bfloat16):
            conv(torch.randn(1, 256, 8, 8))
        assert not called
        conv(torch.randn(1, 256, 8, 8))
    assert called == [torch.float32]


def test_autocast():
    conv = randomise(Conv2d(16, 32, 3, norm="BN")).eval()
    x = torch.randn(1, 16, 8, 8)
    with torch.inference_mode():
        expected = conv(x)
        with accelerated(conv), torch.autocast("cpu", torch.bfloat16):
            found = conv(x)
        assert found.dtype == torch.bfloat16
        torch.testing.assert_close(found.float(), expected, rtol=0.03, atol=0.3)
        with accelerated(conv):  # both types of one model
            torch.testing.assert_close(conv(x), expected, rtol=1e-4, atol=1e-4)


def test_training_and_gradients_do_not_see_prepared_weights():
    conv = randomise(Conv2d(4, 4, 3, norm="BN"))
    x = torch.randn(2, 4, 6, 6)
    with accelerated(conv):
        nn.init.zeros_(conv.weight)  # a change that the prepared weights would miss
        conv.eval()
        with_gradients = conv(x)
        conv.train()
        with torch.no_grad():
            in_training = conv(x)
    torch.testing.assert_close(in_training, conv.norm.bias.view(1, -1, 1, 1).expand_as(x))
    assert with_gradients.requires_grad and with_gradients.std() > 0


def test_it_ends_with_the_context():
    conv = randomise(Conv2d(4, 4, 3, norm="BN")).eval()
    x = torch.randn(2, 4, 6, 6)
    with torch.no_grad():
        with accelerated(conv):
            before = conv(x)
        nn.init.zeros_(conv.weight)
        assert not torch.equal(conv(x), before)
        with accelerated(conv):
            assert not torch.equal(conv(x), before)


@pytest.mark.parametrize("inference", [False, True])
def test_export_and_compile_see_convolutions_alone(inference):
    depthwise = nn.Conv2d(256, 256, 5, padding=2, groups=256)
    model = nn.Sequential(Conv2d(3, 256, 3, norm="FrozenBN"), depthwise, Conv2d(256, 256, 3))
    randomise(model).eval()
    x = torch.randn(1, 3, 8, 8)
    expected = model(x)
    accelerate(model, inference=inference)
    with torch.no_grad():
        program = torch.export.export(model, (x,))
    operators = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert not {name for name in operators if "bmm" in name or "Winograd" in name}
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    tolerance = {"rtol": 1e-4, "atol": 1e-5 * float(expected.detach().abs().max())}
    torch.testing.assert_close(program.module()(x), expected, **tolerance)
    torch.testing.assert_close(compiled(x), expected, **tolerance)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), expected, **tolerance)


@pytest.mark.parametrize("activation", [None, F.relu])
def test_a_frozen_norm_becomes_part_of_the_convolution(activation):
    """The same outputs and gradients, and the state dict is left alone."""
    conv = Conv2d(3, 8, 3, norm="FrozenBN", activation=activation)
    for name, buffer in conv.norm.named_buffers():
        nn.init.uniform_(buffer, 0.5 if name == "running_var" else -1, 2)
    before = {name: value.clone() for name, value in conv.state_dict().items()}
    x = torch.randn(2, 3, 9, 9)
    expected = conv.norm(F.conv2d(x, conv.weight, padding=1))
    expected = expected if activation is None else activation(expected)
    accelerate(conv)
    found = conv(x)
    assert "Convolution" in type(conv(x).grad_fn).__name__ or activation is not None
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    weights = torch.randn_like(found)
    (want,) = torch.autograd.grad((expected * weights).sum(), conv.weight)
    (got,) = torch.autograd.grad((found * weights).sum(), conv.weight)
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)
    assert all(torch.equal(before[name], value) for name, value in conv.state_dict().items())


def test_only_what_has_a_faster_way_is_touched():
    class Own(Conv2d):
        def forward(self, x):
            return super().forward(x) + 1

    model = nn.Sequential(
        *(Conv2d(256, 256, 3), Conv2d(4, 4, 5, groups=4), Conv2d(4, 4, 1, norm="FrozenBN")),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.Conv2d(4, 4, 5, groups=4), BilinearResize()),
        *(
            Conv2d(4, 4, 3, norm="BN"),
            nn.Conv2d(4, 4, 3, groups=4),
            Own(256, 256, 3),
            nn.BatchNorm2d(4),
        ),
    )
    accelerate(model)
    assert touched(model) == [str(i) for i in range(6)]
    accelerate(model, inference=True)
    assert touched(model) == [str(i) for i in range(8)]
    remove_acceleration(model)
    assert touched(model) == []


def touched(model):
    return [name for name, module in model.named_modules() if "forward" in vars(module)]


def test_a_forward_that_somebody_replaced_is_kept():
    conv = Conv2d(256, 256, 3)
    conv.forward = lambda x: x
    accelerate(conv, inference=True)
    x = torch.randn(1, 256, 4, 4)
    assert conv(x) is x
    remove_acceleration(conv)
    assert conv(x) is x


@pytest.mark.parametrize("replaced", [0, 1])
def test_a_replaced_forward_in_a_sequence(replaced):
    model = randomise(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))).eval()
    forward = model[replaced].forward
    model[replaced].forward = lambda x: 2 * forward(x)
    check_inference(model, torch.randn(1, 3, 8, 8))


def test_a_convolution_that_sequences_with_other_norms_share():
    conv = nn.Conv2d(3, 3, 3, padding=1)
    model = nn.Sequential(
        nn.Sequential(conv, nn.BatchNorm2d(3)), nn.Sequential(conv, nn.BatchNorm2d(3))
    )
    check_inference(randomise(model).eval(), torch.randn(1, 3, 8, 8))


def check_inference(model, x):
    with torch.no_grad():
        expected = model(x)
        with accelerated(model):
            torch.testing.assert_close(model(x), expected)
        torch.testing.assert_close(model(x), expected, rtol=0, atol=0)


def test_norms_without_numbers_are_not_folded():
    model = nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False)),
        *(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)),
    ).eval()
    x = torch.randn(2, 3, 9, 9)
    with torch.no_grad():
        expected = model(x)
        accelerate(model, inference=True)
        torch.testing.assert_close(model(x), expected)


def test_after_a_while_of_inference_it_trains_as_before():
    """With the same objects in place, and twice is as good as once."""
    model = nn.Sequential(Conv2d(3, 256, 3, norm="FrozenBN"), Conv2d(256, 256, 3, norm="BN"))
    accelerate(model)
    accelerate(model)
    before = [vars(module)["forward"] for module in model]
    with accelerated(model):
        with accelerated(model):
            assert not any(vars(m)["forward"] is f for m, f in zip(model, before, strict=True))
        assert touched(model) == ["0", "1"]
    assert all(vars(m)["forward"] is f for m, f in zip(model, before, strict=True))
    with pytest.raises(RuntimeError, match="broken"), accelerated(model):
        raise RuntimeError("broken")
    assert all(vars(m)["forward"] is f for m, f in zip(model, before, strict=True))


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["deep", "file"]
)
def test_a_copy_is_plain_and_computes_with_its_own_weights(inference, copied):
    model = randomise(
        nn.Sequential(
            *(nn.Conv2d(3, 256, 3, padding=1), nn.BatchNorm2d(256)),
            Conv2d(256, 256, 3, norm="FrozenBN", activation=F.relu),
        )
    ).eval()
    x = torch.randn(1, 3, 8, 8)
    accelerate(model, inference=inference)
    with torch.no_grad():
        before = model(x)
        other = copied(model)
        assert touched(model) and not touched(other)
        accelerate(other, inference=inference)
        assert touched(other) == touched(model)
        torch.testing.assert_close(other(x), before)
        for parameter in other.parameters():
            parameter.zero_()
        assert float(other(x).std(dim=(0, 2, 3)).max()) == 0
        torch.testing.assert_close(model(x), before)


@pytest.mark.parametrize("inference", [False, True])
def test_a_shallow_copy_computes_by_itself(inference):
    conv = randomise(Conv2d(4, 4, 3, norm="FrozenBN", activation=F.relu)).eval()
    accelerate(conv, inference=inference)
    other = copy.copy(conv)
    other.activation = None
    other._parameters = {"weight": nn.Parameter(torch.zeros_like(conv.weight)), "bias": None}
    with torch.no_grad():
        x = torch.randn(1, 4, 8, 8)
        before = conv(x)
        assert float(other(x).std(dim=(0, 2, 3)).max()) == 0
        torch.testing.assert_close(conv(x), before)
    remove_acceleration(conv)
    with torch.no_grad():
        torch.testing.assert_close(conv(x), before)


@pytest.mark.parametrize(
    "change",
    [
        lambda model, other: model.load_state_dict(other.state_dict()),
        lambda model, other: model.load_state_dict(other.state_dict(), assign=True),
        lambda model, other: [
            setattr(a, "data", b.data.clone())
            for a, b in zip(
                (*model.parameters(), *model.buffers()),
                (*other.parameters(), *other.buffers()),
                strict=True,
            )
        ],
    ],
    ids=["loaded", "assigned", "data"],
)
def test_weights_that_change_later(change):
    model, other = (
        randomise(
            nn.Sequential(
                *(nn.Conv2d(3, 256, 3, padding=1, bias=False), nn.BatchNorm2d(256)),
                Conv2d(256, 256, 3, norm="BN", activation=F.relu),
            )
        ).eval()
        for _ in range(2)
    )
    x = torch.randn(1, 3, 8, 8)
    accelerate(model, inference=True)
    with torch.no_grad():
        model(x)
        change(model, other)
        torch.testing.assert_close(model(x), other(x), rtol=1e-3, atol=1e-3)


def test_weights_that_a_function_is_called_with():
    """torch.func.functional_call puts them in place of the model's own for one call."""
    model = randomise(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))).eval()
    x = torch.randn(1, 3, 8, 8)
    accelerate(model, inference=True)
    with torch.no_grad():
        before = model(x)
        for scale in (0.0, 2.0, 3.0):
            given = {"0.weight": model[0].weight * scale, "0.bias": model[0].bias * scale}
            plain = copy.deepcopy(model)
            remove_acceleration(plain)
            expected = torch.func.functional_call(plain, given, x)
            found = torch.func.functional_call(model, given, x)
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(model(x), before)


@pytest.mark.parametrize("where", [0, 1, "2.norm", "3.norm"])
def test_hooks_see_what_they_do_on_the_plain_model(where):
    model = randomise(
        nn.Sequential(
            *(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)),
            *(Conv2d(4, 4, 3, norm="BN"), Conv2d(4, 4, 3, norm="FrozenBN")),
        )
    ).eval()
    seen = []
    model.get_submodule(str(where)).register_forward_hook(
        lambda module, inputs, output: seen.append((*inputs, output))
    )
    x = torch.randn(1, 3, 12, 12)
    with torch.no_grad():
        model(x)
        accelerate(model, inference=True)
        model(x)
    accelerate(model)
    model(x)
    plain, *others = seen
    assert len(others) == 2
    for other in others:
        torch.testing.assert_close(other, plain, rtol=1e-4, atol=1e-4)


RECIPES = sorted(path.stem for path in (REPO / "configs/smoke").glob("*.yaml"))
SEMANTIC = [name for name in RECIPES if "rcnn" not in name and "panoptic" not in name]


@pytest.mark.parametrize("name", SEMANTIC)
def test_whole_models_in_training_and_inference(name):
    torch.manual_seed(0)
    plain = build_model(load_config(REPO / f"configs/smoke/{name}.yaml", ["MODEL.DEVICE", "cpu"]))
    fast = copy.deepcopy(plain)
    accelerate(fast)
    labels = torch.randint(0, plain.sem_seg_head.num_classes, (64, 96))
    record = {"image": torch.randint(0, 256, (3, 64, 96)), "sem_seg": labels}
    losses = []
    for model in (plain, fast):
        torch.manual_seed(1)  # the same channels and paths are dropped
        losses.append(model.train()([record, record]))
        sum(losses[-1].values()).backward()
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-4, atol=1e-5)
    largest = max(float(p.grad.norm()) for p in plain.parameters() if p.grad is not None)
    for (key, p), (other, q) in zip(plain.named_parameters(), fast.named_parameters(), strict=True):
        assert key == other and (p.grad is None) == (q.grad is None)
        if p.grad is not None:
            difference = float((q.grad - p.grad).norm())
            assert difference <= 1e-2 * float(p.grad.norm()) + 1e-4 * largest, key
    assert fast.state_dict().keys() == plain.state_dict().keys()
    fast.load_state_dict(plain.state_dict())
    with torch.no_grad(), accelerated(fast):
        expected, found = (m.eval()([record])[0]["sem_seg"].logits for m in (plain, fast))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("recipe", ["fcn", "deeplab_v3"])
def test_winograds_algorithm_where_networks_are_wide(monkeypatch, recipe):
    """In training for the gradients of inputs, too; the widths are those of ResNet-50 and heads."""
    widths = Counter()
    real = winograd.winograd_conv3x3

    def counting(x, *args):
        widths[x.shape[1]] += 1
        return real(x, *args)

    for module in (winograd, conv_module):
        monkeypatch.setattr(module, "winograd_conv3x3", counting)
    model = build_model(
        load_config(REPO / f"configs/_base_/{recipe}.yaml", ["MODEL.DEVICE", "cpu"])
    )
    accelerate(model)
    labels = torch.zeros(128, 160, dtype=torch.int64)
    record = {"image": torch.randint(0, 256, (3, 128, 160)), "sem_seg": labels}
    sum(model.train()([record, record]).values()).backward()
    assert (
        widths
        == {
            "fcn": {256: 13, 512: 7, 1024: 1, 2048: 1},
            "deeplab_v3": {256: 15, 512: 6, 1024: 1},
        }[recipe]
    )
    widths.clear()
    with accelerated(model), torch.inference_mode():
        model.eval()([record])
    expected = {"fcn": {256: 6, 512: 3, 2048: 1}, "deeplab_v3": {256: 7, 512: 3}}
    assert widths == expected[recipe]
