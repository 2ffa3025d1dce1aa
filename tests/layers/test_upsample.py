import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from segsuite.layers import resize_bilinear

edges = st.integers(1, 40)


@given(old=st.tuples(edges, edges), new=st.tuples(edges, edges), seed=st.integers(0, 99))
def test_values_and_gradients_are_pytorchs(old, new, seed):
    torch.manual_seed(seed)
    x = torch.randn(2, 3, *old, requires_grad=True)
    weights = torch.randn(2, 3, *new)
    results = []
    for function in (resize_bilinear, interpolate):
        y = function(x, new)
        (gradient,) = torch.autograd.grad((y * weights).sum(), x)
        results.append((y.detach(), gradient))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def interpolate(x, size):
    return F.interpolate(x, size, mode="bilinear", align_corners=False)
