import pytest
import torch
from torch import nn

from segsuite.solver import ModelEMA


def net():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3))
    model[2].bias = model[0].bias  # shared
    model.register_buffer("scratch", torch.zeros(1), persistent=False)
    return model.to(memory_format=torch.channels_last)


def disturb(model):
    with torch.no_grad():
        for param in model.parameters():
            param.add_(torch.randn_like(param))
        model[1].running_mean.add_(1)
        model[1].num_batches_tracked.add_(1)


def snapshot(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_closed_form():
    model = net()
    ema = ModelEMA(model, decay=0.2)
    expected = model[0].weight.detach().clone()
    for decay in (1 / 10, 2 / 11, 0.2, 0.2):  # the third ramp value, 3 / 12, is above the decay
        disturb(model)
        ema.update()
        expected = decay * expected + (1 - decay) * model[0].weight.detach()
    state = ema.state_dict()
    torch.testing.assert_close(state["model"]["0.weight"], expected)
    assert torch.equal(state["model"]["1.running_mean"], model[1].running_mean)
    assert state["model"]["1.num_batches_tracked"] == 4
    assert state["updates"] == 4
    assert "scratch" not in state["model"]


def test_applied_swaps_and_restores_to_the_bit():
    model = net()
    ema = ModelEMA(model, decay=0.9)
    disturb(model)
    ema.update()
    own, average = snapshot(model), {k: v.clone() for k, v in ema.state_dict()["model"].items()}
    parameters = list(model.parameters())
    with pytest.raises(RuntimeError, match="inside"), ema.applied():
        for name, tensor in average.items():
            assert torch.equal(model.state_dict()[name], tensor), name
        assert model[0].weight.is_contiguous(memory_format=torch.channels_last)
        raise RuntimeError("inside")
    for name, tensor in snapshot(model).items():
        assert torch.equal(tensor, own[name]), name
    for name, tensor in ema.state_dict()["model"].items():
        assert torch.equal(tensor, average[name]), name
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))


def test_training_goes_on_as_if_never_applied():
    def run(apply):
        model = net()
        ema = ModelEMA(model, decay=0.9)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, fused=True)
        for step in range(4):
            optimizer.zero_grad()
            x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(step))
            model(x).square().mean().backward()
            optimizer.step()
            ema.update()
            if apply:
                with ema.applied(), torch.no_grad():
                    model.eval()(x)
                model.train()
        return snapshot(model), ema.state_dict()["model"]

    for with_it, without in zip(run(True), run(False), strict=True):
        for name, tensor in without.items():
            assert torch.equal(tensor, with_it[name]), name


def test_buffers_written_inside_stay_with_the_average():
    model = net()
    ema = ModelEMA(model, decay=0.9)
    with ema.applied():
        model[1].running_mean.fill_(7)
    assert model[1].running_mean.eq(0).all()
    assert ema.state_dict()["model"]["1.running_mean"].eq(7).all()


def test_state_round_trip():
    def run(model, ema, steps):
        for step in steps:
            torch.manual_seed(step)
            disturb(model)
            ema.update()

    model = net()
    ema = ModelEMA(model, decay=0.9)
    run(model, ema, range(3))
    resumed = net()
    resumed.load_state_dict(model.state_dict())
    other = ModelEMA(resumed, decay=0.9)
    other.load_state_dict(ema.state_dict())
    run(model, ema, range(3, 6))
    run(resumed, other, range(3, 6))
    for name, tensor in ema.state_dict()["model"].items():
        assert torch.equal(tensor, other.state_dict()["model"][name]), name


def test_state_of_another_model_is_refused():
    ema = ModelEMA(nn.Linear(2, 3), decay=0.9)
    with pytest.raises(ValueError, match=r"another model: 1 .* 'weight'"):
        ema.load_state_dict(ModelEMA(nn.Linear(4, 3), decay=0.9).state_dict())


def test_decay_outside_its_range():
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        ModelEMA(nn.Linear(1, 1), decay=1.0)
