"""Configurations that come from others: keys twice, and few lines that stand for very much."""

from __future__ import annotations

import pytest

from segsuite.config import load_config
from segsuite.errors import ConfigError
from tests.processes import run_python


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


@pytest.mark.parametrize(
    ("text", "key", "lines"),
    [
        ("SOLVER: {MAX_ITER: 7}\nSEED: 1\nSOLVER: {BASE_LR: 0.5}\n", "SOLVER", (1, 3)),
        ("SOLVER:\n  BASE_LR: 0.5\n  BASE_LR: 0.1\n", r"SOLVER\.BASE_LR", (2, 3)),
        ("INPUT: {}\nHOOKS:\n- NAME: a\n  NAME: b\n", r"HOOKS\.NAME", (3, 4)),
        ("_BASE_: a.yaml\n_BASE_: b.yaml\n", "_BASE_", (1, 2)),
    ],
)
def test_a_key_twice(write, text, key, lines):
    expected = rf"twice\.yaml has {key} twice, in line {lines[0]} and in line {lines[1]}"
    with pytest.raises(ConfigError, match=expected):
        load_config(write("twice.yaml", text))


def test_a_key_twice_in_a_base_names_the_base(write):
    write("base.yaml", "SEED: 1\nSEED: 2\n")
    with pytest.raises(ConfigError, match=r"base\.yaml has SEED twice"):
        load_config(write("run.yaml", "_BASE_: base.yaml\n"))


def test_aliases_and_merge_keys_work(write):
    text = "SOLVER: &s {MAX_ITER: 7}\nDATASETS: {TRAIN: &a [x, y], TEST: *a}\n"
    cfg = load_config(write("alias.yaml", text))
    assert cfg.SOLVER.MAX_ITER == 7 and cfg.DATASETS.TEST == ("x", "y")
    text = "DATASETS: {REGISTER: {a: &a {IMAGES: i, LABELS: l}, b: {<<: *a, LABELS: m}}}\n"
    assert load_config(write("merge.yaml", text)).DATASETS.REGISTER.b.IMAGES == "i"


def bomb_of_lists():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    return "\n".join([*lines, "HOOKS: *a11"])


def bomb_of_merges():
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}" for i in range(1, 60)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (bomb_of_lists(), "has more than 200,000 values in a"),
        (bomb_of_merges(), "has more than 200,000 values in a"),
        ("HOOKS: &a [*a]", "HOOKS holds itself, by an alias"),
        ("HOOKS: " + "[" * 100_000 + "]" * 100_000, "is nested too deeply"),
        ("SEED: " + "9" * 10_000, "is not valid YAML"),
        ("SEED: !!int ''", "is not valid YAML"),
        ("SEED: 1\n" + "#" * (5 << 20), "may have 4 MiB"),
    ],
    ids=["lists", "merges", "circle", "deep", "digits", "tag", "large"],
)
def test_what_stands_for_too_much_is_refused_at_once(write, text, expected):
    # In a process of its own, which a bomb that goes off ends by itself.
    code = (
        "import sys, resource; from segsuite.config import load_config;"
        "resource.setrlimit(resource.RLIMIT_CPU, (30, 30));"
        "load_config(sys.argv[1])"
    )
    done = run_python("-c", code, write("bomb.yaml", text))
    assert f"ConfigError: {write('bomb.yaml', text)}" in done.stderr, done.stderr[-500:]
    assert expected in done.stderr


def test_bases_that_have_bases_are_limited(write):
    write("b0.yaml", "SEED: 1\n")
    for i in range(1, 12):
        write(f"b{i}.yaml", f"_BASE_: [{', '.join([f'b{i - 1}.yaml'] * 10)}]\n")
    with pytest.raises(ConfigError, match=r"b11\.yaml: _BASE_ leads to more than 100 files"):
        load_config(write("b11.yaml", "_BASE_: [b10.yaml, b10.yaml]\n"))
    for i in range(1, 30):
        write(f"c{i}.yaml", f"_BASE_: c{i - 1}.yaml\n")
    write("c0.yaml", "SEED: 1\n")
    with pytest.raises(ConfigError, match=r"more than 20 above each other"):
        load_config(write("run.yaml", "_BASE_: c29.yaml\n"))


@pytest.mark.parametrize("value", ["7", "{a: b}", "[1]", "[[a.yaml]]", "true"])
def test_bases_of_a_wrong_type(write, value):
    with pytest.raises(ConfigError, match=r"run\.yaml: _BASE_ is .*expected a path or a list"):
        load_config(write("run.yaml", f"_BASE_: {value}\n"))


@pytest.mark.parametrize("value", ["7", "[7]", "[a/b]", "[[os]]", "['']", "['.a']", "a b"])
def test_plugins_of_a_wrong_type(write, value):
    with pytest.raises(ConfigError, match=r"run\.yaml names the plug-in .*names of modules"):
        load_config(write("run.yaml", f"PLUGINS: {value}\n"))
    with pytest.raises(ConfigError, match="takes a tuple"):
        load_config(write("run.yaml", "PLUGINS: {a: b}\n"))


def test_a_single_plugin_needs_no_list(write):
    assert load_config(write("run.yaml", "PLUGINS: json\n")).PLUGINS == ("json",)
    with pytest.raises(ConfigError, match="the command line names the plug-in ''"):
        load_config(plugins=[""])
