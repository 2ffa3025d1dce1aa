"""RoIAlign of a map and of a pyramid: the extension's kernels and the PyTorch reference alike."""

from __future__ import annotations

import textwrap

import pytest
import torch
import torchvision.ops
from hypothesis import given, settings
from hypothesis import strategies as st

from segsuite.ops import EXTENSION_LOADED, RoIAlign, multilevel_roi_align, roi_align
from tests.processes import run_python

from .operators import requires_extension
from .rois import FEW_ROIS, random_rois

FORMATS = [torch.contiguous_format, torch.channels_last]


def assert_same_as_torchvision(x, rois, *args, tolerance=1e-5, **kwargs):
    """Results and gradients; gradients in proportion to the number of values summed in one."""
    ours = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    theirs = x.detach().clone(memory_format=torch.contiguous_format).requires_grad_()
    result = roi_align(ours, rois, *args, **kwargs)
    expected = torchvision.ops.roi_align(theirs, rois.to(x.dtype), *args, **kwargs)
    torch.testing.assert_close(result, expected, atol=tolerance, rtol=0)
    grad = torch.randn_like(expected)
    result.backward(grad)
    expected.backward(grad)
    scale = max(1.0, float(theirs.grad.abs().max())) if theirs.grad.numel() else 1.0
    torch.testing.assert_close(ours.grad, theirs.grad, atol=tolerance * scale, rtol=0)


class TestAgainstTorchvision:
    @pytest.mark.parametrize("memory_format", FORMATS, ids=str)
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
    @pytest.mark.parametrize("sampling_ratio", [0, 1, 2, 5])
    @pytest.mark.parametrize("aligned", [True, False])
    def test_results_and_gradients(self, device, memory_format, dtype, sampling_ratio, aligned):
        x = torch.randn(2, 37, 20, 33, dtype=dtype, device=device)
        x = x.contiguous(memory_format=memory_format)
        rois = random_rois(30, 2, 80, 132).to(x)
        tolerance = 1e-5 if dtype == torch.float32 else 1e-12
        assert_same_as_torchvision(
            x, rois, (7, 5), 0.25, sampling_ratio, aligned, tolerance=tolerance
        )

    @settings(max_examples=60)
    @given(data=st.data())
    def test_any_shape(self, data):
        if not EXTENSION_LOADED:
            pytest.skip("the extension is not built")
        integers = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
        torch.manual_seed(integers(0, 2**31))
        n, c = integers(1, 3), data.draw(st.sampled_from([1, 2, 15, 16, 17, 64, 65, 83]))
        height, width = integers(1, 40), integers(1, 40)
        x = torch.randn(n, c, height, width, dtype=torch.float64)
        x = x.contiguous(memory_format=data.draw(st.sampled_from(FORMATS)))
        scale = data.draw(st.sampled_from([1.0, 0.25, 0.3]))
        rois = random_rois(integers(0, 12), n, height / scale, width / scale).double()
        if data.draw(st.booleans()):
            rois[:, 1:] = rois[:, 1:].round()  # samples on the pixels
        size = (integers(1, 9), integers(1, 9))
        assert_same_as_torchvision(
            x, rois, size, scale, integers(0, 4), data.draw(st.booleans()), tolerance=1e-11
        )

    def test_whole_image_with_adaptive_sampling(self, device):
        x = torch.randn(1, 5, 60, 90, device=device)
        rois = torch.tensor([[0.0, 0, 0, 90, 60]], device=device)
        assert_same_as_torchvision(x, rois, 3, 1.0, 0, True)

    def test_larger_than_the_image(self, device):
        x = torch.randn(1, 3, 8, 8, device=device, dtype=torch.float64)
        rois = torch.tensor([[0, -50.0, -50, 90, 60]], device=device, dtype=torch.float64)
        assert_same_as_torchvision(x, rois, 7, 1.0, 0, True, tolerance=1e-12)


