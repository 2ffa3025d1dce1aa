"""Keys that are lists of names or of anything, and mappings that are values."""

from __future__ import annotations

import pytest

from segsuite.config import get_cfg, load_config
from segsuite.data.transforms import ResizeShortestEdge
from segsuite.errors import ConfigError


@pytest.mark.parametrize(
    ("given", "names"),
    [("2024", ("2024",)), ("[2024, a]", ("2024", "a")), ("a,b", ("a", "b")), ("()", ()),
     ("('007',)", ("007",)), ("1e3", ("1e3",)), ([2024], ("2024",)), ("a", ("a",)),
     ("yes", ("yes",))],
)  # fmt: skip
def test_names_of_data_sets_stay_text(given, names):
    cfg = get_cfg()
    cfg.merge_from_list(["DATASETS.TRAIN", given])
    assert names == cfg.DATASETS.TRAIN
    cfg.merge_from_list(["DATASETS.TRAIN", "b"])
    assert cfg.DATASETS.TRAIN == ("b",)


def test_names_of_data_sets_in_a_file(tmp_path):
    (tmp_path / "c.yaml").write_text("DATASETS: {TRAIN: [2024, a], TEST: 2025}")
    cfg = load_config(tmp_path / "c.yaml")
    assert (cfg.DATASETS.TRAIN, cfg.DATASETS.TEST) == (("2024", "a"), ("2025",))
    for wrong in ("[yes]", "[1.5]", "{a: b}", "[[a]]"):
        (tmp_path / "c.yaml").write_text(f"DATASETS: {{TRAIN: {wrong}}}")
        with pytest.raises(ConfigError, match=r"c\.yaml: DATASETS\.TRAIN takes a"):
            load_config(tmp_path / "c.yaml")


@pytest.mark.parametrize(
    ("given", "value"),
    [("full", ("full",)), ("[0, 4095]", (0, 4095)), ("[2%, 98%]", ("2%", "98%")),
     ("[[0, 1], [0, 3000]]", ([0, 1], [0, 3000])), ([-1.5, 2], (-1.5, 2)), ("()", ())],
)  # fmt: skip
def test_a_range_of_values_takes_the_place_of_any_other(given, value):
    cfg = get_cfg()
    for before in ((0, 1), ("full",)):
        cfg.INPUT.VALUE_RANGE = before
        cfg.merge_from_list(["INPUT.VALUE_RANGE", given])
        assert value == cfg.INPUT.VALUE_RANGE
        again = get_cfg()
        again.merge_from_other_cfg(cfg.clone())
        assert value == again.INPUT.VALUE_RANGE


def test_a_mapping_of_numbers_replaces_that_of_the_base(tmp_path):
    entry = "DATASETS: {{REGISTER: {{mine: {{LABELS: x, LABEL_MAP: {}}}}}}}"
    (tmp_path / "base.yaml").write_text(entry.format("{0: 0, 255: 1, -9999: 255}"))
    own = "_BASE_: base.yaml\n" + entry.format("{0: 0, 7: 1}")
    (tmp_path / "own.yaml").write_text(own)
    entry = load_config(tmp_path / "own.yaml").DATASETS.REGISTER.mine
    assert dict(entry.LABEL_MAP) == {"0": 0, "7": 1} and entry.LABELS == "x"


def test_lists_and_mappings_of_new_keys_on_the_command_line():
    cfg = get_cfg()
    entry = "DATASETS.REGISTER.mine"
    cfg.merge_from_list([f"{entry}.CLASSES", "[a, b]", f"{entry}.LABEL_MAP", "{0: 1, 7: 0}"])
    assert cfg.DATASETS.REGISTER.mine.CLASSES == ["a", "b"]
    assert dict(cfg.DATASETS.REGISTER.mine.LABEL_MAP) == {"0": 1, "7": 0}


@pytest.mark.parametrize("size", [64.5, (64, 64.5), -1, (True,)])
def test_edges_are_whole_numbers_of_pixels(size):
    cfg = get_cfg()
    cfg.INPUT.MIN_SIZE_TRAIN = size if isinstance(size, tuple) else (size,)
    with pytest.raises(ConfigError, match=r"INPUT\.MIN_SIZE_TRAIN\): .* is no whole number"):
        ResizeShortestEdge(cfg)
    cfg.INPUT.MIN_SIZE_TRAIN = (64.0,)
    assert ResizeShortestEdge(cfg).short_edge_length == (64,)
