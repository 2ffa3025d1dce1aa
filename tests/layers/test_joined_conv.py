import pytest
import torch
import torch.nn.functional as F

from segsuite.layers import Conv2d, conv1x1_of_joined


@pytest.mark.parametrize("norm", ["", "GN"])
def test_equals_the_convolution_of_the_joined_features(norm):
    conv = Conv2d(2 + 3 + 4, 8, 1, norm=norm, activation=torch.relu).double()
    if norm == "":
        torch.nn.init.normal_(conv.bias)
    features = [
        torch.randn(2, c, h, w, dtype=torch.float64, requires_grad=True)
        for c, h, w in [(2, 9, 13), (3, 5, 7), (4, 1, 1)]
    ]
    joined = [F.interpolate(f, (9, 13), mode="bilinear", align_corners=False) for f in features]
    expected = conv(torch.cat(joined, dim=1))
    result = conv1x1_of_joined(features, conv)
    torch.testing.assert_close(result, expected)
    weights = torch.randn_like(result)
    inputs = [*features, conv.weight]
    for gradient, wanted in zip(
        torch.autograd.grad((result * weights).sum(), inputs),
        torch.autograd.grad((expected * weights).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(gradient, wanted)