class TestBoxesOfEachImage:
    """What torchvision takes beside (R, 5): a list with the boxes of each image."""

    BOXES = ([[2.0, 3, 11, 12], [0, 0, 4, 4]], [], [[0.0, 0, 15, 9]])

    def boxes(self, device):
        return [torch.tensor(boxes, device=device).reshape(-1, 4) for boxes in self.BOXES]

    @pytest.mark.parametrize("aligned", [True, False])
    def test_same_as_torchvision(self, device, aligned):
        x, boxes = torch.randn(3, 3, 16, 16, device=device), self.boxes(device)
        expected = torchvision.ops.roi_align(x, boxes, 4, aligned=aligned)
        torch.testing.assert_close(roi_align(x, boxes, 4, aligned=aligned), expected)

    def test_differs_from_torchvision_in_the_default_of_aligned_alone(self, device):
        x, boxes = torch.randn(3, 3, 16, 16, device=device), self.boxes(device)
        theirs = torchvision.ops.roi_align
        torch.testing.assert_close(roi_align(x, boxes, 4), theirs(x, boxes, 4, aligned=True))
        assert not torch.allclose(roi_align(x, boxes, 4), theirs(x, boxes, 4))

    def test_numbered_by_image(self, device):
        features = [torch.randn(3, 3, 16 >> i, 16 >> i, device=device) for i in range(2)]
        boxes = self.boxes(device)
        images = torch.tensor([[0.0], [0], [2]], device=device)
        rois = torch.cat([images, torch.cat(boxes)], 1)
        assert torch.equal(roi_align(features[0], tuple(boxes), 4), roi_align(features[0], rois, 4))
        pooled = multilevel_roi_align(features, boxes, 4, (1.0, 0.5), canonical_box_size=8)
        expected = multilevel_roi_align(features, rois, 4, (1.0, 0.5), canonical_box_size=8)
        assert torch.equal(pooled, expected)

    def test_no_images(self, device):
        assert roi_align(torch.randn(0, 3, 9, 9, device=device), [], 7).shape == (0, 3, 7, 7)

    @pytest.mark.parametrize("count", [1, 2, 4])
    def test_another_number_of_images(self, device, count):
        x, boxes = torch.randn(3, 3, 9, 9, device=device), torch.zeros(1, 4, device=device)
        with pytest.raises(ValueError, match=f"boxes of {count} images for features of 3"):
            roi_align(x, [boxes] * count, 7)

    def test_rois_in_a_list(self, device):
        with pytest.raises(ValueError, match=r"boxes of image 0 are \(1, 5\); expected \(M, 4\)"):
            roi_align(torch.randn(1, 3, 9, 9), [torch.zeros(1, 5)], 7)


class TestModule:
    @pytest.mark.parametrize("options", [{}, {"aligned": False}])
    def test_same_as_the_function(self, options):
        x, rois = torch.randn(2, 3, 9, 9), random_rois(5, 2, 18, 18)
        pooled = RoIAlign((4, 3), 0.5, 2, **options)(x, rois)
        assert torch.equal(pooled, roi_align(x, rois, (4, 3), 0.5, 2, **options))

    def test_same_as_torchvisions_module(self):
        x, boxes = torch.randn(1, 3, 9, 9), [random_rois(5, 1, 18, 18)[:, 1:]]
        options = (7, 0.5, 2, False)
        expected = torchvision.ops.RoIAlign(*options)(x, boxes)
        torch.testing.assert_close(RoIAlign(*options)(x, boxes), expected)

    def test_is_told_apart_in_print(self):
        text = repr(RoIAlign(7, 0.25, 0))
        assert text == (
            "RoIAlign(output_size=7, spatial_scale=0.25, sampling_ratio=0, aligned=True)"
        )


