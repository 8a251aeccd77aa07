# make demo   the whole pipeline against an embedded registry; no network, Docker or root
# make test   unit tests, then the integration tests that this machine can run
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: install demo test unit integration lint bench pictures lock audit docs golden mutants
install: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@echo "installing into $(VENV) (once, a minute or two)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: install
	@$(BIN)/pullbench demo --prefect

test: unit integration

unit: install
	$(BIN)/python -m pytest --ignore tests/integration --numprocesses auto --dist worksteal

integration: install
	$(BIN)/python -m pytest tests/integration -m integration --numprocesses 2 --dist loadfile

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install
	$(BIN)/python -m benchmarks

# The reports as the README shows them, in docs/images: look at them before they are committed.
pictures: install
	$(BIN)/python -m benchmarks.pictures

# The lock holds names and versions only, of every extra and of the build backend; made from pyproject.toml in a fresh environment.
lock:
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet '.[dev]'
	build/lock/bin/pip freeze --exclude pullbench | sed 's/ @ .*//' > requirements.lock

# Known vulnerabilities of what the lock pins (docs/security.md). It asks PyPI, so it is no part of `test`; what could not be
# looked up is a failure too.
audit: install
	$(BIN)/pip-audit --strict --disable-pip --no-deps --progress-spinner off --requirement requirements.lock

# The pages and schemas that are made from the code.
docs: install
	$(BIN)/python -m tools

# The pages that hold the wording of console, summary and report: read their diff before it is committed.
golden: install
	PULLBENCH_GOLDEN=write $(BIN)/python -m pytest tests --ignore tests/integration -k golden --numprocesses auto

# Changes five modules bit by bit (pyproject.toml, [tool.mutmut]) and lists the changes that no test notices. It takes hours;
# one module takes minutes: make mutants MODULE=pullbench.stats.compare
mutants: install
	-$(BIN)/mutmut run $(if $(MODULE),'$(MODULE).*')
	$(BIN)/mutmut results
