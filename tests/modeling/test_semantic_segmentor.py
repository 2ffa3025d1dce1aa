import pytest
import torch
import torch.nn.functional as F

from segsuite.config import get_cfg
from segsuite.modeling import SemanticSegmentor, build_model
from segsuite.modeling.backbone import UNetEncoder
from segsuite.modeling.losses import cross_entropy
from segsuite.modeling.meta_arch.preprocessing import pad_label_maps
from segsuite.modeling.sem_seg import FCNHead, UNetHead

NUM_CLASSES = 5


def segmentor(**kwargs):
    backbone = UNetEncoder(channels=[4, 8, 8], norm="GN")
    shapes = backbone.output_shape()
    head = UNetHead(
        input_shape=shapes,
        in_features=["enc3", "enc2"],
        decoder_channels=[8],
        norm="GN",
        num_classes=NUM_CLASSES,
    )
    mean_std = {"pixel_mean": [100.0, 110.0, 120.0], "pixel_std": [50.0, 60.0, 70.0]}
    return SemanticSegmentor(backbone=backbone, sem_seg_head=head, **mean_std, **kwargs)


def records(*sizes, label_dtype=torch.uint8, **extra):
    return [
        {
            "file_name": f"{i}.png",
            "image": torch.randint(0, 256, (3, h, w), dtype=torch.uint8),
            "sem_seg": torch.randint(0, NUM_CLASSES, (h, w)).to(label_dtype),
            **extra,
        }
        for i, (h, w) in enumerate(sizes)
    ]


def test_training_gives_losses():
    model = segmentor()
    (record,) = batch = records((16, 24))
    losses = model(batch)
    x = (record["image"].float() - model.pixel_mean) / model.pixel_std
    logits = model.sem_seg_head(model.backbone(x[None]))
    logits = F.interpolate(logits, (16, 24), mode="bilinear")
    expected = cross_entropy(logits, record["sem_seg"][None].long())
    torch.testing.assert_close(losses, {"loss_sem_seg": expected})


def test_padding_of_the_labels_is_ignored():
    model = segmentor(ignore_value=255)
    batch = records((16, 24), (11, 30), label_dtype=torch.int64)
    targets = pad_label_maps(batch, model.device, model.backbone.size_divisibility, 255)
    assert targets.shape == (2, 16, 30) and targets.dtype == torch.int64
    assert torch.equal(targets[1, :11], batch[1]["sem_seg"])
    assert (targets[0, :, 24:] == 255).all() and (targets[1, 11:] == 255).all()
    model(batch)["loss_sem_seg"].backward()


def test_auxiliary_losses():
    shapes = UNetEncoder(channels=[4, 8, 8]).output_shape()
    aux = FCNHead(
        input_shape=shapes, in_features=["enc2"], convs_dim=4, norm="", num_classes=NUM_CLASSES
    )
    model = segmentor(aux_head=aux)
    losses = model(records((16, 24)))
    assert list(losses) == ["loss_sem_seg", "loss_sem_seg_aux"]
    sum(losses.values()).backward()
    assert all(p.grad.any() for p in aux.parameters())
    aux.forward = None  # not called in evaluation
    model.eval()(records((16, 24)))


@torch.no_grad()
def test_prediction_of_one_image():
    model = segmentor().eval()
    (record,) = batch = records((16, 24), height=33, width=40)
    (result,) = model(batch)
    x = (record["image"].float() - model.pixel_mean) / model.pixel_std
    logits = model.sem_seg_head(model.backbone(x[None]))
    assert logits.shape == (1, NUM_CLASSES, 8, 12)
    expected = F.interpolate(logits, (33, 40), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(result["sem_seg"].full(), expected)


@torch.no_grad()
def test_two_steps_use_the_stride_of_the_head():
    model = segmentor(resize_in_two_steps=True).eval()
    (result,) = model(records((15, 23), height=33, width=40))
    assert result["sem_seg"].logits.shape == (NUM_CLASSES, 15, 23)
    (result,) = model(records((15, 23)))
    assert result["sem_seg"].source_size == (7.5, 11.5)


@torch.no_grad()
def test_prediction_covers_the_image_without_its_padding():
    model = segmentor().eval()
    batch = records((16, 24), (20, 16))
    for record in batch:
        del record["sem_seg"]
    first, second = (result["sem_seg"] for result in model(batch))
    assert (first.size, second.size) == ((16, 24), (20, 16))
    assert first.source_size == (8, 12) and first.logits.shape == (NUM_CLASSES, 10, 12)
    assert second.source_size == (10, 8)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"sem_seg": None}, "0.png: training needs 'sem_seg', .* has file_name, image"),
        ({"sem_seg": torch.zeros(8, 8)}, r"0.png: 'sem_seg' is \(8, 8\), but 'image' is \(3, 16"),
        ({"image": torch.zeros(1, 16, 24)}, r"0.png: 'image' is \(1, 16, 24\), but .* 3 channels"),
        (
            {"sem_seg": torch.full((16, 24), 7)},
            r"0.png: 'sem_seg' holds 7 \(384 pixels\); labels go from 0 to 4",
        ),
        ({"sem_seg": torch.full((16, 24), -1)}, r"holds -1 \(384 pixels\)"),
    ],
)
def test_bad_records_are_named(change, message):
    batch = records((16, 24))
    batch[0].update(change)
    batch[0] = {k: v for k, v in batch[0].items() if v is not None}
    with pytest.raises(ValueError, match=message):
        segmentor()(batch)


