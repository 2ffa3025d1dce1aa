from __future__ import annotations

import numpy as np
import pytest

from segsuite.data import DatasetCatalog, MetadataCatalog, check_semantic_dataset, get_records
from segsuite.data.statistics import count_labels
from tests.helpers import requires_camvid


@requires_camvid
def test_splits_and_labels(datasets_root):
    assert len(DatasetCatalog.get("camvid_train")) == 367
    records = get_records(["camvid_val"])
    assert len(records) == 101
    values, counts = count_labels(records[0])
    assert set(values) <= {*range(11), 255} and counts.sum() == 360 * 480


@requires_camvid
def test_passes_the_check(datasets_root):
    check_semantic_dataset("camvid_val", num_classes=11, ignore_label=255)


def test_metadata():
    metadata = MetadataCatalog.get("camvid_train")
    assert len(metadata.stuff_classes) == len(metadata.stuff_colors) == 11
    assert metadata.label_map[11] == 255
    assert np.array(metadata.stuff_colors).max() <= 255


def test_missing_folder_tells_of_the_root(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGSUITE_DATASETS", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"no folder .*camvid/images/test.*SEGSUITE_DATAS"):
        DatasetCatalog.get("camvid_test")
