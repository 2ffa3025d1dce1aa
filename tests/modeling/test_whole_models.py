"""Every architecture as a whole: sizes, checkpoints, errors, torch.compile and torch.export."""

import pytest
import torch
from torch import nn

from segsuite.checkpoint import load_weights, save_weights
from segsuite.modeling import build_model

from .zoo import ARCHITECTURES

pytestmark = pytest.mark.parametrize("name", ARCHITECTURES)


def build(name):
    torch.manual_seed(0)
    return build_model(ARCHITECTURES[name].config())


def record(height, width):
    return {
        "image": torch.randint(0, 256, (3, height, width), dtype=torch.uint8),
        "sem_seg": torch.randint(0, 11, (height, width)),
    }


class Network(nn.Module):
    """What predicts, from normalised images to logits."""

    def __init__(self, model):
        super().__init__()
        self.backbone, self.head = model.backbone, model.sem_seg_head

    def forward(self, images):
        return self.head(self.backbone(images))


def test_trains_and_predicts_at_odd_sizes(name):
    model = build(name)
    losses = model([record(65, 99), record(70, 83)])
    assert all(loss.shape == () and loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()
    assert [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None] == []
    for height, width in [(65, 99), (1, 1), (33, 200)]:
        image = record(height, width)["image"]
        (output,) = model.eval()([{"image": image, "height": 50, "width": 77}])
        assert output["sem_seg"].full().shape == (11, 50, 77)


def test_trains_with_one_image(name):
    model = build(name)
    losses = model([record(64, 96)])
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


def test_predictions_do_not_depend_on_the_batch(name):
    """Of images of one size, which are not padded."""
    model, records = build(name).eval(), [record(64, 96), record(64, 96)]
    with torch.no_grad():
        together = model(records)
        apart = [model([r])[0] for r in records]
    for one, other in zip(together, apart, strict=True):
        logits, expected = one["sem_seg"].full(), other["sem_seg"].full()
        assert (logits - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_checkpoint_round_trip(name, tmp_path):
    model, records = build(name), [record(64, 96)]
    model(records)  # which changes the statistics of batch norms
    save_weights(tmp_path / "model.pth", model.state_dict(), classes={})
    torch.manual_seed(1)
    other = build_model(ARCHITECTURES[name].config())
    load_weights(other, tmp_path / "model.pth", strict=True)
    with torch.no_grad():
        expected, output = (m.eval()(records)[0]["sem_seg"].full() for m in (model, other))
    assert torch.equal(output, expected)


def test_wrong_input_is_named(name):
    model, good = build(name), record(32, 64)
    for wrong, message in [
        ({"image": torch.zeros(4, 32, 64)}, r"x\.png: 'image' is \(4, 32, 64\), but .* 3 channels"),
        ({"image": good["image"]}, r"x\.png: training needs 'sem_seg'"),
        ({**good, "sem_seg": torch.zeros(32, 63)}, r"x\.png: 'sem_seg' is \(32, 63\)"),
        ({**good, "sem_seg": torch.full((32, 64), 11)}, r"x\.png: 'sem_seg' holds 11"),
    ]:
        with pytest.raises(ValueError, match=message):
            model([{"file_name": "x.png", **wrong}])


@pytest.mark.slow
def test_compiles_without_a_graph_break(name):
    """Graphs alone, forward and backward; test_heads.py has the generated code of heads."""
    model, records = build(name), [record(64, 96), record(64, 96)]
    expected = model(records)
    other = build(name)
    other.compile(fullgraph=True, backend="aot_eager")
    losses = other(records)
    sum(losses.values()).backward()
    for key, loss in losses.items():
        torch.testing.assert_close(loss, expected[key], rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        expected, output = (m.eval()(records)[0]["sem_seg"].full() for m in (model, other))
    assert (output - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.slow
def test_exports(name):
    network, images = Network(build(name)).eval(), torch.randn(2, 3, 64, 96)
    program = torch.export.export(network, (images,))
    with torch.no_grad():
        expected, logits = network(images), program.module()(images)
    assert (logits - expected).abs().max() <= 1e-4 * expected.abs().max()
