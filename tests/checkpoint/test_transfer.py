import pytest
import torch
from torch import nn

from segsuite.checkpoint import load_weights, save_weights
from segsuite.checkpoint.convert import coco_names, voc_names
from segsuite.checkpoint.transfer import ClassTransfer, carry_rows
from segsuite.errors import WeightsError
from segsuite.layers import Conv2d, ShapeSpec
from segsuite.modeling import SemSegHead
from segsuite.modeling.box_regression import Box2BoxTransform
from segsuite.modeling.roi_heads.box_head import FastRCNNConvFCHead
from segsuite.modeling.roi_heads.fast_rcnn import FastRCNNOutputLayers
from segsuite.modeling.roi_heads.mask_head import MaskRCNNConvUpsampleHead
from segsuite.modeling.sem_seg import FCNHead, FCNSkipHead


class Model(nn.Module):
    def __init__(self, classes, things):
        super().__init__()
        self.backbone = nn.Conv2d(3, 8, 1)
        self.sem_seg_head = nn.ModuleDict({"predictor": nn.Conv2d(8, classes, 1)})
        boxes = {"cls_score": nn.Linear(8, things + 1), "bbox_pred": nn.Linear(8, 4 * things)}
        self.roi_heads = nn.ModuleDict({"box_predictor": nn.ModuleDict(boxes)})
        self.class_layers = [
            "sem_seg_head.predictor",
            "roi_heads.box_predictor.cls_score",
            "roi_heads.box_predictor.bbox_pred",
        ]


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


class TestOneClass:
    """Background and a class, and the class alone: the probabilities stay what they are."""

    TWO, ONE = ["ground", "roof"], ["roof"]

    def head(self, names, name="FCNHead"):
        options = {"num_classes": len(names), "in_features": ["x"]}
        if name == "FCNSkipHead":
            head = FCNSkipHead(input_shape={"x": ShapeSpec(4, 8)}, to_full_size=True, **options)
            nn.init.normal_(head.score["x"].weight)
        else:
            head = FCNHead(input_shape={"x": ShapeSpec(4, 8)}, convs_dim=4, norm="GN", **options)
        return nn.ModuleDict({"sem_seg_head": head}).eval()

    def probability(self, model, x):
        logits = model["sem_seg_head"]({"x": x})
        return logits[:, 0].sigmoid() if logits.shape[1] == 1 else logits.softmax(1)[:, 1]

    @pytest.mark.parametrize("kind", ["FCNHead", "FCNSkipHead"])
    @pytest.mark.parametrize("theirs, ours", [(TWO, ONE), (ONE, TWO)])
    @pytest.mark.parametrize("named", [True, False])
    def test_the_same_probabilities(self, tmp_path, kind, theirs, ours, named):
        source, target = self.head(theirs, kind), self.head(ours, kind)
        path = tmp_path / "weights.pth"
        classes = {"sem_seg_head": theirs} if named else None
        torch.save({"model": source.state_dict(), "classes": classes}, path)
        report = load_weights(target, path, classes={"sem_seg_head": ours})
        assert report.reinitialized == report.missing == [] and report.carried
        x = torch.randn(2, 4, 6, 7)
        torch.testing.assert_close(self.probability(target, x), self.probability(source, x))

    def test_another_class_is_none_of_the_two(self, tmp_path):
        source, target = self.head(self.TWO), self.head(["tree"])
        path = tmp_path / "weights.pth"
        save_weights(path, source.state_dict(), {"sem_seg_head": self.TWO})
        report = load_weights(target, path, classes={"sem_seg_head": ["tree"]})
        assert len(report.reinitialized) == 2


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


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (["道路", "汽车"], ["汽车", "道路"]),
        (["дорога", "Машина"], ["машина", "дорога"]),
        (["की", "के"], ["के", "की"]),
        (["caf\u00e9", "th\u00e9"], ["the\u0301", "cafe\u0301"]),  # composed and not
        (["class 1.5", "class 15"], ["class 15", "class 1.5"]),
    ],
)
def test_names_of_any_script_are_told_apart(tmp_path, theirs, ours):
    rows = torch.tensor([[1.0], [2.0]])
    carried, taken = carry_rows(rows, torch.zeros(2, 1), theirs, ours)
    assert taken == 2 and carried.tolist() == [[2.0], [1.0]]

    source, model = Model(2, 2), Model(2, 2)
    save_weights(tmp_path / "w.pth", source.state_dict(), {"sem_seg_head": theirs})
    load_weights(model, tmp_path / "w.pth", classes={"sem_seg_head": ours})
    name = "sem_seg_head.predictor.weight"
    assert torch.equal(model.state_dict()[name], source.state_dict()[name][[1, 0]])


