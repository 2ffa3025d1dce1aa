import json

import pytest
import torch

from segsuite.evaluation import image_ious, inference_on_dataset, load_image_counts, sem_seg_metrics
from segsuite.evaluation.image_counts import ImageCounts

from .helpers import Oracle, make_record
from .test_sem_seg import make_evaluator


def test_counts_of_the_evaluation_add_up_to_its_matrix(tmp_path):
    records = [make_record(i, 3, size=(20 + i, 30)) for i in range(4)]
    inference_on_dataset(Oracle(), [[r] for r in records], make_evaluator(output_dir=tmp_path))
    matrix = torch.tensor(
        json.loads((tmp_path / "sem_seg_evaluation.json").read_text())["confusion_matrix"]
    )
    saved = load_image_counts(tmp_path / "image_counts.pt")
    assert saved["image_ids"] == ["0", "1", "2", "3"]
    assert saved["file_names"][1] == "1.jpg"
    right, labelled, predicted = saved["counts"].sum(0)
    assert right.tolist() == matrix.diagonal()[:3].tolist()
    assert labelled.tolist() == matrix[:3].sum(1).tolist()
    assert predicted.tolist() == matrix[:3].sum(0)[:3].tolist()
    iou = right / (labelled + predicted - right)
    assert torch.allclose(iou.double(), sem_seg_metrics(matrix).iou)


def test_iou_of_an_image_is_over_its_own_classes():
    counts = ImageCounts()
    counts.add("a", "a.jpg", torch.tensor([[6, 2, 0, 0], [0, 2, 0, 0], [0] * 4, [0] * 4]))
    counts.add("b", "b.jpg", torch.zeros(4, 4, dtype=torch.int64))
    iou = image_ious(counts.gather()["counts"])
    assert iou[0] == pytest.approx((6 / 8 + 2 / 4) / 2) and iou[1].isnan()


def test_missing_file_says_how_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pt.*segsuite eval"):
        load_image_counts(tmp_path / "nowhere.pt")
