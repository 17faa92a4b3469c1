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
CARGO_DENY_VERSION := 0.20.2
CARGO_FUZZ_VERSION := 0.13.2

# How long, and how, `make fuzz` does what it does.
FUZZ_TARGETS := frame events spec report
SECONDS := 600
SANITIZER ?= none

export CARGO_TARGET_DIR := $(CURDIR)/target
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
RELEASE = target/$(TARGET)/release
ARCHIVE := target/image/landfall-agent.tar.gz
TEST_IMAGES := target/test-images

# The paths of this machine are no part of a program: the same commit is the same bytes wherever it is built.
STATIC_FLAGS = -C target-feature=+crt-static -C force-unwind-tables=no --remap-path-prefix=$(CURDIR)= \
	--remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=cargo
CARGO_STATIC = RUSTFLAGS='$(STATIC_FLAGS)' cargo build --quiet --locked --release --target $(TARGET)

# What the tiers that run real programs are told.
TEST_ENV = LANDFALL=$(CURDIR)/target/dist/landfall \
	LANDFALL_AGENT=$(CURDIR)/target/dist/landfall-agent \
	LANDFALL_IMAGES=$(CURDIR)/$(RELEASE)/landfall-images \
	LANDFALL_NFT=$(CURDIR)/target/image/nft \
	LANDFALL_WEB=$(CURDIR)/$(RELEASE)/landfall-web \
	LANDFALL_MISBEHAVE=$(CURDIR)/$(TEST_IMAGES)/misbehave \
	LANDFALL_MOZIM=$(CURDIR)/target/release/landfall-mozim \
	LANDFALL_TEST_IMAGES=$(CURDIR)/$(TEST_IMAGES)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: deps
deps: packages vm-packages cargo-deny ## Install what is missing to build, check and test (needs root or sudo)

.PHONY: packages
packages:
	@.ci/deps

# The linter of licences and sources is not in Debian. Unoptimised it compiles in a minute and checks in a second.
.PHONY: cargo-deny
cargo-deny:
	@cargo deny --version >/dev/null 2>&1 || \
		env --unset CARGO_TARGET_DIR CARGO_PROFILE_DEV_DEBUG=0 \
		cargo install --quiet --locked --debug cargo-deny@$(CARGO_DENY_VERSION)

