"""Images by the names that other systems and computers have for them."""

from __future__ import annotations

import os
from pathlib import PurePosixPath
from urllib.parse import unquote


def is_odd_name(name: str) -> bool:
    """Whether another system, a web address or a whole path of some computer may be in a name."""
    return "\\" in name or "%" in name or os.path.isabs(name) or name[1:2] == ":"


def existing_path(root: str, name: str) -> str:
    """The path of an image, also where another system or computer has written its name.

    If there is no such file, `find_below`; the path that the name says if there is none either.
    """
    path = os.path.join(root, name)
    if not is_odd_name(name) or os.path.exists(path):
        return path
    return find_below(root, name) or path


def find_below(folder: str, name: str) -> str | None:
    """The file in a folder that a name of another computer is about, if there is one.

    Tried are the name with slashes for backslashes, without percent signs, and its last parts.
    """
    for spelling in dict.fromkeys((name, unquote(name))):
        parts = PurePosixPath(spelling.replace("\\", "/")).parts
        for start in range(len(parts)):
            rest = parts[start:]
            if ".." in rest or rest[0] == "/":
                continue
            path = os.path.join(folder, *rest)
            if os.path.isfile(path):
                return path
    return None
