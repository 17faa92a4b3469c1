# The front door. `make` lists the targets; CONTRIBUTING.md says when to use which.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Prerequisites run in the order written: what installs comes before what builds.
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory --no-builtin-rules

# Any target that Rust can link statically, such as x86_64-unknown-linux-musl.
HOST := $(shell rustc -vV | sed -n 's/^host: //p')
TARGET ?= $(HOST)
# The commit of the image that is pushed, and where its source is: make push SOURCE=https://...
# Root may well work in a checkout of somebody else's, whose Makefile it trusts already.
GIT = git -c safe.directory='*'
ifeq ($(origin REVISION),undefined)
REVISION := $(shell $(GIT) describe --always --abbrev=40 --exclude='*' --dirty 2>/dev/null)
endif
SOURCE ?=
PREFIX ?= /usr/local
CARGO_FUZZ_VERSION := 0.13.2

# How long, and how, `make fuzz` does what it does.
FUZZ_TARGETS := frame events spec report
SECONDS := 600
SANITIZER ?= none

export CARGO_TARGET_DIR := $(CURDIR)/target
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
RELEASE = target/$(TARGET)/release
ARCHIVE := target/image/landfall-agent.tar.gz
# What is tested, as .cargo/config.toml tells the tests.
DEBUG = target/$(HOST)/debug
TESTED := target/test
PACK := $(TESTED)/landfall-images

# The paths of this machine are no part of a program: the same commit is the same bytes wherever it is built.
STATIC_FLAGS = -C target-feature=+crt-static -C force-unwind-tables=no --remap-path-prefix=$(CURDIR)= \
	--remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=cargo
CARGO_STATIC = RUSTFLAGS='$(STATIC_FLAGS)' cargo build --quiet --locked --release --target $(TARGET)

# What measures and what pushes runs the programs that ship.
SHIPPED = LANDFALL=$(CURDIR)/target/dist/landfall LANDFALL_AGENT=$(CURDIR)/target/dist/landfall-agent \
	LANDFALL_NFT=$(CURDIR)/target/image/nft
MOZIM = LANDFALL_MOZIM=$(CURDIR)/target/$(HOST)/release/landfall-mozim

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: deps
deps: ## Install what is missing to build, check and test (needs root or sudo)
	@.ci/deps test

.PHONY: build-packages
build-packages:
	@.ci/deps build

.PHONY: demo-packages
demo-packages:
	@.ci/deps demo

.PHONY: build
build: build-packages archive ## Build target/dist/landfall, one static file that carries the agent image
	@$(CARGO_STATIC) -p landfall
	@mkdir -p target/dist
	@install -C -m 755 $(RELEASE)/landfall $(RELEASE)/landfall-agent target/dist/
	@if readelf -lW target/dist/landfall | grep INTERP; then echo 'target/dist/landfall is not static' >&2; exit 1; fi
	@ls -l target/dist | awk 'NR > 1 { printf "built target/dist/%s, %d bytes\n", $$9, $$5 }'

# A word for the shell, whatever is in it.
quoted = '$(subst ','\'',$(1))'
ORIGIN = $(if $(REVISION),--revision $(call quoted,$(REVISION))) $(if $(SOURCE),--source $(call quoted,$(SOURCE)))

# Never part of a test: the standard library for it comes from rustup, and its nft from packages of another architecture.
ARM64_TARGET := aarch64-unknown-linux-gnu
ARM64_AGENT := target/$(ARM64_TARGET)/release/landfall-agent

.PHONY: arm64
arm64: ## Build the agent for arm64 and fetch nft for it; then make push ARM64=1 pushes both platforms
	@command -v aarch64-linux-gnu-gcc >/dev/null || \
		{ echo 'this needs a cross compiler: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross' >&2; exit 1; }
	@CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
		$(MAKE) cross TARGET=$(ARM64_TARGET) || { echo 'is its standard library there? rustup target add $(ARM64_TARGET)' >&2; exit 1; }
	@images/debian-root arm64 target/arm64
	@aarch64-linux-gnu-gcc $(NFT_FLAGS) -o target/arm64/root/usr/sbin/nft images/nft.c \
		-L target/arm64/root/usr/lib/aarch64-linux-gnu -l:libnftables.so.1 -Wl,--allow-shlib-undefined