def test_every_class_of_voc_but_two_is_one_of_coco():
    """The chain COCO -> VOC: names that differ are known to be the same."""
    weights = torch.arange(91.0)
    _, taken = carry_rows(weights, torch.zeros(21), coco_names(), voc_names()[1:])
    assert taken == 21


class Head(nn.Module):
    """A plug-in's head with layers of names that nobody knows."""

    def __init__(self, classes, hidden=None):
        super().__init__()
        self.mix = nn.Conv2d(8, hidden or 8, 1)
        self.classifier = nn.Conv2d(hidden or 8, classes, 1)


class SayingHead(Head):
    class_layers = ("classifier",)


def network(head, **others):
    return nn.ModuleDict({"sem_seg_head": head, **others})


SWAPPED = {"sem_seg_head": ["cat", "background", "airplane"]}


def saved(tmp_path, model):
    path = tmp_path / "weights.pth"
    save_weights(path, model.state_dict(), {"sem_seg_head": OLD["sem_seg_head"]})
    return path


@pytest.mark.parametrize("head, hidden", [(Head, None), (SayingHead, None), (SayingHead, 3)])
def test_layers_of_any_name(tmp_path, head, hidden):
    source, model = network(head(3, hidden)), network(head(3, hidden))
    report = load_weights(model, saved(tmp_path, source), classes=SWAPPED)
    names = ["sem_seg_head.classifier.weight", "sem_seg_head.classifier.bias"]
    assert report.carried == names
    for name in names:
        assert torch.equal(model.state_dict()[name], source.state_dict()[name][[2, 0, 1]])
    # As wide as there are classes, but not of them.
    assert torch.equal(model["sem_seg_head"].mix.weight, source["sem_seg_head"].mix.weight)


def test_rows_are_not_loaded_in_the_order_of_the_file_where_it_is_not_known_what_they_are(tmp_path):
    source, model = network(Head(3, 3)), network(Head(3, 3))
    before = model["sem_seg_head"].classifier.weight.clone()
    path = saved(tmp_path, source)
    match = r"(?s)sem_seg_head \(Head\) does not say.*class_layers.*outputs: mix, classifier"
    with pytest.raises(WeightsError, match=match):
        load_weights(model, path, classes=SWAPPED)
    assert torch.equal(model["sem_seg_head"].classifier.weight, before)
    # Nothing is to be brought in order if the classes are the same, or nothing is known of them.
    for classes in ({"sem_seg_head": OLD["sem_seg_head"]}, None):
        assert len(load_weights(model, path, classes=classes).loaded) == 4


def test_a_head_without_a_layer_of_that_many_outputs_is_refused_too(tmp_path):
    source = network(nn.Sequential(nn.Conv2d(8, 8, 1)))
    with pytest.raises(WeightsError, match=r"does not say .* outputs: none"):
        load_weights(source, saved(tmp_path, source), classes=SWAPPED)


def test_a_file_without_the_head_has_no_order(tmp_path):
    source = nn.ModuleDict({"backbone": nn.Conv2d(3, 8, 1)})
    model = network(Head(3, 3), backbone=nn.Conv2d(3, 8, 1))
    report = load_weights(model, saved(tmp_path, source), classes=SWAPPED)
    assert report.loaded == ["backbone.weight", "backbone.bias"]


def test_another_width_is_not_taken_for_other_classes(tmp_path):
    source, model = network(SayingHead(3, 3)), network(SayingHead(3, 5))
    with pytest.raises(WeightsError, match="Shapes that differ: 3"):
        load_weights(model, saved(tmp_path, source), classes=SWAPPED)