class TestResult:
    def test_huge_roi_costs_no_more_than_its_part_on_the_map(self, device):
        x = torch.randn(1, 3, 8, 8, device=device)
        rois = torch.tensor([[0.0, -1e9, -1e9, 1e9, 1e9]], device=device)
        assert roi_align(x, rois, 7).isfinite().all()

    def test_mean_of_a_plane_is_its_value_at_the_centre(self, device):
        y, x = torch.meshgrid(torch.arange(20.0), torch.arange(30.0), indexing="ij")
        plane = torch.stack([x, y])[None].to(device)
        rois = torch.tensor([[0, 4.0, 2, 18, 16]], device=device)
        pooled = roi_align(plane, rois, 7, sampling_ratio=2)[0].cpu()
        centres = torch.arange(7) * 2 + 1 - 0.5
        torch.testing.assert_close(pooled[0], (4 + centres).expand(7, 7))
        torch.testing.assert_close(pooled[1], (2 + centres)[:, None].expand(7, 7))

    @pytest.mark.parametrize("memory_format", FORMATS, ids=str)
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
    def test_half_types_are_summed_in_float32(self, device, dtype, memory_format):
        x = torch.randn(1, 70, 20, 30, device=device).to(dtype)
        x = x.contiguous(memory_format=memory_format).requires_grad_()
        exact = x.detach().float().requires_grad_()
        rois = random_rois(20, 1, 20, 30).to(device)
        pooled, expected = roi_align(x, rois, 7), roi_align(exact, rois, 7)
        assert pooled.dtype == dtype
        torch.testing.assert_close(pooled, expected.to(dtype), atol=1e-6, rtol=1e-2)
        grad = torch.randn_like(pooled)
        pooled.backward(grad)
        expected.backward(grad.float())
        torch.testing.assert_close(x.grad, exact.grad.to(dtype), atol=1e-3, rtol=1e-2)

    def test_autocast_keeps_the_type(self, device):
        x, rois = torch.randn(1, 3, 9, 9, device=device), random_rois(4, 1, 9, 9).to(device)
        expected = roi_align(x, rois, 7)
        with torch.autocast(device, dtype=torch.bfloat16):
            assert torch.equal(roi_align(x, rois, 7), expected)
            assert roi_align(x.bfloat16(), rois, 7).dtype == torch.bfloat16

    def test_no_rois(self, device):
        x = torch.randn(2, 3, 9, 9, device=device, requires_grad=True)
        pooled = roi_align(x, torch.empty(0, 5, device=device), (2, 4))
        assert pooled.shape == (0, 3, 2, 4)
        pooled.sum().backward()
        assert x.grad.count_nonzero() == 0

    @pytest.mark.parametrize("shape", [(0, 3, 9, 9), (2, 0, 9, 9)])
    def test_nothing_to_pool_from(self, device, shape):
        x = torch.randn(shape, device=device, requires_grad=True)
        rois = torch.zeros(0 if shape[0] == 0 else 4, 5, device=device)
        pooled = roi_align(x, rois, 7)
        assert pooled.shape == (len(rois), shape[1], 7, 7)
        pooled.sum().backward()
        assert x.grad.shape == shape

    def test_memory_format_is_the_maps(self, device, on_kernels):
        x = torch.randn(2, 8, 9, 9, device=device).to(memory_format=torch.channels_last)
        x.requires_grad_()
        pooled = roi_align(x, random_rois(4, 2, 9, 9).to(device), 7)
        assert pooled.is_contiguous(memory_format=torch.channels_last)
        if on_kernels:
            grad = torch.autograd.grad(pooled, x, torch.randn_like(pooled))[0]
            assert grad.is_contiguous(memory_format=torch.channels_last)

    @pytest.mark.parametrize(
        "view",
        [
            lambda x: x[:, :, 3:, 5:],
            lambda x: x[:, 1:, ::2],
            lambda x: x[..., ::2],
            lambda x: x.transpose(2, 3),
            lambda x: x[:, :1].expand(-1, 17, -1, -1),
            lambda x: x[:, :, :1, :1].expand(-1, -1, 20, 20),
            lambda x: x.to(memory_format=torch.channels_last)[:, :, 3:, 5:],
            lambda x: x.to(memory_format=torch.channels_last)[:, 2:],
        ],
    )
    def test_views(self, device, on_kernels, view):
        x = view(torch.randn(2, 40, 20, 37, device=device))
        rois = random_rois(20, 2, 20, 37).to(device)
        expected = roi_align(x.contiguous(), rois, 5)
        # The reference's matrix products may sum in another order for other strides.
        tolerance = 0 if on_kernels else 1e-6
        torch.testing.assert_close(roi_align(x, rois, 5), expected, atol=tolerance, rtol=0)
        strided = torch.empty(20, 10, device=device)[:, ::2].copy_(rois)
        torch.testing.assert_close(roi_align(x, strided, 5), expected, atol=tolerance, rtol=0)

    @pytest.mark.parametrize(
        "view",
        [
            lambda g: g.transpose(2, 3).contiguous().transpose(2, 3),
            lambda g: g[:1, :, :1, :1].expand(g.shape),
            lambda g: g.to(memory_format=torch.channels_last),
            lambda g: torch.cat([g, g], 3)[..., :4],
        ],
    )
    def test_views_of_gradients(self, device, view):
        x = torch.randn(1, 20, 9, 9, device=device, requires_grad=True)
        pooled = roi_align(x, random_rois(5, 1, 9, 9).to(device), (5, 4))
        grad = view(torch.randn_like(pooled))
        results = [
            torch.autograd.grad(pooled, x, g, retain_graph=True)[0] for g in (grad, grad.clone())
        ]
        torch.testing.assert_close(results[0], results[1], atol=1e-6, rtol=0)

    def test_nan_stays_where_it_is(self, device, on_kernels):
        if not on_kernels:
            pytest.skip("the reference multiplies NaN by the zeros of its weights")
        x = torch.zeros(1, 20, 12, 12, device=device)
        x[:, :, 3, 3] = torch.nan
        rois = torch.tensor([[0.0, 0, 0, 12, 12], [0, 6, 6, 12, 12]], device=device)
        nan = roi_align(x, rois, 6, sampling_ratio=2).isnan().all(1).cpu()
        assert nan[0, 1, 1] and nan[0].sum() == 1
        assert not nan[1].any()


