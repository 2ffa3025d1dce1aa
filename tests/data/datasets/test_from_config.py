from __future__ import annotations

import pytest

from segsuite.config import CfgNode, get_cfg
from segsuite.data import (
    DatasetCatalog,
    MetadataCatalog,
    register_from_config,
    register_sem_seg_folder,
)
from segsuite.errors import ConfigError

YAML = """
DATASETS:
  REGISTER:
    test_cfg_set:
      FORMAT: sem_seg_folder
      IMAGES: /data/images
      LABELS: /data/labels
      CLASSES: [sky, road]
      COLORS: [[0, 0, 255], [99, 99, 99]]
      LABEL_MAP: {0: 0, 1: 1, 11: 255}
"""


@pytest.fixture
def cfg(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(YAML)
    cfg = get_cfg()
    cfg.merge_from_file(path)
    yield cfg
    if "test_cfg_set" in DatasetCatalog:
        DatasetCatalog.remove("test_cfg_set")
    MetadataCatalog.remove("test_cfg_set")


def test_registers_from_yaml_alone(cfg):
    register_from_config(cfg)
    register_from_config(cfg)
    metadata = MetadataCatalog.get("test_cfg_set")
    assert "test_cfg_set" in DatasetCatalog
    assert metadata.stuff_classes == ["sky", "road"]
    assert metadata.stuff_colors == [(0, 0, 255), (99, 99, 99)]
    assert metadata.label_map == {0: 0, 1: 1, 11: 255}
    assert metadata.image_root == "/data/images"


def test_registers_from_the_dumped_configuration(cfg, tmp_path):
    path = tmp_path / "dumped.yaml"
    path.write_text(cfg.dump())
    again = get_cfg()
    again.merge_from_file(path)
    register_from_config(cfg)
    register_from_config(again)


def test_a_corrected_entry_takes_the_place_of_the_one_before(cfg):
    register_from_config(cfg)
    entry = cfg.DATASETS.REGISTER.test_cfg_set
    entry.CLASSES, entry.COLORS = ["sky", "road", "car"], [[0, 0, 255], [99, 99, 99], [200, 0, 0]]
    register_from_config(cfg)
    assert MetadataCatalog.get("test_cfg_set").stuff_classes == ["sky", "road", "car"]
    coco = {"FORMAT": "coco_instances", "ANNOTATIONS": "/data/a.json", "IMAGES": "/data/images"}
    cfg.DATASETS.REGISTER.test_cfg_set = CfgNode(coco)
    register_from_config(cfg)
    assert MetadataCatalog.get("test_cfg_set").evaluator_type == "coco"


def test_what_python_registered_is_not_replaced(cfg):
    register_sem_seg_folder("test_python_set", "/data/images", "/data/labels", ["a", "b"])
    cfg.DATASETS.REGISTER.test_python_set = cfg.DATASETS.REGISTER.test_cfg_set
    with pytest.raises(ConfigError, match="stuff_classes is already"):
        register_from_config(cfg)


def test_a_misspelt_key(cfg):
    cfg.DATASETS.REGISTER.test_cfg_set["CLASSSES"] = ["a"]
    with pytest.raises(KeyError, match=r"DATASETS\.REGISTER\.test_cfg_set.* mean 'CLASSES'"):
        register_from_config(cfg)


def test_a_missing_key(cfg):
    del cfg.DATASETS.REGISTER.test_cfg_set["LABELS"]
    with pytest.raises(ConfigError, match=r"DATASETS\.REGISTER\.test_cfg_set lacks LABELS"):
        register_from_config(cfg)


def test_an_unknown_format(cfg):
    cfg.DATASETS.REGISTER.test_cfg_set.FORMAT = "voc"
    with pytest.raises(ValueError, match=r"test_cfg_set\.FORMAT is 'voc'; expected one of 'sem"):
        register_from_config(cfg)


def test_coco_instances(cfg):
    entry = {"FORMAT": "coco_instances", "ANNOTATIONS": "/data/a.json", "IMAGES": "/data/images"}
    cfg.DATASETS.REGISTER.test_cfg_set = CfgNode(entry)
    register_from_config(cfg)
    metadata = MetadataCatalog.get("test_cfg_set")
    assert metadata.json_file == "/data/a.json" and metadata.image_root == "/data/images"
    assert metadata.evaluator_type == "coco"
    cfg.DATASETS.REGISTER.test_cfg_set["LABELS"] = "/data/labels"
    with pytest.raises(KeyError, match=r"test_cfg_set.*ANNOTATIONS"):
        register_from_config(cfg)


def test_images_and_paths_in_the_datasets_folder(cfg, tmp_path, monkeypatch):
    monkeypatch.setenv("SEGSUITE_DATASETS", str(tmp_path))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.json").write_text("{}")
    entry = {"FORMAT": "coco_instances", "ANNOTATIONS": "mine/a.json", "IMAGES": "elsewhere"}
    cfg.DATASETS.REGISTER.test_cfg_set = CfgNode({**entry, "IMAGE_IDS": [4, 5]})
    register_from_config(cfg)
    metadata = MetadataCatalog.get("test_cfg_set")
    assert metadata.json_file == str(tmp_path / "mine" / "a.json")
    assert metadata.image_root == "elsewhere" and metadata.image_ids == [4, 5]
