import pytest

from segsuite.data.checks.duplicates import near_pairs, report_duplicates
from segsuite.data.checks.images import ImageFacts
from segsuite.data.checks.report import Report


def image(name, digest, phash=None):
    return ImageFacts(name, size=(4, 5), digest=bytes([digest]), phash=phash)


def duplicates(kinds, **images):
    report = Report()
    report_duplicates(images, kinds, report)
    return report


FAR = 1 << 50 | 1 << 45 | 1 << 40 | 1 << 35
TRAIN = [image("a.jpg", 1, 0b1011), image("b.jpg", 2, FAR)]
COPY = [*TRAIN, image("c.jpg", 3, ~FAR & (1 << 64) - 1)]


def test_the_same_images_with_other_annotations_are_no_leakage():
    report = duplicates({"labels": "sem_seg", "boxes": "coco"}, labels=TRAIN, boxes=COPY)
    assert report.found("same-images") == ["boxes"] and "2 files" in report.text()
    assert not report.found("leakage") and not report.found("duplicate-image")
    assert report.count("warning") == report.count("error") == 0


def test_of_one_kind_they_are():
    report = duplicates({"train": "coco", "val": "coco"}, train=TRAIN, val=COPY)
    assert report.found("leakage") == ["a.jpg", "b.jpg"]
    assert not report.found("same-images")


@pytest.mark.parametrize("other", ["other.jpg", "a.jpg"])
def test_a_few_of_the_files_are_leakage_whatever_the_kind(other):
    val = [image(other, 1), *(image(f"{i}.jpg", 100 + i) for i in range(4))]
    report = duplicates({"train": "sem_seg", "val": "coco"}, train=COPY, val=val)
    assert report.found("leakage") == [other] and not report.found("same-images")


def test_a_third_split_is_compared_once_with_both_names():
    val = [image("v.jpg", 2), image("w.jpg", 9, 0b1111)]
    kinds = {"labels": "sem_seg", "boxes": "coco", "val": "coco"}
    report = duplicates(kinds, labels=TRAIN, boxes=COPY, val=val)
    assert report.found("leakage") == ["v.jpg"] and report.found("near-leakage") == ["w.jpg"]


def test_within_a_data_set():
    twice = [*TRAIN, image("d.jpg", 2, FAR), image("e.jpg", 7, FAR | 1), TRAIN[0]]
    report = duplicates({"train": "coco"}, train=twice)
    assert report.found("duplicate-image") == ["d.jpg"]
    assert set(report.found("near-duplicate")) == {"e.jpg"}


def test_near_pairs():
    hashes = [0, 0b1111, None, 0b11111, 1 << 63]
    expected = {(0, 1): 4, (0, 4): 1, (1, 3): 1}
    assert {(i, j): d for i, j, d in near_pairs(hashes)} == expected
