import pytest

from segsuite.config import build_entry, configurable, get_cfg, read_arguments, read_entries


def test_names_and_arguments():
    entries = ["A", {"B": {"LOW": 1, "high": 2}}, {"C": None}]
    assert read_entries(entries, "HOOKS") == [("A", {}), ("B", {"low": 1, "high": 2}), ("C", {})]


@pytest.mark.parametrize("entry", [3, ["A"], {"A": {}, "B": {}}, {"A": 3}, {}])
def test_no_entry(entry):
    with pytest.raises(ValueError, match=r"HOOKS: .* is no entry; expected a name, or one name"):
        read_entries(["A", entry], "HOOKS")


class Configured:
    @configurable
    def __init__(self, *, low, high=3):
        self.values = (low, high)

    @classmethod
    def from_config(cls, cfg, dataset_name):
        return {"low": cfg.SEED}


def function(cfg, dataset_name, *, low=1, high=3):
    return low, high


def open_function(cfg, dataset_name, **kwargs):
    return kwargs["low"], 4


def test_arguments_override_the_configuration():
    cfg = get_cfg()
    given = ("HOOKS", cfg, "name")
    assert build_entry(Configured, "X", {}, *given).values == (0, 3)
    assert build_entry(Configured, "X", {"low": 2}, *given).values == (2, 3)
    assert build_entry(function, "X", {"high": 2}, *given) == (1, 2)
    assert build_entry(open_function, "X", {"low": 2}, *given) == (2, 4)


@pytest.mark.parametrize("build", [Configured, function])
def test_an_argument_that_there_is_not(build):
    with pytest.raises(KeyError) as caught:
        build_entry(build, "X", {"hihg": 2}, "HOOKS", get_cfg(), "name")
    assert (
        str(caught.value) == "HOOKS: X has no argument HIHG. Did you mean HIGH? It has: HIGH, LOW"
    )
    with pytest.raises(KeyError, match=r"X has no argument ZZZ\. It has"):
        build_entry(build, "X", {"zzz": 2}, "HOOKS", get_cfg(), "name")


def test_a_written_configuration_has_the_entries_again(tmp_path):
    cfg = get_cfg()
    (tmp_path / "a.yaml").write_text(
        "INPUT: {AUGMENTATIONS: [default, {RandomScale: {LOW: 1, HIGH: 2}}]}\n"
        "SOLVER: {OPTIMIZER_ARGS: {EPS: 1e-6}}\nTEST: {EVALUATORS: [{x: {}}]}\n"
    )
    cfg.merge_from_file(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_text(cfg.dump())
    again = get_cfg()
    again.merge_from_file(tmp_path / "b.yaml")
    assert again == cfg
    assert read_entries(again.INPUT.AUGMENTATIONS, "A")[1] == ("RandomScale", {"low": 1, "high": 2})
    assert read_arguments(again.SOLVER.OPTIMIZER_ARGS) == {"eps": 1e-6}
