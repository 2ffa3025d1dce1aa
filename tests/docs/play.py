"""A page, followed from its first block to its last."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from segsuite.config import load_config

from .pages import Block, parse_toml, read_blocks
from .process import output_of
from .shell import Command, read_commands
from .validity import check_command, check_config

# What only a program could have as its text.
_CODE = re.compile(r"^\s*(\$ |python |pip |make |import \w|from \w+ import |def )", re.M)


def play(
    page: str,
    folder: Path,
    *,
    run: Callable[[Command], str] | None = None,
    check: bool = True,
    environment: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Do what a page says, in `folder`, which must be the current one.

    A block with a file name is written to that file. Then, by language: ``python`` is executed,
    unless it has a file name, each block on its own; ``output`` must be what the block before it
    printed; ``yaml`` is loaded as a configuration, ``json`` and ``toml`` are parsed; the commands
    of ``sh`` are checked, and run where `run` is given; ``text`` is for the reader alone.

    Args:
        run: runs a command and returns what it printed.
        check: False for a page with components of its own, which this process does not know: its
            configurations and commands are run without being checked before.
        environment: variables for Python blocks.

    Returns:
        What each command printed.

    Raises:
        AssertionError, Exception: something of it does not work; the message names the block.
    """
    player = _Player(folder, run, check, environment)
    for block in read_blocks(page):
        try:
            player.play(block)
        except Exception as error:
            raise AssertionError(f"{block} ({block.language}): {error}") from error
    return player.outputs


class _Player:
    """Does what blocks say; the arguments are those of `play`.

    Attributes:
        printed: what the last block or command printed.
        outputs: what each command printed.
    """

    def __init__(
        self,
        folder: Path,
        run: Callable[[Command], str] | None,
        check: bool,
        environment: Mapping[str, str] | None,
    ):
        self.folder, self.run, self.check, self.environment = folder, run, check, environment
        self.printed = ""
        self.outputs: dict[str, str] = {}

    def play(self, block: Block) -> None:
        if block.filename:
            file = self.folder / block.filename
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text)
        if block.language == "python":
            if not block.filename:
                self.printed = output_of(["-c", block.text], self.folder, self.environment)
        elif block.language == "sh":
            self.play_commands(block)
        elif block.language == "output":
            assert self.printed == block.text, f"printed is\n{self.printed}"
        elif block.language not in _READERS:
            raise ValueError(f"no test covers '{block.language}'; there are {_LANGUAGES}")
        elif self.check or block.language != "yaml":
            _READERS[block.language](block)

    def play_commands(self, block: Block) -> None:
        for command in read_commands(block, self.folder):
            if self.check:
                check_command(command, self.folder)
            if self.run is not None:
                self.printed = self.outputs[str(command)] = self.run(command)


def _read_yaml(block: Block) -> None:
    file = Path(block.filename or "block.yaml")
    file.write_text(block.text)
    check_config(load_config(file))


def _read_text(block: Block) -> None:
    code = _CODE.search(block.text)
    assert not code, f"'{code and code.group()}' looks like code; say which language it is"


_READERS: dict[str, Callable[[Block], object]] = {
    "json": lambda block: json.loads(block.text),
    "text": _read_text,
    "toml": lambda block: parse_toml(block.text),
    "yaml": _read_yaml,
}
_LANGUAGES = ", ".join(["python", "sh", "output", *_READERS])
