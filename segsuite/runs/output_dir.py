"""The output folder of a run: writable, with room, and used by one run at a time."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO

from segsuite.errors import FileAccessError, UserError
from segsuite.utils import comm
from segsuite.utils.files import remove_unfinished
from segsuite.utils.logger import setup_logger

from .files import RunFiles

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

# What is locked on Windows, where nobody else can read what is: one byte, far behind the text.
_LOCKED_BYTE = 1 << 20
_ELASTIC_PATIENCE = 60.0  # seconds
# Locks are held as long as the files are open: until the process ends, unless it says otherwise.
_held: dict[Path, IO[bytes]] = {}


def prepare_output_dir(path: str | os.PathLike[str]) -> None:
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
        file = next((p for p in (folder, *folder.parents) if p.exists() and not p.is_dir()), None)
        if file is not None:
            advice = f"'{file}' is a file, not a folder: move it away"
        raise FileAccessError(
            error.errno,
            f"OUTPUT_DIR '{folder}' can't be written: {error.strerror}; {advice}, or set "
            "OUTPUT_DIR to another folder",
        ) from error


def claim_output_dir(path: str | os.PathLike[str], *, resume: bool) -> None:
    """Keep the folder to this process, until it ends, however that comes about, or releases it.

    Raises:
        FileAccessError: another run is using it, or it holds checkpoints that are not to be
            resumed.
    """
    files = RunFiles(path)
    _lock(files)
    checkpoints = files.checkpoints()
    if checkpoints and not resume:
        raise FileAccessError(
            f"OUTPUT_DIR '{path}' holds a run already ({checkpoints[-1].name}): go on with it "
            "with --resume, set OUTPUT_DIR to another folder, or remove this one"
        )
    remove_unfinished(files.folder)


def release_output_dir(path: str | os.PathLike[str]) -> None:
    """Let other processes have a folder that this one has claimed, if it has."""
    lock = _held.pop(Path(path).resolve(), None)
    if lock is not None:
        lock.close()


class OutputDirGuard:
    """Tells when the folder that this process has claimed is no longer there.

    Files are made with their folders, so a run would go on after a removal, and leave the
    checkpoints that are to come without the configuration and the figures that belong to them.

    Args:
        path: the folder; whether it has been claimed or not, it must be there.
    """

    def __init__(self, path: str | os.PathLike[str]):
        files = RunFiles(Path(path).absolute())
        self._folder = files.folder
        self._watched = files.lock if files.folder.resolve() in _held else files.folder
        self._found = self._watched.stat()

    def check(self) -> None:
        """A system call: to be called in every step.

        Raises:
            FileAccessError: the folder or the lock in it has been removed or replaced.
        """
        try:
            same = os.path.samestat(self._watched.stat(), self._found)
        except FileNotFoundError:
            same = False
        if not same:
            raise FileAccessError(
                f"OUTPUT_DIR '{self._folder}' was removed or emptied while the run was using it: "
                "what it had written is lost, and the run stops. Start it anew, or put a copy "
                "of the folder back and go on with --resume"
            )


def check_free_space(path: str | os.PathLike[str], needed: int) -> None:
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


@contextmanager
def leaving_nothing_if_refused(path: str | os.PathLike[str], *, claims: bool) -> Iterator[None]:
    """Within, a run that is refused (by a `UserError`) takes back what it has made of its folder:
    lock, logs, what it notes about itself, the folder. What was there is as it was.

    With several processes all enter, and the first that refuses the run does this for all. Errors
    of other types leave the log, for their traceback.

    Args:
        claims: whether the main process calls `claim_output_dir` before any makes a file.
    """
    files = RunFiles(Path(path).absolute())
    # As it is before any process has made a thing.
    found = _Found(files) if comm.is_main_process() else None
    found = comm.broadcast_object(found)
    held = set(_held)
    try:
        yield
    except UserError:
        if claims and comm.is_main_process():
            ours = files.folder.resolve() in _held
        else:
            ours = claims or not files.lock.exists()
        setup_logger(rank=comm.get_rank())  # closes the log
        if ours:  # else another run has it, whose files these are
            found.restore()
        found.remove_folders()
        for lock in _held.keys() - held:
            _held.pop(lock).close()
        raise


class _Found:
    """What there was of a run in a folder."""

    def __init__(self, files: RunFiles):
        self._files = files
        notes = (files.config, files.info)
        self._notes = {path: path.read_bytes() if path.exists() else None for path in notes}
        self._logs = files.logs()
        self._had_lock = files.lock.exists()
        self._missing = [p for p in (files.folder, *files.folder.parents) if not p.exists()]

    def restore(self) -> None:
        """Take away the files that have been made since."""
        for path, content in self._notes.items():
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content)
        for log in self._files.logs():
            if log not in self._logs:
                log.unlink(missing_ok=True)
        if not self._had_lock:
            self._files.lock.unlink(missing_ok=True)

    def remove_folders(self) -> None:
        """Remove those that were not there, if nothing is in them."""
        with suppress(OSError):
            for folder in self._missing:
                folder.rmdir()


def _lock(files: RunFiles) -> None:
    folder = files.folder.resolve()
    if folder in _held:
        if _is_at(_held[folder], files.lock):
            return
        _held.pop(folder).close()  # of a folder that has been removed since
    # A host that torchrun has lost may take as long to notice it as this one did.
    patience = time.monotonic() + (_ELASTIC_PATIENCE if "TORCHELASTIC_RUN_ID" in os.environ else 0)
    while True:
        file = files.lock.open("a+b")
        if not _try_lock(file):
            if time.monotonic() < patience:
                file.close()
                time.sleep(0.5)
                continue
            file.seek(0)
            owner = file.read(200).decode(errors="replace")
            file.close()
            raise FileAccessError(
                f"OUTPUT_DIR '{files.folder}' is in use by another run ({owner}); wait for it, "
                "stop it, or set OUTPUT_DIR to another folder"
            )
        # A run that was refused may have removed the file just now: the next one opens another.
        if _is_at(file, files.lock):
            break
        file.close()
    file.truncate(0)
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    file.write(f"process {os.getpid()} on {platform.node()}, since {since}".encode())
    file.flush()
    _held[folder] = file


def _is_at(file: IO[bytes], path: Path) -> bool:
    """Whether an open file is the one that has a path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _try_lock(file: IO[bytes]) -> bool:
    """Lock a file until this process ends; False if another has.

    Not by the package portalocker, which on POSIX takes locks that forked loader workers inherit:
    such a lock would be held as long as a worker that outlives this process.
    """
    try:
        if fcntl is not None:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            os.lseek(file.fileno(), _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        raise
    return True
