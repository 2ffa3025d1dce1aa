from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from segsuite.ops import conv_epilogue_

from .operators import assert_same_for_any_number_of_threads, requires_extension

LAYOUTS = (torch.contiguous_format, torch.channels_last)
ROUNDING = {torch.float32: 1e-6, torch.float64: 1e-14, torch.bfloat16: 2**-8, torch.float16: 2**-10}


def expected(x, bias, residual, relu, upsample):
    """In float64, one after the other."""
    result = x.double()
    if bias is not None:
        result = result + bias.double()[:, None, None]
    if residual is not None:
        result = result + (
            F.interpolate(residual.double(), scale_factor=2) if upsample else residual
        )
    return result.relu() if relu else result


def cases(device, dtype=torch.float32, layout=torch.channels_last, size=(2, 6, 8, 10)):
    """x, bias, residual, relu, upsample in every combination."""
    coarse = (*size[:2], size[2] // 2, size[3] // 2)

    def random(*size):
        x = torch.randn(size, device=device, dtype=torch.float64).to(dtype)
        return x.contiguous(memory_format=layout) if x.dim() == 4 else x

    for has_bias, residual, relu in itertools.product((0, 1), ("", "same", "half"), (0, 1)):
        yield (
            random(*size),
            random(size[1]) if has_bias else None,
            {"": None, "same": random(*size), "half": random(*coarse)}[residual],
            bool(relu),
            residual == "half",
        )


def run(x, bias, residual, relu, upsample):
    return conv_epilogue_(x, bias, residual, relu=relu, upsample=upsample)


class TestConvEpilogue:
    @pytest.mark.parametrize("layout", LAYOUTS, ids=["NCHW", "NHWC"])
    @pytest.mark.parametrize("dtype", ROUNDING, ids=str)
    def test_values(self, device, dtype, layout):
        for x, *others in cases(device, dtype, layout):
            want = expected(x, *others)
            found = run(x, *others)
            assert found is x and found.is_contiguous(memory_format=layout)
            tolerance = 4 * ROUNDING[dtype] * float(want.abs().max() + 2)
            torch.testing.assert_close(found.double(), want, rtol=0, atol=tolerance)

    def test_sums_of_two_are_those_of_pytorch(self, device):
        """To the last bit, whatever the type."""
        for dtype in (torch.float32, torch.bfloat16):
            for x, bias, residual, relu, upsample in cases(device, dtype):
                if (bias is None) == (residual is None):
                    continue
                want = x + (
                    bias[:, None, None]
                    if residual is None
                    else residual.repeat_interleave(2, 2).repeat_interleave(2, 3)
                    if upsample
                    else residual
                )
                want = want.relu() if relu else want
                assert torch.equal(run(x, bias, residual, relu, upsample), want)

    @pytest.mark.parametrize("layout", LAYOUTS, ids=["NCHW", "NHWC"])
    def test_gradients(self, device, layout):
        for x, *tensors, relu, upsample in cases(device, torch.float64, layout, (1, 2, 4, 2)):
            inputs = [t if t is None else t.requires_grad_() for t in (x, *tensors)]
            wanted = [t for t in inputs if t is not None]

            def function(*values, inputs=inputs, relu=relu, upsample=upsample):
                values = iter(values)
                x, bias, residual = (None if t is None else next(values) for t in inputs)
                return run(x * 1, bias, residual, relu, upsample)

            assert torch.autograd.gradcheck(function, wanted)
            assert torch.autograd.gradgradcheck(function, wanted)

    def test_gradients_of_half_types(self, device):
        """That of the bias is summed in the type of the bias; only wanted ones are made."""
        x = torch.randn(2, 4, 64, 64, device=device).bfloat16().requires_grad_()
        bias = torch.zeros(4, device=device, requires_grad=True)
        run(x * 1, bias, None, True, False).backward(torch.ones_like(x))
        assert bias.grad.dtype == torch.float32 and x.grad.dtype == torch.bfloat16
        torch.testing.assert_close(bias.grad, (x > 0).sum((0, 2, 3)).float(), rtol=0.01, atol=0)
        assert torch.equal(x.grad, (x > 0).bfloat16())

    def test_gradients_where_x_has_none(self, device):
        residual = torch.randn(1, 2, 4, 4, device=device, requires_grad=True)
        run(-torch.ones_like(residual), None, residual, True, False).sum().backward()
        assert torch.equal(residual.grad, (residual > 1).float())

    def test_not_a_number_stays(self, device):
        x = torch.tensor([torch.nan, -torch.inf, torch.inf, -1.0], device=device).view(1, 1, 2, 2)
        found = run(x, None, torch.zeros_like(x), True, False).flatten().tolist()
        assert found[0] != found[0] and found[1:] == [0, torch.inf, 0]

    def test_tensors_of_any_layout_and_type(self, device):
        x = torch.randn(2, 4, 6, 8, device=device)
        last = x.contiguous(memory_format=torch.channels_last)
        for a, b in (
            (x, last),
            (last, x),
            (x[:, :, :, ::2], x[:, :, :, 1::2]),
            (x[:, 1:], last[:, 1:]),
            (x[:, :, :, 1:], x[:, :, :, :-1]),
            (x.bfloat16(), x),
            (x, x.half()),
        ):
            want = (a.double() + b.double()).relu()
            found = run(a.clone(), None, b, True, False)
            assert found.dtype == a.dtype
            torch.testing.assert_close(found.double(), want, rtol=2**-7, atol=2**-7)

    def test_sizes_without_values(self, device):
        for x, *others in cases(device, size=(0, 3, 4, 4)):
            assert run(x, *others).shape == (0, 3, 4, 4)

    @pytest.mark.parametrize(
        "bias, residual, upsample, message",
        [
            (torch.zeros(4), None, False, r"the bias is \(4,\); expected \(3,\)"),
            (torch.zeros(1, 3), None, False, "the bias is"),
            (None, torch.zeros(2, 3, 4, 1), False, "expected the same size"),
            (None, torch.zeros(3, 4, 4), False, "expected the same size"),
            (None, torch.zeros(2, 3, 4, 4), True, "expected half of its height and width"),
            (None, None, True, "no residual to upsample"),
        ],
    )
    def test_arguments(self, device, bias, residual, upsample, message):
        x = torch.zeros(2, 3, 4, 4, device=device)
        with pytest.raises(ValueError, match=message):
            conv_epilogue_(x, bias, residual, upsample=upsample)
        with pytest.raises(ValueError, match=r"expected \(N, C, H, W\) floating point"):
            conv_epilogue_(x.long())

    def test_compiles_and_exports_as_pytorchs_operators(self, device):
        class Network(torch.nn.Module):
            def forward(self, x: Tensor, bias: Tensor, residual: Tensor) -> Tensor:
                return run(x * 1, bias, residual, True, True)

        x, bias, residual = (torch.randn(s, device=device) for s in ((1, 3, 4, 6), 3, (1, 3, 2, 3)))
        want = Network()(x, bias, residual)
        compiled = torch.compile(Network(), backend="aot_eager", fullgraph=True)
        torch.testing.assert_close(compiled(x, bias, residual), want)
        program = torch.export.export(Network(), (x, bias, residual))
        assert "segsuite" not in str(program.graph)
        torch.testing.assert_close(program.module()(x, bias, residual), want)

    def test_transforms_of_functions(self, device):
        x, residual = torch.randn(2, 3, 4, 4, 4, device=device)
        want = torch.where(x + residual > 0, x + residual, 0.0)

        def function(x, residual):
            return conv_epilogue_(x * 1, residual=residual, relu=True)

        found = torch.func.vmap(function)(x[:, None], residual[:, None])
        torch.testing.assert_close(found[:, 0], want)
        gradient = torch.func.grad(lambda *args: function(*args).sum())(x, residual)
        assert torch.equal(gradient, (want > 0).float())


@requires_extension
def test_the_operator_is_registered_as_it_should_be():
    for x, bias, residual, relu, upsample in list(cases("cpu"))[::3]:
        args = (x, bias, residual, upsample, relu)
        torch.library.opcheck(torch.ops.segsuite.conv_epilogue_.default, args)


@requires_extension
@pytest.mark.parametrize("layout", LAYOUTS, ids=["NCHW", "NHWC"])
def test_same_for_any_number_of_threads(layout):
    def results():
        torch.manual_seed(0)
        return [run(*case) for case in cases("cpu", layout=layout, size=(2, 66, 16, 34))]

    assert_same_for_any_number_of_threads(results)
