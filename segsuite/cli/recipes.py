"""List the recipes that come with segsuite, tell about one, or copy it to a file of your own."""

from __future__ import annotations

import argparse
import textwrap

from segsuite.config.recipes import copy_recipe, recipe_names, recipe_summary

EXAMPLES = """examples:
  segsuite recipes
  segsuite recipes camvid
  segsuite recipes smoke/unet_shapes --copy output/my.yaml
  segsuite train --config-file demo SOLVER.MAX_ITER 10 OUTPUT_DIR output/ten

A recipe is a YAML file; its name stands for it wherever a file is asked for, also as _BASE_.
"""
WITHOUT_TORCH = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="a recipe, or what their names begin with"
    )
    parser.add_argument("--copy", metavar="FILE", help="write the recipe to a file, to be changed")


def run(args: argparse.Namespace) -> None:
    if args.copy:
        copy_recipe(args.name or "", args.copy)
        print(f"{args.copy}: change it, then `segsuite train --config-file {args.copy}`")
        return
    names = [name for name in recipe_names() if name.startswith(args.name or "")]
    if not names:
        recipe_summary(args.name)  # says which name is like it
    group = None
    for name in names:
        folder = name.rpartition("/")[0]
        if folder != group:
            group = folder
            print()
        text = f"{name}: {recipe_summary(name)}"
        print(textwrap.fill(text, 100, initial_indent="  ", subsequent_indent="      "))
