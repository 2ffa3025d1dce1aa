"""Lists of names as they are told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

_MAX_ROWS = 30


def group_names(names: Iterable[str], among: Iterable[str]) -> list[tuple[str, str]]:
    """Rows (name or pattern, count) for `names`, which are some of `among`.

    A branch ``a.b.*`` of the module tree is one row if all of it is in `names`.
    """
    names = set(names)
    incomplete = {prefix for name in set(among) - names for prefix in _prefixes(name)}

    def branch(name: str) -> str:
        return next((p for p in _prefixes(name) if p not in incomplete), name)

    members = sorted(names)
    counts = Counter(map(branch, members))
    rows = {
        name if counts[branch(name)] == 1 else f"{branch(name)}.*": str(counts[branch(name)])
        for name in members
    }
    return list(rows.items())


def table(rows: Collection[tuple[str, ...]]) -> str:
    """`rows` in aligned columns, cut at 30; "" for none."""
    shown = list(rows)[:_MAX_ROWS]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    lines = []
    for row in shown:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  " + "  ".join(cells).rstrip())
    if len(rows) > len(shown):
        lines.append(f"  ... and {len(rows) - len(shown)} more")
    return "\n".join(lines)


def examples(names: Collection[str]) -> str:
    """The first of `names`, and how many there are."""
    first = ", ".join(f"'{name}'" for name in list(names)[:3])
    return f"{first}, ... ({len(names)} names)"


def _prefixes(name: str) -> list[str]:
    """The modules above `name`, outermost first: "a.b.c" -> ["a", "a.b"]."""
    parts = name.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts))]
