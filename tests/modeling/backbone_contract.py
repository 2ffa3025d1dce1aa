"""What every backbone must do. A new one is a class with `build`."""

from __future__ import annotations

import copy

import pytest
import torch

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

    def test_state_dict_round_trip(self):
        backbone = self.build().eval()
        state = copy.deepcopy(backbone.state_dict())
        other = self.build().eval()
        other.load_state_dict(state)
        x = torch.randn(1, 3, 64, 64)
        expected, features = backbone(x), other(x)
        for name in expected:
            assert torch.equal(features[name], expected[name])

    def test_leaves_its_input_alone(self):
        x = torch.randn(1, 3, 64, 64)
        before = x.clone()
        self.build()(x)
        assert torch.equal(x, before)

    def test_bfloat16_autocast(self):
        with torch.autocast("cpu", torch.bfloat16):
            features = self.build()(torch.randn(2, 3, 64, 64))
        assert all(f.isfinite().all() for f in features.values())