@requires_extension
@pytest.mark.parametrize("isa", ["baseline", "avx2"])
def test_other_instruction_sets(isa):
    """The kernels for older processors, in a process of their own."""
    names = ["TestAgainstTorchvision::test_any_shape", "TestResult::test_views"]
    names += ["TestResult::test_half_types_are_summed_in_float32"]
    tests = [f"{__file__}::{name}" for name in names]
    arguments = ["-m", "pytest", "-q", "-x", "-k", "not reference", *tests]
    result = run_python(*arguments, environment={"SEGSUITE_CPU_ISA": isa})
    assert result.returncode == 0, result.stdout[-2000:]


class TestDerivatives:
    @pytest.mark.parametrize("sampling_ratio", [0, 2])
    def test_gradcheck(self, device, sampling_ratio):
        x = torch.randn(2, 1, 4, 5, dtype=torch.float64, device=device, requires_grad=True)
        rois = FEW_ROIS.double().to(device)
        pool = lambda x: roi_align(x, rois, (3, 2), 0.5, sampling_ratio)  # noqa: E731
        assert torch.autograd.gradcheck(pool, x)
        assert torch.autograd.gradgradcheck(pool, x)

    def test_rois_have_no_gradient(self, device):
        x = torch.randn(1, 3, 8, 8, device=device)
        rois = random_rois(3, 1, 8, 8).to(device).requires_grad_()
        assert not roi_align(x, rois, 2).requires_grad


