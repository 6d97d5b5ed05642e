# The commands for people. Each sets up what it needs, says what it does, and can be run again at once.
# Jobs and the cache: make JOBS=4, CLEW_CACHE=/somewhere (third-party libraries and peers, default ~/.cache/clew).
.DEFAULT_GOAL := help
.NOTPARALLEL:
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
JOBS ?= $(shell nproc)
PYTHON ?= /usr/bin/python3
FUZZ_SECONDS ?= 20
export CLEW_CACHE ?= $(HOME)/.cache/clew

say = @echo "== $(1)"
# $(call compile,PRESET,TARGETS)
define compile
	@third_party/build.sh
	@cmake --preset $(1) >/dev/null
	@cmake --build $(BUILD_$(1)) -j $(JOBS) --target $(2)
endef
BUILD_release := build
BUILD_asan := build/asan
BUILD_tsan := build/tsan
BUILD_clang := build/clang
BUILD_openssl := build/openssl
BUILD_fuzz := build/fuzz
# $(call rings,PRESET): unit and in-process
rings = @ctest --test-dir $(BUILD_$(1)) -j $(JOBS) --output-on-failure --no-tests=error

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' Makefile | expand -t 14

demo: setup-root build peers ## a request through two sidecars under a stock istiod, shown step by step
	@$(PYTHON) test/mesh/demo.py

test: setup-root ## everything: release build with every ring, then unit and in-process rings under sanitizers
	@$(MAKE) --no-print-directory unit gates mesh attacks faults bench-smoke asan-unit
	$(call say,all rings passed)

build: setup ## the release binary, build/clew
	$(call say,building build/clew)
	$(call compile,release,clew)

unit: setup ## unit and in-process tests
	$(call say,unit and in-process rings)
	$(call compile,release,all)
	$(call rings,release)

gates: setup build ## counts a noisy machine cannot hide: system calls, instructions, allocations, bytes (a minute)
	$(call say,gates: what a request and a connection may cost)
	@$(PYTHON) test/gates/gates.py

mesh: setup-root build peers ## the mesh ring: stock istiod and pilot-agent, real traffic
	$(call say,mesh ring)
	@$(PYTHON) test/ring test/mesh

attacks: setup-root build peers ## raw bytes against clew, Envoy beside it; h2spec (CLEW_SCALE=full: for hours)
	$(call say,attack ring)
	@$(PYTHON) test/ring test/attacks

faults: setup-root build peers ## faults and hostile connections on one proxy, Envoy beside, at the scale of CI
	$(call say,faults)
	$(call compile,release,ads_server)
	@$(PYTHON) test/ring test/faults

soak: setup-root build peers ## the same and the mesh's faults at full scale: hours
	$(call say,faults at full scale)
	$(call compile,release,ads_server)
	@CLEW_SCALE=full $(PYTHON) test/ring test/faults
	@CLEW_SCALE=full $(PYTHON) -m pytest -q test/mesh/test_faults.py
	@CLEW_SCALE=full $(PYTHON) test/ring test/attacks

asan: setup-root asan-unit peers ## unit, in-process, mesh and attack rings under the address and undefined-behaviour sanitizers
	$(call say,mesh ring under address and undefined-behaviour sanitizers)
	@CLEW_BINARY=build/asan/clew $(PYTHON) test/ring test/mesh
	@CLEW_BINARY=build/asan/clew $(PYTHON) test/ring test/attacks

asan-unit: setup
	$(call say,unit and in-process rings under address and undefined-behaviour sanitizers)
	$(call compile,asan,all)
	$(call rings,asan)

tsan: setup ## unit and in-process rings under the thread sanitizer
	$(call say,unit and in-process rings under the thread sanitizer)
	$(call compile,tsan,all)
	$(call rings,tsan)

clang: setup ## unit and in-process rings built by clang
	$(call say,unit and in-process rings built by clang)
	$(call compile,clang,all)
	$(call rings,clang)

openssl: setup ## unit and in-process rings with Debian's OpenSSL instead of AWS-LC
	$(call say,unit and in-process rings with OpenSSL)
	$(call compile,openssl,all)
	$(call rings,openssl)

fuzz: setup ## every fuzz target for FUZZ_SECONDS, starting from its corpus
	$(call say,fuzzing for $(FUZZ_SECONDS) s each)
	$(call compile,fuzz,fuzzers)
	@for f in build/fuzz/bin/fuzz_*; do name=$${f##*/fuzz_}; found=build/fuzz/found/$$name; mkdir -p $$found; \
	  seeds=test/fuzz/corpus/$$name; [[ -d $$seeds ]] || seeds=; \
	  echo "-- $$name"; $$f -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 -verbosity=0 -artifact_prefix=build/fuzz/ $$found $$seeds; done

bench: setup-root peers ## what it costs beside its peers: every scenario, 40 minutes (bench/run --short: 5)
	$(call compile,release,clew bench_tools)
	@bench/run

bench-smoke: setup-root peers ## does the benchmark itself still run? a few hundred requests a scenario
	$(call say,smoke run of the benchmark)
	$(call compile,release,clew bench_tools)
	@$(PYTHON) test/ring bench

fmt: setup ## format the sources
	@git ls-files -z '*.h' '*.cc' | xargs -0 clang-format-19 -i

tidy: setup ## lint the sources
	$(call say,clang-tidy)
	@third_party/build.sh
	@cmake --preset clang >/dev/null
	@run-clang-tidy-19 -quiet -p build/clang -j $(JOBS) '^$(CURDIR)/(proxy|config|filters)/.*\.cc$$'

clean: ## remove what was built in the tree; the cache of the machine stays
	@rm -rf build

peers: setup-root
	@test/peers/build.sh

setup:
	@third_party/setup.sh

setup-root:
	@third_party/setup.sh root

.PHONY: help demo test build unit gates mesh attacks faults soak asan asan-unit tsan clang openssl fuzz bench bench-smoke fmt tidy clean peers setup setup-root