.PHONY: cross
cross:
	@$(CARGO_STATIC) -p landfall-agent

# Where the C library is the compiler's own; that for musl comes with Rust's standard library.
LINKED = $(if $(filter %-gnu,$(TARGET)),--linked $$(cc -print-file-name=libc.a))

NFT_FLAGS := -Os -s -Wall -Wextra -Werror -Wl,--build-id=none

.PHONY: archive
archive: $(PACK)
	@echo 'compiling what ships, optimised for size: 4 minutes on two cores where nothing is compiled yet'
	@$(CARGO_STATIC) -p landfall-agent
	@mkdir -p target/image
	@cc $(NFT_FLAGS) -o target/image/nft images/nft.c -l:libnftables.so.1
	@cargo tree --quiet --locked -p landfall-agent --target $(TARGET) --edges normal,no-proc-macro --no-dedupe \
		--prefix none --format '{p}|{l}' > target/image/landfall-agent.crates
	@$(PACK) agent --agent $(RELEASE)/landfall-agent --nft target/image/nft --version $(VERSION) --out $(ARCHIVE) \
		--crates target/image/landfall-agent.crates $(LINKED) \
		--rust $$(rustc --version | cut -d' ' -f2) $(ORIGIN) $(if $(ARM64),--platform $(ARM64_AGENT) target/arm64/root)

.PHONY: image
image: archive ## Load the agent image into Docker as landfall-agent:VERSION
	@docker load --input $(ARCHIVE)

# A registry on loopback needs no TLS, as for docker push. Credentials are those of docker login.
LOOPBACK := ^(localhost|127(\.[0-9]+){3}|\[::1\])(:[0-9]+)?/
TLS = --dest-tls-verify=$(shell [[ $(call quoted,$(REGISTRY)) =~ $(LOOPBACK) ]] && echo false || echo true)

