# make run   the story of the series: five designs checked, the deadlock shown and explained
# make test  lint, types and the whole test suite
# make bench the native explorer against its peers, on this machine, in one run
# make mutants  one small change at a time, hours: which of them does no test notice (FOLDERS=, MUTANT_JOBS=)
# make fuzz   random protocols, quiesce against an independent oracle, for as long as asked: SECONDS=600 SEED=1
# Every target installs what it needs into .venv; only Python 3.11+ and a package registry are needed.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: run test lint types check-tests bench fuzz mutants golden clean

run: $(STAMP)
	@$(BIN)/quiesce

test: lint types check-tests

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

check-tests: $(STAMP)
	$(BIN)/pytest -n $(JOBS) --dist worksteal

golden: $(STAMP)
	$(BIN)/pytest -n $(JOBS) --update-golden tests

bench: $(STAMP)
	$(BIN)/python -m benchmarks

mutants: $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt cosmic-ray
	nice -n 19 $(BIN)/python -m mutants --jobs $(or $(MUTANT_JOBS),1) $(FOLDERS)

# Processes that run the tests side by side.
JOBS    ?= auto
SECONDS ?= 60
SEED    ?= 0

fuzz: $(STAMP)
	PYTHONPATH=tests/support $(BIN)/python -m fuzz --seconds $(SECONDS) --seed $(SEED)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--editable '.[native,kvm,mcp]' hatchling hypothesis jsonschema mypy pytest pytest-randomly pytest-xdist ruff
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
