"""What every semantic head must do. A new one takes a class of three lines."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from segsuite.config import get_cfg
from segsuite.layers import ShapeSpec
from segsuite.modeling import SemSegHead, build_sem_seg_head

NUM_CLASSES = 5


class HeadContract:
    """Subclass it as ``class TestMyHead(HeadContract)`` and set what follows.

    Attributes:
        name: the head's name in the registry.
        in_features: what it reads, of `input_shape`.
        options: further keys and values of the configuration.
    """

    name: str
    in_features: tuple[str, ...] = ("res2", "res3", "res4", "res5")
    options: dict[str, object] = {}
    input_shape: dict[str, ShapeSpec] = {
        "res2": ShapeSpec(8, 4),
        "res3": ShapeSpec(16, 8),
        "res4": ShapeSpec(24, 16),
        "res5": ShapeSpec(32, 32),
    }

    def build(self, **overrides: object) -> SemSegHead:
        cfg = get_cfg()
        head = cfg.MODEL.SEM_SEG_HEAD
        head.NAME, head.NUM_CLASSES = self.name, NUM_CLASSES
        head.IN_FEATURES = list(self.in_features)
        head.CONVS_DIM, head.DECODER_CHANNELS, head.NORM = 8, [16, 8, 8], "GN"
        for key, value in {**self.options, **overrides}.items():
            cfg.merge_from_list([key, value])
        return build_sem_seg_head(cfg, self.input_shape)

    def features(self, batch_size: int = 2, height: int = 64, width: int = 96):
        return {
            name: torch.randn(batch_size, s.channels, -(-height // s.stride), -(-width // s.stride))
            for name, s in self.input_shape.items()
        }

    @pytest.mark.parametrize("batch_size, height, width", [(2, 64, 96), (1, 65, 99), (1, 70, 127)])
    def test_logits_are_as_declared(self, batch_size, height, width):
        head = self.build()
        logits = head(self.features(batch_size, height, width))
        finest = max(head.stride, min(shape.stride for shape in head.in_shapes))
        h, w = (-(-size // finest) * finest // head.stride for size in (height, width))
        assert logits.shape == (batch_size, NUM_CLASSES, h, w)

    def test_same_logits_whatever_the_memory_format(self):
        head = self.build().eval()
        features = self.features()
        expected = head(features)
        head.to(memory_format=torch.channels_last)
        logits = head(
            {n: f.contiguous(memory_format=torch.channels_last) for n, f in features.items()}
        )
        torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-4)

    def test_leaves_the_features_alone(self):
        features = self.features()
        before = copy.deepcopy(features)
        self.build()(features)
        assert all(torch.equal(features[name], before[name]) for name in before)

    def test_gradients_of_the_losses_reach_every_parameter(self):
        head = self.build()
        targets = torch.randint(0, NUM_CLASSES, (2, 64, 96))
        losses = head.training_losses(self.features(), targets)
        assert all(loss.shape == () and loss.isfinite() for loss in losses.values())
        sum(losses.values()).backward()
        assert [n for n, p in head.named_parameters() if p.grad is None or not p.grad.any()] == []

    def test_one_class_is_a_sigmoid(self):
        head = self.build(**{"MODEL.SEM_SEG_HEAD.NUM_CLASSES": 1})
        features, targets = self.features(), torch.randint(0, 2, (2, 64, 96))
        assert head(features).shape[1] == 1
        losses = head.training_losses(features, targets)
        sum(losses.values()).backward()
        assert all(loss > 0 for loss in losses.values())
        assert [n for n, p in head.named_parameters() if p.grad is None or not p.grad.any()] == []

    def test_nothing_to_learn_from_ignored_pixels(self):
        head = self.build()
        losses = head.training_losses(self.features(), torch.full((2, 64, 96), 255))
        assert all(loss == 0 for loss in losses.values())
        sum(losses.values()).backward()
        assert all(not p.grad.any() for p in head.parameters())

    def test_state_dict_round_trip(self):
        head, other = self.build().eval(), self.build().eval()
        other.load_state_dict(copy.deepcopy(head.state_dict()))
        features = self.features()
        assert torch.equal(other(features), head(features))

    def test_bfloat16_autocast(self):
        head = self.build()
        with torch.autocast("cpu", torch.bfloat16):
            targets = torch.randint(0, NUM_CLASSES, (2, 64, 96))
            losses = head.training_losses(self.features(), targets)
        assert all(loss.dtype == torch.float32 and loss.isfinite() for loss in losses.values())

    def test_the_order_of_the_features_does_not_matter(self):
        torch.manual_seed(0)
        head = self.build().eval()
        torch.manual_seed(0)
        # Coarse to fine; features of one stride are read in the order they are named.
        names = sorted(self.in_features, key=lambda name: -self.input_shape[name].stride)
        other = self.build(**{"MODEL.SEM_SEG_HEAD.IN_FEATURES": names}).eval()
        assert other.in_features == head.in_features
        features = self.features()
        assert torch.equal(other(features), head(features))

    def test_unknown_feature_is_named(self):
        with pytest.raises(KeyError, match=r"'res9' is not in .*IN_FEATURES"):
            self.build(**{"MODEL.SEM_SEG_HEAD.IN_FEATURES": [*self.in_features[:-1], "res9"]})

    @pytest.mark.slow
    @pytest.mark.parametrize("training", [True, False])
    def test_compiles_without_a_graph_break(self, training):
        head = self.build(**{"MODEL.SEM_SEG_HEAD.DROPOUT": 0.0}).train(training)
        for module in head.modules():
            if isinstance(module, torch.nn.modules.dropout._DropoutNd):
                module.p = 0.0
        features = self.features()
        expected = head(features)
        head.compile(fullgraph=True)
        torch.testing.assert_close(head(features), expected, rtol=1e-3, atol=1e-4)

    @pytest.mark.slow
    def test_exports(self):
        head = self.build().eval()
        features = self.features()
        program = torch.export.export(head, (features,))
        torch.testing.assert_close(program.module()(features), head(features), rtol=1e-3, atol=1e-4)

    @pytest.mark.slow
    def test_learns_two_images_by_heart(self):
        """One class for each quarter of an image: more than 98 % of the pixels are right."""
        torch.manual_seed(0)
        head = self.build(**{"MODEL.SEM_SEG_HEAD.LOSS_TYPE": "cross_entropy"})
        features = self.features()
        targets = torch.tensor([[[0, 1], [2, 3]], [[4, 2], [1, 0]]])
        targets = targets.repeat_interleave(32, 1).repeat_interleave(64, 2)[..., 16:112]
        optimizer = torch.optim.Adam(head.parameters(), lr=0.01)
        for _ in range(300):
            optimizer.zero_grad()
            sum(head.losses(head(features), targets).values()).backward()
            optimizer.step()
        logits = F.interpolate(head.eval()(features), targets.shape[-2:], mode="bilinear")
        assert (logits.argmax(1) == targets).float().mean() > 0.98
