"""Try as many inputs as time allows.

  python -m tests.fuzz                        every target for 60 seconds, each in its own process
  python -m tests.fuzz --seconds 600 NAME     some targets for longer
  python -m tests.fuzz --repeat FILE          what an earlier run has kept

Inputs that fail, or that kill the process, are kept in .fuzz/NAME and tried first the next time.
Where atheris is installed it chooses inputs by what they cover, and what it finds worth keeping
stays there too; otherwise they are random.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import random
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.helpers import REPO

KEPT = REPO / ".fuzz"
_MAX_BYTES = 4096


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="targets; by default all")
    parser.add_argument("--seconds", type=float, default=60, help="for each target (default: 60)")
    parser.add_argument("--seed", type=int, default=0, help="of the random inputs (default: 0)")
    parser.add_argument("--repeat", type=Path, metavar="FILE", help="try one input again")
    parser.add_argument("--alone", action="store_true", help="in this process; one target")
    args = parser.parse_args()
    if args.repeat:
        targets()[args.repeat.resolve().parent.name](args.repeat.read_bytes())
    elif args.alone:
        fuzz(args.names[0], args.seconds, args.seed)
    else:
        sys.exit(fuzz_all(args.names or sorted(targets()), args.seconds, args.seed))


def targets() -> dict[str, Callable[[bytes], object]]:
    """The tests of `test_targets` as functions of the bytes that their random choices come from."""
    from . import test_targets

    return {
        name.removeprefix("test_"): test.hypothesis.fuzz_one_input
        for name, test in vars(test_targets).items()
        if name.startswith("test_")
    }


def fuzz_all(names: list[str], seconds: float, seed: int) -> int:
    """Each target in a process of its own, which it may kill. The exit status."""
    failed = []
    for name in names:
        command = [sys.executable, "-m", "tests.fuzz", "--alone", name]
        code = subprocess.run(
            [*command, "--seconds", str(seconds), "--seed", str(seed)], cwd=REPO
        ).returncode
        if code < 0 and last(name).exists():
            keep(name, last(name).read_bytes(), f"killed by signal {-code}")
        if code:
            failed.append(name)
    print(f"{len(names) - len(failed)} of {len(names)} targets held", *failed)
    return 1 if failed else 0


def fuzz(name: str, seconds: float, seed: int) -> None:
    """Try inputs for some time.

    Raises:
        SystemExit: one failed, and is kept.
    """
    (KEPT / name).mkdir(parents=True, exist_ok=True)
    if importlib.util.find_spec("atheris") is not None:
        last(name).unlink(missing_ok=True)  # atheris keeps what kills it by itself
        _fuzz_with_atheris(name, seconds, seed)
        return
    target = targets()[name]
    end, count = time.monotonic() + seconds, 0
    for content in _inputs(name, seed):
        if time.monotonic() > end:
            break
        last(name).write_bytes(content)
        try:
            target(content)
        except Exception:
            traceback.print_exc()
            keep(name, content, "failed")
            sys.exit(1)
        count += 1
    print(f"{name}: {count} inputs in {seconds:.0f} s", flush=True)


def _inputs(name: str, seed: int) -> Iterator[bytes]:
    """Those that are kept, then random ones without end."""
    for path in sorted((KEPT / name).glob("*.bin")):
        yield path.read_bytes()
    rng = random.Random(seed)
    while True:
        yield rng.randbytes(rng.randint(1, _MAX_BYTES))


def _fuzz_with_atheris(name: str, seconds: float, seed: int) -> None:
    import atheris

    # Before anything else imports them: what is not instrumented shows no coverage.
    with atheris.instrument_imports(include=["segsuite"]):
        target = targets()[name]
    options = [f"-max_total_time={seconds:.0f}", f"-seed={seed}", f"-max_len={_MAX_BYTES}"]
    prefix = f"-artifact_prefix={KEPT / name}/"
    atheris.Setup([sys.argv[0], *options, prefix, str(KEPT / name)], target)
    atheris.Fuzz()


def last(name: str) -> Path:
    """The input that is being tried, for what a killed process leaves."""
    return KEPT / name / "last"


def keep(name: str, content: bytes, what: str) -> None:
    path = KEPT / name / f"{hashlib.sha256(content).hexdigest()[:16]}.bin"
    path.write_bytes(content)
    print(f"{name}: {what}; again with: python -m tests.fuzz --repeat {path.relative_to(REPO)}")


if __name__ == "__main__":
    main()
