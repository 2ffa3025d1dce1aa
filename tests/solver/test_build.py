import copy

import pytest
import torch
import torchvision
from torch import nn

from segsuite.config import CfgNode, get_cfg, load_config
from segsuite.layers import get_norm
from segsuite.modeling import build_model
from segsuite.solver import OPTIMIZER_REGISTRY, build_optimizer, param_groups
from tests.helpers import REPO


class Segmentor(nn.Module):
    """Every kind of parameter that the rules tell apart."""

    def __init__(self):
        super().__init__()
        self.backbone = torchvision.models.resnet18(num_classes=4)
        self.backbone.conv1.requires_grad_(False)
        self.backbone_neck = nn.Conv2d(4, 4, 1)  # not under "backbone."
        self.gn = get_norm("GN", 4)
        self.sync_bn = get_norm("SyncBN", 4)
        self.frozen_bn = get_norm("FrozenBN", 4)
        self.ln = nn.LayerNorm(4)
        self.attention = nn.MultiheadAttention(4, 1)
        self.head = nn.Conv2d(4, 4, 1)
        self.tied = nn.Conv2d(4, 4, 1)
        self.tied.weight = self.head.weight


def groups_by_name(model, **rules):
    names = {param: name for name, param in model.named_parameters()}
    return {
        names[param]: (group["base_lr"], group["weight_decay"])
        for group in param_groups(model, **rules)
        for param in group["params"]
    }


def small_net():
    torch.manual_seed(0)
    # An odd width leaves vector kernels a tail.
    return nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 2, 1))


def train(model, optimizer, steps):
    generator = torch.Generator().manual_seed(steps.start)
    for _ in steps:
        x = torch.randn(2, 3, 9, 9, generator=generator)
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()


def configured(**solver):
    cfg = get_cfg()
    for key, value in solver.items():
        cfg.SOLVER[key] = value
    return cfg


class TestParamGroups:
    def test_rules(self):
        groups = groups_by_name(
            Segmentor(),
            base_lr=1.0,
            weight_decay=0.1,
            weight_decay_norm=0.2,
            weight_decay_bias=0.3,
            bias_lr_factor=2.0,
            backbone_multiplier=0.5,
        )
        expected = {
            "backbone.layer1.0.conv1.weight": (0.5, 0.1),
            "backbone.layer1.0.bn1.weight": (0.5, 0.2),
            "backbone.layer1.0.bn1.bias": (1.0, 0.3),
            "backbone.fc.bias": (1.0, 0.3),
            "backbone_neck.weight": (1.0, 0.1),
            "gn.weight": (1.0, 0.2),
            "sync_bn.weight": (1.0, 0.2),
            "ln.weight": (1.0, 0.2),
            "ln.bias": (2.0, 0.3),
            "attention.in_proj_weight": (1.0, 0.1),
            "attention.in_proj_bias": (2.0, 0.3),
            "head.weight": (1.0, 0.1),
        }
        assert expected.items() <= groups.items()

    def test_biases_follow_their_layer_by_default(self):
        groups = groups_by_name(Segmentor(), base_lr=1.0, weight_decay=0.1, weight_decay_norm=0.0)
        assert groups["head.bias"] == (1.0, 0.1)
        assert groups["gn.bias"] == (1.0, 0.0)

    def test_each_trainable_parameter_once(self):
        model = Segmentor()
        groups = param_groups(model, base_lr=1.0, weight_decay=0.1, weight_decay_norm=0.0)
        listed = [param for group in groups for param in group["params"]]
        assert len(listed) == len(set(listed))
        assert set(listed) == {p for p in model.parameters() if p.requires_grad}

    def test_few_groups_in_a_fixed_order(self):
        rules = {"base_lr": 1.0, "weight_decay": 0.1, "weight_decay_norm": 0.0}
        first, second = (param_groups(Segmentor(), **rules) for _ in range(2))
        assert [(g["lr"], g["weight_decay"]) for g in first] == [(1.0, 0.0), (1.0, 0.1)]
        assert [len(g["params"]) for g in first] == [len(g["params"]) for g in second]
        same = param_groups(Segmentor(), base_lr=1.0, weight_decay=0.1)
        assert len(same) == 1


