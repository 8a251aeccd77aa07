# make demo   the whole pipeline against an embedded registry; no network, Docker or root
# make test   unit tests, then the integration tests that this machine can run
# make test-pulp   as root: the tests with Pulp, which PyPI and PostgreSQL make
# make test-modern   the unit tests and the clients' tests again, with the clients and the Python of Debian sid
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

RECORDS := build/clients

.PHONY: install demo test test-modern test-pulp clients unit integration lint bench pictures lock audit docs golden mutants
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
	PULLBENCH_CLIENT_RECORD=$(RECORDS)/stable.json $(BIN)/python -m pytest tests/integration -m 'integration and not pulp' --numprocesses 2 --dist loadfile

# As root. The chroot of Debian sid is made once, and kept in PULLBENCH_MODERN (tests/modern/run.sh).
test-modern: install
	$(BIN)/python -m benchmarks.debian_images
	tests/modern/run.sh

# As root, with postgresql and nginx-light of Debian: Pulp itself, from PyPI. It takes minutes, so .ci/run leaves it to a weekly job.
test-pulp: install
	PULLBENCH_REQUIRE_REAL=1 $(BIN)/python -m pytest tests/integration/test_pulp.py -m pulp

# docs/clients.md from the records of the last `make integration` and `make test-modern`.
clients: install
	cp $(RECORDS)/*.json tests/clients/
	$(BIN)/python -m tools

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
