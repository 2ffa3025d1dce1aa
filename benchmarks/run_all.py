"""All benchmarks beside torchvision and the usual ways of PyTorch, in one table.

    python benchmarks/run_all.py --device cuda [--only operators mask_rcnn ...] [--json FILE]

Takes about six minutes on a large GPU. Each script is a process of its own and can be run by
itself; `comparison.py` says what the columns are. Rows are printed as they come, in Markdown.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from comparison import (
    TIME_WAS_UP,
    Row,
    argument_parser,
    as_json,
    heading,
    machine,
    table_head,
    table_row,
)

PARTS = {
    "operators": ("batched_nms", "roi_align", "confusion_matrix", "conv_epilogue"),
    "mask_rcnn": ("mask_rcnn",),
    "semantic_models": ("semantic_models",),
    "evaluation_loop": ("evaluation_loop",),
    "training_loop": ("training_loop",),
}
# A script that is still running so long after the time was up is stopped.
_GRACE_SECONDS = 120


def run(script: str, options: list[str], seconds: float) -> list[dict[str, Any]]:
    """Run a script, which prints its rows, and return them."""
    if seconds <= 0:
        return [_print(Row(f"{script}.py", remarks=TIME_WAS_UP))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.json")
        file = Path(__file__).with_name(f"{script}.py")
        command = [sys.executable, str(file), *options, "--no-head", "--json", str(path)]
        command += ["--minutes", str(seconds / 60)]
        timeout = None if seconds == math.inf else seconds + _GRACE_SECONDS
        try:
            status = subprocess.run(command, timeout=timeout).returncode
            how = f"ended with status {status}" if status else ""
        except subprocess.TimeoutExpired:
            how = "was stopped: it took too long"
        rows = json.loads(path.read_text())["rows"] if path.exists() else []
    if how:
        rows.append(_print(Row(f"{script}.py", remarks=f"{how}, which ends its rows")))
    return rows


def _print(row: Row) -> dict[str, Any]:
    print(table_row(row), flush=True)
    return as_json(row)


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    args = parser.parse_args()
    end = time.monotonic() + 60 * args.minutes
    options = ["--device", args.device, *(["--quick"] if args.quick else [])]
    if args.repetitions:
        options += ["--repetitions", str(args.repetitions)]
    facts = machine(args.device)
    print(f"{heading(facts)}\n\n{table_head()}", flush=True)
    rows: list[dict[str, Any]] = []
    for script in (script for part in args.only for script in PARTS[part]):
        rows += run(script, options, end - time.monotonic())
        if args.json:
            args.json.write_text(json.dumps({"machine": facts, "rows": rows}, indent=1))
    goals = [row for row in rows if row["goal"] is not None]
    print(f"\n{sum(row['met'] is True for row in goals)} of {len(goals)} goals met")


if __name__ == "__main__":
    main()
