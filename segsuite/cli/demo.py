"""Train a small U-Net on generated images, evaluate it, and draw what it predicts.

Two minutes on two CPU cores. Writes output/demo anew, and 300 images into datasets/.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from .arguments import add_overrides

EXAMPLES = """examples:
  segsuite demo
  segsuite demo SOLVER.MAX_ITER 60

The second does the same with a quarter of the iterations.
"""
OUTPUT_DIR = Path("output", "demo")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_overrides(parser)


def run(args: argparse.Namespace) -> None:
    shutil.rmtree(OUTPUT_DIR, ignore_errors=True)
    demo(OUTPUT_DIR, args.opts, args.plugin)


def demo(
    output_dir: str | os.PathLike, overrides: Sequence[str] = (), plugins: Sequence[str] = ()
) -> None:
    """Train the recipe ``demo`` into `output_dir`, and draw predictions into its ``pictures``."""
    from segsuite.config import load_config
    from segsuite.data import ImageReader, MetadataCatalog
    from segsuite.engine import train
    from segsuite.visualization import draw_predictions

    cfg = load_config("demo", [*overrides, "OUTPUT_DIR", str(output_dir)], plugins)
    trainer = train(cfg)

    (dataset,) = cfg.DATASETS.TEST
    loader = trainer.build_test_loader(cfg, dataset)
    pictures = Path(output_dir, "pictures")
    sheet, *others = draw_predictions(
        trainer.model.eval(),
        loader,
        MetadataCatalog.get(dataset),
        pictures,
        reader=ImageReader(cfg),
    )
    print(
        f"""
mIoU {trainer.results["sem_seg/mIoU"]:.1f} on {len(loader)} images that the model did not train on

  report     {trainer.files.report}
  pictures   {sheet} ({len(others)} images) and one file for each
  weights    {trainer.files.final}
  log        {trainer.files.log()}, {trainer.files.metrics.name}, {trainer.files.config.name}

Next:

  segsuite predict --run-dir {output_dir} --output output/predictions \\
      --input {Path("datasets", "shapes_v1", "images", "val")}
  segsuite recipes own/semantic --copy my.yaml     # a start for images of your own
"""
    )
