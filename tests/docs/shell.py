"""The commands of a shell block: bash reads it, stand-ins for the programs note their arguments.

So loops, variables, patterns and continued lines are bash's, and a program that has no stand-in is
a mistake of the page.
"""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .pages import Block

PROGRAMS = ("cat", "gcc", "make", "npm", "pip", "python", "segsuite", "torchrun")
# Variables that a page may set for a program.
VARIABLES = ("PYTHONPATH", "SEGSUITE_DATASETS")

_STAND_IN = f"""#!/bin/bash
printf '%s\\0' "${{0##*/}}" {" ".join(f'"${{{v}-}}"' for v in VARIABLES)} "$#" "$@" >> "$RECORD"
"""


@dataclass(frozen=True)
class Command:
    """A program, its arguments, and those of `VARIABLES` that are set for it."""

    program: str
    arguments: tuple[str, ...]
    environment: dict[str, str]

    def __str__(self) -> str:
        return " ".join([self.program, *self.arguments])


def read_commands(block: Block, folder: Path) -> list[Command]:
    """The commands that a block would run in `folder`.

    Raises:
        ValueError: bash does not understand the block, or a program has no stand-in.
    """
    with tempfile.TemporaryDirectory() as temporary:
        record = Path(temporary, "record")
        record.touch()
        programs = Path(temporary, "bin")
        programs.mkdir()
        for name in PROGRAMS:
            (programs / name).write_text(_STAND_IN)
            (programs / name).chmod(0o755)
        (programs / "mkdir").symlink_to("/bin/mkdir")
        done = subprocess.run(
            ["/bin/bash", "--norc", "-eu", "-o", "pipefail", "-c", block.text],
            cwd=folder,
            env={"PATH": str(programs), "RECORD": str(record), "HOME": temporary},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if done.returncode:
            raise ValueError(f"{block}: bash: {done.stderr}")
        words = iter(record.read_text().split("\0")[:-1])
    commands = []
    for program in words:
        values = [next(words) for _ in VARIABLES]
        arguments = tuple(next(words) for _ in range(int(next(words))))
        environment = {k: v for k, v in zip(VARIABLES, values, strict=True) if v}
        commands.append(Command(program, arguments, environment))
    return commands
