"""Convert a checkpoint of another library into one of segsuite, and say what became of it.

The library is recognised by the names in the file: torchvision, timm, Detectron2 (and Caffe2's
names in its model zoo), segmentation_models.pytorch, MMSegmentation, Hugging Face's transformers.
The configuration that builds the same network is printed, and stored in the file that is written.
See docs/weights.md.
"""

from __future__ import annotations

import argparse
import logging

from .arguments import add_config_source, add_overrides, load_from_arguments

EXAMPLES = r"""after `segsuite demo`:
  python -c "import torch, torchvision; \
      torch.save(torchvision.models.resnet18().state_dict(), 'output/theirs.pth')"
  segsuite convert output/theirs.pth output/ours.pth

also:
  segsuite convert theirs.pth ours.pth --config-file FILE
  segsuite convert hf://OWNER/NAME ours.safetensors
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", help="a file or an address, as for MODEL.WEIGHTS")
    parser.add_argument("output", help="a file to write, .safetensors or .pth")
    add_config_source(parser, required=False)
    add_overrides(parser)


def run(args: argparse.Namespace) -> None:
    from segsuite.checkpoint import convert_weights, load_weights, save_weights
    from segsuite.errors import WeightsError
    from segsuite.modeling import build_model

    has_config = bool(args.config_file or args.run_dir)
    model = build_model(load_from_arguments(args)) if has_config else None
    converted = convert_weights(args.input)
    print(converted.report())
    if converted.refused:
        raise WeightsError(
            f"'{args.input}' is of {converted.source}, which is not built here: "
            f"{converted.refused}. As MODEL.WEIGHTS of another model, its backbone alone "
            "can be taken: MODEL.WEIGHTS_PARTS [backbone]"
        )
    print(converted.advice())
    save_weights(args.output, converted.weights, converted.classes, config=converted.config)
    print(f"written to {args.output}")
    if model is not None:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        load_weights(model, args.output, origin="the converted file")
