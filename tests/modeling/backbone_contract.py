"""What every backbone must do. A new one is a class with `build`."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from segsuite.errors import ConfigError
from segsuite.modeling.backbone import Backbone


class BackboneContract:
    """Subclass it as ``class TestMyBackbone(BackboneContract)`` and define `build`."""

    def build(self) -> Backbone:
        """A small instance for three channels."""
        raise NotImplementedError

    @pytest.mark.parametrize("batch_size, height, width", [(2, 64, 96), (1, 65, 99), (1, 70, 127)])
    def test_features_are_as_declared(self, batch_size, height, width):
        backbone = self.build()
        if d := backbone.size_divisibility:
            height, width = -(-height // d) * d, -(-width // d) * d
        features = backbone(torch.randn(batch_size, 3, height, width))
        shapes = backbone.output_shape()
        assert list(features) == list(shapes)
        for name, shape in shapes.items():
            h, w = -(-height // shape.stride), -(-width // shape.stride)
            assert features[name].shape == (batch_size, shape.channels, h, w), name

    def test_channels_last_gives_the_same(self):
        backbone = self.build().eval()
        x = torch.randn(1, 3, 64, 64)
        expected = backbone(x)
        backbone.to(memory_format=torch.channels_last)
        features = backbone(x.contiguous(memory_format=torch.channels_last))
        for name in expected:
            error = (features[name] - expected[name]).abs().max()
            assert error <= 1e-4 * expected[name].abs().max(), name
            if features[name].shape[1] > 1:
                assert features[name].is_contiguous(memory_format=torch.channels_last), name

    def test_gradients_reach_every_trainable_parameter(self):
        backbone = self.build()
        features = backbone(torch.randn(2, 3, 64, 64))
        sum((f * torch.randn_like(f)).sum() for f in features.values()).backward()
        trainable = [(n, p) for n, p in backbone.named_parameters() if p.requires_grad]
        assert trainable
        assert [n for n, p in trainable if p.grad is None or not p.grad.any()] == []

    def test_blocks_use_their_weights_in_their_forward_alone(self):
        backbone = self.build().eval()
        blocks = [backbone.get_submodule(name) for name in backbone.blocks()]
        weights = [list(block.parameters()) for block in blocks]
        assert len({p for params in weights for p in params}) == sum(map(len, weights))
        x = torch.randn(1, 3, 64, 64)
        calls = []

        def lend(block, params):
            values = [p.data for p in params]

            def give(*_):
                calls.append(block)
                for p, value in zip(params, values, strict=True):
                    p.data = value

            def take(*_):
                for p in params:
                    p.data = torch.full_like(p, torch.nan)

            take()
            block.register_forward_pre_hook(give)
            block.register_forward_hook(take)

        with torch.no_grad():
            expected = backbone(x)
            for block, params in zip(blocks, weights, strict=True):
                lend(block, params)
            features = backbone(x)
        assert len(calls) == len(blocks) and set(calls) == set(blocks)
        assert all(torch.equal(features[name], expected[name]) for name in expected)

    def test_state_dict_round_trip(self):
        backbone = self.build().eval()
        state = copy.deepcopy(backbone.state_dict())
        other = self.build().eval()
        other.load_state_dict(state)
        x = torch.randn(1, 3, 64, 64)
        expected, features = backbone(x), other(x)
        for name in expected:
            assert torch.equal(features[name], expected[name])

    def test_freezing_fixes_one_stage_after_the_other(self):
        count = len(self.build().stages())
        assert count > 1
        trainable = []
        for number in range(count + 1):
            backbone = self.build()
            names = {n for n in backbone.state_dict() if not n.endswith("num_batches_tracked")}
            backbone.freeze(number)
            after = {n for n in backbone.state_dict() if not n.endswith("num_batches_tracked")}
            assert after == names
            for name in (name for stage in backbone.stages()[:number] for name in stage):
                frozen = backbone.get_submodule(name)
                assert not any(p.requires_grad for p in frozen.parameters())
                assert not any(isinstance(m, _BatchNorm) for m in frozen.modules())
            trainable.append(sum(p.numel() for p in backbone.parameters() if p.requires_grad))
        assert trainable == sorted(trainable, reverse=True) and trainable[0] > trainable[-1]

    def test_frozen_stages_stay_as_they_are_in_training(self):
        torch.manual_seed(0)
        backbone = self.build()
        for module in backbone.modules():
            if isinstance(module, _BatchNorm):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2.0)
        x = torch.randn(2, 3, 64, 64)
        expected = backbone.eval()(x)
        backbone.freeze(1)
        for name, feature in backbone(x).items():
            assert (feature - expected[name]).abs().max() <= 1e-3 * expected[name].abs().max()
        before = copy.deepcopy(backbone.state_dict())
        layers = [name for stage in backbone.stages()[:1] for name in stage]
        optimizer = torch.optim.SGD([p for p in backbone.parameters() if p.requires_grad], lr=0.1)
        sum(f.float().square().mean() for f in backbone.train()(x).values()).backward()
        optimizer.step()
        after = backbone.state_dict()
        changed = [name for name in before if not torch.equal(after[name], before[name])]
        assert changed
        assert [n for n in changed if n.startswith(tuple(f"{layer}." for layer in layers))] == []

    def test_impossible_numbers_of_stages_are_refused(self):
        for number in (-1, len(self.build().stages()) + 1):
            with pytest.raises(ConfigError, match=rf"FREEZE_AT is {number}; expected 0 .* stages"):
                self.build().freeze(number)

    def test_leaves_its_input_alone(self):
        x = torch.randn(1, 3, 64, 64)
        before = x.clone()
        self.build()(x)
        assert torch.equal(x, before)

    def test_bfloat16_autocast(self):
        with torch.autocast("cpu", torch.bfloat16):
            features = self.build()(torch.randn(2, 3, 64, 64))
        assert all(f.isfinite().all() for f in features.values())
