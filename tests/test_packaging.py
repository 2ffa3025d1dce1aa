"""What an installation gets: the files of the wheel, and what a user does with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.helpers import REPO

# What a checkout has that an installation is built from.
SOURCES = ("LICENSE", "MANIFEST.in", "README.md", "configs", "csrc", "pyproject.toml", "segsuite")
SOURCES += ("segsuite_torch.py", "setup.py", "tools")


def build(kind: str, source: Path, out: Path, **environment: str) -> Path:
    """Build a "wheel" or an "sdist" of `source`; the file. Its output is in ``out/log.txt``."""
    out.mkdir(parents=True, exist_ok=True)
    program = f"from setuptools.build_meta import build_{kind}; build_{kind}({str(out)!r})"
    with (out / "log.txt").open("w") as log:
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=source,
            env={**os.environ, **environment},
            check=True,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    return next(path for path in out.iterdir() if path.suffix in (".whl", ".gz"))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of what is installed from, without what builds have left."""
    folder = tmp_path_factory.mktemp("source")
    ignored = shutil.ignore_patterns("__pycache__", "*.so")
    for name in SOURCES:
        if (REPO / name).is_dir():
            shutil.copytree(REPO / name, folder / name, ignore=ignored)
        else:
            shutil.copy(REPO / name, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    """The wheel without the extension, whose compiling takes minutes."""
    return build("wheel", source, tmp_path_factory.mktemp("wheel"), SEGSUITE_EXT="0")


@pytest.fixture(scope="module")
def names(wheel):
    return set(zipfile.ZipFile(wheel).namelist())


class TestWheel:
    @pytest.mark.parametrize(
        ("pattern", "folder"),
        [
            ("segsuite/**/*.py", ""),
            ("segsuite/visualization/report/assets/*", ""),
            ("configs/**/*.yaml", "segsuite/"),
        ],
    )
    def test_it_has_every_module_asset_and_recipe(self, names, pattern, folder):
        files = {folder + path.relative_to(REPO).as_posix() for path in REPO.glob(pattern)}
        assert files and files <= names

    def test_it_is_typed_and_has_the_command(self, names):
        assert {"segsuite/py.typed", "segsuite_torch.py"} <= names

    def test_it_has_nothing_else(self, names):
        top = {name.split("/")[0] for name in names}
        assert {name for name in top if not name.endswith(".dist-info")} == {
            "segsuite",
            "segsuite_torch.py",
        }

    def test_licence(self, wheel):
        archive = zipfile.ZipFile(wheel)
        (metadata,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
        assert "\nName: segsuite-torch\n" in text
        assert "\nLicense-Expression: Apache-2.0\n" in text and "\nLicense-File: LICENSE\n" in text


class Venv:
    """A fresh virtual environment that sees the packages of the tests' own, but not segsuite."""

    def __init__(self, folder: Path):
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        self.bin = folder / "bin"
        (self.site,) = folder.glob("lib/python*/site-packages")
        # Its .pth files, such as that of an editable segsuite, are not read.
        (self.site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def run(self, *words: object, folder: Path, **environment: str) -> subprocess.CompletedProcess:
        variables = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        return subprocess.run(
            [self.bin / str(words[0]), *map(str, words[1:])],
            cwd=folder,
            env={**variables, "OMP_NUM_THREADS": "1", **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
        )

    def pip(self, *words: object, folder: Path) -> subprocess.CompletedProcess:
        return self.run("python", "-m", "pip", "--disable-pip-version-check", *words, folder=folder)

    def install(self, wheel: Path, folder: Path) -> None:
        done = self.pip(
            "install", "--no-deps", "--no-index", "--force-reinstall", wheel, folder=folder
        )
        assert done.returncode == 0, done.stderr


@pytest.fixture
def venv(tmp_path):
    return Venv(tmp_path / "venv")


def own_files(site: Path) -> set[str]:
    return {path.name for path in site.iterdir() if "segsuite" in path.name}


SNIPPET = """
import segsuite

run = segsuite.Run("output/run")
prediction = segsuite.Predictor("output/run")(IMAGE)
print(len(run.evaluations), prediction)
assert "site-packages" in segsuite.__file__
"""


def test_a_user_without_a_checkout(wheel, venv, tmp_path, shapes_root):
    """Installed, used from an empty folder, and gone without leftovers."""
    work = tmp_path / "work"
    work.mkdir()
    venv.install(wheel, work)

    def segsuite(*words: object) -> str:
        done = venv.run("segsuite", *words, folder=work, SEGSUITE_DATASETS=str(shapes_root))
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert segsuite("--version").startswith("segsuite ")
    assert "camvid/unet_resnet18_20min" in segsuite("recipes", "camvid")
    segsuite("recipes", "smoke/unet_shapes", "--copy", "my.yaml")
    short = ["SOLVER.MAX_ITER", 2, "SOLVER.IMS_PER_BATCH", 2, "DATALOADER.NUM_WORKERS", 0]
    segsuite("train", "--config-file", "my.yaml", *short, "OUTPUT_DIR", "output/run")
    image = sorted(shapes_root.glob("shapes_v1/images/val/*.png"))[0]
    segsuite("predict", "--run-dir", "output/run", "--input", image, "--output", "output/out")
    assert (work / "output/out/labels" / image.name).exists()
    assert "report.html" in segsuite("report", "output/run")
    snippet = SNIPPET.replace("IMAGE", repr(str(image)))
    done = venv.run("python", "-c", snippet, folder=work, SEGSUITE_DATASETS=str(shapes_root))
    assert done.returncode == 0 and "1 <Prediction of" in done.stdout, done.stdout + done.stderr
    done = venv.run("python", "-m", "segsuite", "env", folder=work)
    assert "segsuite ops" in done.stdout and "it is not built" in done.stdout

    done = venv.pip("uninstall", "--yes", "segsuite-torch", folder=work)
    assert done.returncode == 0, done.stderr
    assert own_files(venv.site) == set() and not (venv.bin / "segsuite").exists()


@pytest.fixture
def namesake(tmp_path):
    """A wheel like that of the unrelated distribution "segsuite"."""
    path = tmp_path / "segsuite-0.1.0-py3-none-any.whl"
    about = "Metadata-Version: 2.1\nName: segsuite\nVersion: 0.1.0\n"
    tag = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files = {
        "segsuite/__init__.py": "from . import _version\nimport no_such_package\n",
        "segsuite/_version.py": "__version__ = '0.1.0'\n",
        "segsuite-0.1.0.dist-info/METADATA": about,
        "segsuite-0.1.0.dist-info/WHEEL": tag,
    }
    record = "".join(f"{name},,\n" for name in files) + "segsuite-0.1.0.dist-info/RECORD,,\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, "segsuite-0.1.0.dist-info/RECORD": record}.items():
            archive.writestr(name, text)
    return path


@pytest.mark.parametrize("ours_first", [True, False])
def test_the_namesake_is_told_in_a_line(wheel, namesake, venv, tmp_path, ours_first):
    for path in (wheel, namesake) if ours_first else (namesake, wheel):
        venv.install(path, tmp_path)
    done = venv.run("segsuite", "--help", folder=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith('error: the distribution "segsuite" is another project')
    assert "pip uninstall segsuite" in line


@pytest.fixture(scope="module")
def unpacked(source, tmp_path_factory):
    """The content of the source distribution."""
    archive = build("sdist", source, tmp_path_factory.mktemp("sdist"), SEGSUITE_EXT="0")
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(archive) as tar:
        tar.extractall(folder)
    (content,) = folder.iterdir()
    return content


class TestSdist:
    def test_it_has_all_that_a_build_needs(self, unpacked):
        for name in ("csrc", "configs"):
            files = {p.relative_to(REPO) for p in (REPO / name).rglob("*") if p.is_file()}
            assert all((unpacked / file).exists() for file in files)

    def test_without_a_compiler(self, unpacked, tmp_path):
        wheel = build("wheel", unpacked, tmp_path / "out", CXX="no-such-compiler", SEGSUITE_EXT="1")
        assert "no C++ compiler ('no-such-compiler' is not on the PATH)" in read_log(wheel)
        assert wheel.name.endswith("-py3-none-any.whl")

    @pytest.mark.slow  # compiles the extension
    def test_with_a_compiler_it_is_one_wheel_for_many_versions(self, unpacked, tmp_path):
        if shutil.which("c++") is None:
            pytest.skip("no C++ compiler")
        wheel = build("wheel", unpacked, tmp_path / "out", SEGSUITE_CUDA="0")
        assert "-cp310-abi3-" in wheel.name, read_log(wheel)
        assert "segsuite/_C.abi3.so" in zipfile.ZipFile(wheel).namelist()
        venv = Venv(tmp_path / "venv")
        venv.install(wheel, tmp_path)
        done = venv.run("segsuite", "env", folder=tmp_path)
        assert "in use (" in done.stdout, done.stdout + done.stderr

    @pytest.mark.slow  # compiles the extension
    def test_a_compiler_that_knows_one_instruction_set(self, unpacked, tmp_path):
        if shutil.which("c++") is None:
            pytest.skip("no C++ compiler")
        compiler = tmp_path / "old-c++"
        compiler.write_text(
            "#!/bin/sh\n"
            'case " $* " in\n'
            '  *" -DSEGSUITE_BASELINE_ONLY"*) ;;\n'
            '  *" -c "*csrc/cpu/*) echo "unknown target" >&2; exit 1 ;;\n'
            "esac\n"
            'exec c++ "$@"\n'
        )
        compiler.chmod(0o755)
        compilers = {"CC": str(compiler), "CXX": str(compiler)}
        wheel = build("wheel", unpacked, tmp_path / "out", SEGSUITE_CUDA="0", **compilers)
        assert "trying one alone" in read_log(wheel)
        assert "installing without it" not in read_log(wheel)
        assert "segsuite/_C.abi3.so" in zipfile.ZipFile(wheel).namelist()


def read_log(wheel: Path) -> str:
    return (wheel.parent / "log.txt").read_text()


def test_an_old_setuptools_is_told(source):
    program = (
        "import setuptools, runpy\nsetuptools.__version__ = '65.5.0'\nrunpy.run_path('setup.py')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=source, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "builds with setuptools 77 or newer, this is 65.5.0" in done.stderr
    assert "Traceback" not in done.stderr
