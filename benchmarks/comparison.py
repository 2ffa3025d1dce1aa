"""What the benchmarks have in common: ours beside the usual way, case by case, in one table.

A script lists its cases; `main` measures them one after the other and prints each as a row of a
Markdown table as soon as it is there. A case that fails (out of memory, a package too old) is a row
that says so, and the others go on.

usual, segsuite   milliseconds, medians of calls by turns in this process; on a GPU by its events
ratio             how many times as fast ours is; beside it the goal, for one H100 or H200
floor             milliseconds in which this machine copies as many bytes as must move at the least
busy              the share of our time in which the GPU works
launches, waits   of kernels, and for the GPU, in one call of ours; in brackets the usual way's
memory            MiB that one call takes on top of what is there before, likewise
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import logging
import math
import platform
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torchvision
from device_work import Work, work_of
from goals import GOALS
from timing import Way, copy_rate, median_milliseconds

from segsuite.ops import extension_status

COLUMNS = (
    *("work", "usual ms", "segsuite ms", "ratio", "goal", "floor ms", "busy"),
    *("launches", "waits", "memory MiB", "remarks"),
)


TIME_WAS_UP = "not run: the time was up"


@dataclass(frozen=True)
class Settings:
    """What the command line says.

    Attributes:
        device: "cpu" or "cuda".
        quick: small inputs, to see whether all runs; the figures mean nothing.
        repetitions: of each way; None: as many as take about a second.
        deadline: by `time.monotonic`; no case is started after it.
        arguments: the options of a script itself.
    """

    device: str = "cpu"
    quick: bool = False
    repetitions: int | None = None
    deadline: float = math.inf
    arguments: argparse.Namespace = field(default_factory=argparse.Namespace)


@dataclass
class Contest:
    """Two ways to the same, with their inputs at hand; `bytes` must be read or written."""

    usual: Way
    segsuite: Way
    bytes: int | None = None
    remarks: str = ""


@dataclass
class Row:
    """One line of the table; None is what is not known, and the goal of what has none."""

    name: str
    usual_ms: float | None = None
    segsuite_ms: float | None = None
    floor_ms: float | None = None
    usual_work: Work = field(default_factory=Work)
    segsuite_work: Work = field(default_factory=Work)
    remarks: str = ""
    goal: float | None = None

    @property
    def ratio(self) -> float | None:
        if self.usual_ms is None or self.segsuite_ms is None:
            return None
        return self.usual_ms / self.segsuite_ms

    @property
    def busy(self) -> float | None:
        """The share of our time in which the device works."""
        if self.segsuite_work.busy_ms is None or self.segsuite_ms is None:
            return None
        return min(self.segsuite_work.busy_ms / self.segsuite_ms, 1.0)

    @property
    def met(self) -> bool | None:
        """Whether the goal is; None where there is none, or no ratio."""
        if self.goal is None or self.ratio is None:
            return None
        return self.ratio >= self.goal


@dataclass(frozen=True)
class Case:
    """What a row is about, and how it comes about; nothing happens before `measure`."""

    name: str
    measure: Callable[[Settings], Row]


def compared(name: str, prepare: Callable[[], Contest], *, queued: bool = False) -> Case:
    """A case of two ways; `queued` as in `median_milliseconds`."""
    return Case(name, partial(_compare, name, prepare, queued))


def _compare(name: str, prepare: Callable[[], Contest], queued: bool, settings: Settings) -> Row:
    torch.manual_seed(0)
    contest, device = prepare(), settings.device
    ways = {"usual": contest.usual, "segsuite": contest.segsuite}
    ms = median_milliseconds(ways, settings.repetitions, device, queued=queued)
    row = Row(name, ms["usual"], ms["segsuite"], remarks=contest.remarks)
    if contest.bytes is not None:
        row.floor_ms = 1e3 * contest.bytes / copy_rate(device)
    try:
        row.usual_work, row.segsuite_work = (work_of(way, device) for way in ways.values())
    except Exception as error:  # the times are there
        row.remarks = "; ".join(filter(None, (row.remarks, f"no profile: {_first_line(error)}")))
    return row


def measure(cases: Iterable[Case], settings: Settings) -> Iterator[Row]:
    """A row for each case, also for those that fail or are not started."""
    for case in cases:
        row = _row(case, settings)
        if settings.device == "cuda" and not settings.quick:
            row.goal = GOALS.get(case.name)
        yield row


def _row(case: Case, settings: Settings) -> Row:
    if time.monotonic() > settings.deadline:
        return Row(case.name, remarks=TIME_WAS_UP)
    try:
        return case.measure(settings)
    except Exception as error:
        return Row(case.name, remarks=f"failed: {type(error).__name__}: {_first_line(error)}")
    finally:
        if settings.device == "cuda":
            gc.collect()
            with contextlib.suppress(RuntimeError):  # of a device that is lost
                torch.cuda.empty_cache()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]


def table_head() -> str:
    return f"| {' | '.join(COLUMNS)} |\n|---|{'---:|' * (len(COLUMNS) - 2)}---|"


def table_row(row: Row) -> str:
    usual, ours = row.usual_work, row.segsuite_work
    cells = (
        row.name,
        _number(row.usual_ms),
        _number(row.segsuite_ms),
        "-" if row.ratio is None else f"{_number(row.ratio)}x",
        _goal(row),
        _floor(row),
        "-" if row.busy is None else f"{row.busy:.0%}",
        _both(ours.launches, usual.launches),
        _both(ours.waits, usual.waits),
        _both(ours.memory_mib, usual.memory_mib),
        row.remarks.replace("|", "/"),
    )
    return f"| {' | '.join(cells)} |"


def _number(value: float | None) -> str:
    """With three digits or more."""
    if value is None:
        return "-"
    digits = 2 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:.{min(max(digits, 0), 6)}f}"


def _goal(row: Row) -> str:
    if row.goal is None:
        return "-"
    words = {True: " met", False: " not met", None: ""}
    return f"{row.goal:g}x{words[row.met]}"


def _floor(row: Row) -> str:
    if row.floor_ms is None or row.segsuite_ms is None:
        return _number(row.floor_ms)
    return f"{_number(row.floor_ms)} (x{_number(row.segsuite_ms / row.floor_ms)})"


def _both(ours: float | None, usual: float | None) -> str:
    if ours is None and usual is None:
        return "-"
    return " ".join(
        ("-" if ours is None else f"{ours:.0f}", "(-)" if usual is None else f"({usual:.0f})")
    )


def machine(device: str) -> dict[str, Any]:
    """What the figures are of."""
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else platform.processor(),
        "driver": _driver() if device == "cuda" else None,
        "cuda": torch.version.cuda if device == "cuda" else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "extension": extension_status(),
        "threads": torch.get_num_threads(),
        "copy_gb_per_second": copy_rate(device) / 1e9,
    }


def _driver() -> str:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.check_output(query, text=True, timeout=20).splitlines()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return "unknown"


def heading(facts: dict[str, Any]) -> str:
    """The machine in one line."""
    gpu = "" if facts["cuda"] is None else f"driver {facts['driver']}, CUDA {facts['cuda']}, "
    return (
        f"{facts['device'] or 'CPU'}, {gpu}PyTorch {facts['torch']}, torchvision "
        f"{facts['torchvision']}, Python {facts['python']}, {facts['threads']} threads; a copy "
        f"moves {facts['copy_gb_per_second']:.0f} GB/s; extension {facts['extension']}"
    )


def as_json(row: Row) -> dict[str, Any]:
    return {**asdict(row), "ratio": row.ratio, "met": row.met, "busy": row.busy}


def argument_parser(description: str) -> argparse.ArgumentParser:
    """With the options that all benchmarks of this table have."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--quick", action="store_true", help="small inputs, to see that all runs")
    parser.add_argument("--repetitions", type=int, help="by default as many as take a second")
    parser.add_argument("--minutes", type=float, default=math.inf, help="start nothing later")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    return parser


