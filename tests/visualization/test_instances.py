import numpy as np
import pytest

from segsuite.visualization import ColorTracker, draw_instances, draw_panoptic


def box_masks(*boxes, size=(60, 80)):
    masks = np.zeros((len(boxes), *size), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    return np.array(boxes, float), masks


def test_small_instances_lie_over_large_ones():
    image = np.full((60, 80, 3), 100, np.uint8)
    boxes, masks = box_masks((30, 20, 40, 30), (10, 10, 70, 50))
    colors = [(255, 0, 0), (0, 0, 255)]
    picture = draw_instances(image, boxes, masks=masks, colors=colors, alpha=1.0)
    assert picture[25, 35].tolist() == [255, 0, 0] and picture[15, 15].tolist() == [0, 0, 255]
    assert (image == 100).all() and (picture[55] == 100).all()


def test_boxes_alone_outside_and_nothing():
    image = np.full((60, 80, 3), 100, np.uint8)
    picture = draw_instances(image, [(-20.0, -5, 30, 30), (500, 500, 600, 600)], texts=["a", "b"])
    assert (picture != image).any() and (picture[40:, 40:58] == 100).all()
    assert (draw_instances(image, np.zeros((0, 4)), masks=np.zeros((0, 60, 80), bool)) == 100).all()


def test_what_does_not_fit_is_told():
    image = np.zeros((60, 80, 3), np.uint8)
    boxes, masks = box_masks((1, 2, 3, 4))
    with pytest.raises(ValueError, match="2 texts for 1 boxes"):
        draw_instances(image, boxes, texts=["a", "b"])
    with pytest.raises(ValueError, match=r"masks are 60 x 40 .* image 60 x 80"):
        draw_instances(image, boxes, masks=masks[..., :40])


def test_panoptic_segments_have_their_colours():
    image = np.full((60, 80, 3), 100, np.uint8)
    segmentation = np.zeros((60, 80), np.int32)
    segmentation[30:] = 1
    segmentation[5:25, 5:25], segmentation[5:25, 50:70] = 70000, 9
    info = [
        {"id": 1, "isthing": False, "category_id": 1},
        {"id": 70000, "isthing": True, "category_id": 0},
        {"id": 9, "isthing": True, "category_id": 0},
    ]
    names = {"thing_names": ["car"], "stuff_names": ["sky", "road"]}
    colors = [(0, 0, 255), (200, 0, 0)]
    picture = draw_panoptic(image, segmentation, info, **names, stuff_colors=colors, alpha=1.0)
    assert picture[55, 5].tolist() == [200, 0, 0] and picture[2, 40].tolist() == [100] * 3
    assert picture[22, 22].tolist() != picture[22, 67].tolist()
    with pytest.raises(ValueError, match="segmentation 30 x 80"):
        draw_panoptic(image, segmentation[:30], info, **names, stuff_colors=colors)


def test_tracked_colours_follow_their_instances():
    tracker = ColorTracker()
    a, b = np.array([0, 0, 20, 20.0]), np.array([50, 0, 70, 20.0])
    first = tracker.update([a, b], [0, 0])
    assert first[0] != first[1]
    assert tracker.update([b + 3, a + 3], [0, 0]) == first[::-1]
    assert tracker.update([b + 6], [0]) == [first[1]]  # `a` is hidden for a frame
    assert tracker.update([a + 6, b + 9], [0, 0]) == first
    other_class = tracker.update([a + 6], [1])
    assert other_class[0] not in first
    assert tracker.update(np.zeros((0, 4)), []) == []
