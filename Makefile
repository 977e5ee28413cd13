# The commands that people and CI use. The first call of any of them does all set-up.
SHELL := /bin/bash
MUNIMENT := .venv/bin/muniment
export PATH := $(PATH):/usr/sbin:/sbin

.PHONY: help up down status test test-compose test-kubernetes lint bench lock setup-run setup-test setup-compose setup-kubernetes

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

up: setup-run ## the demo consortium on this machine, and a first file notarised in it
	@$(MUNIMENT) up examples/demo.yaml --detach
	@$(MUNIMENT) notarize examples/first-file.txt
	@$(MUNIMENT) verify examples/first-file.txt --receipt receipts/first-file.txt.receipt.json

down: setup-run ## stop the demo; its state stays in .muniment
	@$(MUNIMENT) down

status: setup-run ## what runs, and how it is
	@$(MUNIMENT) status

lint: setup-test ## style, types, layers, contract artefact
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	node contracts/compile.mjs --check

test: lint ## everything that proves the product on one machine
	$(MUNIMENT) engines build
	.venv/bin/pytest

test-compose: setup-compose ## the docker compose target, on a Docker of its own (root)
	$(MUNIMENT) engines build
	.venv/bin/python -m images
	.venv/bin/pytest tests/compose

test-kubernetes: setup-kubernetes ## the Kubernetes target, the operator and the chart, on a real cluster of three nodes (root)
	$(MUNIMENT) engines build
	.venv/bin/python -m tests.kubernetes.lab.binaries
	.venv/bin/python -m images
	.venv/bin/pytest tests/kubernetes

bench: setup-test ## the figures of benchmarks/RESULTS.md, measured on this machine
	$(MUNIMENT) engines build
	.venv/bin/python -m benchmarks

lock: setup-test ## compile requirements/ anew from pyproject.toml
	scripts/lock

setup-run:
	@scripts/setup run

setup-test:
	@scripts/setup test

setup-compose:
	@scripts/setup compose

setup-kubernetes:
	@scripts/setup kubernetes
