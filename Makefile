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
SANITIZE_VENV := .venv-sanitize
BIN := $(VENV)/bin
PIP := pip --disable-pip-version-check --quiet
MNIST_ARGS ?= --plot
PYTEST_ARGS ?=
BENCH_ARGS ?= --publish

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: mnist test test-reference test-install parity compatibility lint bench docs smoke sanitize sanitize-threads test-isas check-all clean

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

# The tests of the native kernels on a build with sanitizers. Python itself is not built with them, so their libraries are loaded
# first. The environment has no mytorch installed, whose extension would be imported in place of the one to test.
# $(call on_sanitized_build,NAME,SANITIZERS,LIBRARIES,OPTIONS IN THE ENVIRONMENT,TESTS)
SANITIZE_BIN := $(CURDIR)/$(SANITIZE_VENV)/bin
IS_OURS := import os, mytorch._native as n; assert n.__file__.startswith(os.getcwd()) and not n.POOLED, n.__file__
define on_sanitized_build
@if ! command -v $(CXX) >/dev/null 2>&1; then echo "$@: no C++ compiler ($(CXX)), so no native kernels to check"; \
else set -e; tree=$(CURDIR)/build/$(1); rm -rf $$tree/src; mkdir -p $$tree/src; \
  $(SANITIZE_BIN)/cmake -S . -B $$tree -G Ninja -DCMAKE_MAKE_PROGRAM=$(SANITIZE_BIN)/ninja -DMYTORCH_SANITIZE=$(2) \
    -DPython_EXECUTABLE=$(SANITIZE_BIN)/python -DCMAKE_LIBRARY_OUTPUT_DIRECTORY=$$tree/src -DCMAKE_CXX_FLAGS=-w > $$tree/cmake.log; \
  $(SANITIZE_BIN)/cmake --build $$tree > $$tree/build.log || { cat $$tree/build.log; exit 1; }; \
  cp -R mytorch tests pyproject.toml $$tree/src/; mv $$tree/src/_native.abi3.so $$tree/src/mytorch/; cd $$tree/src; \
  export LD_PRELOAD="$(foreach library,$(3),$(shell $(CXX) -print-file-name=$(library).so))" $(4) MYTORCH_BACKEND=native PYTHONPATH=.; \
  $(SANITIZE_BIN)/python -c '$(IS_OURS)'; \
  $(SANITIZE_BIN)/python -m pytest -q --capture=sys $(5); fi
endef

MEMORY := address,undefined
# AddressSanitizer and UndefinedBehaviorSanitizer: no kernel touches memory that is not its own. The sanitizer's own allocator does
# not survive a fork while other threads allocate (the child waits for its lock for ever), so that the test of it runs elsewhere.
sanitize: $(SANITIZE_VENV)/.stamp-tools
	$(call on_sanitized_build,sanitized,$(MEMORY),libasan libubsan,ASAN_OPTIONS=detect_leaks=0:verify_asan_link_order=0 \
	  UBSAN_OPTIONS=halt_on_error=1,tests/backends -k "not fork_in_the_middle")

# ThreadSanitizer: the threads that share a job do not race. It follows no fork of a process that has threads.
sanitize-threads: $(SANITIZE_VENV)/.stamp-tools
	$(call on_sanitized_build,sanitized-threads,thread,libtsan,TSAN_OPTIONS=halt_on_error=1,tests/backends/test_threads.py \
	  -k "not fork and not worker and not ctrl_c")

# The native kernels of each instruction set that this processor has, also those that it would not choose.
LIST_ISAS := import sys; sys.path.insert(0, "."); from tests.backends.agreement import instruction_sets; print(*instruction_sets())
test-isas: $(VENV)/.stamp-test
	@set -e; for isa in $$($(BIN)/python -c '$(LIST_ISAS)'); do echo "MYTORCH_ISA=$$isa"; \
	  MYTORCH_ISA=$$isa $(BIN)/python -m pytest -q tests/backends/test_all_rows.py tests/backends/test_threads.py tests/test_layers.py; done

check-all: export MYTORCH_FULL := 1
check-all: lint test test-reference test-isas sanitize sanitize-threads parity test-install smoke docs

clean:
	rm -rf $(VENV) $(PARITY_VENV) $(SANITIZE_VENV) build dist docs/_build .pytest_cache .hypothesis .mypy_cache .ruff_cache
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

$(SANITIZE_VENV)/.stamp-tools: $(SANITIZE_VENV)/.stamp-venv
	$(call install_extras,$(SANITIZE_VENV),test)
	$(SANITIZE_VENV)/bin/python -m $(PIP) install cmake ninja numpy
	@touch $@

# It sees the packages of the first environment, so that mytorch is built once.
SITE := import sysconfig; print(sysconfig.get_path("purelib"))
$(PARITY_VENV)/.stamp-parity: $(PARITY_VENV)/.stamp-venv $(VENV)/.stamp-core
	@echo "import site; site.addsitedir('$$($(BIN)/python -c '$(SITE)')')" > "$$($(PARITY_VENV)/bin/python -c '$(SITE)')/first.pth"
	$(call install_extras,$(PARITY_VENV),test parity)
	@touch $@
