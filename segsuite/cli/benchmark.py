"""Measure where the time goes: in the data loader, in training steps, in an evaluation; or compare
exported files with PyTorch.

Weights are random unless MODEL.WEIGHTS names some. Nothing is written but the --json file.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .arguments import add_config_source, add_overrides, load_from_arguments

EXAMPLES = r"""after `segsuite demo`:
  segsuite benchmark --config-file demo --steps 5 --images 20 --json output/speed.json

also:
  segsuite benchmark --config-file FILE --part loader DATALOADER.NUM_WORKERS 8
  segsuite benchmark --config-file FILE --part training --steps 50 SOLVER.AMP.ENABLED True
  segsuite benchmark --run-dir RUN --exported model.onnx openvino_folder

The loader is fast enough if it gives more images a second than the training takes; "data" under
training and evaluation is the time that they wait for it. Weights that were trained find other
instances than random ones, which changes the time of an evaluation. With --exported each is
measured in a process of its own, beside the model of the run or configuration if one is named, on
the first images of DATASETS.TEST: the time of the model for one image, and what is predicted
differently.
"""
PARTS = ("loader", "training", "evaluation")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_source(parser, required=False)
    parser.add_argument(
        "--part", choices=PARTS, action="append", help="measure this part; may be repeated"
    )
    parser.add_argument(
        "--exported", nargs="+", metavar="F", help="exported files, which are compared with PyTorch"
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=0,
        metavar="N",
        help="of one operator, with --exported (default: as many as there are cores)",
    )
    parser.add_argument(
        "--steps",
        type=int,
        default=20,
        metavar="N",
        help="batches of the loader and steps of the training (default 20)",
    )
    parser.add_argument(
        "--images",
        type=int,
        default=50,
        metavar="N",
        help="that are evaluated or predicted (default 50)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to a file")
    add_overrides(parser)


def run(args: argparse.Namespace) -> None:
    from segsuite.utils.files import write_json

    figures = _exported(args) if args.exported else _parts(args)
    if args.json:
        write_json(args.json, figures, indent=1)


def _parts(args: argparse.Namespace) -> dict[str, Any]:
    from segsuite.checkpoint import seed_all
    from segsuite.data import register_from_config
    from segsuite.engine import DefaultTrainer
    from segsuite.profiling.benchmark import (
        benchmark_evaluation,
        benchmark_loader,
        benchmark_training,
    )
    from segsuite.runs.weights import load_initial_weights

    cfg = load_from_arguments(args)
    register_from_config(cfg)
    seed_all(max(cfg.SEED, 0))
    parts = args.part or PARTS
    figures: dict[str, Any] = {}
    if "loader" in parts:
        figures["loader"] = benchmark_loader(cfg, args.steps)
        show("data loader", figures["loader"], "ms_per_image", "in one process, ms/image")
    if "training" in parts or "evaluation" in parts:
        model = DefaultTrainer.build_model(cfg)
        if cfg.MODEL.WEIGHTS:
            load_initial_weights(model, cfg)
    if "evaluation" in parts:  # before the training, which changes the weights
        figures["evaluation"] = benchmark_evaluation(cfg, model, args.images)
        show("evaluation", figures["evaluation"], "ms_per_image", "ms/image")
    if "training" in parts:
        figures["training"] = benchmark_training(cfg, model, args.steps)
        show("training", figures["training"], "ms_per_step", "ms/step")
    return figures


def _exported(args: argparse.Namespace) -> dict[str, Any]:
    from segsuite.profiling.exported import benchmark_exported
    from segsuite.runs import exported_config

    has_model = bool(args.config_file or args.run_dir)
    model = load_from_arguments(args) if has_model else None
    cfg = exported_config(args.exported[0], args.opts, args.plugin) if model is None else model
    figures = benchmark_exported(
        args.exported, cfg, model=model, images=args.images, threads=args.threads
    )
    show_exported(figures)
    return {"exported": figures}


def show_exported(figures: list[dict[str, Any]]) -> None:
    """Print a row for each, and below it how its predictions differ from the first one's."""
    print(f"{figures[0]['images']} images; ms of the model for each\n")
    print("  median      p95  images/s  peak MiB")
    for row in figures:
        memory = row["peak_memory_mib"]
        memory_text = "       -" if memory is None else f"{memory:8.0f}"
        name = f"{row['file']}: {row['name']}" if row["file"] else row["name"]
        numbers = f"{row['median_ms']:8.2f} {row['p95_ms']:8.2f} {row['images_per_second']:9.1f}"
        print(f"{numbers}  {memory_text}  {name}")
        for key, value in row.get("difference", {}).items():
            unit = " %" if key.startswith(("equal", "matched")) else " at most"
            print(f"{'':40}{key.replace('_', ' ')}: {value:.6g}{unit}")


def show(title: str, figures: dict[str, Any], breakdown: str, unit: str) -> None:
    """Print one part: its speed, its phases with their shares, and what else there is."""
    print(f"{title}: {figures['images_per_second']:.1f} images/s")
    phases = figures[breakdown]
    total = sum(phases.values())
    width = max(map(len, phases))
    print(f"  {unit}")
    for phase, ms in phases.items():
        print(f"    {phase:{width}}  {ms:9.2f}  {100 * ms / total:5.1f} %")
    others = {k: v for k, v in figures.items() if k not in ("images_per_second", breakdown)}
    for name, value in others.items():
        text = f"{value:.2f}" if isinstance(value, float) else value
        print(f"  {name.replace('_', ' ')}: {text}")
    print(flush=True)
