from __future__ import annotations

import pytest

from segsuite.data.datasets.class_names import (
    read_class_names,
    read_colors,
    read_integer,
    read_label_map,
    read_text,
)
from segsuite.errors import ConfigError


@pytest.mark.parametrize(
    ("given", "names"),
    [(["a", " b "], ["a", "b"]), (("ground",), ["ground"]), ({0: "a", 1: "b"}, ["a", "b"]),
     ({"10": "k", **{str(i): f"c{i}" for i in range(10)}}, [*(f"c{i}" for i in range(10)), "k"]),
     ({1: "b", 0: "a"}, ["a", "b"]), (["1", "yes"], ["1", "yes"])],
)  # fmt: skip
def test_names_by_id(given, names):
    assert read_class_names(given, "CLASSES") == names


@pytest.mark.parametrize(
    ("given", "said"),
    [("ab", r"is 'ab'; expected a list of names, \[ab\]"), (None, "is None"), (5, "is 5"),
     ([], "is empty"), ({}, "is empty"), (["a", "b", "a"], r"'a' more than once \(classes 0, 2\)"),
     (["a", "a "], "more than once"), ([True, False], "True, which YAML .* yes, for class 0"),
     (["a", None], r"nothing \(null\), for class 1"), (["a", ""], "an empty name, for class 1"),
     ([1, 2], "has 1, which is no text, for class 0; expected a name. Put it in quotes"),
     ([["a"]], "which is no text"),
     ({0: "a", 2: "b"}, "ids 0, 2; expected 0 to 1 without gaps"),
     ({1: "a", 2: "b"}, "ids 1, 2; expected 0 to 1"), ({-1: "a"}, "ids -1"),
     ({"ground": 0, "roof": 1}, r"the key 'ground'; expected names by id, such as \{0: ground"),
     ({0: "a", 1: "a"}, "'a' more than once"), ({0: True}, "True, which YAML")],
)  # fmt: skip
def test_what_is_no_list_of_names(given, said):
    with pytest.raises(ConfigError, match=rf"mine\.CLASSES (is|has) .*{said}|mine\.CLASSES {said}"):
        read_class_names(given, "mine.CLASSES")


def test_label_maps():
    given = {"-1": 255, -9999: "255", 65535: 1, str(2**31): 0, 2**40: 2.0, "007": 3}
    read = {-1: 255, -9999: 255, 65535: 1, 2**31: 0, 2**40: 2, 7: 3}
    assert read_label_map(given, "LABEL_MAP") == read


@pytest.mark.parametrize(
    ("given", "said"),
    [({}, "is {}"), ([1], r"is \[1\]"), (None, "is None"), ({"a": 1}, "has 'a'; expected a whole"),
     ({1.5: 1}, "has 1.5"), ({0: None}, "at 0 has None"), ({0: "road"}, "at 0 has 'road'"),
     ({0: True}, "at 0 has True"), ({"1": 0, 1: 2}, "has two labels for the value 1")],
)  # fmt: skip
def test_what_is_no_label_map(given, said):
    with pytest.raises(ConfigError, match=rf"mine\.LABEL_MAP {said}"):
        read_label_map(given, "mine.LABEL_MAP")


@pytest.mark.parametrize("value", ["", "1.5", float("inf"), float("nan"), [], False])
def test_what_is_no_integer(value):
    with pytest.raises(ConfigError, match=r"KEY has .*; expected a whole number"):
        read_integer(value, "KEY")


def test_colors():
    assert read_colors([[1, 2, 3], ("4", 5.0, 255)], 2, "COLORS") == [(1, 2, 3), (4, 5, 255)]


@pytest.mark.parametrize(
    "given", [[1, 2], [[1, 2], [3, 4]], [[1, 2, 300], [1, 2, 3]], "red", None, {"a": [1, 2, 3]}]
)
def test_what_is_no_colour(given):
    with pytest.raises(ConfigError, match=r"mine\.COLORS .*\[red, green, blue\]"):
        read_colors(given, 2, "mine.COLORS")


def test_texts():
    assert (read_text("a", "KEY"), read_text(2024, "KEY")) == ("a", "2024")
    for wrong in (None, True, 1.5, ["a"]):
        with pytest.raises(ConfigError, match=r"KEY is .*; expected a text"):
            read_text(wrong, "KEY")
