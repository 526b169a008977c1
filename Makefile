# Underlay: `make demo` and `make test` do all the set-up themselves; `make help` lists the rest.
#
# Every .c file of a folder is compiled into the library that layers.txt names for that folder; a program links what it
# may use.

BUILD   ?= build
PREFIX  ?= /usr/local
ifeq ($(origin CC),default)
CC      := gcc
endif
VERSION := 0.1.0

# `make V=1` shows the commands.
Q   := $(if $(V),,@)
SAY := @$(if $(V),:,printf '  %-5s %s\n')

PKG_CONFIG ?= pkg-config
# What underlay-init links: no more than a boot needs.
INIT_PKGS := libcryptsetup devmapper blkid mount sqlite3 libzstd libcrypto libkmod json-c inih
# What the underlay command links. Nothing that mounts, activates or loads modules: where a call reaches into the boot's
# stages, linking fails. (It also starts a third faster so.)
CLI_PKGS  := devmapper blkid sqlite3 libzstd libcrypto json-c inih fdisk liblzma
ALL_PKGS  := $(sort $(INIT_PKGS) $(CLI_PKGS))

# Returns and indirect jumps that the processor checks. The linker drops the shadow stack's mark where libc's own
# start files lack it, though they are fit for it; those without landing pads do forbid that of IBT.
MACHINE := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))
ifeq ($(MACHINE),x86_64)
CONTROL_FLOW    := -fcf-protection=full
LD_CONTROL_FLOW := -Wl,-z,shstk
else ifeq ($(MACHINE),aarch64)
CONTROL_FLOW    := -mbranch-protection=standard
endif

ifeq ($(SANITIZE),1)
BUILD     := $(BUILD)-asan
HARDENING := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
LDHARDEN  := -fsanitize=address,undefined
OPT       ?= -O1 -g
else
HARDENING := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection $(CONTROL_FLOW)
LDHARDEN  := -Wl,-z,relro,-z,now,-z,noexecstack $(LD_CONTROL_FLOW)
OPT       ?= -O2 -g
endif

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
	-Wpointer-arith -Wwrite-strings -Wvla -Wformat=2 -Wundef -Wimplicit-fallthrough -Werror
CPPFLAGS += -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DUL_VERSION='"$(VERSION)"' -I.
# pkg-config runs after `make deps`, so it is asked when a file is compiled, not when make starts.
PKG_CFLAGS = $(shell $(PKG_CONFIG) --cflags $(ALL_PKGS) 2>/dev/null)
CFLAGS   += -std=gnu17 $(OPT) $(WARNINGS) $(HARDENING) -fPIE -pthread -MMD -MP
LDFLAGS  += -pie -pthread $(LDHARDEN) -Wl,--as-needed

# ---- programs ------------------------------------------------------------------------------------

