# Purser's commands; `make` alone prints them from the lines that begin with two hashes.

# No C compiler is needed, except by the race detector (on macOS not even there).
export CGO_ENABLED := 0
race_cgo := $(if $(filter Darwin,$(shell uname)),0,1)

# The one C file among the dependencies is SQLite, which a build with cgo compiles and Purser never calls: not worth a
# minute of optimising.
race_env := CGO_ENABLED=$(race_cgo) CGO_CFLAGS='-O0 -g0'

# Where git refuses to read the clone (another user's, say), Go would refuse to build.
ifeq (,$(shell git rev-parse HEAD 2>/dev/null))
export GOFLAGS := $(shell go env GOFLAGS) -buildvcs=false
endif

PKG ?= ./...
ARGS ?=

# Tests start programs and read files that Go's test cache does not see: -count=1. `make lint` vets them already.
gotest := go test -count=1 -timeout 40m -vet=off

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run build test test-race hostile fuzz lint fmt smoke bench chaos ci clean

help:
	@awk -F ': +' '/^## / { sub(/^## /, ""); printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

## run: start everything in one process, with nothing installed; ARGS='--flag …' goes to purser
run: build
	@exec ./bin/purser run --demo $(ARGS)

## build: build ./bin/purser
build:
	go build -o bin/purser ./cmd/purser

## test: run every test on stores of its own; PKG=./jobs/... and ARGS='-run Name' narrow it down
test:
	@.ci/need postgres redis chromium
	.ci/with-stores $(gotest) $(ARGS) $(PKG)

# With the race detector comes a check of pointers, a quarter of the run in SQLite, whose translation is made of them.
race_flags := -race -gcflags='modernc.org/...=-d=checkptr=0'

# The detector does not look at memory outside Go's heap, where all of SQLite's is. The translated C is left out whole; its
# driver is not: it has generic functions, of which one copy is linked for all packages, and that has to be a watched one.
race_flags += $(foreach package,sqlite/lib libc memory,-gcflags=modernc.org/$(package)=-race=false)

## test-race: the same with the race detector
test-race:
	@.ci/need postgres redis gcc chromium
	$(race_env) .ci/with-stores $(gotest) $(race_flags) $(ARGS) $(PKG)

## hostile: send 100,000 random requests to each profile; PURSER_TEST_SEED=… makes others, PURSER_TEST_REQUESTS=… more
hostile:
	@.ci/need postgres redis
	PURSER_TEST_REQUESTS=$${PURSER_TEST_REQUESTS:-100000} .ci/with-stores $(gotest) -v -run '^TestRandomRequests$$' ./api

## fuzz: run every fuzz target for half a minute; ARGS=300 for as many seconds
fuzz:
	.ci/fuzz $(ARGS)

## lint: check formatting, vet, staticcheck and the other linters
lint:
	@.ci/need shellcheck promtool $(if $(filter Linux,$(shell uname)),systemd-analyze)
	@.ci/lint

## fmt: format Go and shell, and apply what go fix proposes
fmt:
	go fix ./...
	"$$(go env GOROOT)/bin/gofmt" -s -w .
	go tool -modfile=.ci/tools/go.mod shfmt -w .ci deployments

## smoke: start the built program and take one order through it
smoke: build
	@.ci/need curl
	@.ci/smoke bin/purser

## bench: measure speed beside baselines, with the disk's own pace; ARGS=-quick for a first look
bench: build
	@.ci/need postgres redis
	go build -o bin/bench ./cmd/bench
	PURSER_TEST_FSYNC=on .ci/with-stores bin/bench -purser bin/purser $(ARGS)

ORDERS ?= 1000
SEED ?= 1

## chaos: break an installation in every way while customers buy; ORDERS=10000 SEED=7, and ARGS='-faults 5' goes to it
chaos: build
	@.ci/need postgres redis
	go build -o bin/chaos ./cmd/chaos
	@exec ./bin/chaos -purser bin/purser -postgres "$$(.ci/find postgres)" -redis "$$(.ci/find redis)" -orders $(ORDERS) -seed $(SEED) $(ARGS)

## ci: all of it, as CI does
ci: lint test-race smoke

## clean: remove what was built; data/ stays
clean:
	rm -rf bin
