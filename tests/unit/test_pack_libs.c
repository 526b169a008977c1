/* The closure over libraries, in a made-up root: search paths, other machines, what is missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/file.h"
#include "initrd/pack/libs.h"
#include "tests/unit/elf_maker.h"

#define LOADER "/lib64/ld-linux-x86-64.so.2"
#define MULTI  "/lib/x86_64-linux-gnu"

static char root[64];

static void write_file(const char *path, const void *data, size_t len)
{
	char full[512], *slash;

	snprintf(full, sizeof(full), "%s%s", root, path);
	slash = strrchr(full, '/');
	*slash = '\0';
	assert_int_equal(ul_mkdir_parents(AT_FDCWD, full, 0755), 0);
	*slash = '/';
	assert_int_equal(ul_write_file(AT_FDCWD, full, 0644, data, len), 0);
}

static void library(const char *path, uint16_t machine, const char *needed, int64_t tag, const char *runpath)
{
	struct made_library lib;

	make_library(&lib, machine, NULL, needed, tag, runpath);
	write_file(path, lib.bytes.data, lib.bytes.len);
	ul_buffer_free(&lib.bytes);
}

static int make_root(void **state)
{
	(void)state;
	strcpy(root, "/tmp/underlay-libs-XXXXXX");
	if (!mkdtemp(root))
		return -1;
	library(LOADER, EM_X86_64, "", 0, NULL);
	library(MULTI "/libc.so.6", EM_X86_64, "ld-linux-x86-64.so.2", 0, NULL);
	return 0;
}

static int remove_root(void **state)
{
	(void)state;
	return ul_remove_tree(AT_FDCWD, root);
}

/* The closure of a program that needs these. */
static int closure(struct ul_cpio *c, const char *needed, int64_t tag, const char *runpath, struct ul_error *err)
{
	struct made_library program;
	char path[128];
	int r;

	make_library(&program, EM_X86_64, LOADER, needed, tag, runpath);
	write_file("/opt/app/program", program.bytes.data, program.bytes.len);
	snprintf(path, sizeof(path), "%s/opt/app/program", root);
	r = ul_pack_libs(c, program.bytes.data, program.bytes.len, path, root, err);
	ul_buffer_free(&program.bytes);
	return r;
}

static void default_directories(void **state)
{
	ul_autocpio struct ul_cpio c = {0};
	struct ul_error err;

	(void)state;
	library("/usr/lib/liba.so.1", EM_X86_64, "libb.so libc.so.6", 0, NULL);
	library("/usr/lib64/libb.so", EM_X86_64, "liba.so.1", 0, NULL);
	assert_int_equal(closure(&c, "liba.so.1 libc.so.6", 0, NULL, &err), 0);
	assert_non_null(ul_cpio_find(&c, LOADER));
	/* All of them beside libc, where the loader looks without a cache. */
	assert_non_null(ul_cpio_find(&c, MULTI "/libc.so.6"));
	assert_non_null(ul_cpio_find(&c, MULTI "/liba.so.1"));
	assert_non_null(ul_cpio_find(&c, MULTI "/libb.so"));
	assert_null(ul_cpio_find(&c, "/usr"));
	assert_null(ul_cpio_find(&c, MULTI "/ld-linux-x86-64.so.2"));
}

static void search_paths(void **state)
{
	ul_autocpio struct ul_cpio c = {0};
	struct ul_error err;

	(void)state;
	library("/nix/store/a/lib/liba.so", EM_X86_64, "libb.so libd.so", DT_RUNPATH,
		"/nothing:relative:$ORIGIN/../../b/lib:$LIB/x");
	library("/nix/store/b/lib/libb.so", EM_X86_64, "libc.so.6", 0, NULL);
	library("/nix/store/d/lib/libd.so", EM_X86_64, "", 0, NULL);
	library(MULTI "/libd.so", EM_X86_64, "", 0, NULL);
	assert_int_equal(closure(&c, "liba.so", DT_RUNPATH, "/nix/store/a/lib:/nix/store/d/lib", &err), 0);
	assert_non_null(ul_cpio_find(&c, "/nix/store/a/lib/liba.so"));
	assert_non_null(ul_cpio_find(&c, "/nix/store/b/lib/libb.so"));
	/* A program's DT_RUNPATH is not for its libraries' needs. */
	assert_non_null(ul_cpio_find(&c, MULTI "/libd.so"));
	assert_null(ul_cpio_find(&c, "/nix/store/d"));
}