.PHONY: build
build: archive ## Build target/dist/landfall, one static file that carries the agent image
	@LANDFALL_AGENT_IMAGE=$(CURDIR)/$(ARCHIVE) $(CARGO_STATIC) -p landfall
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
archive:
	@echo "building the agent and its image for $(TARGET)"
	@$(CARGO_STATIC) -p landfall-images
	@$(CARGO_STATIC) -p landfall-agent
	@mkdir -p target/image
	@cc $(NFT_FLAGS) -o target/image/nft images/nft.c -l:libnftables.so.1
	@cargo tree --quiet --locked -p landfall-agent --target $(TARGET) --edges normal,no-proc-macro --no-dedupe \
		--prefix none --format '{p}|{l}' > target/image/landfall-agent.crates
	@$(RELEASE)/landfall-images agent --agent $(RELEASE)/landfall-agent --nft target/image/nft --version $(VERSION) --out $(ARCHIVE) \
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
	@for patch in tests/mutants/*.patch; do git apply --check -p0 $$patch || { echo "$$patch does not apply" >&2; exit 1; }; done
	@if timeout 60 cargo deny fetch db >/dev/null 2>&1; then cargo deny --locked check advisories; \
		else echo 'advisories: NOT CHECKED, the database could not be fetched'; fi

.PHONY: test
test: packages vm-packages ## Run every tier: unit, netns, docker, podman and vm
	@for tier in unit netns docker podman vm; do echo "== tier $$tier"; $(MAKE) test-$$tier; done

.PHONY: test-unit
test-unit: ## Run the tier that needs no privilege: units and simulation
	@cargo test --locked -p landfall-tests --lib
	@cargo test --locked -p landfall-api -p landfall-agent -p landfall -p landfall-images

# Its tests wait for servers and leases more than they compute.
.PHONY: test-netns
test-netns: root build test-images ## Run the tier that needs root: network namespaces
	@$(TEST_ENV) RUST_TEST_THREADS=8 cargo test --locked -p landfall-tests --test 'netns*'

.PHONY: test-docker
test-docker: root docker build test-images ## Run the tier that needs root and Docker
	@$(TEST_ENV) cargo test --locked -p landfall-tests --test 'docker*'
	@$(TEST_ENV) tests/engine docker cargo test --locked -p landfall-tests --test 'engine*'

# The same tests, on Podman. They are built before: an engine of their own has no network to fetch crates over.
.PHONY: test-podman
test-podman: root build test-images ## Run the tier that needs root and Podman
	@cargo test --quiet --locked -p landfall-tests --no-run
	@$(TEST_ENV) tests/engine podman cargo test --locked -p landfall-tests --test 'docker*'
	@$(TEST_ENV) tests/engine podman cargo test --locked -p landfall-tests --test 'engine*'

.PHONY: root
root:
	@[[ $$EUID == 0 ]] || { echo "this needs root: sudo -E env PATH=\"\$$PATH\" make $(MAKECMDGOALS)" >&2; exit 1; }
	@unshare --net true || { echo 'this needs network namespaces (CAP_SYS_ADMIN), which are denied here' >&2; exit 1; }

.PHONY: docker
docker:
	@docker version >/dev/null || { echo 'this needs a Docker daemon: make deps installs and starts one' >&2; exit 1; }

# Programs for containers to run in tests and in the demo; they never ship.
.PHONY: test-images
test-images:
	@$(CARGO_STATIC) -p landfall-images
	@$(RELEASE)/landfall-images test --program $(RELEASE)/landfall-web --tag landfall-test-web:latest \
		--expose 80/tcp --out $(TEST_IMAGES)/landfall-test-web.tar.gz -- --tcp 80 >/dev/null
	@$(RELEASE)/landfall-images test --program $(RELEASE)/landfall-web --tag landfall-test-idle:latest \
		--out $(TEST_IMAGES)/landfall-test-idle.tar.gz >/dev/null
	@rustc -C target-feature=+crt-static -o $(TEST_IMAGES)/misbehave tests/fixtures/misbehave.rs

# The suite in virtual machines: the Docker tier's own executables, static because a machine may have an older libc, and
# what only a machine can show. MATRIX is a release, bookworm or trixie; or all: every release and engine, with as much as can be
# emulated in a quarter of an hour; or full: everything on every one. The Podman of bookworm is the one that test-podman runs on.
VM_TESTS := target/vm/tests
VM_ENV = LANDFALL_VM_TESTS=$(CURDIR)/$(VM_TESTS) LANDFALL_VM_RUNS=$(CURDIR)/target/vm/runs LANDFALL_VM_KEEP=$(KEEP)
VM_MANY = $(filter all full,$(MATRIX))
VM_RELEASES = $(if $(VM_MANY),bookworm trixie,$(MATRIX))
VM_SOME = docker_up docker_lab inside_*
VM_FILES = $(if $(filter all,$(MATRIX)),$(VM_SOME),docker_* inside_*)
VM_SUITES = --test vm_host $(if $(VM_MANY),--test vm_wire)
VM_BRIEFLY = --skip set_up_otherwise --skip on_podman --skip at_other_steps
VM_SKIPS_full_bookworm = --skip on_podman
VM_SKIPS_all_bookworm = $(VM_BRIEFLY) --skip on_one_wire
VM_SKIPS_all_trixie = --skip power::
VM_SKIPS = $(VM_SKIPS_$(MATRIX)_$(1))
MATRIX ?= bookworm
KEEP ?=
ONLY ?=

.PHONY: vm
vm: packages vm-packages machines ## Run the suite in virtual machines: MATRIX=bookworm|trixie|all|full KEEP=1 ONLY=test

# One machine, in minutes where it has to be emulated: without what is the same on every machine, or takes long.
.PHONY: test-vm
test-vm: VM_FILES = $(VM_SOME)
test-vm: VM_SKIPS = $(VM_BRIEFLY) --skip power_cut
test-vm: vm-packages machines ## Run the tier that needs root and qemu: one machine

.PHONY: vm-packages
vm-packages:
	@.ci/deps vm

# Every case waits for the machine that they share.
.PHONY: machines
machines: root build test-images vm-tests
	@mkdir -p target/vm/runs
	@$(foreach release,$(VM_RELEASES),echo "== virtual machines: $(release)"; \
		$(TEST_ENV) $(VM_ENV) LANDFALL_VM=$(release) RUST_TEST_THREADS=64 cargo test --locked --no-fail-fast \
			-p landfall-tests $(VM_SUITES) $(ONLY) -- $(call VM_SKIPS,$(release));)

# Each under its bare name; those that are not asked for are taken out again.
.PHONY: vm-tests
vm-tests:
	@rm -rf $(VM_TESTS)
	@mkdir -p $(VM_TESTS)/all
	@RUSTFLAGS='-C target-feature=+crt-static' CARGO_PROFILE_DEV_DEBUG=0 \
		cargo test --quiet --locked --target $(TARGET) -p landfall-tests --test 'docker*' --test 'inside*' \
			--no-run --message-format json | \
		sed -n 's/.*"executable":"\([^"]*\/\(\(docker\|inside\)_[a-z0-9_]*\)-[^"]*\)".*/\1 \2/p' | \
		while read -r program name; do install -s "$$program" "$(VM_TESTS)/all/$$name"; done
	@mv $(addprefix $(VM_TESTS)/all/,$(VM_FILES)) $(VM_TESTS)
	@rm -r $(VM_TESTS)/all

