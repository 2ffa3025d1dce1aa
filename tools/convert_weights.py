#!/usr/bin/env python
"""Convert a checkpoint of another library into one of segsuite, and say what became of it.

The library is recognised by the names in the file: torchvision, timm, Detectron2 (and Caffe2's
names in its model zoo), segmentation_models.pytorch, MMSegmentation. See docs/weights.md.
"""

from __future__ import annotations

import argparse
import logging

from segsuite.checkpoint import convert, load_weights, read_weights, save_weights
from segsuite.checkpoint.load_weights import conversion_report, file_weights
from segsuite.config import load_config
from segsuite.modeling import build_model

EPILOG = r"""after `make demo`:
  python -c "import torch, torchvision; \
      torch.save(torchvision.models.resnet18().state_dict(), 'output/theirs.pth')"
  python tools/convert_weights.py output/theirs.pth output/ours.pth

also:
  python tools/convert_weights.py --config-file FILE theirs.pth ours.pth
"""


def main(args: argparse.Namespace) -> None:
    conversion = convert(file_weights(read_weights(args.input)))
    print(conversion_report(conversion))
    save_weights(args.output, conversion.weights, conversion.classes)
    print(f"written to {args.output}")
    if args.config_file:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        model = build_model(load_config(args.config_file, args.opts))
        load_weights(model, args.output, origin="the converted file")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("input", help="a file or an address, as for MODEL.WEIGHTS")
    parser.add_argument("output", help="a file to write, .safetensors or .pth")
    parser.add_argument(
        "--config-file", metavar="FILE", help="see whether the result fits the model of this YAML"
    )
    parser.add_argument(
        "--opts", nargs="+", default=[], metavar="KEY VALUE", help="configuration overrides"
    )
    main(parser.parse_args())
