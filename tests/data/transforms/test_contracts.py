"""The augmentations that come with segsuite, and some of torchvision's, keep the contract."""

from __future__ import annotations

from segsuite.data.transforms import AUGMENTATION_REGISTRY

from .augmentation_contract import AugmentationContract


class TestDefault(AugmentationContract):
    entry = "default"
    options = {
        "INPUT.MIN_SIZE_TRAIN": (40,),
        "INPUT.RANDOM_SCALE": (0.5, 2.0),
        "INPUT.CROP.ENABLED": True,
        "INPUT.CROP.TYPE": "absolute",
        "INPUT.CROP.SIZE": [40, 44],
    }


class TestResizeShortestEdge(AugmentationContract):
    entry = {"ResizeShortestEdge": {"SHORT_EDGE_LENGTH": [40, 60], "SAMPLE_STYLE": "range"}}


class TestRandomScale(AugmentationContract):
    entry = {"RandomScale": {"LOW": 0.7, "HIGH": 1.5}}


class TestRandomCrop(AugmentationContract):
    entry = {"RandomCrop": {"CROP_TYPE": "absolute", "CROP_SIZE": [30, 40]}}


class TestPadToSize(AugmentationContract):
    entry = {"PadToSize": {"SIZE": [70, 80]}}


class TestRandomFlip(AugmentationContract):
    entry = {"RandomFlip": {"DIRECTION": "vertical"}}


class TestColorJitter(AugmentationContract):
    entry = {"ColorJitter": {"BRIGHTNESS": 0.3, "HUE": 0.1}}
    keeps_colors = False


class TestTorchvisionPhotometric(AugmentationContract):
    entry = {"torchvision.RandomPhotometricDistort": {"P": 1.0}}
    keeps_colors = False


class TestTorchvisionNoise(AugmentationContract):
    entry = "torchvision.GaussianNoise"
    keeps_colors = False


class TestTorchvisionRotation(AugmentationContract):
    entry = {"torchvision.RandomRotation": {"DEGREES": 30, "FILL": [124, 116, 104]}}


class TestTorchvisionAffine(AugmentationContract):
    entry = {
        "torchvision.RandomAffine": {
            "DEGREES": 10,
            "SCALE": [0.7, 1.3],
            "SHEAR": 10,
            "INTERPOLATION": "bilinear",
        }
    }


class TestTorchvisionElastic(AugmentationContract):
    entry = {"torchvision.ElasticTransform": {"ALPHA": 20.0}}


class TestTorchvisionPerspective(AugmentationContract):
    entry = {"torchvision.RandomPerspective": {"DISTORTION_SCALE": 0.3, "P": 1.0}}


class TestTorchvisionResizedCrop(AugmentationContract):
    entry = {"torchvision.RandomResizedCrop": {"SIZE": [40, 56], "SCALE": [0.4, 1.0]}}


class TestTorchvisionZoomOut(AugmentationContract):
    entry = {"torchvision.RandomZoomOut": {"P": 1.0, "SIDE_RANGE": [1.0, 2.0], "FILL": 7}}


class TestTorchvisionIoUCrop(AugmentationContract):
    entry = "torchvision.RandomIoUCrop"


class TestTorchvisionFlip(AugmentationContract):
    entry = {"torchvision.RandomHorizontalFlip": {"P": 0.5}}


class TestTorchvisionNested(AugmentationContract):
    entry = {
        "torchvision.RandomApply": {
            "TRANSFORMS": [
                {"torchvision.RandomRotation": {"DEGREES": 20}},
                "torchvision.SanitizeBoundingBoxes",
            ],
            "P": 0.7,
        }
    }


def test_every_augmentation_has_a_contract():
    entries = [contract.entry for contract in AugmentationContract.__subclasses__()]
    names = {entry if isinstance(entry, str) else next(iter(entry)) for entry in entries}
    assert names >= set(AUGMENTATION_REGISTRY)