.PHONY: demo
demo: packages root build test-images ## Give a container an address on a practice LAN, from nothing to a page
	@LANDFALL=target/dist/landfall WEB=$(TEST_IMAGES)/landfall-test-web.tar.gz images/demo

.PHONY: bench
bench: packages root docker build test-images ## Measure the figures of docs/benchmarks.md
	@[[ -n "$(ONLY)" ]] || $(TEST_ENV) cargo run --locked --release -p landfall-tests --bin bench
	@[[ "$(ONLY)" == cost ]] || $(TEST_ENV) cargo run --locked --release -p landfall-tests --bin bench_paths $(ONLY)
	@[[ -n "$(filter-out cost,$(ONLY))" ]] || $(TEST_ENV) cargo run --locked --release -p landfall-tests --bin bench_cost

.PHONY: bench-dhcp
bench-dhcp: packages clients root build ## Measure the DHCP client beside others, and herds of it
	@$(TEST_ENV) cargo run --locked --release -p landfall-tests --bin bench_dhcp $(ONLY)

.PHONY: mutants
mutants: ## Put bugs of other clients into ours, see the tests find them, and write docs/mutants.md
	@mkdir -p target
	@tests/mutants/run > target/mutants.md
	@{ sed -n '/^|/q;p' docs/mutants.md; cat target/mutants.md; } > target/mutants-page.md
	@mv target/mutants-page.md docs/mutants.md

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
scoreboard: packages clients root build ## Run six DHCP clients through the same cases: docs/scoreboard.md
	@$(TEST_ENV) cargo run --quiet --locked -p landfall-tests --bin scoreboard

.PHONY: clients
clients:
	@.ci/deps clients
	@cargo build --quiet --locked --release --manifest-path tests/fixtures/mozim/Cargo.toml

.PHONY: install
install: ## Install what `make build` built to PREFIX/bin (/usr/local/bin)
	@[[ -x target/dist/landfall ]] || { echo 'nothing is built yet: make build' >&2; exit 1; }
	@install -D -m 755 target/dist/landfall $(DESTDIR)$(PREFIX)/bin/landfall

.PHONY: clean
clean: ## Remove everything that was built
	@cargo clean
