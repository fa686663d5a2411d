# Every target makes .venv if it is not there, reuses it if it is, and prints the commands it runs.
#
#   make demo      light install, then a minute's tour          make bench     tables against peers
#   make test      what CI runs                                 make golden    rewrite golden files (review the diff)
#   make test-all  with the slow tests and the heavy peers      make fuzz      every fuzz target for FUZZ_S seconds
#   make lint      formatter, linter, types                     make sanitize  C++ tests under ASan and UBSan
#   make format    rewrite files in the house's form            make docs      regenerate what docs/ takes from code
#   make arm       C++ tests for 64-bit Arm under qemu      make counts    instructions a symbol, under Callgrind
#   make clean     remove what the others made

SHELL := /bin/bash
PYTHON ?= python3
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
FUZZ_S ?= 60
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
CORE := CMakeLists.txt $(shell find core -type f 2>/dev/null)
NATIVE := build/native
export CMAKE_BUILD_PARALLEL_LEVEL := $(JOBS)
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: demo test test-all lint format bench golden fuzz sanitize arm counts docs clean
.DELETE_ON_ERROR:

# The build's own needs come first, so that the package builds without isolation and rebuilds in seconds.
$(BIN)/python:
	$(PYTHON) -m venv .venv

.venv/.build: $(BIN)/python
	$(PIP) install -q "scikit-build-core>=0.10" "nanobind>=2.4" "cmake>=3.20" ninja
	@touch $@

.venv/.light: .venv/.build pyproject.toml $(CORE)
	$(PIP) install -q --no-build-isolation -e .
	@touch $@

.venv/.test: .venv/.light constraints.txt
	$(PIP) install -q --no-build-isolation -c constraints.txt -e ".[neural,compressai,test]"
	@touch $@

.venv/.bench: .venv/.light constraints.txt
	$(PIP) install -q --no-build-isolation -c constraints.txt -e ".[bench,test]"
	@touch $@

$(NATIVE)/.built: .venv/.build $(CORE)
	$(BIN)/cmake -S . -B $(NATIVE) -G Ninja -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(BIN)/ninja
	$(BIN)/cmake --build $(NATIVE)
	@touch $@

demo: .venv/.light
	$(BIN)/narrows demo

test: .venv/.test $(NATIVE)/.built lint
	$(BIN)/ctest --test-dir $(NATIVE) --output-on-failure -j $(JOBS)
	$(BIN)/python -m pytest -q -m "not slow" --durations=15

test-all: .venv/.test .venv/.bench $(NATIVE)/.built lint
	$(BIN)/ctest --test-dir $(NATIVE) --output-on-failure -j $(JOBS)
	HYPOTHESIS_PROFILE=night $(BIN)/python -m pytest -q --durations=15

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/.bench
	$(BIN)/narrows bench codecs
	$(BIN)/python benchmarks/entropy.py
	$(BIN)/python benchmarks/bottlenecks.py --costs
	$(BIN)/python benchmarks/bottlenecks.py --out runs/bottlenecks
	@if [ -n "$$NARROWS_DATA" ]; then $(BIN)/python benchmarks/images.py kodak; else echo "NARROWS_DATA is not set: no picture tables"; fi

golden: .venv/.test
	$(BIN)/python tests/golden/write.py

fuzz: .venv/.test
	$(BIN)/cmake -S . -B build/fuzz -G Ninja -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(BIN)/ninja -DNARROWS_SANITIZE=ON
	$(BIN)/cmake --build build/fuzz
	for target in build/fuzz/fuzz_*; do \
	  if [ -x $$target ] && [ -f $$target ]; then echo $$target; $$target -max_total_time=$(FUZZ_S) || exit 1; fi; \
	done
	HYPOTHESIS_PROFILE=night $(BIN)/python -m pytest -q tests/fuzz

sanitize: .venv/.build
	$(BIN)/cmake -S . -B build/sanitize -G Ninja -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(BIN)/ninja -DNARROWS_SANITIZE=ON
	$(BIN)/cmake --build build/sanitize
	$(BIN)/ctest --test-dir build/sanitize --output-on-failure -j $(JOBS)

# Debian's g++-aarch64-linux-gnu and qemu-user.
arm: .venv/.build
	@if command -v aarch64-linux-gnu-g++ >/dev/null && command -v qemu-aarch64 >/dev/null; then set -ex; \
	  $(BIN)/cmake -S . -B build/aarch64 -G Ninja -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(BIN)/ninja -DCMAKE_TOOLCHAIN_FILE=cmake/aarch64.cmake; \
	  $(BIN)/cmake --build build/aarch64; \
	  $(BIN)/ctest --test-dir build/aarch64 --output-on-failure -j $(JOBS); \
	else echo "aarch64-linux-gnu-g++ or qemu-aarch64 is not installed: nothing run for Arm"; fi

# To record new counts: .venv/bin/python benchmarks/instructions.py --record
counts: $(NATIVE)/.built
	$(BIN)/python benchmarks/instructions.py || [ $$? -eq 77 ]

docs: .venv/.light
	$(BIN)/python -m nanobind.stubgen -m narrows._core -O narrows

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -f narrows/_core*.so
