"""Recipes by name, from any folder."""

from __future__ import annotations

import pytest
import yaml

from segsuite.config import load_config
from segsuite.config.recipes import (
    copy_recipe,
    find_config,
    recipe_file,
    recipe_names,
    recipes_dir,
)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "name",
    ["camvid/unet", "camvid/unet.yaml", "configs/camvid/unet.yaml", "./configs/camvid/unet.yaml"],
)
def test_a_name_is_a_file(name):
    assert recipe_file(name) == recipes_dir() / "camvid" / "unet.yaml"
    assert load_config(name).MODEL.SEM_SEG_HEAD.NUM_CLASSES == 11


@pytest.mark.parametrize("name", ["../setup", "camvid/../../setup", "/etc/passwd", "nothing", ""])
def test_what_is_no_recipe(name):
    assert recipe_file(name) is None


def test_a_file_comes_before_a_recipe_of_that_name(tmp_path):
    (tmp_path / "demo").write_text("SEED: 77")
    assert find_config("demo") == "demo" and load_config("demo").SEED == 77


def test_as_a_base(tmp_path):
    (tmp_path / "my.yaml").write_text("_BASE_: [camvid/unet, beside.yaml]")
    (tmp_path / "beside.yaml").write_text("SEED: 5")
    cfg = load_config("my.yaml")
    assert cfg.SEED == 5 and cfg.DATASETS.TRAIN == ("camvid_train",)


def test_a_name_that_is_like_a_recipe():
    with pytest.raises(FileNotFoundError, match="Did you mean the recipe camvid/unet"):
        load_config("camvid/unett")


@pytest.mark.parametrize("name", recipe_names())
def test_a_copy_is_the_recipe(name, tmp_path):
    copy_recipe(name, tmp_path / "sub" / "my.yaml")
    copied = load_config(tmp_path / "sub" / "my.yaml")
    assert yaml.safe_load(copied.dump()) == yaml.safe_load(load_config(name).dump())


def test_a_copy_overwrites_nothing(tmp_path):
    (tmp_path / "my.yaml").write_text("mine")
    with pytest.raises(OSError, match=r"my\.yaml exists"):
        copy_recipe("demo", "my.yaml")
    assert (tmp_path / "my.yaml").read_text() == "mine"
    with pytest.raises(KeyError, match="Did you mean demo"):
        copy_recipe("demmo", "other.yaml")
