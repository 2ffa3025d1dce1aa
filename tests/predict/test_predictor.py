import numpy as np
import pytest
import torch
from PIL import Image

import segsuite
from segsuite.data import read_image
from tests.finished_runs import tiny_images, tiny_run
from tests.processes import run_python


@pytest.fixture(scope="module")
def predictor():
    return segsuite.Predictor(tiny_run())


def test_a_file_an_array_and_a_pillow_image_are_the_same(predictor, tmp_path):
    file = tiny_images()[0]
    prediction = predictor(file)
    assert prediction.labels.shape == (32, 32) and set(np.unique(prediction.labels)) <= {0, 1}
    for image in (str(file), read_image(file), Image.open(file)):
        assert (predictor(image).labels == prediction.labels).all()
    grey = np.asarray(Image.open(file).convert("L"))
    assert (predictor(grey).image == grey[..., None]).all()


def test_it_is_what_the_evaluation_sees(predictor):
    from segsuite.data import build_test_loader

    loader = build_test_loader(predictor.cfg, "tiny_val")
    for (record,), file in zip(loader, tiny_images(), strict=True):
        with torch.inference_mode():
            labels = predictor.model([record])[0]["sem_seg"].labels()
        assert (predictor(file).labels == labels.numpy()).all()


def test_class_names_come_with_the_run(predictor):
    assert predictor.metadata.stuff_classes == ["ground", "box"]
    prediction = predictor(tiny_images()[1])
    found = prediction.found()
    height, width = prediction.image.shape[:2]
    assert repr(prediction).startswith(f"<Prediction of {height} x {width} pixels (height x width)")
    assert all(f"{name} {share} %" in repr(prediction) for name, share in found.items())
    assert set(found) <= {"ground", "box"} and sum(found.values()) == pytest.approx(100, abs=0.1)
    assert prediction.confidence.shape == (32, 32)
    assert (prediction.confidence >= 0.5).all() and (prediction.confidence <= 1).all()


@pytest.mark.parametrize("image", [np.zeros((4, 4)), np.zeros((4, 4, 4), np.uint8)])
def test_other_arrays_are_refused(predictor, image):
    with pytest.raises(ValueError, match="expected \\(height, width, 3\\) uint8"):
        predictor(image)


def test_no_run(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no config\.yaml.*output/demo"):
        segsuite.Predictor(tmp_path)
    (tmp_path / "config.yaml").write_text((tiny_run() / "config.yaml").read_text())
    with pytest.raises(FileNotFoundError, match=r"neither model_final\.pth nor model_best\.pth"):
        segsuite.Predictor(tmp_path)


def test_importing_segsuite_imports_nothing_else():
    code = "import segsuite, sys; assert not {'torch', 'numpy', 'cv2'} & sys.modules.keys()"
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
    with pytest.raises(AttributeError, match="no attribute 'Predictr'"):
        segsuite.Predictr  # noqa: B018
