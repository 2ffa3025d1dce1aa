"""Files of other libraries: the configuration that is printed for them builds their network, which
takes all weights and computes the same."""

import pytest
import torch
import torchvision

from segsuite.checkpoint import convert_weights, load_weights
from segsuite.config import load_config
from segsuite.modeling import build_model
from tests.checkpoint.convert.test_torchvision import randomize
from tests.helpers import requires_parity
from tests.modeling.test_parity import IMAGENET, normalized
from tests.parity import ParityCase

segmentation, detection = torchvision.models.segmentation, torchvision.models.detection


def built(converted, tmp_path, *overrides):
    """The model that the printed lines describe, saved and read as a user would."""
    (tmp_path / "printed.yaml").write_text(converted.advice().partition("\n")[2])
    cfg = load_config(tmp_path / "printed.yaml", ["MODEL.DEVICE", "cpu", *overrides])
    return build_model(cfg).eval()


def build_and_load(state, tmp_path):
    """The model of a file's printed configuration, with all weights of the file."""
    path = tmp_path / "theirs.pth"
    torch.save(state, path)
    converted = convert_weights(path)
    model = built(converted, tmp_path)
    report = load_weights(model, path)
    assert report.missing == report.differing == []
    assert report.source == converted.source
    return model, report, converted


SMALL = ["smp_unet_mit_b0", "hf_segformer_b0", "smp_segformer_mit_b0"]
LARGE = [
    *("smp_unet_resnet34", "smp_pspnet_resnet50", "smp_upernet_resnet50"),
    *("smp_deeplabv3_resnet50", "smp_unet_tu_convnext_tiny", "hf_upernet_convnext_tiny"),
]
# Stages that the network does not reach.
UNREACHED = {"smp_pspnet_resnet50": ("encoder.layer3.", "encoder.layer4.")}


@requires_parity
@torch.no_grad()
@pytest.mark.parametrize(
    "name", [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)]
)
def test_peers_numbers(tmp_path, name):
    case = ParityCase.load(name)
    model, report, _ = build_and_load(case.state_dict(), tmp_path)
    assert all(n.startswith(UNREACHED.get(name, ())) for n in report.unexpected)
    x = normalized(case, *IMAGENET)
    arrays = case.about["arrays"]
    if "low_logits" in arrays:
        case.check("low_logits", model.network(x, full_size=False))
    if "auxiliary_logits" in arrays:
        case.check("auxiliary_logits", model.network(x, full_size=False, return_aux=True)[1])
    case.check("logits", model.network(x))
    # The whole model, records in and labels out, predicts the same labels.
    image = case.image()
    (prediction,) = model([{"image": image}])
    labels = model.network(x)[0].argmax(0)
    assert (prediction["sem_seg"].labels() == labels).float().mean() > 0.999


SEMANTIC = {
    "fcn_resnet50": {"aux_loss": True},
    "deeplabv3_resnet50": {"aux_loss": True},
    "deeplabv3_mobilenet_v3_large": {"aux_loss": True},
    "lraspp_mobilenet_v3_large": {},
}


@torch.no_grad()
@pytest.mark.parametrize("name, options", SEMANTIC.items())
def test_torchvision_s_semantic_networks(tmp_path, name, options):
    peer = getattr(segmentation, name)(
        weights=None, weights_backbone=None, num_classes=7, **options
    )
    randomize(peer)
    model, report, _ = build_and_load(peer.state_dict(), tmp_path)
    assert report.unexpected == []
    x = torch.randn(1, 3, 65, 97)
    expected = peer(x)["out"]
    assert (model.network(x) - expected).abs().max() < 1e-5 * expected.abs().max()


@torch.no_grad()
@pytest.mark.parametrize(
    "name", ["fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2", "maskrcnn_resnet50_fpn_v2"]
)
def test_torchvision_s_detectors(tmp_path, name):
    with torch.device("meta"):
        state = getattr(detection, name)(weights=None, weights_backbone=None).state_dict()
    state = {n: torch.zeros(t.shape, dtype=t.dtype) for n, t in state.items()}
    model, report, converted = build_and_load(state, tmp_path)
    assert report.unexpected == []
    assert model.roi_heads.num_classes == len(converted.classes["roi_heads"]) == 90


