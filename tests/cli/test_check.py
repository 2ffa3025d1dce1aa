"""`segsuite check` as a user has it."""

from __future__ import annotations

import argparse
import json
import sys

import numpy as np
import pytest
import yaml
from PIL import Image

from segsuite.cli import check
from segsuite.data import DatasetCatalog
from segsuite.errors import ConfigError
from tests.processes import run_segsuite


def test_report_and_exit_status(tmp_path):
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (tmp_path / split / kind).mkdir(parents=True)
        for i in range(3):
            pixels = np.random.default_rng(i).integers(0, 255, (40, 50, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / split / "images" / f"{i}.png")
            labels = np.random.default_rng(i).integers(0, 2, (40, 50), dtype=np.uint8)
            Image.fromarray(labels).save(tmp_path / split / "labels" / f"{i}.png")
    Image.fromarray(np.full((40, 50), 9, np.uint8)).save(tmp_path / "train" / "labels" / "1.png")
    config = tmp_path / "config.yaml"
    register = {
        f"check_data_{split}": {
            "IMAGES": str(tmp_path / split / "images"),
            "LABELS": str(tmp_path / split / "labels"),
            "CLASSES": ["ground", "crop"],
        }
        for split in ("train", "val")
    }
    datasets = {"REGISTER": register, "TRAIN": ["check_data_train"], "TEST": ["check_data_val"]}
    config.write_text(yaml.safe_dump({"DATASETS": datasets}))

    json_file = tmp_path / "report.json"
    bad = run_segsuite(
        "check", "--config-file", config, "--json", json_file, "--fix", tmp_path / "fixed"
    )
    assert bad.returncode == 1, bad.stderr
    assert "error: label-value (1) in check_data_train" in bad.stdout
    assert f"{tmp_path}/train/labels/1.png: 9 (2000 pixels)" in bad.stdout
    assert "error: leakage (3) in check_data_train and check_data_val" in bad.stdout
    found = json.loads(json_file.read_text())
    assert found["counts"]["error"] == 4
    assert found["statistics"]["check_data_train"]["classes"][1]["name"] == "crop"
    assert len(list((tmp_path / "fixed" / "check_data_val" / "images").iterdir())) == 3

    good = run_segsuite("check", "--config-file", config, "check_data_val")
    assert good.returncode == 0, good.stderr
    assert "0 errors" in good.stdout

    unknown = run_segsuite("check", "no_such_data")
    assert unknown.returncode == 2 and "no_such_data" in unknown.stderr
    assert "Traceback" not in unknown.stderr


def test_a_plug_in_without_a_configuration(tmp_path, capsys, monkeypatch):
    """The data sets that it registers are examined, though no file names them."""
    Image.fromarray(np.full((8, 9, 3), 7, np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "sets_of_check.py").write_text(
        "from segsuite.data import DatasetCatalog, MetadataCatalog\n"
        "note = {'bbox': [300, 300, 9, 9], 'category_id': 0}\n"
        f"record = {{'file_name': {str(tmp_path / 'a.png')!r}, 'image_id': 1}}\n"
        "DatasetCatalog.register('set_of_check', lambda: [{**record, 'annotations': [note]}])\n"
        "MetadataCatalog.get('set_of_check').set(thing_classes=['boat'])\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        for names in ([], ["set_of_check"]):
            with pytest.raises(SystemExit):
                check.run(parse(["--plugin", "sets_of_check", *names]))
            assert "error: bbox-outside (1) in set_of_check" in capsys.readouterr().out
            if not names:  # importing it again would register nothing
                DatasetCatalog.remove("set_of_check")
                sys.modules.pop("sets_of_check")
        with pytest.raises(ConfigError, match="nothing to examine"):
            check.run(parse([]))
    finally:
        DatasetCatalog.remove("set_of_check")


def parse(arguments):
    parser = argparse.ArgumentParser()
    check.add_arguments(parser)
    return parser.parse_args(arguments)
