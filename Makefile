# Two commands do everything, from any state of the checkout:
#   make book    set up, execute and build the book
#   make test    set up, check and test everything
# Between two edits:
#   make check   format, types and the tests that compile next to nothing
#   make page CHAPTER=one-formula    one chapter alone, in _build/page
# Slower, before a release:
#   make notebooks   run every exported notebook in fresh environments: the lock's versions, the
#                    newest JAX, Colab's (Python 3.11, 3.12 and 3.13); prints a table
#   make links       check the links of the book to other sites
# On a machine with an NVIDIA GPU:
#   make notebooks-gpu, make test-gpu    the notebooks and the tests of the library, on it
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# Chapters and tests run side by side: threads of their own would only wait for one another.
ONE_THREAD := OPENBLAS_NUM_THREADS=1 XLA_FLAGS="$$XLA_FLAGS --xla_cpu_multi_thread_eigen=false"

# Tests spend their time on compiling small programs, of which the emitters that XLA had before its
# fusion emitters take three fifths. A JAX that does not know these flags stops and says so; without
# them, as users compile: make test EMITTERS=
EMITTERS := --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1

# JAX takes all cores of a CPU for one device; sweeps use them as one device each.
EACH_CORE := JAX_NUM_CPU_DEVICES=$$($(BIN)/python -c 'import os; print(os.cpu_count())')

# Tests that compile nothing, or next to nothing.
QUICK := $(addprefix tests/,test_agreement.py test_arguments.py test_docstrings.py test_package.py \
  test_rooms.py sweep/test_keys.py sweep/test_values.py book/test_address.py \
  book/test_freshness.py book/test_notebooks.py book/test_plain_markdown.py book/test_reader.py \
  book/test_results.py book/test_used_in.py)

.PHONY: book page check test links notebooks notebooks-gpu test-gpu clean

book: $(READY)
	$(ONE_THREAD) $(BIN)/jupyter-book build . -W -n --keep-going
	@echo
	@echo "The book is ready: open file://$(CURDIR)/_build/html/index.html"

# References to other chapters lead nowhere here, so warnings are none of its errors.
page: $(READY)
	@test -e "book/$(CHAPTER).py" || { echo "Name a chapter: make page CHAPTER=one-formula"; exit 1; }
	mkdir -p _build/page
	printf 'format: jb-book\nroot: book/%s\n' $(CHAPTER) > _build/page/_toc.yml
	$(EACH_CORE) $(BIN)/jupyter-book build . --toc _build/page/_toc.yml --path-output _build/page
	@echo
	@echo "The page is ready: open file://$(CURDIR)/_build/page/_build/html/book/$(CHAPTER).html"

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -n 2 -m "not slow" $(QUICK)

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	export XLA_FLAGS="$$XLA_FLAGS $(EMITTERS)"; $(ONE_THREAD) $(BIN)/python -m pytest -n auto --dist worksteal

# With the settings of `book`: with others every chapter would run anew.
links: book
	$(ONE_THREAD) $(BIN)/jupyter-book build . --builder linkcheck

notebooks notebooks-gpu: book
	rm -rf _build/wheel
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir _build/wheel .
	$(ONE_THREAD) $(BIN)/python tests/book/run_notebooks.py $(NOTEBOOKS) \
	  --wheel _build/wheel/*.whl _build/html/notebooks/*.ipynb

notebooks: NOTEBOOKS := --jobs 2
notebooks-gpu: NOTEBOOKS := --only gpu

# Several processes share the memory of the GPU only where none takes all of it at the start.
test-gpu: $(READY)
	$(BIN)/python -m pip install --quiet "jax[cuda12]==$$($(BIN)/python -c 'import jax; print(jax.__version__)')"
	JAX_PLATFORMS=cuda,cpu XLA_PYTHON_CLIENT_PREALLOCATE=false \
	  $(BIN)/python -m pytest -n 4 --ignore=tests/book tests fatelib

# The environment is made anew whenever the lock or the project's metadata changes.
$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "fatelib needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)."; \
	  echo "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test ! -e $(VENV) -o -e $(VENV)/.made-by-make || { \
	  echo "$(VENV) exists and was not made by make: move it, or name another: make VENV=.env $(MAKECMDGOALS)"; exit 1; }
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	@touch $(VENV)/.made-by-make
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

clean:
	rm -rf _build $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
