import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segsuite.visualization.report.charts import Series, line_chart, number, reliability_chart

finite = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=20))
def test_lines_are_well_formed_and_inside(points):
    chart = line_chart([Series("<run>", points, 0)], label="a & b", x_label="x")
    svg = ElementTree.fromstring(chart)
    assert svg.attrib["aria-label"] == "a & b"
    for circle in svg.iter("circle"):
        assert 0 <= float(circle.attrib["cx"]) <= 420 and 0 <= float(circle.attrib["cy"]) <= 230


def test_long_curves_are_thinned_to_their_ends():
    points = [(i, i) for i in range(10_000)]
    svg = ElementTree.fromstring(line_chart([Series("a", points, 0)], label="", x_label="i"))
    drawn = svg.find("polyline").attrib["points"].split()
    assert len(drawn) == 400 and drawn[0].startswith("50.0,") and drawn[-1].startswith("406.0,")
    assert line_chart([Series("a", [(0, float("nan"))], 0)], label="", x_label="") == ""


def test_reliability():
    bins = [{"pixels": 0, "confidence": None, "accuracy": None}]
    bins += [{"pixels": 10, "confidence": 0.75, "accuracy": 0.5}]
    svg = ElementTree.fromstring(reliability_chart(bins, color=0, label="r"))
    (column,) = svg.iter("rect")
    assert float(column.attrib["height"]) == pytest.approx((230 - 12 - 34) / 2)
    assert "10 pixels (100.0%)" in column.find("title").text


def test_numbers():
    assert [number(v) for v in (12000, 0.25, 0.0015, 33.33333, 0.00025, -1e-5)] == [
        "12k",
        "0.25",
        "0.0015",
        "33.33",
        "2.5e-4",
        "-1e-5",
    ]
