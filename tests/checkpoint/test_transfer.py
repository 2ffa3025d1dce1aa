import pytest
import torch
from torch import nn

from segsuite.checkpoint import load_weights, save_weights
from segsuite.checkpoint.convert import coco_names, voc_names
from segsuite.checkpoint.transfer import carry_rows, differing_classes


class Model(nn.Module):
    def __init__(self, classes, things):
        super().__init__()
        self.backbone = nn.Conv2d(3, 8, 1)
        self.sem_seg_head = nn.ModuleDict({"predictor": nn.Conv2d(8, classes, 1)})
        boxes = {"cls_score": nn.Linear(8, things + 1), "bbox_pred": nn.Linear(8, 4 * things)}
        self.roi_heads = nn.ModuleDict({"box_predictor": nn.ModuleDict(boxes)})


OLD = {"sem_seg_head": ["background", "airplane", "cat"], "roi_heads": ["airplane", "cat"]}
NEW = {
    "sem_seg_head": ["__background__", "cat", "dog", "aeroplane"],
    "roi_heads": ["cat", "dog", "aeroplane"],
}


@pytest.fixture(params=["weights.pth", "weights.safetensors"])
def old(request, tmp_path):
    if request.param.endswith("safetensors"):
        pytest.importorskip("safetensors")
    model, path = Model(3, 2), tmp_path / request.param
    save_weights(path, model.state_dict(), OLD)
    return model, path


def test_rows_are_carried_over_by_class_name(old):
    source, path = old
    model = Model(4, 3)
    before = {name: t.clone() for name, t in model.state_dict().items()}
    report = load_weights(model, path, classes=NEW)
    assert report.missing == report.unexpected == report.carried == []
    assert len(report.reinitialized) == 6
    assert report.loaded == ["backbone.weight", "backbone.bias"]
    weights, old_weights = model.state_dict(), source.state_dict()
    name = "sem_seg_head.predictor.weight"
    assert torch.equal(weights[name][[0, 1, 3]], old_weights[name][[0, 2, 1]])
    assert torch.equal(weights[name][2], before[name][2])
    name = "roi_heads.box_predictor.cls_score.bias"
    assert torch.equal(weights[name][[0, 2, 3]], old_weights[name][[1, 0, 2]])
    assert weights[name][1] == before[name][1]
    name = "roi_heads.box_predictor.bbox_pred.weight"
    boxes, old_boxes = weights[name].unflatten(0, (3, 4)), old_weights[name].unflatten(0, (2, 4))
    assert torch.equal(boxes[[0, 2]], old_boxes[[1, 0]])


def test_some_of_the_classes(old):
    _, path = old
    classes = {"sem_seg_head": ["cat", "background"], "roi_heads": ["cat"]}
    report = load_weights(Model(2, 1), path, classes=classes)
    assert len(report.carried) == 6 and report.reinitialized == []


def test_same_number_of_other_classes(old):
    source, path = old
    model = Model(3, 2)
    swapped = {"sem_seg_head": ["background", "cat", "airplane"], "roi_heads": OLD["roi_heads"]}
    report = load_weights(model, path, classes=swapped)
    assert report.carried == ["sem_seg_head.predictor.weight", "sem_seg_head.predictor.bias"]
    bias = model.state_dict()["sem_seg_head.predictor.bias"]
    assert torch.equal(bias, source.state_dict()["sem_seg_head.predictor.bias"][[0, 2, 1]])


def test_names_that_are_not_known(old, caplog):
    _, path = old
    model = Model(4, 3)
    before = model.state_dict()["sem_seg_head.predictor.bias"].clone()
    report = load_weights(model, path)
    assert len(report.reinitialized) == 6
    assert torch.equal(model.state_dict()["sem_seg_head.predictor.bias"], before)
    assert "sem_seg_head.predictor.bias               3     4      0" in caplog.text


def test_a_resumed_run_does_not_transfer(old):
    with pytest.raises(ValueError, match="Shapes that differ: 6"):
        load_weights(Model(4, 3), old[1], classes=NEW, strict=True)


def test_one_class_is_not_taken_for_another_layout():
    box, target = torch.arange(4.0), torch.zeros(8)
    result, taken = carry_rows(box, target, ["cat"], ["dog", "cat"])
    assert (result.tolist(), taken) == ([0, 0, 0, 0, 0, 1, 2, 3], 4)
    result, taken = carry_rows(torch.tensor([5.0, 6.0]), torch.zeros(3), ["cat"], ["dog", "cat"])
    assert (result.tolist(), taken) == ([0, 5, 6], 2)


def test_layers_before_the_last_are_not_class_scores():
    lists = (["a", "b"], ["b", "a"])
    assert not differing_classes("sem_seg_head.conv.weight", *lists)
    assert differing_classes("sem_seg_head.predictor.weight", *lists)
    assert not differing_classes("sem_seg_head.predictor.weight", *lists[:1], ["A", "B"])


def test_every_class_of_voc_but_two_is_one_of_coco():
    """The chain COCO -> VOC: names that differ are known to be the same."""
    weights = torch.arange(91.0)
    _, taken = carry_rows(weights, torch.zeros(21), coco_names(), voc_names()[1:])
    assert taken == 21
