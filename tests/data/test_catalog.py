from __future__ import annotations

import copy
import pickle

import pytest

from segsuite.data.catalog import Metadata, _DatasetCatalog, _MetadataCatalog


def test_records_are_loaded_when_asked_for():
    catalog, calls = _DatasetCatalog(), []
    catalog.register("toy", lambda: calls.append(1) or [{"file_name": "a"}])
    assert calls == []
    assert catalog.get("toy") == [{"file_name": "a"}]
    assert "toy" in catalog and catalog.list() == ["toy"]


def test_a_name_is_taken_once():
    catalog = _DatasetCatalog()
    catalog.register("toy", list)
    with pytest.raises(KeyError, match="'toy' is already registered"):
        catalog.register("toy", list)
    catalog.remove("toy")
    catalog.register("toy", list)


def test_unknown_name_lists_the_closest_and_all():
    catalog = _DatasetCatalog()
    catalog.register("camvid_train", list)
    catalog.register("shapes_val", list)
    with pytest.raises(KeyError, match=r"Did you mean 'camvid_train'\? It has: camvid_train, shap"):
        catalog.get("camvid_trian")
    with pytest.raises(KeyError, match="'nothing' is not in the DatasetCatalog"):
        catalog.remove("nothing")


def test_a_folder_is_no_name(tmp_path):
    with pytest.raises(KeyError, match=r"It is a folder: DATASETS\.REGISTER"):
        _DatasetCatalog().open(str(tmp_path))


def test_metadata_is_set_once():
    metadata = _MetadataCatalog().get("toy").set(stuff_classes=["a", "b"], ignore_label=255)
    assert metadata.stuff_classes == ["a", "b"] and metadata.get("label_map") is None
    metadata.set(stuff_classes=["a", "b"])
    with pytest.raises(ValueError, match="'toy': ignore_label is already 255 and can't become 0"):
        metadata.ignore_label = 0
    with pytest.raises(AttributeError, match="Did you mean 'stuff_classes'"):
        _ = metadata.stuff_class


def test_metadata_is_one_object_per_name():
    catalog = _MetadataCatalog()
    assert catalog.get("a") is catalog.get("a") and catalog.list() == ["a"]
    catalog.remove("a")
    assert catalog.list() == []


def test_metadata_can_be_copied_and_sent():
    metadata = Metadata("toy").set(ignore_label=255)
    for twin in (copy.deepcopy(metadata), pickle.loads(pickle.dumps(metadata))):
        assert twin.as_dict() == {"name": "toy", "ignore_label": 255}