def main(
    description: str,
    cases: Callable[[Settings], Iterable[Case]],
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None,
) -> None:
    """Run a script's cases as its command line says."""
    parser = argument_parser(description)
    parser.add_argument("--rows", nargs="+", metavar="TEXT", help="those with a TEXT in the name")
    parser.add_argument("--list", action="store_true", help="print the names of the rows")
    parser.add_argument("--threads", type=int, help="of PyTorch on the CPU")
    parser.add_argument("--no-head", action="store_true", help="print the rows alone")
    add_arguments(parser)
    args = parser.parse_args()
    deadline = time.monotonic() + 60 * args.minutes
    settings = Settings(args.device, args.quick, args.repetitions, deadline, args)
    wanted = args.rows or [""]
    chosen = [case for case in cases(settings) if any(text in case.name for text in wanted)]
    if args.list:
        print("\n".join(case.name for case in chosen))
        return
    logging.disable(logging.WARNING)  # random weights are meant
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.device == "cuda":  # float32 runs as fast as it can, on both sides
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    facts = machine(args.device)
    if not args.no_head:
        print(f"{heading(facts)}\n\n{table_head()}", flush=True)
    rows = []
    for row in measure(chosen, settings):
        print(table_row(row), flush=True)
        rows.append(as_json(row))
        if args.json:  # now, as the machine may end
            args.json.write_text(json.dumps({"machine": facts, "rows": rows}, indent=1))
