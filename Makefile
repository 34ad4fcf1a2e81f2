# Each target works alone on a fresh machine with Python >= 3.11, git and make.
PYTHON ?= python3
VENV := .venv
# --no-compile: only what is imported gets compiled, which saves half a minute
PIP := $(VENV)/bin/python -m pip install --disable-pip-version-check --no-compile --constraint constraints.txt
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: demo test clean

demo: $(VENV)/demo  ## Run the pipeline on the embedded data, and on no other, and show the leaderboard.
	dvc repro features@scenes
	@echo "Two trainings at a time; the same as a plain 'dvc repro', sooner."
	bench sweep --methods hardest,semi-hard,fne --datasets scenes --seeds 3 --jobs 2
	bench leaderboard --dataset scenes --baseline hardest

test: $(VENV)/test  ## Lint, type-check, test.
	ruff check .
	ruff format --check .
	mypy
	pytest --numprocesses 2

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
