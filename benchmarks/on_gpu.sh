#!/usr/bin/env bash
# In a fresh checkout on a machine with a GPU and nvcc: build the extension with CUDA kernels, run the
# operators' tests on the GPU, and measure. Arguments are those of run_all.py:
#
#   bash benchmarks/on_gpu.sh --minutes 6
#
# PYTHON (python3) has PyTorch and what segsuite needs, or finds it by PYTHONPATH; logs, the table and
# the figures as JSON come into OUT (output/benchmark). Needs no network.
set -uo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3} OUT=${OUT:-output/benchmark}
mkdir -p "$OUT"
export PYTHONUNBUFFERED=1 PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}

echo "== build"
if ! SEGSUITE_CUDA=auto MAX_JOBS=${MAX_JOBS:-$(nproc)} "$PYTHON" setup.py build_ext --inplace \
    >"$OUT/build.log" 2>&1; then
  tail -20 "$OUT/build.log"
  exit 1
fi
"$PYTHON" -m segsuite.utils.env | tee "$OUT/environment.txt"

echo "== the operators' tests"
timeout 150 "$PYTHON" -m pytest -q -p no:cacheprovider tests/ops \
  -k "cuda and not compile and not export" >"$OUT/tests.log" 2>&1
tests=$?
tail -5 "$OUT/tests.log"

echo "== measure"
"$PYTHON" benchmarks/run_all.py --device cuda --json "$OUT/figures.json" "$@" | tee "$OUT/table.md"
measured=$?
exit $((tests ? tests : measured))