@requires_extension
class TestCompiler:
    def test_opcheck(self):
        ops = torch.ops.segsuite
        for channels_last, requires_grad in ((False, True), (True, False)):
            memory_format = FORMATS[channels_last]
            features = [
                torch.randn(2, 5, 8 >> i, 12 >> i).to(memory_format=memory_format) for i in range(2)
            ]
            for x in features:
                x.requires_grad_(requires_grad)
            rois = random_rois(6, 2, 16, 24)
            grad = torch.randn(6, 5, 3, 2, requires_grad=requires_grad)
            torch.library.opcheck(ops.roi_align, (features[0], rois, 3, 2, 0.5, 2, True))
            torch.library.opcheck(
                ops.roi_align_backward,
                (grad, rois, list(features[0].shape), channels_last, 0.5, 2, True),
            )
            levels = ([0.5, 0.25], 2, True, 10, 2)
            torch.library.opcheck(ops.multilevel_roi_align, (features, rois, 3, 2, *levels))
            size = [2, 5, 8, 12, 4, 6]
            torch.library.opcheck(
                ops.multilevel_roi_align_backward,
                (grad, rois, size, channels_last, *levels),
            )

    @pytest.mark.parametrize("dynamic", [False, True])
    def test_compile_full_graph(self, dynamic):
        def pool(fine, coarse, rois):
            pyramid = multilevel_roi_align([fine, coarse], rois, 3, [0.5, 0.25], 2, True, 10, 2)
            return pyramid + roi_align(fine, rois, 3, 0.5, 2)

        compiled = torch.compile(pool, fullgraph=True, dynamic=dynamic, backend="aot_eager")
        for count in (5, 9):
            inputs = [torch.randn(2, 4, 8, 12), torch.randn(2, 4, 4, 6)]
            rois = random_rois(count, 2, 16, 24)
            for x in inputs:
                x.requires_grad_()
            expected, result = pool(*inputs, rois), compiled(*inputs, rois)
            assert torch.equal(result, expected)
            grad = torch.randn_like(expected)
            for a, b in zip(
                torch.autograd.grad(result, inputs, grad),
                torch.autograd.grad(expected, inputs, grad),
                strict=True,
            ):
                torch.testing.assert_close(a, b)

    def test_export(self):
        class Pool(torch.nn.Module):
            def forward(self, x, rois):
                return roi_align(x, rois, 7, 0.25)

        x, rois = torch.randn(1, 4, 8, 8), random_rois(5, 1, 32, 32)
        shapes = {"x": None, "rois": {0: torch.export.Dim("rois")}}
        program = torch.export.export(Pool(), (x, rois), dynamic_shapes=shapes)
        more = random_rois(11, 1, 32, 32)
        assert torch.equal(program.module()(x, more), roi_align(x, more, 7, 0.25))


