"""The output folder of a run: writable, with room, and used by one run at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO

from segsuite.errors import FileAccessError

from .files import RunFiles

# Locks are held until the process ends, so the files stay open.
_held: dict[Path, IO[bytes]] = {}


def prepare_output_dir(path: str | os.PathLike) -> None:
    """Make the folder and try to write to it.

    Raises:
        FileAccessError: that does not work, or the disk is full.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as f:
            f.write(bytes(1 << 20))
            f.flush()
            os.fsync(f.fileno())
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "make room there" if full else "check the path and its permissions"
        raise FileAccessError(
            error.errno,
            f"OUTPUT_DIR '{folder}' can't be written: {error.strerror}; {advice}, or set "
            "OUTPUT_DIR to another folder",
        ) from error


def claim_output_dir(path: str | os.PathLike, *, resume: bool) -> None:
    """Keep the folder to this process, until it ends.

    Raises:
        FileAccessError: another run is using it, or it holds checkpoints that are not to be
            resumed.
    """
    folder = Path(path)
    _lock(folder.resolve())
    checkpoints = sorted(folder.glob("model_*.pth"))
    if checkpoints and not resume:
        raise FileAccessError(
            f"OUTPUT_DIR '{folder}' holds a run already ({checkpoints[-1].name}): go on with it "
            "with --resume, set OUTPUT_DIR to another folder, or remove this one"
        )


def check_free_space(path: str | os.PathLike, needed: int) -> None:
    """Check that the folder's disk has room for a checkpoint.

    Args:
        needed: bytes.

    Raises:
        FileAccessError: it has not.
    """
    free = shutil.disk_usage(path).free
    if free < needed:
        raise FileAccessError(
            errno.ENOSPC,
            f"OUTPUT_DIR '{path}' has {free / 1e6:.0f} MB free, and a checkpoint of this model "
            f"takes up to {needed / 1e6:.0f} MB; make room there, or set OUTPUT_DIR to another "
            "folder",
        )


def _lock(folder: Path) -> None:
    if folder in _held:
        return
    file = RunFiles(folder).lock.open("a+b")
    try:
        # A POSIX lock: forked loader workers don't inherit it, so it ends with this process even
        # when they outlive it for a moment.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        owner = file.read().decode(errors="replace")
        file.close()
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            raise
        raise FileAccessError(
            f"OUTPUT_DIR '{folder}' is in use by another run ({owner}); wait for it, stop it, or "
            "set OUTPUT_DIR to another folder"
        ) from None
    file.truncate(0)
    file.write(f"process {os.getpid()} on {os.uname().nodename}".encode())
    file.flush()
    _held[folder] = file
