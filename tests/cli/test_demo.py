"""`make demo`, cut down to a few steps."""

import json

from PIL import Image

from segsuite.cli.demo import demo


def test_demo(tmp_path, datasets_root, capsys):
    run = tmp_path / "run"
    demo(run, ["SOLVER.MAX_ITER", "2", "SOLVER.IMS_PER_BATCH", "2", "DATALOADER.NUM_WORKERS", "0"])

    printed = capsys.readouterr().out
    lines = (run / "metrics.json").read_text().splitlines()
    figure = json.loads(lines[-1])["sem_seg/mIoU"]
    assert f"mIoU {figure:.1f} on 60 images" in printed
    assert "absent_classes: detectron2" in (run / "log.txt").read_text()

    pictures = run / "pictures"
    assert str(pictures / "contact_sheet.png") in printed
    assert len(list(pictures.glob("*.png"))) == 9
    with Image.open(pictures / "contact_sheet.png") as image:
        assert image.width > 1000
    assert (run / "model_final.pth").exists()