class TestErrors:
    X = torch.zeros(2, 3, 8, 8)
    ROIS = torch.tensor([[0.0, 0, 0, 4, 4], [1, 0, 0, 4, 4]])

    @pytest.mark.parametrize(
        "x, rois, kwargs, message",
        [
            (X[0], ROIS, {}, r"\(3, 8, 8\); expected \(N, C, H, W\)"),
            (X[:, :, :0], ROIS, {}, r"\(2, 3, 0, 8\); expected .* H, W > 0"),
            (X.long(), ROIS, {}, r"torch\.int64; expected float32"),
            (X, ROIS[:, 1:], {}, r"rois are \(2, 4\); expected \(R, 5\)"),
            (X, ROIS.long(), {}, r"rois are torch\.int64; expected a floating"),
            (X, ROIS.to("meta"), {}, "on (cpu|cuda:0) and the RoIs on meta"),
            (X, ROIS, {"output_size": 0}, "output_size is 0; expected 1 to 4096"),
            (X, ROIS, {"output_size": (7, 7, 7)}, r"output_size is \(7, 7, 7\)"),
            (X, ROIS, {"spatial_scale": 0}, "scale of a level is 0; expected a positive"),
            (X, ROIS, {"spatial_scale": float("nan")}, "scale of a level is nan"),
            (X, ROIS, {"sampling_ratio": 5000}, "sampling_ratio is 5000; expected at most"),
        ],
    )
    def test_arguments(self, device, x, rois, kwargs, message):
        if rois.device.type == "cpu":
            rois = rois.to(device)
        with pytest.raises(ValueError, match=message):
            roi_align(x.to(device), rois, **{"output_size": 7, **kwargs})

    @pytest.mark.parametrize(
        "roi, message",
        [
            ((2, 0, 0, 1, 1), r"rois\[1\] = .* is in image 2; there are 2 images"),
            ((-1, 0, 0, 1, 1), "is in image -1"),
            ((torch.nan, 0, 0, 1, 1), "is in image nan"),
            ((0, 5, 0, 1, 1), r"rois\[1\] = .* is 1 x -4 \(height x width\); expected .* x1 <= x2"),
            ((0, 0, 5, 1, 1), r"is -4 x 1 \(height x width\)"),
            ((0, 0, torch.nan, 1, 1), r"is nan x 1 \(height x width\)"),
            ((0, 0, 0, torch.inf, 1), r"is 1 x inf \(height x width\)"),
        ],
    )
    @pytest.mark.parametrize("aligned", [True, False])
    def test_values(self, device, roi, message, aligned):
        rois = torch.tensor([[0.0, 0, 0, 4, 4], roi], device=device)
        x = self.X.to(device)
        if device == "cuda":
            assert roi_align(x, rois, 7, aligned=aligned)[1].isnan().all()
            return
        with pytest.raises(ValueError, match=message):
            roi_align(x, rois, 7, aligned=aligned)
        with pytest.raises(ValueError, match=message):
            multilevel_roi_align([x, x], rois, 7, [0.5, 0.25], aligned=aligned)

    @requires_extension
    def test_kernels_called_directly_do_not_pool_bad_rois(self, device):
        ops = torch.ops.segsuite
        rois = torch.cat([self.ROIS, torch.tensor([[7.0, 0, 0, 4, 4], [0, 5, 0, 1, 1]])]).to(device)
        x = self.X.to(device)
        pooled = ops.roi_align(x, rois, 7, 7, 1.0, 2, True)
        assert torch.equal(pooled[:2], ops.roi_align(x, rois[:2], 7, 7, 1.0, 2, True))
        assert pooled[2:].isnan().all()
        grad = torch.randn_like(pooled)
        options = [2, 3, 8, 8], False, 1.0, 2, True
        expected = ops.roi_align_backward(grad[:2], rois[:2], *options)
        assert torch.equal(ops.roi_align_backward(grad, rois, *options), expected)
        with pytest.raises(RuntimeError, match="not of these RoIs"):
            ops.roi_align_backward(grad[:3], rois, *options)

    def test_errors_leave_the_process_whole(self):
        """Errors of values and of the kernels' own checks, often, in a process of its own."""
        code = """
            import torch
            from segsuite.ops import multilevel_roi_align, roi_align

            x = torch.zeros(2, 3, 8, 8)
            bad = torch.tensor([[0.0, 0, 0, 4, 4], [2, 0, 0, 1, 1]])
            raw = lambda: torch.ops.segsuite.roi_align(x, bad[:, 1:], 7, 7, 1.0, 2, True)
            calls = [
                (ValueError, lambda: roi_align(x, bad, 7)),
                (ValueError, lambda: multilevel_roi_align([x, x], bad, 7, [0.5, 0.25])),
                ((RuntimeError, AttributeError), raw),
            ]
            for _ in range(20):
                for kind, call in calls:
                    try:
                        call()
                    except kind:
                        continue
                    raise SystemExit("no error")
            print("whole")
        """
        result = run_python("-c", textwrap.dedent(code))
        assert result.returncode == 0, result.stderr
        assert result.stdout.split() == ["whole"]