def test_other_errors_stay_as_they_are():
    model = segmentor()
    model.sem_seg_head.criterion.forward = lambda *args: torch.zeros(2) + torch.zeros(3)
    with pytest.raises(RuntimeError, match="size of tensor"):
        model(records((16, 24)))


def test_normalisation_is_not_in_the_checkpoint():
    assert not [key for key in segmentor().state_dict() if "pixel" in key]


def small_cfg():
    cfg = get_cfg()
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.BACKBONE.FREEZE_AT = "build_unet_backbone", 0
    cfg.MODEL.UNET.CHANNELS = [4, 8]
    head = cfg.MODEL.SEM_SEG_HEAD
    head.NAME, head.IN_FEATURES, head.DECODER_CHANNELS = "UNetHead", ["enc1", "enc2"], [8]
    head.NUM_CLASSES = NUM_CLASSES
    return cfg


def test_build_model():
    cfg = small_cfg()
    cfg.MODEL.AUX_HEAD.ENABLED = True
    cfg.MODEL.AUX_HEAD.IN_FEATURES = ["enc2"]
    model = build_model(cfg)
    assert isinstance(model, SemanticSegmentor) and model.device.type == "cpu"
    assert model.backbone.enc2[0].weight.is_contiguous(memory_format=torch.channels_last)
    features = model.backbone(torch.randn(2, 3, 8, 8))
    assert features["enc2"].is_contiguous(memory_format=torch.channels_last)
    assert set(model(records((16, 24)))) == {"loss_sem_seg", "loss_sem_seg_aux"}


@pytest.mark.parametrize("weights, warnings", [("", 1), ("model.pth", 0)])
def test_frozen_random_weights_are_pointed_out(weights, warnings, caplog):
    cfg = small_cfg()
    cfg.MODEL.BACKBONE.FREEZE_AT, cfg.MODEL.WEIGHTS = 2, weights
    build_model(cfg)
    assert caplog.text.count("MODEL.BACKBONE.FREEZE_AT is 2") == warnings


def test_build_model_errors():
    cfg = small_cfg()
    cfg.MODEL.META_ARCHITECTURE = "SemanticSegmenter"
    with pytest.raises(KeyError, match=r"Did you mean .*SemanticSegmentor"):
        build_model(cfg)
    cfg = small_cfg()
    cfg.MODEL.DEVICE = "gpu"
    with pytest.raises(ValueError, match=r"MODEL.DEVICE is 'gpu'"):
        build_model(cfg)
    if not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cuda"
        with pytest.raises(ValueError, match="sees no CUDA device"):
            build_model(cfg)


@pytest.mark.slow
@pytest.mark.parametrize("training", [True, False])
def test_compile(training):
    """Backbone and head compile without a graph break, and give the same numbers."""
    model = segmentor().train(training)
    batch = records((32, 48))
    expected = model(batch)
    keys = list(model.state_dict())
    model.compile(fullgraph=True)
    assert list(model.state_dict()) == keys
    result = model(batch)
    if training:
        torch.testing.assert_close(result, expected)
        result["loss_sem_seg"].backward()
        assert all(p.grad is not None for p in model.parameters())
    else:
        torch.testing.assert_close(
            result[0]["sem_seg"].logits, expected[0]["sem_seg"].logits, rtol=1e-4, atol=1e-5
        )
