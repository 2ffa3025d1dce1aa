"""JSON lists that are read a few values at a time."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segsuite.utils import json_list
from segsuite.utils.json_list import read_json_list

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
# Texts and nested lists that look like cuts between values.
TRAPS = st.sampled_from(
    [{"a": "}, {"}, {"a": [{}, {"b": 1}]}, {"a": {"b": 1}, "c": '"},{"'}, "},{"]
)


def read(path):
    return [value for values in read_json_list(path) for value in values]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("lists") / "list.json"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(TRAPS | JSON | st.dictionaries(st.text(max_size=3), JSON, max_size=3), max_size=30),
    st.sampled_from([None, 1]),
    st.booleans(),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.integers(1, 60),
)
def test_as_json_loads(path, values, indent, ascii, encoding, block):
    text = json.dumps(values, indent=indent, ensure_ascii=ascii)
    path.write_bytes(text.encode(encoding, "surrogatepass" if "8" in encoding else "replace"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_list, "_BLOCK", block)
        try:
            expected = json.loads(path.read_bytes())
        except ValueError:  # surrogates that are not ASCII
            with pytest.raises(ValueError):
                read(path)
        else:
            assert read(path) == expected


@pytest.mark.parametrize("exact", [True, False])
def test_a_few_at_a_time(path, exact):
    path.write_text(json.dumps([{"number": i} for i in range(50_000)]))
    blocks = list(read_json_list(path, exact=exact))
    assert [value["number"] for block in blocks for value in block] == list(range(50_000))
    assert max(map(len, blocks)) < 10_000


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        TRAPS
        | st.dictionaries(st.text(max_size=3), JSON, max_size=3)
        | st.sampled_from(
            [{"a": float("inf")}, {"a": "\ud800"}, {"a": -0.0}, {"a": [0.1, 5e-324, 1e308]}]
        ),
        max_size=30,
    ),
    st.integers(1, 60),
)
def test_fast(path, values, block):
    """Whole numbers beyond 64 bits alone are read otherwise."""

    def as_floats(value):
        if isinstance(value, list):
            return [as_floats(v) for v in value]
        if isinstance(value, dict):
            return {k: as_floats(v) for k, v in value.items()}
        is_large = type(value) is int and not -(1 << 63) <= value < 1 << 64
        return float(value) if is_large else value

    path.write_text(json.dumps(values))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_list, "_BLOCK", block)
        got = [value for values in read_json_list(path, exact=False) for value in values]
    # What holds something that only Python reads is as exact as ever.
    assert as_floats(got) == as_floats(values)


@pytest.mark.parametrize("end", ["", "}", "]]", '] "more"', ", ]"])
def test_broken_end(path, end):
    path.write_text("[" + ",".join(['{"a": 1}'] * 20_000) + end)
    with pytest.raises(ValueError, match=r"line 1 column \d+"):
        read(path)


def test_another_value(path):
    path.write_text('{"a": [1]}')
    with pytest.raises(TypeError, match="expected a list, got dict"):
        read(path)


def test_nested_too_deeply(path):
    path.write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        read(path)
