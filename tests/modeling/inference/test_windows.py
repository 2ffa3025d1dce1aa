import torch
from hypothesis import given
from hypothesis import strategies as st

from segsuite.modeling.inference.windows import window_starts, window_weights


@given(
    length=st.integers(1, 500),
    cells=st.integers(1, 8),
    alignment=st.sampled_from([1, 8, 32]),
    overlap=st.floats(0, 0.99),
)
def test_windows_cover_everything_on_the_grid(length, cells, alignment, overlap):
    window = cells * alignment
    starts = window_starts(length, window, overlap, alignment)
    ends = [min(start + window, length) for start in starts]
    assert starts == sorted(set(starts)) and all(start % alignment == 0 for start in starts)
    assert starts[0] == 0 and ends[-1] == length
    for end, start in zip(ends, starts[1:], strict=False):
        # As much overlap as asked for, as far as the grid allows it, and no gap.
        assert end - start >= min(int(overlap * window), window - alignment)
    weights = window_weights(starts, ends, 0)
    total = torch.zeros(length, dtype=torch.float64)
    for weight, start, end in zip(weights, starts, ends, strict=True):
        total[start:end] += weight
    torch.testing.assert_close(total, torch.ones_like(total))


def test_weights_cross_over_in_the_middle_of_the_overlap():
    first, second = window_weights([0, 8], [16, 24], 8)
    assert first[:10].eq(1).all() and first[-2:].eq(0).all()
    assert second[6:].eq(1).all() and second[:2].eq(0).all()
    torch.testing.assert_close(first[10:14], torch.tensor([7, 5, 3, 1]).double() / 8)
    torch.testing.assert_close(first[8:] + second[:8], torch.ones(8).double())


@given(st.integers(1, 20), st.integers(1, 40), st.integers(1, 6))
def test_weights_sum_to_one_whatever_the_last_window_shares(shared, step, count):
    window = shared + step
    starts = [step * i for i in range(count)]
    starts.append(starts[-1] + max(step // 2, 1))
    ends = [start + window for start in starts]
    weights = window_weights(starts, ends, shared)
    total = torch.zeros(ends[-1], dtype=torch.float64)
    for weight, start, end in zip(weights, starts, ends, strict=True):
        assert weight.isfinite().all() and (weight >= 0).all()
        total[start:end] += weight
    torch.testing.assert_close(total, torch.ones_like(total))
