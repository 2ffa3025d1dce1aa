"""Data paths of a YAML file: beside it, in the current folder, or among the data sets."""

from __future__ import annotations

import pytest
import yaml

from segsuite.config import load_config
from segsuite.data import register_from_config


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with a YAML file, and the current folder elsewhere."""
    for name in ("project/data/images", "project/data/labels", "here", "datasets/far"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("SEGSUITE_DATASETS", str(tmp_path / "datasets"))
    return tmp_path


def write(folder, name, **paths):
    entry = {"CLASSES": ["a", "b"], **paths}
    path = folder / "project" / "my.yaml"
    path.write_text(yaml.safe_dump({"DATASETS": {"REGISTER": {name: entry}}}))
    return path


def test_beside_the_file(project):
    path = write(project, "paths_beside", IMAGES="data/images", LABELS="./data/labels")
    entry = load_config(path).DATASETS.REGISTER.paths_beside
    assert str(project / "project/data/images") == entry.IMAGES
    assert str(project / "project/data/labels") == entry.LABELS


def test_beside_a_base(project):
    write(project, "paths_base", IMAGES="data/images", LABELS="data/labels")
    (project / "here" / "other.yaml").write_text("_BASE_: ../project/my.yaml")
    entry = load_config("other.yaml").DATASETS.REGISTER.paths_base
    assert str(project / "project/data/images") == entry.IMAGES


def test_in_the_current_folder_and_among_the_data_sets(project):
    (project / "here" / "near").mkdir()
    cfg = load_config(write(project, "paths_near", IMAGES="near", LABELS="far"))
    register_from_config(cfg)
    entry = cfg.DATASETS.REGISTER.paths_near
    assert str(project / "here/near") == entry.IMAGES
    assert str(project / "datasets/far") == entry.LABELS


def test_what_is_nowhere_stays_for_the_message(project):
    cfg = load_config(write(project, "paths_nowhere", IMAGES="nowhere", LABELS="far"))
    register_from_config(cfg)
    assert cfg.DATASETS.REGISTER.paths_nowhere.IMAGES == "nowhere"


def test_a_frozen_configuration_stays_as_it_is(project):
    cfg = load_config(write(project, "paths_frozen", IMAGES="far", LABELS="far"))
    cfg.freeze()
    register_from_config(cfg)
    assert cfg.DATASETS.REGISTER.paths_frozen.IMAGES == "far"
