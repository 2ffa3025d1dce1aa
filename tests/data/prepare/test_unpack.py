"""Archives that would fill the disk."""

import io
import tarfile
import zipfile

import pytest

from segsuite.data.prepare.unpack import unpack
from segsuite.errors import DataError


def test_a_zip_that_says_so(tmp_path):
    with (
        zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("zeros", "w") as record,
    ):
        for _ in range(1100):
            record.write(bytes(1 << 20))
    with pytest.raises(DataError, match=r"bomb\.zip.*would become 1\.2 GB or more"):
        unpack(tmp_path / "bomb.zip", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_tar_of_many_files(tmp_path):
    class Zeros(io.RawIOBase):
        def read(self, size=-1):
            return bytes(size)

    with tarfile.open(tmp_path / "bomb.tar.gz", "w:gz", compresslevel=1) as archive:
        for name, size in (("a", 10), ("b", 1200 << 20)):
            info = tarfile.TarInfo(name)
            info.size = size
            archive.addfile(info, Zeros())
    with pytest.raises(DataError, match=r"bomb\.tar\.gz.*would become 1\.3 GB or more"):
        unpack(tmp_path / "bomb.tar.gz", tmp_path / "out")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["a"]
