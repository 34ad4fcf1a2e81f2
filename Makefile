# Each target works alone on a fresh machine with Python >= 3.11, git and make.
PYTHON ?= python3
VENV := .venv
LOWEST := $(VENV)/lowest
NOT_UNITS := arrivals cli fuzz_project formats_fuzz house killed packaging plugin safe_project safe_sources \
	store_at_size streams trackers versions work_lost
# --no-compile: only what is imported gets compiled, which saves half a minute
PIP := $(VENV)/bin/python -m pip install --disable-pip-version-check --no-compile --constraint constraints.txt
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: demo test test-thorough test-lowest results clean

demo: $(VENV)/demo  ## Run the pipeline on the embedded data, and on no other, and show the leaderboard.
	dvc repro features@scenes
	@echo "Two trainings at a time; the same as a plain 'dvc repro', sooner."
	bench sweep --methods hardest,semi-hard,fne --datasets scenes --seeds 3 --jobs 2
	bench leaderboard --dataset scenes --baseline hardest

test: $(VENV)/test  ## Lint, type-check, test.
	ruff check .
	ruff format --check .
	mypy
	pytest --numprocesses 2 --dist loadfile

test-thorough: $(VENV)/test  ## What tests show in one way, in every other way.
	pytest --numprocesses 2 -m thorough

# What is left out starts processes, or takes minutes.
test-lowest: $(LOWEST)/done  ## Unit tests against the lowest versions that pyproject.toml allows.
	$(LOWEST)/bin/python -m pytest -m 'not slow and not thorough' --override-ini filterwarnings=default \
		$(patsubst %,--ignore=tests/test_%.py,$(NOT_UNITS))

results: $(VENV)/test  ## Run what stands behind docs/results, and write its tables; goes on where it was stopped.
	python docs/results/make.py

clean:  ## Remove the environment and every output.
	rm -rf $(VENV) .bench data/*/ features runs studies leaderboard checked

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python >= 3.11 is needed; name one with PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable .
	touch $@

$(VENV)/test: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable '.[offline,dev]'
	touch $@ $(VENV)/demo

$(LOWEST)/done: pyproject.toml
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python -m pip install --disable-pip-version-check uv
	$(LOWEST)/bin/uv pip install --python $(LOWEST)/bin/python --resolution lowest-direct --editable '.[offline,dev]'
	touch $@