@requires_parity
@torch.no_grad()
@pytest.mark.slow
def test_faster_rcnn_of_torchvision(tmp_path):
    case = ParityCase.load("tv_fasterrcnn_resnet50_fpn")
    model, report, _ = build_and_load(case.state_dict(), tmp_path)
    assert (report.source, report.unexpected) == ("torchvision Faster R-CNN", [])
    # torchvision resizes floats; the mapper, as Detectron2, resizes bytes and antialiases.
    height, width = case.about["inputs"][0]["transformed_image_size"]
    image = case.image()
    scale = min(320 / min(image.shape[1:]), 1333 / max(image.shape[1:]))
    resized = torch.nn.functional.interpolate(
        image[None].float(), scale_factor=scale, mode="bilinear", recompute_scale_factor=True
    )[0]
    assert resized.shape[1:] == (height, width)
    images = model.preprocess([{"image": resized}])
    case.check("input", images.tensor)
    features = model.backbone(images.tensor)
    levels = {"p2": "0", "p3": "1", "p4": "2", "p5": "3", "p6": "pool"}
    logits, deltas = model.proposal_generator.rpn_head([features[level] for level in levels])
    for i, (level, theirs) in enumerate(levels.items()):
        case.check(f"fpn.{theirs}", features[level])
        case.check(f"rpn.objectness.{theirs}", logits[i])
        case.check(f"rpn.deltas.{theirs}", deltas[i])
    boxes = torch.from_numpy(case.arrays["proposals.boxes"])[case.arrays["roi.index"]]
    heads = model.roi_heads
    hidden = heads.box_head(heads.box_pooler([features[n] for n in heads.in_features], [boxes]))
    scores, _ = heads.box_predictor(hidden)
    case.check("roi.hidden", hidden)
    # torchvision has the background first.
    case.check("roi.cls_logits", torch.cat([scores[:, -1:], scores[:, :-1]], dim=1))
    (found,) = model.inference([{"image": resized}], do_postprocess=False)
    tolerance = case.about["tolerance"]["lists"]["img0.detections"]
    expected = torch.from_numpy(case.arrays["pred_boxes"])
    if tolerance["same_order"]:
        error = (found.pred_boxes.tensor - expected).abs().max() / expected.max()
        assert error <= tolerance["rows"]
        assert found.pred_classes.tolist() == (case.arrays["final.labels"] - 1).tolist()
    else:
        distance = torch.cdist(found.pred_boxes.tensor, expected, p=float("inf"))
        assert (distance.min(dim=0).values < 0.05).float().mean() >= tolerance["matched"]


@pytest.fixture
def timm():
    return pytest.importorskip("timm")


@torch.no_grad()
@pytest.mark.parametrize("name", ["resnet18d", "resnet50d"])
def test_resnet_d_of_timm(tmp_path, timm, caplog, name):
    """Its shortcuts average, which no name and no shape shows."""
    peer = randomize(timm.create_model(name))
    model, _, _ = build_backbone_of(peer.state_dict(), tmp_path)
    x = torch.randn(1, 3, 64, 64)
    expected = peer.forward_features(x)
    res5 = model.backbone(x)["res5"]
    assert (res5 - expected).abs().max() < 1e-5 * expected.abs().max()
    assert "AVG_DOWN" not in caplog.text

    model = built(
        convert_weights(tmp_path / "theirs.pth"), tmp_path, "MODEL.RESNETS.AVG_DOWN", "False"
    )
    report = load_weights(model, tmp_path / "theirs.pth")
    assert report.differing == [("MODEL.RESNETS.AVG_DOWN", "True", "False")]
    assert "  MODEL.RESNETS.AVG_DOWN  True  False" in caplog.text


def build_backbone_of(state, tmp_path):
    """The same for a file with a backbone alone, below a head that is new."""
    torch.save(state, tmp_path / "theirs.pth")
    converted = convert_weights(tmp_path / "theirs.pth")
    assert converted.config == ""
    names = (
        {"MODEL.VGG.OUT_FEATURES": ["pool4", "pool5"]} if "vgg" in converted.source.lower() else {}
    )
    model = built(converted, tmp_path, *(word for pair in names.items() for word in pair))
    report = load_weights(model, tmp_path / "theirs.pth")
    assert not [n for n in report.missing if n.startswith("backbone.")]
    assert report.differing == []
    return model, report, converted


@torch.no_grad()
@pytest.mark.parametrize(
    "name",
    [
        *("resnet18", "mobilenet_v3_small"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("resnext50_32x4d", "vgg11_bn")),
    ],
)
def test_classifiers_of_torchvision(tmp_path, name):
    peer = randomize(getattr(torchvision.models, name)(weights=None))
    model, report, _ = build_backbone_of(peer.state_dict(), tmp_path)
    assert all(n.startswith(("fc.", "classifier.", "features.")) for n in report.unexpected)
    x = torch.randn(1, 3, 64, 64)
    trunk = (
        peer.features
        if hasattr(peer, "features")
        else torch.nn.Sequential(*list(peer.children())[:-2])
    )
    features = model.backbone(x)
    coarsest = features["pool5" if "vgg" in name else list(features)[-1]]
    expected = trunk(x)
    assert (coarsest - expected).abs().max() < 1e-5 * expected.abs().max()


@torch.no_grad()
@pytest.mark.slow
@pytest.mark.parametrize(
    "name, equal", [("seresnet50", set()), ("efficientnet_b0", {"tf_efficientnet_b0"})]
)
def test_models_of_timm_s_own(tmp_path, timm, name, equal):
    peer = timm.create_model(name)
    model, _, converted = build_backbone_of(peer.state_dict(), tmp_path)
    assert converted.settings["MODEL.TIMM.NAME"] == name
    assert equal <= set(converted.alternatives)
    assert all(other in converted.advice() for other in equal)
    x = torch.randn(1, 3, 64, 64)
    theirs = timm.create_model(name, features_only=True, out_indices=[4]).eval()
    theirs.load_state_dict(peer.state_dict(), strict=False)
    *_, coarsest = model.backbone(x).values()
    torch.testing.assert_close(coarsest, theirs(x)[0], rtol=1e-4, atol=1e-5)
