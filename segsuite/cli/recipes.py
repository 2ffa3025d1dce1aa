"""List the recipes that come with segsuite, tell about one, or copy it to a file of your own."""

from __future__ import annotations

import argparse
from itertools import groupby

from segsuite.config.recipe_list import describe_recipe, recipe_comment
from segsuite.config.recipes import copy_recipe, recipe_file, recipe_names, recipe_path
from segsuite.errors import ConfigError

EXAMPLES = """examples:
  segsuite recipes
  segsuite recipes camvid
  segsuite recipes camvid/unet_resnet18_20min
  segsuite recipes smoke/unet_shapes --copy output/my.yaml
  segsuite train --config-file demo SOLVER.MAX_ITER 10 OUTPUT_DIR output/ten

A recipe is a YAML file; its name stands for it wherever a file is asked for, also as _BASE_.
"""
WITHOUT_TORCH = True
_WIDTH = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="a recipe, or what the names of several begin with"
    )
    parser.add_argument("--copy", metavar="FILE", help="write the recipe to a file, to be changed")


def run(args: argparse.Namespace) -> None:
    if args.copy:
        if not args.name:
            raise ConfigError(
                f"--copy needs the name of a recipe: segsuite recipes NAME --copy {args.copy}"
            )
        copy_recipe(args.name, args.copy)
        print(f"{args.copy}: change it, then `segsuite train --config-file {args.copy}`")
        return
    begin = args.name or ""
    names = [name for name in recipe_names() if name.startswith(begin)]
    if recipe_file(begin) or not names:
        path = recipe_path(begin)  # or the error that says which name is like it
        for text in (describe_recipe(begin), path, f"\n{recipe_comment(begin)}"):
            print(text)
        return
    names.sort(key=lambda name: not name.startswith("own/"))  # first
    for _, group in groupby(names, key=lambda name: name.rpartition("/")[0]):
        print_group([(name, describe_recipe(name)) for name in group])
    print("\nMinutes are on two CPU cores; without them: iterations x images of each.")


def print_group(lines: list[tuple[str, str]]) -> None:
    """Names and what they are in two columns; below each other where a line would be too long."""
    width = max(len(name) for name, _ in lines)
    fits = all(width + 2 + len(text) <= _WIDTH for _, text in lines)
    print()
    for name, text in lines:
        print(f"{name:{width}}  {text}" if fits else f"{name}\n    {text}")
