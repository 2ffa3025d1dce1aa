"""JSON lists that are read a few values at a time."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segsuite.utils import json_list
from segsuite.utils.json_list import read_json_list, split_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
# Texts and nested lists that look like cuts between values.
TRAPS = st.sampled_from(
    [{"a": "}, {"}, {"a": [{}, {"b": 1}]}, {"a": {"b": 1}, "c": '"},{"'}, "},{"]
)


def as_floats(value):
    """With floats for whole numbers beyond 64 bits."""
    if isinstance(value, list):
        return [as_floats(v) for v in value]
    if isinstance(value, dict):
        return {k: as_floats(v) for k, v in value.items()}
    is_large = type(value) is int and not -(1 << 63) <= value < 1 << 64
    return float(value) if is_large else value


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


def joined(text):
    """The object that the parts make up."""
    content = {}
    for key, value in split_json(text):
        if key in content:
            content[key] = content[key] + value
        else:
            content[key] = value
    return content


OBJECTS = st.lists(TRAPS | st.dictionaries(st.text(max_size=3), JSON, max_size=3), max_size=12)


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["images", "annotations", "info", "é"]), OBJECTS | JSON),
    st.sampled_from([None, 1]),
    st.integers(1, 60) | st.just(1 << 16),
)
def test_objects_taken_apart(content, indent, block):
    """They are right, or refused: those of lists of objects never are."""
    text = json.dumps(content, indent=indent, ensure_ascii="é" not in content)
    plain = all(type(v) is list and all(type(e) is dict for e in v) for v in content.values())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_list, "_BLOCK", block)
        try:
            got = joined(text.encode("utf-8", "surrogatepass"))
        except ValueError:
            assert not plain or not content or len(text) > block
        else:
            assert as_floats(got) == as_floats(content)


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{", "{}", '{"a": [{}]', '{"a": [{}]} 1', '{"a": [{}], "a": [{}]}'),
        *('{"a": [{},]}', '{"a" [{}]}', '{"a": [{"b": 1} {"c": 1}]}', '{"a": tru}', '{"a": [{}],}'),
    ],
)
def test_what_is_no_object_is_not_taken_apart(text):
    with pytest.raises(ValueError):
        joined(text.encode())


def test_parts_of_a_long_list(path):
    values = [{"number": i, "list": [{"a": i}, {"b": "}, {"}]} for i in range(50_000)]
    content = {"info": {"a": {"b": "c"}}, "year": 2017, "annotations": values, "images": []}
    text = json.dumps(content).encode()
    assert joined(text) == content
    assert max(len(v) for key, v in split_json(text) if key == "annotations") < 10_000
