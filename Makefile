# One environment, .venv, serves every target. Install options (an index of CPU-only PyTorch wheels,
# a mirror) go in PIP_ARGS: make demo PIP_ARGS="--index-url https://..."
PYTHON ?= python3
PIP_ARGS ?=
# Test processes; each computes in one thread.
JOBS ?= 2
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(VENV)/bin/pip --disable-pip-version-check -q install $(PIP_ARGS)
PACKAGING := setup.py pyproject.toml $(wildcard csrc/*.* csrc/*/*.*)

.PHONY: demo test test-slow fuzz test-ubsan test-compilers test-aarch64 benchmark-gpu lint format install clean

# PyTorch comes first: the extension is compiled against the one that is installed.
$(VENV)/.torch:
	@$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 10), sys.version' || \
		(echo "segsuite needs Python 3.10 or newer: make PYTHON=/path/to/python3.10"; exit 1)
	$(PYTHON) -m venv $(VENV)
	@echo "Installing PyTorch (large, once) ..."
	$(PIP) torch torchvision "setuptools>=77" wheel ninja
	@touch $@

$(VENV)/.installed: $(VENV)/.torch $(PACKAGING)
	@echo "Installing segsuite ..."
	$(PIP) --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo "Installing the test extras ..."
	$(PIP) --no-build-isolation -e ".[test]"
	@touch $@

install: $(VENV)/.installed

demo: $(VENV)/.installed
	$(PY) tools/demo.py

test: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(PY) -m pytest -m "not slow" -n $(JOBS)

test-slow: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(PY) -m pytest -m slow -n $(JOBS)

# Inputs that are nearly right, for SECONDS a target; seeds of failures stay in .fuzz. With the extra
# `fuzz` installed besides, atheris chooses them by what they cover.
SECONDS ?= 60
fuzz: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(PY) -m tests.fuzz --seconds $(SECONDS)

# The operators once more, in a library that stops at undefined behaviour: shifts and conversions out
# of range, overflow, misaligned and null pointers.
test-ubsan: $(VENV)/.installed-test
	CFLAGS="-fsanitize=undefined,float-cast-overflow -fno-sanitize-recover=all -g1" \
	LDFLAGS="-fsanitize=undefined" UBSAN_OPTIONS=print_stacktrace=1 \
	OMP_NUM_THREADS=1 PYTHON=$(PY) bash tests/ops/rebuilt.sh

# ... by other compilers, and for another processor.
COMPILERS ?= g++ clang++-16 clang++-19
test-compilers: $(VENV)/.installed-test
	for compiler in $(COMPILERS); do \
		CXX=$$compiler OMP_NUM_THREADS=1 PYTHON=$(PY) bash tests/ops/rebuilt.sh || exit 1; \
	done

test-aarch64:
	bash tests/ops/aarch64.sh

# On a machine with a GPU and nvcc; options of benchmarks/run_all.py go in BENCHMARK_ARGS.
BENCHMARK_ARGS ?=
benchmark-gpu: $(VENV)/.installed-test
	PYTHON=$(PY) bash benchmarks/on_gpu.sh $(BENCHMARK_ARGS)

lint: $(VENV)/.installed-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: $(VENV)/.installed-test
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean:
	rm -rf $(VENV) build output *.egg-info segsuite/*.so
