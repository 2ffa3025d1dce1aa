import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from segsuite.acceleration import accelerate
from segsuite.acceleration.resize import resize_by_products
from segsuite.layers import BilinearResize

edges = st.integers(1, 40)


@given(old=st.tuples(edges, edges), new=st.tuples(edges, edges), seed=st.integers(0, 99))
def test_values_and_gradients_are_pytorchs(old, new, seed):
    torch.manual_seed(seed)
    x = torch.randn(2, 3, *old, requires_grad=True)
    weights = torch.randn(2, 3, *new)
    results = []
    for function in (resize_by_products, interpolate):
        y = function(x, new)
        (gradient,) = torch.autograd.grad((y * weights).sum(), x)
        results.append((y.detach(), gradient))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_module_is_accelerated_on_a_cpu():
    resize, x = BilinearResize(), torch.randn(1, 2, 5, 7, requires_grad=True)
    plain = resize(x, (20, 33))
    torch.testing.assert_close(plain, interpolate(x, (20, 33)), rtol=0, atol=0)
    assert "Upsample" in type(plain.grad_fn).__name__
    accelerate(resize)
    found = resize(x, (20, 33))
    torch.testing.assert_close(found, plain)
    assert "Upsample" not in type(found.grad_fn).__name__


def interpolate(x, size):
    return F.interpolate(x, size, mode="bilinear", align_corners=False)
