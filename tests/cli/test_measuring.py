"""What `segsuite analyze` and `segsuite benchmark` print."""

import pytest

from segsuite.cli.analyze import table
from segsuite.cli.benchmark import show
from segsuite.profiling.analysis import ModuleCost
from tests.processes import run_segsuite_here


def test_modules_are_indented_below_their_parents():
    costs = [
        ModuleCost("", 1_234_567, 2_500_000_000, 1000, 20.0),
        ModuleCost("backbone", 1_200_000, 2_400_000_000, 900, 15.0),
        ModuleCost("backbone.norm", 64, 0, 0, None),
    ]
    assert table(costs).splitlines() == [
        "module      parameters  GFLOPs  activations     ms  % of time",
        "(model)      1,234,567   2.500        1,000  20.00      100.0",
        "  backbone   1,200,000   2.400          900  15.00       75.0",
        "    norm            64   0.000            0      -          -",
    ]


def test_phases_have_their_shares(capsys):
    figures = {
        "workers": 2,
        "images_per_second": 12.34,
        "ms_per_image": {"image": 3.0, "augmentation": 1.0},
    }
    show("data loader", figures, "ms_per_image", "ms/image")
    assert capsys.readouterr().out.splitlines() == [
        "data loader: 12.3 images/s",
        "  ms/image",
        "    image              3.00   75.0 %",
        "    augmentation       1.00   25.0 %",
        "  workers: 2",
        "",
    ]


@pytest.mark.parametrize(
    "words",
    [
        ["analyze", "--size", "0", "0"],
        ["analyze", "--batch-size", "0"],
        ["analyze", "--runs", "-1"],
        ["analyze", "--depth", "0"],
        ["models", "unet", "--num-classes", "0"],
        ["look", "--limit", "0"],
    ],
    ids=" ".join,
)
def test_counts_begin_with_one(words, capsys):
    config = ["--config-file", "smoke/unet_shapes"] if words[0] != "models" else []
    assert run_segsuite_here(words[0], *config, *words[1:]) == 2
    text = capsys.readouterr().err
    assert f"argument {next(w for w in words if w.startswith('--'))}" in text
    assert "expected an integer from 1 on" in text