class Upsampled(nn.Module):
    """Scores of classes whose upsampling is learned, and a transposed convolution to classes."""

    class_layers = ("up", "to_classes")

    def __init__(self, classes):
        super().__init__()
        self.up = nn.ConvTranspose2d(classes, classes, 2, stride=2, bias=False)
        self.to_classes = nn.ConvTranspose2d(8, classes, 2, stride=2)


@pytest.mark.parametrize("ours", [SWAPPED["sem_seg_head"], ["dog", "cat", "tree", "background"]])
def test_transposed_convolutions(tmp_path, ours):
    source, model = network(Upsampled(3)), network(Upsampled(len(ours)))
    before = {name: t.clone() for name, t in model.state_dict().items()}
    load_weights(model, saved(tmp_path, source), classes={"sem_seg_head": ours})
    theirs = OLD["sem_seg_head"]
    after, given = model["sem_seg_head"], source["sem_seg_head"]
    for i, to in enumerate(ours):
        for j, of in enumerate(ours):
            expected = before["sem_seg_head.up.weight"][j, i]
            if to in theirs and of in theirs:
                expected = given.up.weight[theirs.index(of), theirs.index(to)]
            assert torch.equal(after.up.weight[j, i], expected)
        if to in theirs:
            old = theirs.index(to)
            assert torch.equal(after.to_classes.weight[:, i], given.to_classes.weight[:, old])
            assert torch.equal(after.to_classes.bias[i], given.to_classes.bias[old])


@pytest.mark.parametrize("agnostic", [False, True])
def test_the_layers_of_regions_of_interest(tmp_path, agnostic):
    def model():
        box = FastRCNNOutputLayers(
            in_features=8,
            num_classes=2,
            box2box_transform=Box2BoxTransform((1, 1, 1, 1)),
            cls_agnostic_bbox_reg=agnostic,
        )
        mask = MaskRCNNConvUpsampleHead(
            in_channels=8, num_classes=2, conv_dims=(8,), upsample_dim=8, cls_agnostic=agnostic
        )
        # Three outputs, as many as two classes and the background.
        trunk = FastRCNNConvFCHead(in_channels=8, resolution=1, fc_dims=(3,))
        heads = nn.ModuleDict({"box_predictor": box, "mask_head": mask, "box_head": trunk})
        return nn.ModuleDict({"roi_heads": heads})

    source, target = model(), model()
    path = tmp_path / "weights.pth"
    save_weights(path, source.state_dict(), {"roi_heads": ["cat", "dog"]})
    report = load_weights(target, path, classes={"roi_heads": ["dog", "cat"]})
    layers = ["box_predictor.cls_score"]
    layers += [] if agnostic else ["box_predictor.bbox_pred", "mask_head.predictor"]
    assert report.carried == [f"roi_heads.{n}.{p}" for n in layers for p in ("weight", "bias")]
    old, new = source.state_dict(), target.state_dict()
    name = "roi_heads.box_predictor.cls_score.bias"
    assert torch.equal(new[name], old[name][[1, 0, 2]])
    for name in set(old) - set(report.carried):
        assert torch.equal(new[name], old[name]), name


def test_a_registered_head_with_names_of_its_own():
    """From the configuration to the rows: a plug-in's head in a model that is built."""
    shapes = {"res5": ShapeSpec(8, 32)}

    class PlugIn(SemSegHead):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.stride = 32
            self.mix = Conv2d(8, 3, 1, norm="BN")
            self.scores = nn.Conv2d(3, self.num_classes, 1)

        def forward(self, features):
            return self.scores(self.mix(features["res5"]))

    head = PlugIn(input_shape=shapes, num_classes=3)
    model = network(head, aux_head=FCNHead(input_shape=shapes, num_classes=3))
    lists = [dict.fromkeys(model, names) for names in (["a", "b", "c"], ["c", "a", "b"])]
    transfer = ClassTransfer(model, model.state_dict(), *lists)
    reordered = [name for name in model.state_dict() if transfer.is_reordered(name)]
    layers = ["sem_seg_head.scores", "aux_head.predictor"]
    assert reordered == [f"{layer}.{p}" for layer in layers for p in ("weight", "bias")]
