# The environment lives in .venv; every target makes it first when the lock has changed.
PYTHON ?= python3
BIN := .venv/bin
LOCK := requirements-dev.txt

.PHONY: setup demo test test-all trials faults lint format docs bench bench-segment bench-ingest bench-search bench-transfer bench-watch bench-reembed bench-device lock clean

setup: .venv/.installed

.venv/.installed: $(LOCK) requirements-uv.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-uv.txt
	$(BIN)/uv pip sync -q --compile-bytecode --python $(BIN)/python --require-hashes $(LOCK)
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	touch $@

demo: setup
	$(BIN)/objseek demo

# An index is many files that are made and mapped anew whenever it is opened: with 8 GiB free there,
# tests keep theirs in memory.
IN_MEMORY := $(shell df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 && $$4 > 8388608 {print "/dev/shm"}')

# Much of a test is waiting: three processes share the files, on two cores too. In the order that
# tests/conftest.py gives them, as files of few and long tests would else come last, one after the
# other. Threads that spin while they wait for the others of their sum take the cores from other
# processes: what computes took twice as long. What is compiled once is kept, whatever the
# environment says: each process would compile all tests anew. The slowest are listed, as there are
# limits.
PYTEST := $(if $(IN_MEMORY),PYTEST_DEBUG_TEMPROOT=$(IN_MEMORY)) OMP_WAIT_POLICY=passive \
	OPENBLAS_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest \
	--dist loadfile --no-loadscope-reorder --durations 25 --durations-min 5

# About five minutes on two idle cores; it has six.
test: setup
	$(PYTEST) -n 3

# All but `make faults`: after what `make test` runs, what it leaves out for its length. More of it
# is waiting for processes, browsers and servers.
test-all: test
	$(PYTEST) -n 4 -m '(long or trials) and not faults'

# Odd inputs of real files, stores and tools; `make test-all` runs them too.
trials: setup
	$(PYTEST) -n 3 -m trials

faults: setup
	$(BIN)/python -m pytest -m faults

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Into build/site, with warnings as errors.
docs: setup
	$(BIN)/python -m docs.site.build

bench: bench-segment bench-ingest bench-search bench-transfer bench-watch bench-reembed

bench-segment: setup
	$(BIN)/python -m bench.segment

bench-ingest: setup
	$(BIN)/python -m bench.ingest

bench-search: setup
	$(BIN)/python -m bench.search

bench-transfer: setup
	$(BIN)/python -m bench.transfer

bench-watch: setup
	$(BIN)/python -m bench.watch

bench-reembed: setup
	$(BIN)/python -m bench.reembed

# Of a GPU; on a machine that has PyTorch and little else, bench/device.sh says how.
bench-device: setup
	$(BIN)/python -m bench.device

UV_COMPILE := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate

lock:
	test -x $(BIN)/uv || { $(PYTHON) -m venv .venv && $(BIN)/python -m pip install -q uv; }
	$(UV_COMPILE) pyproject.toml --extra cluster --extra lance -o requirements.txt
	$(UV_COMPILE) pyproject.toml --extra dev --extra demo --extra train --extra docs -c requirements.txt -o requirements-dev.txt
	echo uv | $(UV_COMPILE) - -c requirements-dev.txt -o requirements-uv.txt
	echo cyclonedx-bom | $(UV_COMPILE) - -c requirements-dev.txt -o requirements-sbom.txt

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
