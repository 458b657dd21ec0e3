# Everything a contributor runs. `make help` lists it.
PY ?= python3
V := .venv/bin/python
PIP := $(PY) -m pip --python $(V) --disable-pip-version-check install -q --require-hashes

.PHONY: help run test check lint types imports openapi migrations image-check proxy-check drill alerts fuzz timing guessing bench lock clean
.DEFAULT_GOAL := help

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 14

# --without-pip and the outer pip: Debian's python3 has neither ensurepip nor a writable site.
.venv/.ok: requirements-dev.lock requirements-uv.lock
	$(PY) -m venv --without-pip --clear .venv
	$(PIP) -r requirements-uv.lock && .venv/bin/uv pip sync -q --python $(V) --require-hashes requirements-dev.lock \
	  || $(PIP) -r requirements-dev.lock
	@touch $@

run: .venv/.ok  ## serve on http://127.0.0.1:8000 with SQLite and development notifiers
	$(V) -m app serve $(ARGS)

test: .venv/.ok  ## the whole suite, on SQLite and on a PostgreSQL that it starts itself
	$(V) -m pytest -q -n 2 --dist loadfile $(ARGS)

check: lint types imports openapi migrations alerts  ## everything that is not a test

lint: .venv/.ok  ## ruff: rules and format
	.venv/bin/ruff check . && .venv/bin/ruff format --check .

types: .venv/.ok  ## mypy --strict
	.venv/bin/mypy

imports: .venv/.ok  ## who may import whom
	.venv/bin/lint-imports

openapi: .venv/.ok  ## the committed documents are what the code says, valid, and complete
	$(V) -m app openapi --check && $(V) -m tests.support.openapi_lint openapi/*.json

migrations: .venv/.ok  ## the models are what the migrations build
	$(V) -m app migrate --check

alerts:  ## the alert rules fire when they should, and not when they should not (promtool)
	deploy/prometheus/check.sh

fuzz: .venv/.ok  ## 10,000 made-up calls on all surfaces (ARGS="--examples N")
	$(V) -m tests.support.fuzz $(ARGS)

timing: .venv/.ok  ## do answer times tell who has an account? (ARGS="--calls N")
	$(V) -m tests.timing $(ARGS)

guessing: .venv/.ok  ## a year of guessing at an account (ARGS="--days N")
	$(V) -m tests.support.guessing $(ARGS)

image-check: .venv/.ok  ## the image's root file system, built and served from without an engine (root, Debian 12, minutes)
	@PATH=$$PATH:/usr/sbin command -v debootstrap >/dev/null || { apt-get update -qq && apt-get install --yes --no-install-recommends debootstrap; }
	$(V) -m tests.image

proxy-check: .venv/.ok  ## HAProxy with deploy/proxy, before replicas that are slow, gone or break off
	@PATH=$$PATH:/usr/sbin command -v haproxy >/dev/null || { apt-get update -qq && apt-get install --yes --no-install-recommends haproxy; }
	$(V) -m pytest -q tests/image/proxy_check.py

drill: .venv/.ok  ## primary, standby, pooler, replicas and proxy under load, while each fails in turn; ARGS=--short
	drill/install.sh && $(V) -m drill $(ARGS)

bench: .venv/.ok  ## the service beside the least that the same work can cost; ARGS="--accounts 1000000", "--only profile", …
	@command -v wrk >/dev/null || apt-get install --yes -q wrk >/dev/null 2>&1 || echo "no wrk: load by autocannon, from npm"
	$(V) -m benchmarks $(ARGS)

lock:  ## pin the dependencies anew (needs uv)
	uv pip compile pyproject.toml --universal --generate-hashes --python-version 3.11 -q --custom-compile-command "make lock" -o requirements.lock
	uv pip compile pyproject.toml --group dev --universal --generate-hashes --python-version 3.11 -q --custom-compile-command "make lock" -c requirements.lock -o requirements-dev.lock
	echo "uv>=0.13,<0.14" | uv pip compile - --universal --generate-hashes --python-version 3.11 -q --custom-compile-command "make lock" -o requirements-uv.lock

clean:  ## forget the environment and the development data
	rm -rf .venv var .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
