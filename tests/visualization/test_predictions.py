import numpy as np
import torch
from PIL import Image
from torch import nn

from segsuite.data import Metadata
from segsuite.structures import SemSegLogits
from segsuite.visualization import draw_predictions


class LeftRight(nn.Module):
    """Class 0 on the left half, class 1 on the right."""

    def forward(self, inputs):
        logits = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
        return [
            {"sem_seg": SemSegLogits(logits, (1.0, 2.0), (r["height"], r["width"]))} for r in inputs
        ]


def test_pictures_and_contact_sheet(tmp_path):
    metadata = Metadata("halves").set(
        stuff_classes=["left", "right"], stuff_colors=[(250, 0, 0), (0, 0, 250)], ignore_label=255
    )
    batches = []
    for i in range(4):
        Image.fromarray(np.full((30, 40, 3), 90, np.uint8)).save(tmp_path / f"{i}.jpg")
        record = {
            "file_name": str(tmp_path / f"{i}.jpg"),
            "image_id": f"day/{i}",
            "height": 30,
            "width": 40,
        }
        if i != 1:
            record["sem_seg_gt"] = torch.zeros(30, 40, dtype=torch.uint8)
        batches.append([record])

    files = draw_predictions(LeftRight().eval(), batches, metadata, tmp_path / "out", limit=3)
    assert [f.relative_to(tmp_path / "out").as_posix() for f in files] == [
        "contact_sheet.png",
        "day/0.png",
        "day/1.png",
        "day/2.png",
    ]
    four, two = (np.asarray(Image.open(f)) for f in files[1:3])
    assert four.shape[1] > 1.9 * two.shape[1]
    # In the prediction panel the right half is tinted blue.
    right = four[8 + 24 + 120, 8 + 320 + 8 + 240]
    assert right[2] > 150 and right[0] < 90
    sheet = np.asarray(Image.open(files[0]))
    assert (sheet == (250, 0, 0)).all(-1).any() and (sheet == (0, 0, 250)).all(-1).any()