/* A program's DT_RPATH is; and what is found by the moving program's $ORIGIN goes beside libc. */
static void old_search_paths(void **state)
{
	ul_autocpio struct ul_cpio c = {0};
	struct ul_error err;

	(void)state;
	library("/opt/app/lib/liba.so", EM_X86_64, "libb.so", 0, NULL);
	library("/opt/other/libb.so", EM_X86_64, "libc.so.6", DT_RUNPATH, "/nothing");
	library("/opt/other/libc.so.6", EM_X86_64, "libd.so", 0, NULL);
	assert_int_equal(closure(&c, "liba.so", DT_RPATH, "${ORIGIN}/lib:/opt/other/./", &err), 0);
	assert_non_null(ul_cpio_find(&c, MULTI "/liba.so"));
	assert_non_null(ul_cpio_find(&c, "/opt/other/libb.so"));
	/* libb.so has a DT_RUNPATH, which ends the program's claim. */
	assert_non_null(ul_cpio_find(&c, MULTI "/libc.so.6"));
	assert_null(ul_cpio_find(&c, "/opt/other/libc.so.6"));
}

static void ld_so_conf(void **state)
{
	ul_autocpio struct ul_cpio c = {0};
	struct ul_error err;

	(void)state;
	library("/vendor/lib/liba.so", EM_X86_64, "", 0, NULL);
	write_file("/etc/ld.so.conf", "include ld.so.conf.d/*.conf\n", 28);
	write_file("/etc/ld.so.conf.d/v.conf", "# of the vendor\n/vendor/lib # here\n", 35);
	/* Including itself must end. */
	write_file("/etc/ld.so.conf.d/w.conf", "include /etc/ld.so.conf\n", 24);
	assert_int_equal(closure(&c, "liba.so", 0, NULL, &err), 0);
	assert_non_null(ul_cpio_find(&c, MULTI "/liba.so"));
}

static void other_machines(void **state)
{
	ul_autocpio struct ul_cpio c = {0};
	struct ul_error err;

	(void)state;
	library(MULTI "/liba.so", EM_AARCH64, "", 0, NULL);
	write_file("/usr/lib/x86_64-linux-gnu/liba.so", "GROUP ( /usr/lib/liba.so )", 26);
	library("/usr/lib/liba.so", EM_X86_64, "libgone.so", 0, NULL);
	assert_int_equal(closure(&c, "liba.so", 0, NULL, &err), -UL_E_INPUT);
	assert_string_equal(err.object, "/usr/lib/liba.so");
	assert_string_equal(err.todo, "Install the library.");
}

static void refuses(void **state)
{
	ul_autocpio struct ul_cpio c = {0};
	struct ul_error err;

	(void)state;
	assert_int_equal(closure(&c, "../liba.so", 0, NULL, &err), -UL_E_INPUT);
	assert_string_equal(err.why, "it needs ../liba.so by a path");
	/* The header tells the machine; the rest is cut off. */
	library(MULTI "/liba.so", EM_X86_64, "libb.so", 0, NULL);
	write_file(MULTI "/liba.so",
		   "\x7f"
		   "ELF\2\1\1\0\0\0\0\0\0\0\0\0\3\0\x3e\0",
		   20);
	assert_int_equal(closure(&c, "liba.so", 0, NULL, &err), -UL_E_INPUT);
}

static void scripts_need_nothing(void **state)
{
	ul_autocpio struct ul_cpio c = {0};
	struct ul_error err;

	(void)state;
	assert_int_equal(ul_pack_libs(&c, (const uint8_t *)"#!/bin/sh\n", 10, "/x", root, &err), 0);
	assert_int_equal(c.entries.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(default_directories, make_root, remove_root),
		cmocka_unit_test_setup_teardown(search_paths, make_root, remove_root),
		cmocka_unit_test_setup_teardown(old_search_paths, make_root, remove_root),
		cmocka_unit_test_setup_teardown(ld_so_conf, make_root, remove_root),
		cmocka_unit_test_setup_teardown(other_machines, make_root, remove_root),
		cmocka_unit_test_setup_teardown(refuses, make_root, remove_root),
		cmocka_unit_test_setup_teardown(scripts_need_nothing, make_root, remove_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
