# The only menu. Every target installs what it needs; nothing has to be there but python3 with venv, make and Go.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
export PYTHONPATH := operator:tests

DOCKER ?= docker
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
IMAGE ?= milvus-rbac-operator:$(VERSION)
COMPILE = $(VENV)/lock-tools/bin/uv pip compile --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --no-header --quiet
COMMIT = git log -1 --pretty=

.PHONY: help demo check test size lint unit contract integration generate messages bench picture image e2e lock clean

help:  ## What can be made
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 14

$(VENV)/.installed: requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	touch $@

demo: $(VENV)/.installed  ## Kubernetes API, Milvus and the operator on this machine, from apply to login; KEEP=1 leaves them running
	$(PY) -m testbed.demo $(if $(filter-out 0,$(KEEP)),--keep)

test: check  ## Everything that CI runs
	$(PY) -m testbed.build
	$(PY) -m testbed.checkers
	$(PY) -m pytest -n 4 --dist loadscope -m '(servers or slow) and not size' tests/controller tests/contract tests/integration

size: $(VENV)/.installed  ## Ten thousand users and half a million grants, and how soon a rotation is in force: minutes, on a quiet machine
	$(PY) -m testbed.build
	$(PY) -m pytest -s -m size tests/integration

lint: $(VENV)/.installed  ## ruff, mypy --strict, import-linter, generated files fresh
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-cache
	$(PY) -m tools.crdgen --check
	$(PY) -m tools.docgen --check

unit: $(VENV)/.installed  ## The unit tests, and that they reach every branch of the domain
	$(PY) -m coverage run --source=operator/milvus_rbac/domain -m pytest tests/unit
	$(PY) -m coverage report --show-missing --fail-under=100

check: $(VENV)/.installed  ## While you change code, in minutes: lint and every test that needs no real server, but the slowest
	$(MAKE) --jobs=2 --output-sync lint unit
	$(PY) -m pytest -n 3 --dist worksteal -m 'not (servers or slow)' tests/properties tests/house tests/controller tests/contract

contract: $(VENV)/.installed  ## The Milvus client against a real Milvus
	$(PY) -m pytest tests/contract

integration: $(VENV)/.installed  ## The operator as a process against a real Kubernetes API and a real Milvus
	$(PY) -m testbed.build
	$(PY) -m testbed.checkers
	$(PY) -m pytest -n 4 --dist loadscope -m 'not size' tests/integration

generate: $(VENV)/.installed  ## Write what is generated: CRDs, lists in docs/, manifests/install.yaml, Argo CD's settings
	$(PY) -m tools.crdgen
	$(PY) -m tools.docgen
	$(PY) -m testbed.argocd
	$(PY) -m testbed.install_manifest

messages: $(VENV)/.installed  ## docs/messages.md anew: what is really said to the mistakes of tests/support/mistakes
	$(PY) -m support.mistakes.page

bench: $(VENV)/.installed  ## What is claimed about speed and writes, measured side by side; SIZES="200 1000", ROUNDS=1
	$(PY) -m testbed.build
	$(PY) -m bench.apply $(if $(SIZES),--sizes $(SIZES)) $(if $(ROUNDS),--rounds $(ROUNDS))

picture: $(VENV)/.installed  ## docs/dashboard.png anew: the dashboard with the data of a run
	$(PY) -m pip install --quiet --target $(VENV)/picture-tools 'matplotlib>=3.10,<4'
	PYTHONPATH=$(PYTHONPATH):$(VENV)/picture-tools $(PY) -m bench.picture

image:  ## The container image, with Docker; IMAGE names it, PYTHON_IMAGE is another base (with its digest)
	@$(DOCKER) version >/dev/null 2>&1 || { echo '`make image` needs Docker: $(DOCKER) does not answer.' >&2; exit 1; }
	$(DOCKER) build --file operator/Dockerfile --tag $(IMAGE) $(if $(PYTHON_IMAGE),--build-arg PYTHON_IMAGE=$(PYTHON_IMAGE)) \
	  --build-arg VERSION=$(VERSION) --build-arg REVISION="$$($(COMMIT)%H)" --build-arg CREATED="$$($(COMMIT)%cI)" \
	  --build-arg SOURCE_DATE_EPOCH="$$($(COMMIT)%ct)" .

e2e: $(VENV)/.installed  ## Image, charts and some stories on a kind cluster of its own: needs Docker, kind, kubectl and helm; KEEP=1
	PYTHON=$(PY) tests/e2e/run.sh

lock: $(VENV)/.installed  ## Resolve the dependencies anew, for every supported Python; those of the image are the same ones
	$(PY) -m pip install --quiet --target $(VENV)/lock-tools 'uv>=0.9,<1'
	$(COMPILE) --group dev --upgrade --output-file requirements.lock pyproject.toml
	$(COMPILE) --no-annotate --constraint requirements.lock --upgrade --output-file operator/requirements.lock pyproject.toml
	$(COMPILE) --no-annotate --constraint requirements.lock --upgrade --output-file operator/build.lock --group pyproject.toml:build

clean:  ## Forget the environment; the cache of built servers stays
	rm -rf $(VENV)
