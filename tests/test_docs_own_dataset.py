"""docs/own_dataset.md, pasted in the order of the page into a folder beside configs/ and tools/."""

import os
import shlex
import subprocess
import sys

from tests.helpers import REPO
from tests.test_docs import BLOCK


def test_the_page_can_be_pasted(tmp_path):
    for name in ("configs", "tools"):
        (tmp_path / name).symlink_to(REPO / name)
    commands = []
    for language, filename, text in BLOCK.findall((REPO / "docs/own_dataset.md").read_text()):
        if filename:
            (tmp_path / filename).write_text(text)
        elif language == "sh":
            commands += text.splitlines()
    assert len(commands) == 4
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "SEGSUITE_DATASETS": "datasets"}
    outputs = []
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "python"
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        outputs.append(done.stdout)
    _, label_maps, training, coco = outputs
    assert "0 errors" in label_maps and "fields_train: 12 images" in label_maps
    assert "mIoU" in training and "crop" in training
    assert "0 errors" in coco and (tmp_path / "output" / "fields_coco.json").exists()
