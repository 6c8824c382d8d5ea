# Everything a clone needs: only Python 3.11 or newer has to be there. A C++ compiler is used where there is one.
#
#   make mnist      train the MNIST example, draw its curves
#   make test       the test suite
#   make check-all  all that can be checked here; slow
#   make compatibility   measure against torch, operation by operation, and write docs/compatibility.md
#   make lint bench docs clean
#
# PYTHON=/path/to/python3.12 chooses the interpreter of the virtual environments.

VENV := .venv
PARITY_VENV := .venv-parity
BIN := $(VENV)/bin
PIP := pip --disable-pip-version-check --quiet
MNIST_ARGS ?= --plot
PYTEST_ARGS ?=
BENCH_ARGS ?= --publish

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: mnist test test-reference test-install parity compatibility lint bench docs smoke sanitize check-all clean

mnist: $(VENV)/.stamp-mnist
	$(BIN)/python extra/mnist.py $(MNIST_ARGS)

test: $(VENV)/.stamp-test
	$(BIN)/python -m pytest -q --ignore=tests/parity $(PYTEST_ARGS)

# The same suite with NumPy alone: no native kernel answers.
test-reference: $(VENV)/.stamp-test
	MYTORCH_BACKEND=reference $(BIN)/python -m pytest -q --ignore=tests/parity $(PYTEST_ARGS)

# Builds the package in fresh environments, with and without a compiler.
test-install: $(VENV)/.stamp-test
	$(BIN)/python -m pytest -q -m install tests/test_install.py $(PYTEST_ARGS)

# Against torch itself. MYTORCH_FULL=1 runs the whole tables, otherwise a sample of them.
parity: $(PARITY_VENV)/.stamp-parity
	$(PARITY_VENV)/bin/python -m pytest -q tests/parity $(PYTEST_ARGS)

# Writes docs/compatibility.md: torch's own table of operations, every sample in every dtype. Takes half an hour.
compatibility: $(PARITY_VENV)/.stamp-parity
	PYTHONPATH=. $(PARITY_VENV)/bin/python -W ignore tests/parity/op_db_runner.py --markdown > compatibility.tmp
	mv compatibility.tmp docs/compatibility.md

lint: $(VENV)/.stamp-lint
	$(BIN)/ruff check .
	$(BIN)/mypy

# Against torch, and against JAX, MLX and tinygrad where they are installed in that environment. BENCH_ARGS: see benchmarks/run.py.
bench: $(PARITY_VENV)/.stamp-parity
	$(PARITY_VENV)/bin/python benchmarks/run.py $(BENCH_ARGS)

docs: $(VENV)/.stamp-docs
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html

# Every example, a few steps each.
smoke: $(VENV)/.stamp-test
	@set -e; for example in extra/*.py; do \
	  echo "$$example --smoke"; MPLBACKEND=agg $(BIN)/python "$$example" --smoke; \
	done

# The tests of the native kernels on a build with AddressSanitizer and UndefinedBehaviorSanitizer. Python itself is not built with
# them, so their libraries are loaded first.
SANITIZERS := address,undefined
SANITIZER_LIBRARIES = $(shell $(CXX) -print-file-name=libasan.so) $(shell $(CXX) -print-file-name=libubsan.so)
sanitize: $(VENV)/.stamp-test
	@if ! command -v $(CXX) >/dev/null 2>&1; then echo "sanitize: no C++ compiler ($(CXX)), so no native kernels to check"; \
	else set -ex; rm -rf build/sanitized; mkdir -p build/sanitized; \
	  $(BIN)/python -m $(PIP) install cmake ninja; \
	  $(BIN)/cmake -S . -B build/sanitize -G Ninja -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(BIN)/ninja -DMYTORCH_SANITIZE=$(SANITIZERS) \
	    -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python -DCMAKE_LIBRARY_OUTPUT_DIRECTORY=$(CURDIR)/build/sanitized; \
	  $(BIN)/cmake --build build/sanitize; \
	  cp -R mytorch tests pyproject.toml build/sanitized/; \
	  mv build/sanitized/_native.abi3.so build/sanitized/mytorch/; \
	  cd build/sanitized; \
	  LD_PRELOAD="$(SANITIZER_LIBRARIES)" ASAN_OPTIONS=detect_leaks=0:verify_asan_link_order=0 UBSAN_OPTIONS=halt_on_error=1 \
	    MYTORCH_BACKEND=native PYTHONPATH=. $(CURDIR)/$(BIN)/python -m pytest -q tests/backends; fi

check-all: export MYTORCH_FULL := 1
check-all: lint test test-reference sanitize parity test-install smoke docs

clean:
	rm -rf $(VENV) $(PARITY_VENV) build dist docs/_build .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---------------------------------------------------------------------------------------------------------------------------
# Set-up: one stamp file per step, made again only when its inputs change.

BUILD_INPUTS := pyproject.toml CMakeLists.txt mytorch/_version.py $(wildcard csrc/*.* csrc/kernels/*.*)

# An interpreter that is new enough and can make virtual environments (Debian splits ensurepip off into python3-venv).
PYTHONS := $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python)
define find_python
found=; for p in $(PYTHONS); do \
  if "$$p" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then found=$$p; break; fi; \
done; \
if [ -z "$$found" ]; then \
  echo "No suitable Python: tried $(PYTHONS)." >&2; \
  echo "Expected Python 3.11 or newer with the venv module (Debian and Ubuntu: apt install python3-venv)." >&2; \
  echo "Name one: make PYTHON=/path/to/python3.12 ..." >&2; \
  exit 1; \
fi
endef

# $(call install_extras,VENV,EXTRA...): the requirements of some extras, without building the package again.
READ_EXTRAS := import sys, tomllib; \
  extras = tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]; \
  print(*(requirement for name in sys.argv[1:] for requirement in extras[name]), sep="\n")
define install_extras
@$(1)/bin/python -c '$(READ_EXTRAS)' $(2) > $(1)/requirements.txt
$(1)/bin/python -m $(PIP) install -r $(1)/requirements.txt
endef

%/.stamp-venv:
	@$(find_python); echo "creating $* with $$found"; "$$found" -m venv --clear $*
	@touch $@

%/.stamp-core: %/.stamp-venv $(BUILD_INPUTS)
	$*/bin/python -m $(PIP) install -e .
	@$*/bin/python -m compileall -q mytorch  # where PYTHONDONTWRITEBYTECODE is set, every import would compile anew
	@touch $@

$(VENV)/.stamp-mnist: $(VENV)/.stamp-core
	$(call install_extras,$(VENV),progress plot)
	@touch $@

$(VENV)/.stamp-test: $(VENV)/.stamp-core
	$(call install_extras,$(VENV),test)
	@touch $@

$(VENV)/.stamp-lint: $(VENV)/.stamp-core
	$(call install_extras,$(VENV),dev)
	@touch $@

$(VENV)/.stamp-docs: $(VENV)/.stamp-core
	$(call install_extras,$(VENV),docs)
	@touch $@

$(PARITY_VENV)/.stamp-parity: $(PARITY_VENV)/.stamp-core
	$(call install_extras,$(PARITY_VENV),test parity)
	@touch $@
