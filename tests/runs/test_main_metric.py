import pytest

from segsuite.runs import main_metric


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["sem_seg/mIoU", "sem_seg/pACC"], "sem_seg/mIoU"),
        (["bbox/AP", "bbox/AP50", "segm/AP50", "segm/AP"], "segm/AP"),
        (["bbox/AP50", "bbox/AP"], "bbox/AP"),
        (["sem_seg/mIoU", "bbox/AP", "segm/AP", "panoptic_seg/PQ"], "panoptic_seg/PQ"),
        (["night/sem_seg/mIoU", "day/sem_seg/mIoU"], "night/sem_seg/mIoU"),
        (["box_proposals/AR@1000"], "box_proposals/AR@1000"),
        (["mine/score"], None),
        ([], None),
    ],
)
def test_main_metric(names, expected):
    assert main_metric(names) == expected
