"""What ``segsuite export --list`` prints is so."""

from __future__ import annotations

import pytest

import segsuite
from segsuite.errors import ConfigError
from segsuite.exporting import ExportOptions
from segsuite.exporting.options import FORMATS, PRECISIONS
from segsuite.exporting.table import FAMILIES, family_table, format_table
from tests.helpers import REPO
from tests.modeling.zoo import ARCHITECTURES


def test_all_semantic_models_are_in_it():
    semantic = {m.name for m in segsuite.list_models().values() if m.takes == "images"}
    assert {m for f in FAMILIES for m in f.models if f.task == "semantic"} == semantic


def test_architectures_that_are_compared_are_those_in_it():
    # Both name U-Nets and FCNs after what is beneath them, and the zoo has one of each head.
    heads = {cfg.MODEL.SEM_SEG_HEAD.NAME for cfg in (a.config() for a in ARCHITECTURES.values())}
    from segsuite.models.create import model_config

    models = [m for f in FAMILIES for m in f.models if f.task == "semantic"]
    assert {model_config(m, num_classes=2).MODEL.SEM_SEG_HEAD.NAME for m in models} <= heads


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_precisions_are_taken_where_it_says_so(format, precision):
    header, *rows = [line.split() for line in format_table().splitlines()]
    # "any batch" and "any size" are two words each.
    (row,) = [row for row in rows if row[0] == format]
    column = [word for word in header if word not in ("any",)].index(precision)
    if row[column] == "yes":
        ExportOptions(format=format, precision=precision)
    else:
        with pytest.raises(ConfigError, match=precision):
            ExportOptions(format=format, precision=precision)


def test_the_page_has_it():
    text = (REPO / "docs/export.md").read_text()
    assert format_table() in text
    assert family_table() in text
