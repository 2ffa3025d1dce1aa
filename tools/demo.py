#!/usr/bin/env python
"""Train a small U-Net on generated images, evaluate it, and draw what it predicts."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from segsuite.config import load_config
from segsuite.data import MetadataCatalog
from segsuite.engine import DefaultTrainer, default_setup
from segsuite.visualization import draw_predictions

CONFIG_FILE = Path(__file__).resolve().parents[1] / "configs" / "demo.yaml"
OUTPUT_DIR = Path("output", "demo")
EPILOG = """after `make demo`:
  python tools/demo.py SOLVER.MAX_ITER 60

which does the same again with a quarter of the iterations.
"""


def main(output_dir: str | os.PathLike, overrides: Sequence[str] = ()) -> None:
    cfg = load_config(str(CONFIG_FILE), [*overrides, "OUTPUT_DIR", str(output_dir)], [])
    default_setup(cfg, argparse.Namespace(resume=False, eval_only=False))
    trainer = DefaultTrainer(cfg)
    results = trainer.train()
    if trainer.interrupted:
        return

    (dataset,) = cfg.DATASETS.TEST
    loader = trainer.build_test_loader(cfg, dataset)
    pictures = Path(output_dir, "pictures")
    sheet, *others = draw_predictions(
        trainer.model.eval(), loader, MetadataCatalog.get(dataset), pictures
    )
    print(
        f"""
mIoU {results["sem_seg/mIoU"]:.1f} on {len(loader)} images that the model did not train on

  pictures   {sheet} ({len(others)} images) and one file for each
  weights    {Path(output_dir, "model_final.pth")}
  log        {Path(output_dir, "log.txt")}, metrics.json, config.yaml

Next, after `source .venv/bin/activate`:

  python tools/train_net.py --help
  python tools/train_net.py --config-file {CONFIG_FILE.relative_to(CONFIG_FILE.parents[1])} \\
      SOLVER.MAX_ITER 1000 OUTPUT_DIR output/longer

README.md tells how to train on images of your own."""
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=f"{__doc__} Writes {OUTPUT_DIR} anew.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="configuration overrides"
    )
    args = parser.parse_args()
    shutil.rmtree(OUTPUT_DIR, ignore_errors=True)
    main(OUTPUT_DIR, args.opts)
