#!/usr/bin/env bash
# The tests of the operators on 64-bit Arm, on any machine: the library is cross-compiled, and Python
# and PyTorch for Arm run under QEMU. On Debian 12:
#
#   dpkg --add-architecture arm64 && apt-get update
#   apt-get install g++-aarch64-linux-gnu qemu-user
#
# What is downloaded is kept in .aarch64. Arguments are pytest's.
set -euo pipefail
cd "$(dirname "$0")/../.."
CXX=${CXX:-aarch64-linux-gnu-g++}
torch=2.10.0 # the oldest that the extension is built for
site=$PWD/.aarch64/site root=$PWD/.aarch64/root

if [ ! -e "$site" ]; then
  python3 -m pip install -q --no-deps --only-binary=:all: --python-version 3.11 \
    --platform manylinux_2_28_aarch64 --platform manylinux2014_aarch64 --target "$site.part" \
    torch==$torch torchvision==0.25.0 numpy pyyaml orjson pillow opencv-python-headless tqdm \
    termcolor tabulate typing_extensions sympy mpmath networkx jinja2 markupsafe filelock fsspec \
    pytest hypothesis sortedcontainers pluggy iniconfig packaging pygments
  mv "$site.part" "$site"
fi
if [ ! -e "$root" ]; then
  mkdir -p "$root.part/debs"
  (
    cd "$root.part/debs"
    apt-get download -qq {python3.11,python3.11-minimal,libpython3.11-minimal}:arm64 \
      {libpython3.11-stdlib,libc6,libgcc-s1,libstdc++6,libgomp1,zlib1g,libexpat1,libssl3}:arm64 \
      {libffi8,libbz2-1.0,liblzma5,libsqlite3-0,libuuid1,libncursesw6,libtinfo6}:arm64 \
      {libreadline8,libcrypt1}:arm64
    for package in *.deb; do dpkg -x "$package" ..; done
  )
  mv "$root.part" "$root"
fi

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r pyproject.toml segsuite configs tests "$copy"
rm -f "$copy"/segsuite/*.so
# As setup.py does.
"$CXX" -shared -O3 -std=c++20 -fPIC -DTORCH_TARGET_VERSION=0x020a000000000000 \
  -fno-math-errno -fno-trapping-math -fno-tree-slp-vectorize -fvisibility=hidden -Wall -Wno-psabi -Icsrc \
  -isystem "$site/torch/include" -isystem "$site/torch/include/torch/csrc/api/include" \
  csrc/*.cpp csrc/cpu/*.cpp -L"$site/torch/lib" -ltorch -ltorch_cpu -lc10 \
  -Wl,--allow-shlib-undefined -o "$copy/segsuite/_C.abi3.so"
cd "$copy"
# These start Python or a compiler for Arm, which QEMU in user mode does for no process it runs.
alone="not instruction_set and not inductor and not one_warning"
export PYTHONPATH=$copy:$site OMP_NUM_THREADS=1
qemu-aarch64 -L "$root" "$root/usr/bin/python3.11" -m pytest -q -o addopts= -p no:cacheprovider \
  -k "$alone" tests/ops "$@"
