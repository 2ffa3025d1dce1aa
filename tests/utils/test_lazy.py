"""Packages that import names on their first use."""

import subprocess
import sys
import textwrap

import pytest

import segsuite.data
import segsuite.evaluation
import segsuite.structures

PACKAGES = [segsuite.data, segsuite.evaluation, segsuite.structures]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_all_names_are_there(package):
    assert set(package.__all__) <= set(dir(package))
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match=f"'{package.__name__}' has no attribute 'nothing'"):
        _ = package.nothing


def test_results_need_no_torch(tmp_path):
    """What it takes to evaluate a file of results; and the modules that come later are there."""
    code = """
        import json, sys
        from segsuite.data import DatasetCatalog, register_coco_instances
        from segsuite.evaluation import COCOEvaluator
        truth = {
            "images": [{"id": 1, "height": 50, "width": 60, "file_name": "a.png"}],
            "categories": [{"id": 1, "name": "car"}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40]}],
        }
        found = [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40], "score": 0.5}]
        json.dump(truth, open("gt.json", "w"))
        json.dump(found, open("results.json", "w"))
        register_coco_instances("cars", {}, "gt.json", ".")
        results = COCOEvaluator("cars", output_dir="out").evaluate_file("results.json")
        assert round(results["bbox"]["AP"], 6) == 100
        assert "coco_2017_val" in DatasetCatalog
        assert not {"torch", "torchvision"} & set(sys.modules), "PyTorch was imported"

        import segsuite.data
        assert segsuite.data.build.get_records is segsuite.data.get_records
        from segsuite.evaluation import EVALUATOR_REGISTRY
        assert {"coco", "sem_seg", "coco_panoptic_seg"} <= set(EVALUATOR_REGISTRY)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
