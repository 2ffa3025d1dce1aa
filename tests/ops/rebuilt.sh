#!/usr/bin/env bash
# The tests of the operators with a library built anew, by the CXX, CFLAGS and LDFLAGS of the
# environment, in a copy of the repository: the one here stays as it is. Arguments are pytest's.
set -euo pipefail
PYTHON=$(realpath -s "${PYTHON:-python3}")
cd "$(dirname "$0")/../.."
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r setup.py pyproject.toml README.md segsuite_torch.py segsuite csrc configs tools tests "$copy"
cd "$copy"
rm -f segsuite/*.so

if [ -n "${CXX:-}" ]; then
  command -v "$CXX" || { echo "no compiler $CXX on the PATH"; exit 1; }
  export CC=$CXX # setuptools compiles C++ with CC, and links with CXX
fi
SEGSUITE_CUDA=0 "$PYTHON" setup.py -q build_ext --inplace 2>&1 | tee build.log
ls segsuite/_C.abi3.so
if grep -q "compiling for several instruction sets failed" build.log; then exit 1; fi
unset CC CXX CFLAGS LDFLAGS
export PYTHONPATH=$copy
"$PYTHON" -m pytest -q -p no:cacheprovider tests/ops "$@"
"$PYTHON" -m tests.fuzz --seconds "${SECONDS_EACH:-10}" raw_operators
