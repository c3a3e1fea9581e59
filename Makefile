# Three commands on a fresh machine: `make lakehouse`, `make next-day` and `make test`. Needs Python 3.11 or newer, and nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
MINISTACK := .venv-ministack
PIP_AUDIT := .venv-pip-audit
export DAGSTER_HOME ?= $(CURDIR)/.dagster

.PHONY: lakehouse next-day test faults ui lint audit bench ddl docs hashes pictures clean

# Materialize every table (on the sample feeds, unless STEDI_SOURCE says otherwise), and say what there is now.
lakehouse: $(VENV)/installed
	PYTHONWARNINGS=ignore $(BIN)/dagster asset materialize -m stedi_assets --select '*' || code=$$?; \
	$(BIN)/python -m stedi_assets.cli summary; exit $${code:-0}
	@echo "Look at it in the Dagster UI: make ui, then open http://localhost:3000"

# Deliver one more day of the sample, materialize what it changes, and say what that was.
next-day: $(VENV)/installed
	@$(BIN)/python -m stedi_assets.cli next-day
	PYTHONWARNINGS=ignore $(BIN)/dagster asset materialize -m stedi_assets --select '*' || code=$$?; \
	$(BIN)/python -m stedi_assets.cli changes; exit $${code:-0}

test: $(VENV)/installed-dev $(MINISTACK)/installed
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

# Break things on purpose, as often as it takes: kill -9, races, hostile feeds. `make test` does it a few times.
faults: $(VENV)/installed-dev $(MINISTACK)/installed
	$(BIN)/python -m pytest -m slow --full

ui: $(VENV)/installed
	$(BIN)/dagster dev -w workspace.yaml

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Time the whole command beside other ways: `make bench`, `make bench SCALE=100 RUNS=3`. More: bench/run --help.
bench: $(VENV)/installed-dev
	$(BIN)/python bench/run $(if $(SCALE),--scale $(SCALE)) $(if $(RUNS),--runs $(RUNS))

# Write sql/*_landing.sql anew from the contracts.
ddl: $(VENV)/installed
	$(BIN)/python -m stedi_assets.cli ddl

# Write docs/audits.md anew from the checks, and from the rules that the tests break.
docs: $(VENV)/installed-dev
	$(BIN)/python -m tests.stedi_assets.checks.page

# Write deploy/requirements.txt anew: what the image installs, in the versions of constraints.txt, with their hashes.
hashes: $(UV)
	$(UV) pip compile --quiet --generate-hashes --no-annotate --custom-compile-command 'make hashes' \
		--python-platform linux --python-version 3.11 --extra deploy --constraint constraints.txt \
		pyproject.toml --output-file deploy/requirements.txt

# Make the pictures in docs/ anew, from what a browser sees.
pictures: $(VENV)/installed-dev
	UPDATE_PICTURES=1 $(BIN)/python -m pytest tests/test_ui.py -k 'lineage or asset_page'

# Whether a vulnerability is known of any version that the project pins. Asks the network.
audit: $(PIP_AUDIT)/installed
	$(PIP_AUDIT)/bin/pip-audit --no-deps --disable-pip --vulnerability-service osv --requirement constraints.txt
	$(PIP_AUDIT)/bin/pip-audit --no-deps --disable-pip --vulnerability-service osv --requirement constraints-ministack.txt

# The environment, with the versions that the project was tested with. uv installs them in a third of pip's time.
$(UV): constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, $(PYTHON) is older: make PYTHON=python3.11 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check --constraint constraints.txt uv
	@touch $@

$(VENV)/installed: $(UV) pyproject.toml
	$(UV) pip install --python $(BIN)/python --constraint constraints.txt --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(UV) pip install --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	@touch $@

# The server that stands for AWS in the tests; it pins packages that the project has in other versions.
$(MINISTACK)/installed: $(UV) constraints-ministack.txt
	$(UV) venv --clear --python $(BIN)/python $(MINISTACK)
	$(UV) pip install --python $(MINISTACK)/bin/python --requirement constraints-ministack.txt
	@touch $@

$(PIP_AUDIT)/installed: $(UV)
	$(UV) venv --clear --python $(BIN)/python $(PIP_AUDIT)
	$(UV) pip install --python $(PIP_AUDIT)/bin/python pip-audit
	@touch $@

clean:
	rm -rf $(VENV) $(MINISTACK) $(PIP_AUDIT) lakehouse build *.egg-info
