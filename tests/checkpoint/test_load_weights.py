import logging

import pytest
import torch
import torchvision
from torch import nn

from segsuite.checkpoint import load_weights
from segsuite.checkpoint.tables import group_names
from segsuite.modeling.backbone import ResNet


def net():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.Conv2d(4, 2, 1)))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.pth"


def with_prefix(prefix, weights):
    return {prefix + name: tensor for name, tensor in weights.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: weights,
        lambda weights: {"model": weights, "iteration": 7},
        lambda weights: {"state_dict": weights, "epoch": 7},
        lambda weights: {"model_state_dict": weights, "epoch": 7},
        lambda weights: with_prefix("module.", weights),
        lambda weights: {"model": with_prefix("_orig_mod.module.", weights)},
    ],
)
def test_loads_what_is_wrapped(path, wrap):
    source, model = net(), net()
    torch.save(wrap(source.state_dict()), path)
    report = load_weights(model, path)
    assert report.missing == report.unexpected == []
    assert len(report.loaded) == len(source.state_dict())
    for name, tensor in source.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name


def test_a_prefix_of_some_names_is_part_of_them(path):
    model = nn.ModuleDict({"module": nn.Linear(1, 1), "head": nn.Linear(1, 1)})
    torch.save(model.state_dict(), path)
    assert load_weights(model, path).unexpected == []


def test_reports_missing_and_unexpected(path, caplog):
    caplog.set_level(logging.INFO)
    weights = net().state_dict()
    del weights["0.bias"], weights["2.0.weight"], weights["2.0.bias"]
    weights |= {"fc.weight": torch.zeros(1), "fc.bias": torch.zeros(1), "epoch": 3}
    torch.save(weights, path)
    model = net()
    before = model[2][0].weight.clone()
    report = load_weights(model, path)
    assert report.missing == ["0.bias", "2.0.bias", "2.0.weight"]
    assert report.unexpected == ["epoch", "fc.bias", "fc.weight"]
    assert torch.equal(model[0].weight, weights["0.weight"])
    assert torch.equal(model[2][0].weight, before)
    assert "6 of 9 tensors" in caplog.text
    assert "\n  0.bias  1\n  2.*     2\n" in caplog.text
    assert "\n  epoch  1\n  fc.*   2\n" in caplog.text


def test_shapes_that_do_not_fit(path):
    torch.save({**net().state_dict(), "2.0.weight": torch.zeros(2, 7, 1, 1)}, path)
    model = net()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"MODEL\.WEIGHTS: '.*weights\.pth'.*: 1\n") as caught:
        load_weights(model, path)
    assert "  2.0.weight  (2, 7, 1, 1)  (2, 4, 1, 1)\n" in str(caught.value)
    for name, tensor in before.items():
        assert torch.equal(model.state_dict()[name], tensor), name


@pytest.mark.parametrize("changed", [{"0.bias"}, {"extra"}])
def test_strict(path, changed):
    source = net()
    weights = source.state_dict()
    torch.save(weights, path)
    assert load_weights(net(), path, strict=True).missing == []
    extra = {name: torch.zeros(1) for name in changed - weights.keys()}
    torch.save({n: t for n, t in weights.items() if n not in changed} | extra, path)
    with pytest.raises(ValueError, match=rf"--resume: '.*weights\.pth'(?s:.*)  {changed.pop()}  1"):
        load_weights(net(), path, origin="--resume", strict=True)


def test_nothing_fits(path):
    torch.save({"conv1.weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"no name .*'conv1\.weight'.*'0\.weight'"):
        load_weights(net(), path)


def test_precision_follows_the_model(path):
    source, model = net(), net()
    torch.save({name: tensor.half() for name, tensor in source.state_dict().items()}, path)
    load_weights(model, path)
    assert model[0].weight.dtype == torch.float32
    assert torch.equal(model[0].weight, source[0].weight.half().float())


def test_origin_is_named(path):
    with pytest.raises(FileNotFoundError, match=r"MODEL\.WEIGHTS: '.*weights\.pth' does not exist"):
        load_weights(net(), path)


@pytest.mark.parametrize(
    "names, among, rows",
    [
        ([], ["a.b"], []),
        (["a.b", "a.c"], ["a.b", "a.c", "d"], [("a.*", "2")]),
        (["a.b", "a.c"], ["a.b", "a.c", "a.d"], [("a.b", "1"), ("a.c", "1")]),
        (["a.x.b", "a.x.c", "a.y.b"], ["a.x.b", "a.x.c", "a.y.b", "a.y.c"], None),
        (["a.b.c"], ["a.b.c", "d"], [("a.b.c", "1")]),
        (["a", "ab.c"], ["a", "ab.c", "a.d"], [("a", "1"), ("ab.c", "1")]),
    ],
)
def test_group_names(names, among, rows):
    expected = [("a.x.*", "2"), ("a.y.b", "1")] if rows is None else rows
    assert group_names(names, among) == expected


def test_long_tables_are_cut(path, caplog):
    model = nn.ParameterDict({f"p{i}": nn.Parameter(torch.zeros(1)) for i in range(80)})
    torch.save({f"p{i}": torch.ones(1) for i in range(40)}, path)
    load_weights(model, path)
    assert "... and 10 more" in caplog.text


@pytest.mark.parametrize("prefix", ["model.", "net.", "model.net.", "module.model."])
def test_network_inside_of_a_training_module(path, prefix):
    """As Lightning writes it: beside the network are losses and metrics, which are not used."""
    peer = torchvision.models.resnet18(weights=None)
    state = with_prefix(prefix, peer.state_dict())
    outer = prefix.partition(".")[0]
    extra = {"criterion.weight": torch.ones(3), f"{outer}_iou.confmat": torch.zeros(3, 3)}
    torch.save({"state_dict": state | extra, "pytorch-lightning_version": "2.4"}, path)
    model = ResNet(depth=18)
    report = load_weights(model, path)
    assert report.source == "ResNet of torchvision or timm"
    assert report.missing == []
    assert set(report.unexpected) == {f"{prefix}fc.weight", f"{prefix}fc.bias", *extra}
    assert torch.equal(model.stem.conv1.weight, peer.conv1.weight)
