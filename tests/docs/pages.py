"""The fenced blocks of README.md and docs/."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.helpers import REPO

PAGES = ["README.md", *sorted(p.relative_to(REPO).as_posix() for p in REPO.glob("docs/**/*.md"))]
_FENCE = re.compile(r"^(\s*)```(.*)$")


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML, on Python 3.10 too."""
    try:
        import tomllib
    except ModuleNotFoundError:
        from pip._vendor import tomli as tomllib
    return tomllib.loads(text)


@dataclass(frozen=True)
class Block:
    """A fenced block; the first line is "```language filename", the second word optional."""

    page: str
    line: int
    language: str
    filename: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def read_blocks(page: str) -> list[Block]:
    """The blocks of a page, in its order."""
    return parse_blocks(page, (REPO / page).read_text())


def parse_blocks(page: str, text: str) -> list[Block]:
    """The blocks of a page's text.

    Raises:
        ValueError: a block does not end.
    """
    blocks: list[Block] = []
    opened: tuple[int, str, str] | None = None
    content: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is None and fence:
            opened, content = (number, *fence.groups()), []
        elif opened is not None and fence and not fence.group(2):
            start, indent, info = opened
            language, _, filename = info.strip().partition(" ")
            lines = (part.removeprefix(indent) + "\n" for part in content)
            blocks.append(Block(page, start, language, filename, "".join(lines)))
            opened = None
        elif opened is not None:
            content.append(line)
    if opened is not None:
        raise ValueError(f"{page}:{opened[0]}: the block does not end")
    return blocks


def lay_out(folder: Path) -> Path:
    """Make `folder` look like a checkout from which commands are run."""
    for name in ("benchmarks", "configs", "docs", "setup.py", "tests", "tools"):
        (folder / name).symlink_to(REPO / name)
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "activate").touch()
    return folder
