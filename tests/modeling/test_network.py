"""`SemSegNetwork`, the plain network inside `SemanticSegmentor`."""

from __future__ import annotations

import pytest
import torch

from segsuite.errors import ConfigError
from segsuite.modeling import build_model
from tests.modeling.zoo import ARCHITECTURES

SIZE = (45, 70)


@pytest.fixture(params=ARCHITECTURES)
def model(request):
    torch.manual_seed(0)
    return build_model(ARCHITECTURES[request.param].config()).eval()


@pytest.fixture
def image():
    return torch.randint(0, 256, (3, *SIZE), dtype=torch.uint8)


def test_it_predicts_what_the_shell_does(model, image):
    net = model.network
    assert net.state_dict().keys() == model.state_dict().keys() and not net.training
    with torch.no_grad():
        (shell,) = model([{"image": image}])
        logits = net(net.normalize(image)[None])
    torch.testing.assert_close(logits[0], shell["sem_seg"].full(), rtol=1e-4, atol=1e-4)


def test_it_learns_what_the_shell_does(model, image):
    labels = torch.randint(0, 11, (2, *SIZE))
    images = torch.stack([image, image.flip(1)])
    records = [{"image": i, "sem_seg": s} for i, s in zip(images, labels, strict=True)]
    model.train()
    net = model.network
    torch.manual_seed(0)
    expected = model(records)
    torch.manual_seed(0)
    torch.testing.assert_close(net.losses(net.normalize(images), labels), expected)


@pytest.mark.parametrize("resize_in_two_steps", [False, True])
def test_both_ways_of_resizing_are_the_shells(resize_in_two_steps, image):
    key = "MODEL.SEM_SEG_HEAD.RESIZE_IN_TWO_STEPS"
    model = build_model(ARCHITECTURES["dilated_fcn"].config(key, resize_in_two_steps)).eval()
    net = model.network
    with torch.no_grad():
        (shell,) = model([{"image": image}])
        logits = net(net.normalize(image)[None])
    torch.testing.assert_close(logits[0], shell["sem_seg"].full(), rtol=1e-4, atol=1e-4)


def test_the_heads_own_size_and_the_auxiliary_head():
    net = build_model(ARCHITECTURES["dilated_fcn"].config()).network
    x = torch.randn(2, 3, *SIZE)
    assert net(x, full_size=False).shape == (2, 11, 6, 9)  # stride 8
    logits, aux = net(x, return_aux=True)
    assert logits.shape == aux.shape == (2, 11, *SIZE)
    aux.sum().backward()
    assert net.aux_head.predictor.weight.grad is not None
    assert net.sem_seg_head.predictor.weight.grad is None


def test_without_an_auxiliary_head():
    net = build_model(ARCHITECTURES["unet"].config()).network
    with pytest.raises(ConfigError, match=r"MODEL\.AUX_HEAD\.ENABLED"):
        net(torch.randn(2, 3, 32, 32), return_aux=True)


@pytest.mark.parametrize("name", ["unet", "dilated_fcn", "lraspp", "segformer"])
def test_it_is_exported_for_one_size(name):
    net = build_model(ARCHITECTURES[name].config()).eval().network
    x, other = torch.randn(2, 1, 3, *SIZE)
    exported = torch.export.export(net, (x,)).module()
    torch.testing.assert_close(exported(other), net(other))


def test_it_is_exported_for_all_sizes():
    net = build_model(ARCHITECTURES["lraspp"].config()).eval().network
    dynamic = torch.export.Dim.DYNAMIC
    shapes = {"x": {0: dynamic, 2: dynamic, 3: dynamic}}
    exported = torch.export.export(net, (torch.randn(2, 3, *SIZE),), dynamic_shapes=shapes)
    x = torch.randn(3, 3, 101, 54)
    torch.testing.assert_close(exported.module()(x), net(x))
