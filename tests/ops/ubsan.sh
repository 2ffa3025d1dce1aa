#!/usr/bin/env bash
# The tests of the operators, and their fuzzing, with a library that stops at undefined behaviour: shifts
# and conversions out of range, overflow, misaligned and null pointers. Built in a copy of the
# repository, which keeps its own library.
set -euo pipefail
PYTHON=$(realpath -s "${PYTHON:-python3}")
cd "$(dirname "$0")/../.."
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r setup.py pyproject.toml README.md segsuite_torch.py segsuite csrc configs tools tests "$copy"
cd "$copy"
rm -f segsuite/*.so

export CFLAGS="-fsanitize=undefined,float-cast-overflow -fno-sanitize-recover=all -g1"
export LDFLAGS="-fsanitize=undefined"
SEGSUITE_CUDA=0 "$PYTHON" setup.py -q build_ext --inplace
ls segsuite/_C.abi3.so
export UBSAN_OPTIONS=print_stacktrace=1 PYTHONPATH=$copy
unset CFLAGS LDFLAGS
"$PYTHON" -m pytest -q -p no:cacheprovider tests/ops "$@"
"$PYTHON" -m tests.fuzz --seconds "${SECONDS_EACH:-10}" raw_operators