# The folders and who may include whom: layers.txt, a line each. Every .c file of a folder belongs to the library that
# the line names; a folder of programs (initrd/programs, cli/hook) to none.
folders = $(shell awk '!/^\#/ && $$2 == "$(1)" { print $$1 }' layers.txt)
sources = $(foreach folder,$(call folders,$(1)),$(wildcard $(folder)/*.c))
COMMON   := $(call sources,common)
DBGEN    := $(call sources,dbgen)
VERITY   := $(call sources,verity)
PACK_SRC := $(call sources,pack)
INIT_SRC := $(call sources,initrd)
CLI_SRC  := $(call sources,cli)
FOLDERS  := $(shell awk '!/^\#/ && NF { print $$1 }' layers.txt)

obj = $(patsubst %.c,$(BUILD)/%.o,$(1))
lib = $(BUILD)/lib$(1).a

LIBS      := $(call lib,verity) $(call lib,dbgen) $(call lib,common)
INIT_LIBS  = $(shell $(PKG_CONFIG) --libs $(INIT_PKGS))
CLI_LIBS   = $(shell $(PKG_CONFIG) --libs $(CLI_PKGS))
ALL_LIBS   = $(shell $(PKG_CONFIG) --libs $(ALL_PKGS))

.PHONY: all
all: programs

.PHONY: programs
programs: $(addprefix $(BUILD)/,underlay underlay-init underlay-start underlay-shutdown underlay-remount)

$(call lib,common): $(call obj,$(COMMON))
$(call lib,dbgen): $(call obj,$(DBGEN))
$(call lib,verity): $(call obj,$(VERITY))
$(call lib,initrd): $(call obj,$(INIT_SRC))
$(call lib,pack): $(call obj,$(PACK_SRC))
$(BUILD)/lib%.a:
	@mkdir -p $(@D) && rm -f $@
	$(Q)$(AR) rcsD $@ $^

$(BUILD)/underlay-init: $(BUILD)/initrd/programs/underlay-init.o $(call lib,initrd) $(LIBS)
	$(SAY) LINK $@
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(INIT_LIBS)
# The initramfs' /init: no libc, no loader, nothing that an environment could steer; so no sanitizer either.
$(BUILD)/underlay-start: initrd/programs/underlay-start.c initrd/layout/start.h Makefile
	@mkdir -p $(@D)
	$(SAY) LINK $@
	$(Q)$(CC) $(CPPFLAGS) -std=gnu17 -O2 $(WARNINGS) $(CONTROL_FLOW) -ffreestanding -fno-stack-protector \
		-mgeneral-regs-only -fPIE -nostdlib -static-pie -Wl,--no-dynamic-linker,--build-id=none \
		-Wl,-z,relro,-z,now,-z,noexecstack $(LD_CONTROL_FLOW) -s -o $@ $<
# In memory for the whole run, and the last program of it: without libraries. (No sanitizer is static.)
$(BUILD)/underlay-shutdown: $(BUILD)/initrd/programs/underlay-shutdown.o $(call lib,common)
	$(SAY) LINK $@
	$(Q)$(CC) $(CFLAGS) $(if $(filter 1,$(SANITIZE)),$(LDFLAGS),$(LDFLAGS:-pie=-static-pie)) -o $@ $^
# From the boot's library the command takes the policy's parser, since the packer checks what it packs, and the upper's
# lock.
$(BUILD)/underlay: $(call obj,$(CLI_SRC)) $(call lib,pack) $(call lib,initrd) $(LIBS)
	$(SAY) LINK $@
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(CLI_LIBS)

# Nix's remount hook, which has to be in the system's closure: it needs nothing but libc.
$(BUILD)/underlay-remount: $(call obj,cli/hook/remount_hook.c cli/remount_overlay.c) $(call lib,common)
	$(SAY) LINK $@
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^

$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(SAY) CC $<
	$(Q)$(CC) $(CPPFLAGS) $(PKG_CFLAGS) $(CFLAGS) -c -o $@ $<

.SECONDARY:
-include $(shell find $(BUILD) -type f -name '*.d' 2>/dev/null)

# ---- tests ---------------------------------------------------------------------------------------

UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/test_*.c))
UNIT_HELP  := $(call obj,$(filter-out $(wildcard tests/unit/test_*.c),$(wildcard tests/unit/*.c)))

$(BUILD)/tests/unit/test_%: $(BUILD)/tests/unit/test_%.o $(UNIT_HELP) $(call lib,pack) $(call lib,initrd) $(LIBS)
	$(SAY) LINK $@
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(ALL_LIBS) -lcmocka -lm

.PHONY: unit-tests
unit-tests: $(UNIT_TESTS)

.PHONY: check-unit
check-unit: unit-tests
	tests/run $(UNIT_TESTS)

# Small programs that host-level tests and benchmarks run beside the command.
# upper_attack is of several files.
ATTACK_SRC := $(wildcard tests/tools/upper_attack*.c)
TOOLS := $(patsubst tests/tools/%.c,$(BUILD)/tests/tools/%,$(filter-out tests/tools/upper_attack_%.c,$(wildcard tests/tools/*.c)))

$(BUILD)/tests/tools/upper_attack: $(call obj,$(ATTACK_SRC)) $(LIBS)
	$(SAY) LINK $@
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(ALL_LIBS)

$(BUILD)/tests/tools/%: $(BUILD)/tests/tools/%.o $(call lib,initrd) $(LIBS)
	$(SAY) LINK $@
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(ALL_LIBS)

.PHONY: tools
tools: $(TOOLS)

# The attack on the disk: the judge on the host, and the one that runs in the guest as its PID 1.
TAMPER := $(BUILD)/tests/tamper/tamper $(BUILD)/tests/tamper/guest
TAMPER_OBJ := $(BUILD)/tests/tamper/cases.o $(BUILD)/tests/tamper/oracle.o
$(TAMPER): $(BUILD)/tests/tamper/%: $(BUILD)/tests/tamper/%.o $(TAMPER_OBJ) $(call lib,initrd) $(LIBS)
	$(SAY) LINK $@
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(ALL_LIBS)
tools: $(TAMPER)

# The database's writers against each other for minutes: thousands of stores, a file past 1 GiB.
.PHONY: check-db-long
check-db-long: $(BUILD)/tests/unit/test_db_bulk
	UL_DB_LONG=1 tests/run -t 3600 $<

DOC_TESTS  := $(sort $(wildcard tests/docs/check_*))
HOST_TESTS := $(sort $(wildcard tests/host/*.sh))
QEMU_TESTS := $(sort $(wildcard tests/qemu/*.sh))
# Seconds for one program of tests; every single boot has a limit of its own.
TEST_LIMIT := 2400

# Every bit of the image attacked, on the host and in the guest: the figures in SECURITY.md.
.PHONY: check-tamper
check-tamper: programs tools
	TAMPER_FLIPS=10000 TAMPER_OTHERS=600 tests/run -t $(TEST_LIMIT) tests/host/tamper.sh tests/qemu/tamper.sh
	@sed -n 's/^# //p' build/test-logs/tests_host_tamper.sh.log

.PHONY: check-host
check-host: programs tools
	tests/run $(HOST_TESTS)

# Thousands of random uppers under a real overlay (LAYERS_TREES, from LAYERS_SEED on); nothing sealed may change.
.PHONY: check-layers
check-layers: programs tools
	LAYERS_TREES=$(or $(LAYERS_TREES),3600) tests/run -t 7200 tests/host/layers_random.sh
	@sed -n 's/^# //p' build/test-logs/tests_host_layers_random.sh.log

# Every attack on the upper, and an error at every block that the seal leans on: booted on both kernels, with both kinds
# of database. Of it `make test` has a sample.
.PHONY: check-attacks
check-attacks: programs tools
	ATTACKS=all tests/run -t 14400 tests/qemu/upper-attacks.sh tests/qemu/seal-under-errors.sh
	@sed -n 's/^# errors-/errors-/p' build/test-logs/tests_qemu_seal-under-errors.sh.log

# The NixOS module on a stand-in for nixpkgs; check-nixos: on the lib and the modules of the nixpkgs in NIXPKGS.
NIXOS_TESTS := $(sort $(wildcard tests/nixos/*.sh))
.PHONY: check-nixos check-nixos-standin
check-nixos-standin: programs
	tests/run -t $(TEST_LIMIT) $(NIXOS_TESTS)
check-nixos: programs
	@test -n "$(NIXPKGS)" || { echo 'make check-nixos: say where nixpkgs is: NIXPKGS=DIR'; exit 2; }
	NIXPKGS=$(NIXPKGS) tests/run tests/nixos/module.sh

# All rows of the boots' matrices; of some `make test` has a sample.
.PHONY: check-qemu
check-qemu: programs tools
	MATRIX=all tests/run -t $(TEST_LIMIT) $(QEMU_TESTS)

# The power is cut hundreds of times (POWERCUT_POINTS): the half of an hour on two idle cores, and up.
.PHONY: check-powercut
check-powercut: programs tools
	POWERCUT_POINTS=$(or $(POWERCUT_POINTS),320) tests/qemu/powercut.sh

# Nix for three boots over one upper, in each version that Debian has: DAYS names them, with the database's mode; and
# with content-addressed derivations. The newest is sid's, fetched from the network.
.PHONY: check-nix-versions
check-nix-versions: programs tools
	tests/host/db_ca.sh trixie sid
	DAYS="$(or $(DAYS),2.26:attach 2.26:rebuild 2.8:rebuild sid:attach sid:rebuild)" \
		tests/run -t 7200 tests/host/days.sh tests/qemu/days.sh
	@sed -n 's/^# //p' build/test-logs/tests_host_days.sh.log build/test-logs/tests_qemu_days.sh.log

# The tests of the tests. Runners and helpers that pass everything would pass these too, so they run by themselves.
SELF_TESTS := $(sort $(wildcard tests/self/*.sh))
.PHONY: check-self
check-self:
	@mkdir -p build
	@for test in $(SELF_TESTS); do \
		$$test >build/check-self.log 2>&1 && grep -q '^ok ' build/check-self.log && \
			[ "$$(tail -n 1 build/check-self.log)" = "1..$$(grep -c '^ok ' build/check-self.log)" ] || \
			{ cat build/check-self.log; exit 1; }; \
	done

# One promise is broken at a time, and a test must see it: MUTATIONS="NAME..." tries those alone.
.PHONY: check-mutations
check-mutations: programs unit-tests tools
	tests/mutations/run $(MUTATIONS)

# Everything, with one count at the end: the unit tests twice (as shipped, and under ASan and UBSan).
.PHONY: test
test: deps
	$(MAKE) programs unit-tests tools
	$(MAKE) SANITIZE=1 unit-tests replay-programs
	$(MAKE) check-self
	tests/run -t $(TEST_LIMIT) $(SELF_TESTS) $(UNIT_TESTS) $(UNIT_TESTS:$(BUILD)/%=$(BUILD)-asan/%) \
		$(DOC_TESTS) tests/lint/selftest.sh tests/fuzz/replay.sh $(HOST_TESTS) $(NIXOS_TESTS) $(QEMU_TESTS)

# Programs that measure or make test data; they share the unit tests' generator of stores.
BENCH := $(patsubst tests/bench/%.c,$(BUILD)/tests/bench/%,$(wildcard tests/bench/*.c))
$(BUILD)/tests/bench/%: $(BUILD)/tests/bench/%.o $(BUILD)/tests/unit/random_store.o $(LIBS)
	$(SAY) LINK $@
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(ALL_LIBS) -lm

.PHONY: bench-programs
bench-programs: $(BENCH)

.PHONY: bench-db bench-verity bench-check
bench-db: programs bench-programs
	tests/bench/db.sh
bench-verity: tools
	tests/bench/verity.sh
bench-check: programs
	tests/bench/check.sh

.PHONY: bench-reconcile
bench-reconcile: bench-programs
	tests/bench/reconcile.sh

.PHONY: bench-stage-database
bench-stage-database: programs bench-programs $(BUILD)/tests/tools/boot_stages
	tests/bench/stage_database.sh

.PHONY: bench-join
bench-join: bench-programs
	tests/bench/join.sh

.PHONY: bench-gc
bench-gc: programs bench-programs
	tests/bench/gc.sh

.PHONY: bench-boot
bench-boot: programs
	tests/bench/bench_boot.sh

.PHONY: bench-boot-rebuild
bench-boot-rebuild: programs bench-programs
	tests/bench/bench_boot_rebuild.sh

# Fuzzing: every harness for FUZZ_SECONDS, or FUZZ_RUNS inputs. clang, its runtime, ASan and UBSan.
FUZZ_SECONDS ?= 60
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ := $(patsubst tests/fuzz/%.c,build-fuzz/%,$(FUZZ_SRC))
FUZZ_CC := clang -std=gnu17 -g -O2 -fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=undefined -pthread -MMD -MP
FUZZ_OBJ := $(patsubst %.c,build-fuzz/%.o,$(COMMON) $(DBGEN) $(VERITY) $(INIT_SRC) $(PACK_SRC))
# fuzz_seal is about what lies behind the signatures: its own checks take their place.
fuzz_wrap = $(if $(findstring fuzz_seal,$(1)),-Wl$(comma)--wrap=ul_trust_verify -Wl$(comma)--wrap=ul_trust_count)
comma := ,
build-fuzz/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(SAY) CC $<
	$(Q)$(FUZZ_CC) $(CPPFLAGS) $(PKG_CFLAGS) -c -o $@ $<
build-fuzz/libfuzz.a: $(FUZZ_OBJ)
	@rm -f $@
	$(Q)$(AR) rcsD $@ $^
build-fuzz/fuzz_%: build-fuzz/tests/fuzz/fuzz_%.o build-fuzz/tests/fuzz/fuzz.o build-fuzz/libfuzz.a
	$(SAY) LINK $@
	$(Q)clang -fsanitize=fuzzer,address,undefined -pthread -o $@ $^ $(call fuzz_wrap,$@) $(ALL_LIBS)
-include $(shell find build-fuzz -type f -name '*.d' 2>/dev/null)

.PHONY: fuzz
fuzz: $(FUZZ)
	FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_RUNS=$(FUZZ_RUNS) tests/fuzz/run $(FUZZ)

# The same harnesses without libFuzzer, by the compiler that builds all else: they run what was found once.
REPLAY := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/fuzz/%,$(FUZZ_SRC))
$(BUILD)/tests/fuzz/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/tests/fuzz/fuzz.o $(BUILD)/tests/fuzz/replay.o \
		$(call lib,pack) $(call lib,initrd) $(LIBS)
	$(SAY) LINK $@
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(call fuzz_wrap,$@) $(ALL_LIBS)

.PHONY: replay-programs check-fuzz
replay-programs: $(REPLAY)
check-fuzz:
	$(MAKE) SANITIZE=1 replay-programs
	tests/run tests/fuzz/replay.sh

# Help, manual pages, settings and code say the same, and nobody names a file that has gone.
.PHONY: check-docs
check-docs: programs $(BUILD)/tests/tools/policy_rows
	tests/run $(DOC_TESTS)

# ---- the set-up and the demonstration ------------------------------------------------------------

.PHONY: deps
deps:
	tests/install-deps

.PHONY: demo
demo: deps
	$(MAKE) programs
	tests/demo.sh

# ---- lint ----------------------------------------------------------------------------------------

# Sources and headers of layers.txt's folders, and those of the tests.
LINT_SRC  = $(wildcard $(addsuffix /*.c,$(FOLDERS)))
LINT_HEAD = $(wildcard $(addsuffix /*.h,$(FOLDERS)))
LINT_TEST = $(wildcard $(foreach folder,tests $(wildcard tests/*/.),$(folder)/*.[ch]))
TIDY_STAMPS = $(patsubst %.c,build/lint/%.tidy,$(LINT_SRC)) $(patsubst %.h,build/lint/%.alone,$(LINT_HEAD))

build/lint/%.tidy: %.c .clang-tidy
	@mkdir -p $(@D)
	$(SAY) TIDY $<
	$(Q)clang-tidy --quiet $< -- -std=gnu17 $(CPPFLAGS) $(PKG_CFLAGS) $(WARNINGS) 2>$@.log || { cat $@.log; exit 1; }
	$(Q)$(CC) -std=gnu17 $(CPPFLAGS) $(PKG_CFLAGS) -MM -MP -MT $@ -MF $@.d $<
	@touch $@
# What a header says is looked at in the files that include it. That it can be included, before anything else, here.
build/lint/%.alone: %.h
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu17 $(CPPFLAGS) $(PKG_CFLAGS) $(WARNINGS) -fsyntax-only -include $< -x c /dev/null
	$(Q)$(CC) -std=gnu17 $(CPPFLAGS) $(PKG_CFLAGS) -MM -MP -MT $@ -MF $@.d $<
	@touch $@
-include $(shell find build/lint -type f -name '*.d' 2>/dev/null)

# The tree's own rules come last: what clang-tidy finds is the nearer to a defect. They read the objects of `programs`.
# memleak: cppcheck does not know __attribute__((cleanup)); LeakSanitizer runs in the tests.
.PHONY: lint
lint: programs $(TIDY_STAMPS)
	cppcheck --quiet --enable=warning,performance,portability --std=c11 --inline-suppr \
		--error-exitcode=1 --suppress=missingIncludeSystem --suppress=memleak -I. -D_GNU_SOURCE -DUL_VERSION=\"\" \
		-j 2 $(LINT_SRC)
	clang-format --dry-run -Werror $(LINT_SRC) $(LINT_HEAD) $(LINT_TEST)
	tests/lint.sh $(BUILD)
	@echo "lint: clean"

# ---- install -------------------------------------------------------------------------------------

.PHONY: install
install: programs
	install -D -m 755 $(BUILD)/underlay $(DESTDIR)$(PREFIX)/bin/underlay
	install -D -m 755 $(BUILD)/underlay-remount $(DESTDIR)$(PREFIX)/bin/underlay-remount
	install -D -m 755 $(BUILD)/underlay-init $(DESTDIR)$(PREFIX)/lib/underlay/underlay-init
	install -D -m 755 $(BUILD)/underlay-start $(DESTDIR)$(PREFIX)/lib/underlay/underlay-start
	install -D -m 755 $(BUILD)/underlay-shutdown $(DESTDIR)$(PREFIX)/lib/underlay/underlay-shutdown
	for file in systemd/underlay.service systemd/initrd-switch-root.conf systemd/below-sysroot.conf mkinitcpio/sd-underlay \
		dracut/90underlay/module-setup.sh dracut/90underlay/parse-underlay.sh; do \
		install -D -m 644 initrd/$$file $(DESTDIR)$(PREFIX)/share/underlay/initrd/$$file; done
	install -D -m 755 initrd/mkosi/mkosi.postinst $(DESTDIR)$(PREFIX)/share/underlay/initrd/mkosi/mkosi.postinst
	for file in underlay-gc.service underlay-gc.timer underlay-mark-good.service; do \
		install -D -m 644 cli/systemd/$$file $(DESTDIR)$(PREFIX)/lib/systemd/system/$$file; done
	install -D -m 644 cli/systemd/nix-daemon-underlay.conf \
		$(DESTDIR)$(PREFIX)/lib/systemd/system/nix-daemon.service.d/underlay.conf
	install -d $(addprefix $(DESTDIR)$(PREFIX)/share/man/man,1 5 8)
	install -m 644 cli/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 initrd/man/*.5 $(DESTDIR)$(PREFIX)/share/man/man5
	install -m 644 initrd/man/*.8 $(DESTDIR)$(PREFIX)/share/man/man8
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	$(BUILD)/underlay completion bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/underlay
	$(BUILD)/underlay completion zsh >$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_underlay
	$(BUILD)/underlay completion fish >$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/underlay.fish

.PHONY: bench-image
bench-image: programs
	tests/bench/bench_image.sh

.PHONY: bench-update
bench-update: programs
	tests/bench/update.sh

# ---- the rest ------------------------------------------------------------------------------------

.PHONY: clean
clean:
	rm -rf build build-asan build-clang build-fuzz

.PHONY: help
help:
	@echo 'all          the programs, in $(BUILD)/'
	@echo 'deps         install the Debian packages that are missing (tests/deps.txt); needs root if any is'
	@echo 'demo         seal a real Nix store, boot it in QEMU, and let the Nix inside judge it'
	@echo 'test         everything below that starts with check-, with one count at the end'
	@echo 'check-unit   unit tests, a second or so each; SANITIZE=1 builds them with ASan and UBSan'
	@echo 'check-host   tests with loop devices and overlay mounts in private namespaces; needs root'
	@echo 'check-qemu   boots, good and refused, in QEMU: also the rows that make test leaves out'
	@echo 'check-tamper tens of thousands of tampered images, opened as a boot does: nothing unsigned is served'
	@echo 'check-layers thousands of random uppers, booted twice each, under a real overlay: nothing sealed changes'
	@echo 'check-attacks  every attack on the upper, and errors at every block of the names, booted on both kernels; an hour'
	@echo 'check-nixos  the NixOS module with lib and modules of the nixpkgs in NIXPKGS; make test uses a stand-in'
	@echo 'check-powercut  cut the power at hundreds of writes to the upper, and boot after each; an hour'
	@echo 'check-nix-versions  three boots of every Nix that Debian has, sid too: what it says, the files and df agree'
	@echo 'check-docs   help, manual pages, settings and code say the same'
	@echo 'check-self   the tests of the tests: what runs, counts and fuzzes says "failed" where something has'
	@echo 'check-mutations  break one promise at a time (tests/mutations), and see a test go red; half an hour'
	@echo 'check-fuzz   what the fuzzers found once, and their seeds, run again under ASan and UBSan'
	@echo 'fuzz         every fuzzing harness for FUZZ_SECONDS (60) or FUZZ_RUNS inputs; needs clang'
	@echo 'check-db-long  the writers of the database against each other on thousands of stores; minutes'
	@echo 'bench-db     the database against nix-store --load-db, SQLite, cp: a table, and $(BUILD)/bench-db.json'
	@echo 'bench-verity the hash tree against veritysetup: a table, and $(BUILD)/bench-verity.json'
	@echo 'bench-check  manifest check against nix-store --verify --check-contents, likewise'
	@echo 'bench-reconcile  an upper of 1,000 paths against lowers of up to a million: a table, and a JSON file'
	@echo 'bench-stage-database  stage database over lowers of up to a million paths: a table, and a JSON file'
	@echo 'bench-join   joining a session of 1,000 new paths into 0 to 10,000 kept ones, against mv and cp -al'
	@echo 'bench-boot   time from /init to the system'"'"'s init, against a script and dracut with systemd'
	@echo 'bench-boot-rebuild  milliseconds of the database in a booted rebuild, of the appliance and of 100,000 paths'
	@echo 'lint         clang-tidy, cppcheck, clang-format, and the tree'"'"'s own rules'
	@echo 'install      programs, manual pages and completions below PREFIX (/usr/local), DESTDIR before it'
	@echo 'bench-update  how fast a slot is written, against dd'
	@echo 'bench-image  how long image build takes against mkfs.erofs and mksquashfs alone'
	@echo 'clean        remove what was built'
