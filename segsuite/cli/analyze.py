"""Tell what a model costs: parameters, multiply-adds, activations, memory and time, by module.

Weights and images are random. Of a model that finds instances the costs are those of an image with
as many as it may find (TEST.DETECTIONS_PER_IMAGE).
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from segsuite.utils.arguments import positive_int

from .arguments import add_config_source, add_overrides, load_from_arguments

if TYPE_CHECKING:
    from segsuite.config import CfgNode
    from segsuite.profiling.analysis import Memory, ModuleCost

EXAMPLES = r"""after `segsuite demo`:
  segsuite analyze --config-file demo --size 128 128 --json output/costs.json

also:
  segsuite analyze --config-file FILE --size 512 1024 --depth 3 --batch-size 4

A multiply-add counts as one FLOP. Counted are convolutions, matrix products, norms and
interpolations up to the logits or masks at the resolution of the network. Times are medians in this
process, with all of PyTorch's threads; a module that is not called has none, such as a norm that is
folded into its convolution.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_source(parser)
    parser.add_argument(
        "--size",
        type=positive_int,
        nargs=2,
        default=(512, 512),
        metavar=("H", "W"),
        help="of the images",
    )
    parser.add_argument(
        "--batch-size",
        type=positive_int,
        default=2,
        metavar="N",
        help="of the training step (default 2)",
    )
    parser.add_argument(
        "--depth", type=positive_int, default=2, metavar="D", help="levels of modules (default 2)"
    )
    parser.add_argument(
        "--runs", type=positive_int, default=5, metavar="N", help="timed passes (default 5)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to a file")
    add_overrides(parser)


def run(args: argparse.Namespace) -> None:
    from segsuite.modeling import build_model
    from segsuite.profiling.analysis import measure_memory, module_costs
    from segsuite.profiling.synthetic import synthetic_batch
    from segsuite.solver import build_optimizer
    from segsuite.utils.files import write_json

    cfg = load_from_arguments(args)
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 0.0  # random weights are sure of nothing
    model = build_model(cfg)
    height, width = args.size
    batch = synthetic_batch(cfg, height, width, args.batch_size)
    costs = module_costs(model, batch[0], depth=args.depth, runs=args.runs)
    memory = measure_memory(model, build_optimizer(cfg, model), batch)
    print(table(costs))
    print(f"\n{summary(cfg, args, costs[0], memory)}")
    if args.json:
        figures = {
            "config": args.config_file or args.run_dir,
            "size": list(args.size),
            "batch_size": args.batch_size,
            "device": str(model.device),
            "memory_mib": asdict(memory),
            "modules": [asdict(cost) for cost in costs],
        }
        write_json(args.json, figures, indent=1)


def table(costs: list[ModuleCost]) -> str:
    """The costs in aligned columns, modules indented below those that they are part of."""
    total = costs[0]
    rows = [("module", "parameters", "GFLOPs", "activations", "ms", "% of time")]
    for cost in costs:
        *parents, last = cost.name.split(".")
        ms = share = "-"
        if cost.milliseconds is not None and total.milliseconds is not None:
            ms = f"{cost.milliseconds:.2f}"
            share = f"{100 * cost.milliseconds / total.milliseconds:.1f}"
        name = "  " * (len(parents) + 1) + last if last else "(model)"
        flops, activations = f"{cost.flops / 1e9:.3f}", f"{cost.activations:,}"
        rows.append((name, f"{cost.parameters:,}", flops, activations, ms, share))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *numbers in rows:
        cells = [n.rjust(width) for n, width in zip(numbers, widths[1:], strict=True)]
        lines.append("  ".join([name.ljust(widths[0]), *cells]))
    return "\n".join(lines)


def summary(cfg: CfgNode, args: argparse.Namespace, total: ModuleCost, memory: Memory) -> str:
    height, width = args.size
    return (
        f"one image of {height} x {width} pixels (height x width): {total.milliseconds:.1f} ms\n"
        f"memory: weights {memory.weights:.1f} MiB, prediction {memory.inference:.1f} MiB, "
        f"training step of {args.batch_size} images with {cfg.SOLVER.OPTIMIZER} "
        f"{memory.training:.1f} MiB"
    )
