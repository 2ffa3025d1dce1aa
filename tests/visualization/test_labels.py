import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from segsuite.visualization import place_labels
from segsuite.visualization.labels import draw_labels, ink

boxes = st.tuples(*[st.integers(0, 150)] * 2, *[st.integers(0, 60)] * 2).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
sizes = st.tuples(st.integers(1, 50), st.integers(1, 14))


@given(st.lists(st.tuples(boxes, sizes), max_size=25))
def test_labels_are_inside_and_apart(labels):
    anchors, wanted = [a for a, _ in labels], [s for _, s in labels]
    places = [p for p in place_labels(anchors, wanted, (160, 200)) if p is not None]
    taken = np.zeros((160, 200), int)
    for x0, y0, x1, y1 in places:
        assert 0 <= x0 < x1 <= 200 and 0 <= y0 < y1 <= 160
        taken[y0:y1, x0:x1] += 1
    assert taken.max(initial=0) <= 1


def test_places():
    above, second = place_labels([(50, 50, 90, 90)] * 2, [(30, 10)] * 2, (200, 200))
    assert above == (50, 40, 80, 50) and second == (50, 50, 80, 60)
    assert place_labels([(0, 0, 5, 5)], [(30, 10)], (8, 200)) == [None]
    assert all(place_labels([(90, 90, 95, 95)] * 12, [(30, 10)] * 12, (200, 200)))


def test_ink_is_readable_and_text_is_drawn():
    assert sum(ink((255, 255, 0))) < 100 and ink((0, 0, 120)) == (255, 255, 255)
    picture = np.zeros((60, 120, 3), np.uint8)
    draw_labels(picture, ["car 90%"], [(10, 30, 60, 50)], [(250, 200, 0)], font_size=14)
    assert (picture[:30].reshape(-1, 3) == picture[20, 11]).all(-1).sum() > 100
    assert picture[20, 11, 0] > 180 and not picture[50:].any()
