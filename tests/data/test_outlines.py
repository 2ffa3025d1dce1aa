import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segsuite.data.outlines import joined, trace
from segsuite.structures import rasterize_polygons

MASKS = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 14)), elements=st.booleans())


def drawn(polygons, shape):
    return rasterize_polygons([[p.ravel()] for p in polygons], *shape).numpy()


@given(MASKS)
@settings(deadline=None, max_examples=150)
def test_outlines_and_one_polygon_draw_the_mask_again(mask):
    outlines = trace(mask)
    regions = np.zeros_like(mask)
    for outline in outlines:
        region = drawn([outline.points], mask.shape)[0]
        if outline.holes:
            region &= ~drawn(outline.holes, mask.shape).any(0)
        assert not (regions & region).any()
        regions |= region
    assert (regions == mask).all()
    if outlines:
        assert (drawn([joined(outlines)], mask.shape)[0] == mask).all()


def test_a_ring_and_an_island():
    mask = np.zeros((7, 9), bool)
    mask[1:6, 1:6] = True
    mask[2:5, 2:5] = False
    mask[3, 3] = True
    ring, island = trace(mask)
    assert ring.points.tolist() == [[6, 1], [6, 6], [1, 6], [1, 1]]
    assert len(ring.holes) == 1 and not island.holes
    assert trace(np.zeros((3, 3), bool)) == []
    diagonal = trace(np.eye(3, dtype=bool))
    assert len(diagonal) == 3