.PHONY: push
push: registry-named archive ## Push the agent image as an OCI index: make push REGISTRY=host:port/name
	@skopeo copy --quiet --all --preserve-digests $(TLS) oci:target/image/landfall-agent.oci:$(VERSION) \
		$(call quoted,docker://$(REGISTRY):$(VERSION))
	@echo $(call quoted,pushed $(REGISTRY))"@$$(cat target/image/landfall-agent.digest)"

# From nothing, in another folder. What is not committed is not there, nor is a platform that `make arm64` built here. Where
# there is no dpkg there is no bill of materials, in either folder.
.PHONY: reproducible
reproducible: override ARM64 :=
reproducible: archive ## Build the image of the last commit a second time, in another folder, and compare
	@copy=$$(mktemp -d); trap 'rm -rf "$$copy"' EXIT; mkdir "$$copy/elsewhere"; \
	$(GIT) archive --format tar HEAD | tar --extract --directory "$$copy/elsewhere"; \
	env --unset CARGO_TARGET_DIR $(MAKE) -C "$$copy/elsewhere" archive ARM64= TARGET=$(TARGET) \
		REVISION=$(call quoted,$(REVISION)) SOURCE=$(call quoted,$(SOURCE)); \
	for file in tar.gz id digest spdx.json; do \
		built="target/image/landfall-agent.$$file"; \
		[[ ! -e $$built && ! -e $$copy/elsewhere/$$built ]] || cmp "$$built" "$$copy/elsewhere/$$built"; \
	done
	@echo "the same bytes twice: $$(cat target/image/landfall-agent.digest)"

.PHONY: registry-named
registry-named:
	@[[ -n $(call quoted,$(REGISTRY)) ]] || { echo 'push where? make push REGISTRY=host:port/name' >&2; exit 1; }

.PHONY: check
check: ## Check format, lints, documentation, licences and sources
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps --document-private-items
	cargo deny --locked check licenses bans sources
	@if timeout 60 cargo deny fetch db >/dev/null 2>&1; then cargo deny --locked check advisories; \
		else echo 'advisories: NOT CHECKED, the database could not be fetched'; fi

# Which tests are run when: .config/nextest.toml. A retry in CI is a net: what passed only when repeated is shown as FLAKY.
NEXTEST = cargo nextest run --locked --workspace --profile $(if $(CI),ci,default)

.PHONY: test
test: deps root docker programs build engine-root ## Run what every push runs: each tier, on the engines and the machine that it names
	@cargo test --quiet --locked --workspace --doc
	@$(NEXTEST)

.PHONY: test-unit
test-unit: ## Run the tier that needs no privilege: units and simulation
	@$(NEXTEST) -E 'not package(landfall-tests) or kind(lib)'

.PHONY: test-netns
test-netns: root programs ## Run the tier that needs root: network namespaces
	@$(NEXTEST) -E 'binary(/^netns_/)'

.PHONY: test-docker
test-docker: root docker programs ## Run the tier that needs root and Docker, on this machine's Docker
	@$(NEXTEST) -E 'binary(/^docker_/)'

.PHONY: test-release
test-release: programs build ## Check the size of what ships, that it is static, and that it packs into the same image twice
	@$(NEXTEST) -E 'binary(release)'

.PHONY: test-smoke
test-smoke: root programs build engine-root ## Run a few tests on each engine that people run, and on one that never saw anything
	@$(NEXTEST) -E 'binary(engines)'

.PHONY: test-machine
test-machine: root programs ## Run the main job and a reboot in a virtual machine
	@$(NEXTEST) -E 'binary(/^vm_/)'

# All of the Docker tier, and what needs an engine that never saw anything, on engines of their own: docker (this machine's), docker28,
# docker28-containerd, podman (this machine's), podman5. One test pushes what it builds; the root of the newer ones has no compiler.
ENGINES := docker docker28 docker28-containerd podman podman5

.PHONY: test-engines
test-engines: root programs build engine-root ## Run the Docker tier on engines of their own: make test-engines ENGINES=podman5
	@failed=; for engine in $(ENGINES); do skipped=nothing; [[ $$engine != *[0-9]* ]] || skipped=what_is_pushed; \
		for tier in docker engine; do echo "== $$tier tier on $$engine"; \
			tests/engine $$engine $(NEXTEST) --ignore-default-filter -E "binary(/^$${tier}_/) and not test($$skipped)" || \
				failed+=" $$tier-on-$$engine"; done; done; \
	[[ ! $$failed ]] || { echo "failed:$$failed" >&2; exit 1; }

.PHONY: engine-root
engine-root: root
	@tests/engine-root >/dev/null

# Each of the tiers of every push, but for its machine, RUNS times, every second time beside two busy loops; then the machine.
RUNS := 10
MACHINE_RUNS := 3

.PHONY: soak-tests
soak-tests: deps root docker programs build engine-root ## Run what every push runs again and again: make soak-tests RUNS=10
	@tests/soak $(RUNS) $(MACHINE_RUNS)

.PHONY: test-all
test-all: nightly ## Run everything, for hours: what every push and what every night runs
	@failed=; for part in check test test-engines 'vm MATRIX=all' mutants scoreboard fuzz reproducible bench bench-dhcp soak-tests; do \
		echo "== $$part"; $(MAKE) $$part || failed+=" [$$part]"; done; \
	[[ ! $$failed ]] || { echo "failed:$$failed" >&2; exit 1; }

.PHONY: root
root:
	@[[ $$EUID == 0 ]] || { echo "this needs root: sudo -E env PATH=\"\$$PATH\" make $(MAKECMDGOALS)" >&2; exit 1; }
	@unshare --net true || { echo 'this needs network namespaces (CAP_SYS_ADMIN), which are denied here' >&2; exit 1; }

.PHONY: docker
docker:
	@docker version >/dev/null || { echo 'this needs a Docker daemon: make deps installs and starts one' >&2; exit 1; }

# The programs under test and the tests, not optimised: compiled in seconds after a change. One command compiles everything, because
# another choice of packages is another choice of their dependencies' features.
COMPILE = cargo build --quiet --locked --workspace --all-targets

# Each test under its bare name, for whoever runs it without cargo: in a machine, or beside another engine.
.PHONY: programs
programs: tested
	@rm -rf $(TESTED)/tests && mkdir $(TESTED)/tests
	@$(COMPILE) --message-format json | \
		sed -n 's/.*"executable":"\([^"]*\/\([a-z0-9_]*\)-[0-9a-f]*\)".*/\1 \2/p' | \
		while read -r program name; do ln -sf "$$program" "$(TESTED)/tests/$$name"; done

# The agent and its image come before the program that carries them.
.PHONY: tested
tested:
	@echo 'compiling, not optimised: 2 to 3 minutes on two cores where nothing is compiled yet'
	@$(COMPILE)
	@mkdir -p $(TESTED)/image $(TESTED)/images
	@install -C $(DEBUG)/landfall-agent $(DEBUG)/landfall-web $(TESTED)/
	@install $(DEBUG)/landfall-images $(PACK)
	@cc $(NFT_FLAGS) -o $(TESTED)/image/nft images/nft.c -l:libnftables.so.1
	@$(PACK) agent --agent $(TESTED)/landfall-agent --nft $(TESTED)/image/nft --version $(VERSION) --limit 67108864 \
		--out $(TESTED)/image/landfall-agent.tar.gz >/dev/null
	@$(PACK) test --program $(TESTED)/landfall-web --tag landfall-test-web:latest \
		--expose 80/tcp --out $(TESTED)/images/landfall-test-web.tar.gz -- --tcp 80 >/dev/null
	@$(PACK) test --program $(TESTED)/landfall-web --tag landfall-test-idle:latest \
		--out $(TESTED)/images/landfall-test-idle.tar.gz >/dev/null
	@[[ $(TESTED)/misbehave -nt tests/fixtures/misbehave.rs ]] || \
		rustc --target $(HOST) -C target-feature=+crt-static -o $(TESTED)/misbehave tests/fixtures/misbehave.rs
	@$(COMPILE)
	@install -C $(DEBUG)/landfall $(TESTED)/

# What packs images, where only what ships is built.
$(PACK): Cargo.lock images/Cargo.toml $(wildcard images/src/*.rs)
	@cargo build --quiet --locked -p landfall-images
	@mkdir -p $(TESTED)
	@install $(DEBUG)/landfall-images $@

# The suite in virtual machines: the Docker tier's own executables, and what only a machine can show. MATRIX is a release, bookworm,
# trixie or sid; or all: every release and engine, with as much as can be emulated in half an hour; or full: everything on every one.
VM_TESTS := target/vm/tests
VM_RELEASES = $(if $(filter all full,$(MATRIX)),bookworm trixie sid,$(MATRIX))
VM_SOME = docker_up docker_lab inside_*
VM_FILES = $(if $(filter all,$(MATRIX)),$(VM_SOME),docker_* inside_*)
VM_WIRE = $(if $(filter all full,$(MATRIX)), or binary(vm_wire))
# What is the same on every machine runs on one of them.
VM_BRIEFLY = set_up_otherwise|on_podman|at_other_steps
VM_SKIPS_full_bookworm = on_podman
VM_SKIPS_all_bookworm = $(VM_BRIEFLY)|on_one_wire
VM_SKIPS_all_trixie = power::
VM_SKIPS_all_sid = power::|$(VM_BRIEFLY)|on_one_wire
VM_SKIPS = $(or $(VM_SKIPS_$(MATRIX)_$(1)),nothing-is-skipped)
# Only a test in the foreground may read the terminal.
VM_KEPT = cargo test --locked -p landfall-tests --test vm_host -- --test-threads 1 $(ONLY)
MATRIX ?= bookworm
KEEP ?=
ONLY ?=

.PHONY: vm
vm: deps root programs build vm-tests ## Run the suite in virtual machines: MATRIX=bookworm|trixie|sid|all|full KEEP=1 ONLY=test
	@mkdir -p target/vm/runs
	@failed=; $(foreach release,$(VM_RELEASES),echo "== virtual machines: $(release)"; \
		LANDFALL_VM_TESTS=$(CURDIR)/$(VM_TESTS) LANDFALL_VM_KEEP=$(KEEP) LANDFALL_VM=$(release) \
			$(if $(KEEP),$(VM_KEPT),$(NEXTEST) --ignore-default-filter \
				-E '(binary(vm_host)$(VM_WIRE)) and test(/$(ONLY)/) and not test(/$(call VM_SKIPS,$(release))/)') || failed+=" $(release)";) \
	[[ ! $$failed ]] || { echo "failed:$$failed" >&2; exit 1; }

# Those that run inside, small enough for a machine's disk.
.PHONY: vm-tests
vm-tests: programs
	@rm -rf $(VM_TESTS)
	@mkdir -p $(VM_TESTS)
	@cd $(TESTED)/tests; for name in $(VM_FILES); do install -s "$$name" "$(CURDIR)/$(VM_TESTS)/$$name"; done

.PHONY: demo
demo: COMPILE = cargo build --quiet --locked -p landfall -p landfall-agent -p landfall-images
demo: demo-packages root docker tested ## Give a container an address on a practice LAN, from nothing to a page
	@LANDFALL=$(TESTED)/landfall WEB=$(TESTED)/images/landfall-test-web.tar.gz images/demo

# What a bench prints; one that broke off is not kept.
NOW := target/bench.now

.PHONY: bench
bench: nightly root docker programs build ## Measure the figures of docs/benchmarks.md
	@[[ -n "$(ONLY)" ]] || { $(SHIPPED) cargo run --locked --release -p landfall-tests --bin bench | tee $(NOW) && tests/trend bench $(NOW); }
	@[[ "$(ONLY)" == cost ]] || { $(SHIPPED) cargo run --locked --release -p landfall-tests --bin bench_paths $(ONLY) | tee $(NOW) && tests/trend paths $(NOW); }
	@[[ -n "$(filter-out cost,$(ONLY))" ]] || { $(SHIPPED) cargo run --locked --release -p landfall-tests --bin bench_cost | tee $(NOW) && tests/trend cost $(NOW); }

.PHONY: bench-dhcp
bench-dhcp: clients root programs build ## Measure the DHCP client beside others, and herds of it
	@$(SHIPPED) $(MOZIM) cargo run --locked --release -p landfall-tests --bin bench_dhcp $(ONLY) | tee $(NOW) && tests/trend dhcp $(NOW)

.PHONY: mutants
mutants: ## Put bugs of other clients into ours, see the tests find them, and write docs/mutants.md
	@cargo run --quiet --locked -p landfall-tests --bin mutants

# libFuzzer needs unstable flags of the compiler, but not another compiler. Our decoders have no unsafe code: a sanitizer
# (SANITIZER=address) would look for what cannot be there, at a third of the speed.
.PHONY: fuzz
fuzz: cargo-fuzz ## Feed garbage to the decoders and to the client: make fuzz SECONDS=600 for each target
	@mkdir -p $(addprefix target/fuzz/corpus/,$(FUZZ_TARGETS))
	@for target in $(FUZZ_TARGETS); do \
		RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$(CURDIR)/target/fuzz nice -n 19 \
			cargo fuzz run --fuzz-dir agent/fuzz --sanitizer $(SANITIZER) $$target \
			target/fuzz/corpus/$$target agent/fuzz/corpus/$$target -- \
			-max_total_time=$(SECONDS) -max_len=1024 -timeout=5 -print_final_stats=1; \
	done

.PHONY: cargo-fuzz
cargo-fuzz:
	@cargo fuzz --version >/dev/null 2>&1 || \
		env --unset CARGO_TARGET_DIR CARGO_PROFILE_DEV_DEBUG=0 \
		cargo install --quiet --locked --debug cargo-fuzz@$(CARGO_FUZZ_VERSION)

.PHONY: scoreboard
scoreboard: clients root programs ## Run six DHCP clients through the same cases: docs/scoreboard.md
	@$(MOZIM) cargo run --quiet --locked -p landfall-tests --bin scoreboard

# What only the tiers of the night need: other DHCP clients, iperf3.
.PHONY: nightly
nightly:
	@.ci/deps nightly

.PHONY: clients
clients: nightly
	@cargo build --quiet --locked --release --manifest-path tests/fixtures/mozim/Cargo.toml

.PHONY: install
install: ## Install what `make build` built to PREFIX/bin (/usr/local/bin)
	@[[ -x target/dist/landfall ]] || { echo 'nothing is built yet: make build' >&2; exit 1; }
	@install -D -m 755 target/dist/landfall $(DESTDIR)$(PREFIX)/bin/landfall

.PHONY: clean
clean: ## Remove everything that was built
	@cargo clean