class TestBuildOptimizer:
    @pytest.mark.parametrize("name, kind", [("SGD", torch.optim.SGD), ("ADAM", torch.optim.Adam)])
    def test_kind_and_base_lr(self, name, kind):
        optimizer = build_optimizer(configured(OPTIMIZER=name, BASE_LR=0.5), small_net())
        assert type(optimizer) is kind
        assert all(group["base_lr"] == group["lr"] == 0.5 for group in optimizer.param_groups)

    def test_groups_of_a_model_of_the_suite(self):
        cfg = load_config(REPO / "configs" / "smoke" / "unet_shapes.yaml")
        cfg.SOLVER.BACKBONE_MULTIPLIER = 0.1
        cfg.MODEL.BACKBONE.FREEZE_AT = 2
        model = build_model(cfg)
        names = {param: name for name, param in model.named_parameters()}
        groups = build_optimizer(cfg, model).param_groups
        assert len(groups) == 4
        for group in groups:
            for name in map(names.pop, group["params"]):
                lr = cfg.SOLVER.BASE_LR * (0.1 if name.startswith("backbone.") else 1.0)
                decay = 0.0 if ".norm." in name else cfg.SOLVER.WEIGHT_DECAY
                assert (group["base_lr"], group["weight_decay"]) == (lr, decay), name
        assert names and all(name.startswith("backbone.") for name in names.values())  # frozen

    def test_one_step_of_sgd_in_closed_form(self):
        model = nn.Linear(2, 1, bias=False)
        before = model.weight.detach().clone()
        cfg = configured(BASE_LR=0.1, MOMENTUM=0.9, WEIGHT_DECAY=0.5)
        optimizer = build_optimizer(cfg, model)
        expected, momentum = before.clone(), torch.zeros(1, 2)
        for _ in range(3):
            model.weight.grad = torch.tensor([[1.0, -2.0]])
            optimizer.step()
            momentum = 0.9 * momentum + model.weight.grad + 0.5 * expected
            expected = expected - 0.1 * momentum
        torch.testing.assert_close(model.weight.detach(), expected)

    @pytest.mark.parametrize("name", ["SGD", "ADAM", "ADAMW"])
    def test_parameters_may_have_their_first_gradient_later(self, name):
        first, later = (nn.Parameter(torch.ones(3)) for _ in range(2))
        optimizer = build_optimizer(configured(OPTIMIZER=name), nn.ParameterList([first, later]))
        first.grad = torch.tensor([1.0, -2.0, 3.0])
        optimizer.step()
        assert later not in optimizer.state and torch.equal(later, torch.ones(3))
        after_one_step = first.detach().clone()
        later.grad = first.grad.clone()
        optimizer.step()
        assert torch.equal(later, after_one_step) and not torch.equal(first, after_one_step)

    @pytest.mark.parametrize("name", ["SGD", "ADAM", "ADAMW"])
    def test_continues_to_the_bit_from_its_state(self, name, tmp_path):
        cfg = configured(OPTIMIZER=name, BASE_LR=0.01)
        model = small_net()
        optimizer = build_optimizer(cfg, model)
        train(model, optimizer, range(3))
        path = tmp_path / "state.pth"
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, path)
        train(model, optimizer, range(3, 6))

        resumed = small_net()
        state = torch.load(path, weights_only=True)
        resumed.load_state_dict(state["model"])
        optimizer = build_optimizer(cfg, resumed)
        optimizer.load_state_dict(state["optimizer"])
        train(resumed, optimizer, range(3, 6))
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, resumed.state_dict()[name]), name

    def test_state_follows_the_parameters_memory_format(self):
        cfg = configured(BASE_LR=0.1)
        model = small_net()
        optimizer = build_optimizer(cfg, model)
        train(model, optimizer, range(2))
        resumed = copy.deepcopy(model).to(memory_format=torch.channels_last)
        other = build_optimizer(cfg, resumed)
        other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        for param, same in zip(model.parameters(), resumed.parameters(), strict=True):
            param.grad = torch.zeros_like(param)
            same.grad = torch.zeros_like(same)
        optimizer.step()
        other.step()
        for param, same in zip(model.parameters(), resumed.parameters(), strict=True):
            torch.testing.assert_close(param, same)

    def test_hyper_parameters_come_from_the_config(self):
        state = build_optimizer(configured(BASE_LR=0.1, MOMENTUM=0.9), small_net()).state_dict()
        optimizer = build_optimizer(configured(BASE_LR=0.2, MOMENTUM=0.8), small_net())
        optimizer.load_state_dict(state)
        group = optimizer.param_groups[0]
        assert (group["base_lr"], group["momentum"]) == (0.2, 0.8)

    def test_state_of_another_grouping_is_refused(self):
        state = build_optimizer(configured(WEIGHT_DECAY_NORM=0.0), small_net()).state_dict()
        optimizer = build_optimizer(configured(WEIGHT_DECAY_NORM=0.0001), small_net())
        with pytest.raises(ValueError, match="WEIGHT_DECAY_"):
            optimizer.load_state_dict(state)

    @pytest.mark.parametrize("before, now", [("SGD", "ADAMW"), ("ADAM", "SGD")])
    def test_state_of_another_optimizer_is_refused(self, before, now):
        state = build_optimizer(configured(OPTIMIZER=before), small_net()).state_dict()
        optimizer = build_optimizer(configured(OPTIMIZER=now), small_net())
        with pytest.raises(ValueError, match="the one that the run began with"):
            optimizer.load_state_dict(state)

    def test_unknown_name(self):
        with pytest.raises(KeyError, match=r"OPTIMIZER registry.*Did you mean 'ADAMW'"):
            build_optimizer(configured(OPTIMIZER="AdamW2"), small_net())

    @pytest.mark.parametrize(
        "solver, match",
        [
            ({"BASE_LR": -1.0}, r"SGD with LR -1\.0.*Invalid learning rate"),
            ({"MOMENTUM": 0.0, "NESTEROV": True}, "Nesterov momentum requires"),
            ({"WEIGHT_DECAY": -1.0}, "Invalid weight_decay"),
            ({"OPTIMIZER": "ADAMW", "BETAS": (0.9, 1.0)}, r"BETAS \(0\.9, 1\.0\)"),
            ({"OPTIMIZER": "ADAMW", "BETAS": (0.9,)}, r"BETAS \(0\.9,\)"),
        ],
    )
    def test_values_out_of_range(self, solver, match):
        with pytest.raises(ValueError, match=match):
            build_optimizer(configured(**solver), small_net())

    def test_arguments_without_a_key(self):
        cfg = configured(OPTIMIZER="ADAMW")
        cfg.merge_from_list(
            ["SOLVER.OPTIMIZER_ARGS.EPS", "1e-6", "SOLVER.OPTIMIZER_ARGS.FUSED", "False"]
        )
        defaults = build_optimizer(cfg, small_net()).defaults
        assert (defaults["eps"], defaults["fused"]) == (1e-6, False)
        cfg = configured(OPTIMIZER_ARGS=CfgNode({"FUSED": False, "DAMPENING": 0.5}))
        model = small_net()
        train(model, build_optimizer(cfg, model), range(2))
        cfg.SOLVER.OPTIMIZER_ARGS = CfgNode({"DAMPNING": 0.5})
        with pytest.raises(KeyError, match=r"SGD has no argument DAMPNING. Did you mean DAMPENING"):
            build_optimizer(cfg, small_net())

    def test_one_of_an_outside_package(self, registered):
        @registered(OPTIMIZER_REGISTRY)
        def Slow(cfg, params, *, alpha=0.9):
            return torch.optim.RMSprop(params, lr=cfg.SOLVER.BASE_LR, alpha=alpha)

        cfg = configured(OPTIMIZER="Slow", BASE_LR=0.5, BIAS_LR_FACTOR=2.0)
        cfg.SOLVER.OPTIMIZER_ARGS = CfgNode({"ALPHA": 0.5})
        optimizer = build_optimizer(cfg, small_net())
        assert type(optimizer) is torch.optim.RMSprop and optimizer.defaults["alpha"] == 0.5
        assert {group["base_lr"] for group in optimizer.param_groups} == {0.5, 1.0}
        with pytest.raises(ValueError, match=r"with alpha, .* and without .*nesterov"):
            build_optimizer(configured(), small_net()).load_state_dict(optimizer.state_dict())
        cfg.SOLVER.OPTIMIZER_ARGS = CfgNode({"BETA": 0.5})
        with pytest.raises(KeyError, match=r"Slow has no argument BETA. .*It has: ALPHA"):
            build_optimizer(cfg, small_net())

    def test_what_is_registered_gives_an_optimiser(self, registered):
        registered(OPTIMIZER_REGISTRY)(lambda cfg, params: None, name="Nothing")
        with pytest.raises(TypeError, match="'Nothing' gave a NoneType"):
            build_optimizer(configured(OPTIMIZER="Nothing"), small_net())

    def test_nothing_trainable(self):
        with pytest.raises(ValueError, match="FREEZE_AT"):
            build_optimizer(configured(), small_net().requires_grad_(False))
