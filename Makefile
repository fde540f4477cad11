# Everything is installed under SELDON_HOME (.seldon) from the locks in compose/locks; only Python 3.11 has to be there.

SELDON_HOME ?= $(CURDIR)/.seldon
SELDON_VENVS ?= $(SELDON_HOME)/venvs
SELDON_SAMPLES ?= $(SELDON_HOME)/samples
export SELDON_HOME SELDON_VENVS SELDON_SAMPLES

IS_3_11 := -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'
PYTHON ?= $(shell for p in python3.11 python3; do $$p $(IS_3_11) 2>/dev/null && echo $$p && exit; done; echo python3)
MAIN := "$(SELDON_VENVS)/main/bin/python"
MLSERVER := "$(SELDON_VENVS)/mlserver/bin/python"
TOOLS := $(SELDON_VENVS)/main/bin
INSTALL := "$(PYTHON)" -m compose.process.install

# How to run the system: compose, process, or auto, which is compose where a Docker engine answers.
RUNTIME ?= auto
CHOOSE := "$(PYTHON)" -m compose.runtime
KAFKA_WRITTEN := $(shell sed -n 's/^KAFKA=//p' .env)
ifeq ($(origin KAFKA),environment)
# Many environments have the address of a broker under this name; ours is tansu or apache.
ifneq ($(findstring :,$(KAFKA)),)
KAFKA := $(KAFKA_WRITTEN)
endif
endif
KAFKA ?= $(KAFKA_WRITTEN)
ifeq ($(filter tansu apache,$(KAFKA)),)
ifeq ($(origin KAFKA),command line)
$(error KAFKA=$(KAFKA) is unknown: use KAFKA=tansu or KAFKA=apache, or set KAFKA_BOOTSTRAP_SERVERS)
endif
endif
export KAFKA
BROKER := $(filter kafka,$(KAFKA:apache=kafka))
SAMPLES ?= iris
PURGE ?=
PART ?=
NO_SAMPLES = $(if $(filter none,$(SAMPLES)),--no-samples)
PURGED = $(if $(PURGE),--purge)
RUNNING = $(MAIN) -m compose.running $(RUNTIME)
ARGS ?=
# Test workers; containers are one deployment for all tests.
WORKERS ?= $(if $(filter compose,$(RUNTIME)),0,3)
SOURCES := services shared compose tests protos/generate.py samples/build.py samples/train.py

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev artifacts deploy-local deploy-compose deploy-process undeploy-local status logs build kafka \
	test check bench lock

help: ## Show these targets.
	@awk -F ':.*## ' '/^[a-z-]+%?:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install everything that a deployment runs, generate code, build the sample models.
	@$(INSTALL) main mlserver triton $(BROKER)
	@$(MAKE) --no-print-directory artifacts

setup-dev:
	@$(INSTALL) dev mlserver triton $(BROKER)
	@"$(PYTHON)" -m compose.prometheus.install
	@$(MAKE) --no-print-directory artifacts

artifacts:
	@$(MAIN) protos/generate.py
	@$(MLSERVER) -m samples.build "$(SELDON_SAMPLES)"

deploy-local: ## Start the system and ask a model something. RUNTIME=compose|process SAMPLES=none KAFKA=apache.
	@runtime=$$($(CHOOSE) $(RUNTIME)) && $(MAKE) --no-print-directory deploy-$$runtime

deploy-compose:
	@$(INSTALL) main
	@$(MAIN) protos/generate.py
	@$(MAIN) -m compose.containers up $(NO_SAMPLES)

deploy-process: setup
	@$(MAIN) -m compose.process up $(NO_SAMPLES)

undeploy-local: ## Stop what was deployed here; nothing of it stays running. PURGE=1 also deletes its data.
	@if [ ! -x $(MAIN) ]; then exec "$(PYTHON)" -m compose.process.leftovers; fi; $(RUNNING) down $(PURGED)

status: ## Show every part of what was deployed: state, uptime, process, ports, what it waits for.
	@$(RUNNING) status || true

logs: ## Follow the logs. PART=name for one of them.
	@$(RUNNING) logs $(PART)

start-%: ## Start one part, as in start-scheduler.
	@$(RUNNING) start $*

stop-%: ## Stop one part until it is started again.
	@$(RUNNING) stop $*

build: ## Make the container images of this repository's services.
	@$(INSTALL) main
	@$(MAIN) -m compose.containers build

kafka: ## Fetch Apache Kafka and run it alone, in the foreground, on KAFKA_BROKER_PORT.
	@$(INSTALL) main kafka
	@$(MAIN) -m compose.process kafka

test: setup-dev ## Install what is missing and run all tests. ARGS='-k name' for pytest. KAFKA=apache RUNTIME=compose.
	@"$(TOOLS)/pytest" --numprocesses $(WORKERS) --dist loadfile $(ARGS)

check: setup-dev ## Lint, format, types, and the rules about who may import whom.
	@"$(TOOLS)/ruff" check .
	@"$(TOOLS)/ruff" format --check .
	@"$(TOOLS)/mypy" --strict $(SOURCES)
	@PYTHONPATH="$(CURDIR):$(CURDIR)/services/simplepipe/src" "$(TOOLS)/lint-imports"

bench: setup-dev ## Measure the system against its parts, on this machine.
	@$(MAIN) -m tests.bench $(ARGS)

COMPILE = env -u PIP_FIND_LINKS CUSTOM_COMPILE_COMMAND='make lock' "$(SELDON_VENVS)/lock/bin/pip-compile" --quiet \
	--generate-hashes --allow-unsafe --strip-extras --no-annotate \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host $(ARGS)

lock: ## Write compose/locks anew, some minutes a file. ARGS=--upgrade for newer versions.
	"$(PYTHON)" -m venv "$(SELDON_VENVS)/lock"
	"$(SELDON_VENVS)/lock/bin/pip" install --quiet --disable-pip-version-check pip-tools==7.6.2
	$(COMPILE) --extra process --extra protos --output-file compose/locks/process.txt pyproject.toml
	$(COMPILE) --extra process --extra protos --extra dev --constraint compose/locks/process.txt \
		--output-file compose/locks/dev.txt pyproject.toml
	$(COMPILE) --extra images --constraint compose/locks/process.txt --output-file compose/locks/services.txt pyproject.toml
	$(COMPILE) --constraint compose/locks/process.txt --output-file compose/locks/protos.txt compose/locks/protos.in
	$(COMPILE) --constraint compose/locks/process.txt --output-file compose/locks/simplepipe.txt \
		services/simplepipe/pyproject.toml
	$(COMPILE) --output-file compose/locks/mlserver.txt compose/locks/mlserver.in
	$(COMPILE) --output-file compose/locks/triton.txt compose/locks/triton.in
	$(COMPILE) --output-file compose/locks/kafka.txt compose/locks/kafka.in
	$(COMPILE) --output-file compose/locks/wrapper.txt compose/locks/wrapper.in
