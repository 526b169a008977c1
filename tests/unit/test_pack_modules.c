/*
 * The packing of kernel modules, judged by libkmod: a tree of made-up modules is packed, the archive's
 * files are laid in a directory, and libkmod must find there what a boot looks up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <libkmod.h>
#include <zstd.h>

#include "common/file.h"
#include "common/paths.h"
#include "initrd/pack/kmod_index.h"
#include "initrd/pack/modules.h"
#include "tests/unit/elf_maker.h"

#define KERNEL   "6.12.0-test"
#define VERMAGIC "vermagic=" KERNEL " SMP preempt\0"

/* A module's file and its .modinfo; sizeof keeps the NULs within. */
#define MODULE(path, info)                                     \
	{                                                      \
		path, VERMAGIC info, sizeof(VERMAGIC info) - 1 \
	}

static const struct {
	const char *path, *info;
	size_t len;
} tree_modules[] = {
	MODULE("kernel/drivers/md/dm-mod.ko", "name=dm_mod\0depends=\0"),
	MODULE("kernel/drivers/md/dm-bufio.ko", "name=dm_bufio\0depends=dm-mod\0"),
	MODULE("kernel/drivers/md/dm-verity.ko", "name=dm_verity\0depends=dm-bufio,reed_solomon,dm-mod\0"),
	MODULE("kernel/lib/reed_solomon.ko", "name=reed_solomon\0depends=\0"),
	MODULE("kernel/fs/overlay.ko.zst", "name=overlay\0depends=\0alias=fs-overlay\0"),
	MODULE("kernel/block/virtio_blk.ko", "name=virtio_blk\0depends=\0alias=virtio:d00000002v*\0alias=x-[a-c]-*\0"),
	MODULE("kernel/fs/erofs.ko", "name=erofs\0depends=\0softdep=pre: crc32c fast post: late\0weakdep=maybe\0"),
	MODULE("kernel/crypto/crc32c_soft.ko", "name=crc32c_soft\0depends=\0alias=crc32c\0"),
	MODULE("kernel/crypto/late.ko", "name=late\0depends=\0"),
	MODULE("kernel/crypto/maybe.ko", "name=maybe\0depends=\0"),
	MODULE("kernel/unwanted.ko", "name=unwanted\0depends=\0alias=pci:*\0"),
	MODULE("kernel/broken.ko", "name=broken\0depends=gone\0"),
	MODULE("kernel/loop-a.ko", "name=loop_a\0depends=loop-b\0"),
	MODULE("kernel/loop-b.ko", "name=loop_b\0depends=loop-a\0"),
};

static char root[64];

static void write_file(const char *path, const void *data, size_t len)
{
	char full[512], *slash;

	snprintf(full, sizeof(full), "%s/%s", root, path);
	slash = strrchr(full, '/');
	*slash = '\0';
	assert_int_equal(ul_mkdir_parents(AT_FDCWD, full, 0755), 0);
	*slash = '/';
	assert_int_equal(ul_write_file(AT_FDCWD, full, 0644, data, len), 0);
}

static int make_tree(void **state)
{
	(void)state;
	strcpy(root, "/tmp/underlay-modules-XXXXXX");
	if (!mkdtemp(root))
		return -1;
	for (size_t i = 0; i < UL_ARRAY_SIZE(tree_modules); i++) {
		ul_autobuffer struct ul_buffer module = {0};
		uint8_t packed[4096];
		char path[256];

		make_module(&module, tree_modules[i].info, tree_modules[i].len);
		snprintf(path, sizeof(path), "in/%s", tree_modules[i].path);
		if (strstr(path, ".zst"))
			write_file(path, packed, ZSTD_compress(packed, sizeof(packed), module.data, module.len, 1));
		else
			write_file(path, module.data, module.len);
	}
	write_file("in/modules.builtin", "kernel/fs/ext4/ext4.ko\nkernel/crypto/sha256-generic.ko\n",
		   sizeof("kernel/fs/ext4/ext4.ko\nkernel/crypto/sha256-generic.ko\n") - 1);
	write_file("in/modules.builtin.modinfo", "fast_impl.alias=fast\0", 21);
	return 0;
}

static int remove_tree(void **state)
{
	(void)state;
	return ul_remove_tree(AT_FDCWD, root);
}

static int pack(struct ul_cpio *c, const struct ul_module_want *wants, size_t count, struct ul_module_report *report,
		struct ul_error *err)
{
	char dir[128];

	snprintf(dir, sizeof(dir), "%s/in", root);
	return ul_pack_modules(c, dir, wants, count, report, err);
}

/* Lay the archive's files below root/out and open libkmod on them. */
static struct kmod_ctx *open_packed(const struct ul_cpio *c, char *dir, size_t size)
{
	const char *no_config = NULL;
	struct kmod_ctx *ctx;

	for (size_t i = 0; i < c->entries.n; i++)
		if (S_ISREG(c->entries.at[i].mode)) {
			char path[512];

			snprintf(path, sizeof(path), "out/%s", c->entries.at[i].path);
			write_file(path, c->entries.at[i].data, c->entries.at[i].len);
		}
	snprintf(dir, size, "%s/out/lib/modules/" KERNEL, root);
	ctx = kmod_new(dir, &no_config);
	assert_non_null(ctx);
	assert_int_equal(kmod_load_resources(ctx), 0);
	return ctx;
}

/* What libkmod finds for a name or alias: names joined by spaces; a built-in one in brackets. */
static void lookup(struct kmod_ctx *ctx, const char *alias, char *buf, size_t size)
{
	struct kmod_list *list = NULL, *item;

	buf[0] = '\0';
	assert_int_equal(kmod_module_new_from_lookup(ctx, alias, &list), 0);
	kmod_list_foreach(item, list)
	{
		struct kmod_module *m = kmod_module_get_module(item);
		bool builtin = kmod_module_get_initstate(m) == KMOD_MODULE_BUILTIN;

		snprintf(buf + strlen(buf), size - strlen(buf), "%s%s%s%s", *buf ? " " : "", builtin ? "[" : "",
			 kmod_module_get_name(m), builtin ? "]" : "");
		kmod_module_unref(m);
	}
	kmod_module_unref_list(list);
}

/* The order in which libkmod would load what a module depends on. */
static void dependencies(struct kmod_ctx *ctx, const char *name, char *buf, size_t size)
{
	struct kmod_list *list, *item;
	struct kmod_module *m;

	buf[0] = '\0';
	assert_int_equal(kmod_module_new_from_name(ctx, name, &m), 0);
	list = kmod_module_get_dependencies(m);
	kmod_list_foreach(item, list)
	{
		struct kmod_module *d = kmod_module_get_module(item);
		struct stat st;

		assert_int_equal(stat(kmod_module_get_path(d), &st), 0);
		snprintf(buf + strlen(buf), size - strlen(buf), "%s%s", *buf ? " " : "", kmod_module_get_name(d));
		kmod_module_unref(d);
	}
	kmod_module_unref_list(list);
	kmod_module_unref(m);
}

static void libkmod_agrees(void **state)
{
	static const struct ul_module_want wants[] = {
		{"dm-verity", UL_MODULE_ALWAYS, true, "of the test"},
		{"sha256_generic", UL_MODULE_ALWAYS, true, "of the test"},
		{"overlay", UL_MODULE_ALWAYS, true, "of the test"},
		{"nothing", UL_MODULE_ALWAYS, false, "of the test"},
		{"virtio_blk", UL_MODULE_BY_ALIAS, true, "of the test"},
		{"erofs", UL_MODULE_BY_NAME, true, "of the test"},
	};
	ul_automodulereport struct ul_module_report report = {0};
	ul_autocpio struct ul_cpio c = {0};
	const struct ul_cpio_entry *list;
	char buf[256], dir[128];
	struct kmod_ctx *ctx;
	struct ul_error err;

	(void)state;
	assert_int_equal(pack(&c, wants, UL_ARRAY_SIZE(wants), &report, &err), 0);
	assert_string_equal(report.kernel, KERNEL);
	assert_int_equal(report.packed.n, 10);
	assert_false(ul_names_has(&report.packed, "unwanted"));
	assert_string_equal(report.builtin.at[0], "sha256_generic");
	assert_string_equal(report.missing.at[0], "nothing");
	list = ul_cpio_find(&c, UL_PATH_MODULES_LOAD);
	assert_non_null(list);
	assert_int_equal(list->len, 18);
	assert_memory_equal(list->data, "dm_verity\noverlay\n", 18);

	ctx = open_packed(&c, dir, sizeof(dir));
	lookup(ctx, "dm-verity", buf, sizeof(buf));
	assert_string_equal(buf, "dm_verity");
	lookup(ctx, "virtio:d00000002v00001AF4", buf, sizeof(buf));
	assert_string_equal(buf, "virtio_blk");
	lookup(ctx, "x-b-1", buf, sizeof(buf));
	assert_string_equal(buf, "virtio_blk");
	lookup(ctx, "pci:v1", buf, sizeof(buf));
	assert_string_equal(buf, "");
	lookup(ctx, "ext4", buf, sizeof(buf));
	assert_string_equal(buf, "[ext4]");
	lookup(ctx, "xfs", buf, sizeof(buf));
	assert_string_equal(buf, "");
	dependencies(ctx, "overlay", buf, sizeof(buf));
	assert_string_equal(buf, "");
	dependencies(ctx, "dm_verity", buf, sizeof(buf));
	assert_string_equal(buf, "dm_mod dm_bufio reed_solomon");
	kmod_unref(ctx);
}

/* Soft dependencies reach libkmod through modules.softdep; "fast" is an alias of something built in. */
static void soft_dependencies(void **state)
{
	static const struct ul_module_want wants[] = {{"erofs", UL_MODULE_BY_NAME, true, "of the test"}};
	static const char softdep[] = "softdep erofs pre: crc32c fast post: late\n";
	struct kmod_list *pre = NULL, *post = NULL;
	ul_automodulereport struct ul_module_report report = {0};
	ul_autocpio struct ul_cpio c = {0};
	const struct ul_cpio_entry *entry;
	struct kmod_module *m;
	struct kmod_ctx *ctx;
	struct ul_error err;
	char dir[128], buf[256];

	(void)state;
	assert_int_equal(pack(&c, wants, 1, &report, &err), 0);
	assert_int_equal(report.packed.n, 4);
	assert_string_equal(report.packed.at[1], "crc32c_soft");
	assert_true(ul_names_has(&report.packed, "maybe"));
	assert_int_equal(report.listed.n, 0);
	entry = ul_cpio_find(&c, "/lib/modules/" KERNEL "/modules.softdep");
	assert_int_equal(entry->len, sizeof(softdep) - 1);
	assert_memory_equal(entry->data, softdep, sizeof(softdep) - 1);

	ctx = open_packed(&c, dir, sizeof(dir));
	lookup(ctx, "crc32c", buf, sizeof(buf));
	assert_string_equal(buf, "crc32c_soft");
	assert_int_equal(kmod_module_new_from_name(ctx, "erofs", &m), 0);
	assert_int_equal(kmod_module_get_softdeps(m, &pre, &post), 0);
	assert_non_null(pre);
	kmod_module_unref_list(pre);
	kmod_module_unref_list(post);
	kmod_module_unref(m);
	kmod_unref(ctx);
}

static void compressed_is_uncompressed(void **state)
{
	static const struct ul_module_want wants[] = {{"overlay", UL_MODULE_ALWAYS, true, "of the test"}};
	ul_automodulereport struct ul_module_report report = {0};
	ul_autocpio struct ul_cpio c = {0};
	const struct ul_cpio_entry *entry;
	struct ul_error err;

	(void)state;
	assert_int_equal(pack(&c, wants, 1, &report, &err), 0);
	entry = ul_cpio_find(&c, "/lib/modules/" KERNEL "/kernel/fs/overlay.ko");
	assert_non_null(entry);
	assert_memory_equal(entry->data,
			    "\x7f"
			    "ELF",
			    4);
}

static void missing_modules(void **state)
{
	static const struct ul_module_want absent[] = {{"erofs", UL_MODULE_BY_NAME, true, "of the test"},
						       {"no_such", UL_MODULE_ALWAYS, true, "the test wants it"}};
	static const struct ul_module_want broken[] = {{"broken", UL_MODULE_ALWAYS, true, "of the test"}};
	struct ul_module_report report = {0};
	ul_autocpio struct ul_cpio c = {0};
	struct ul_error err;

	(void)state;
	assert_int_equal(pack(&c, absent, 2, &report, &err), -UL_E_MODULE);
	assert_string_equal(err.object, "no_such");
	assert_non_null(strstr(err.why, "it is needed because the test wants it"));
	assert_int_equal(pack(&c, broken, 1, &report, &err), -UL_E_MODULE);
	assert_string_equal(err.object, "broken");
	assert_non_null(strstr(err.why, "it needs gone, which "));
	assert_null(report.kernel);
	assert_int_equal(c.entries.n, 0);
}

/* Two modules that need each other come from a broken tree; it must end, and find both. */
static void dependency_loop(void **state)
{
	static const struct ul_module_want wants[] = {{"loop_a", UL_MODULE_ALWAYS, true, "of the test"}};
	ul_automodulereport struct ul_module_report report = {0};
	ul_autocpio struct ul_cpio c = {0};
	struct ul_error err;

	(void)state;
	assert_int_equal(pack(&c, wants, 1, &report, &err), 0);
	assert_int_equal(report.packed.n, 2);
}

static void refuses_trees(void **state)
{
	static const struct ul_module_want wants[] = {{"odd", UL_MODULE_ALWAYS, true, "of the test"},
						      {"overlay", UL_MODULE_ALWAYS, true, "of the test"}};
	static const char other[] = "vermagic=5.0 SMP\0depends=\0";
	ul_autobuffer struct ul_buffer module = {0};
	struct ul_module_report report = {0};
	ul_autocpio struct ul_cpio c = {0};
	struct ul_error err;

	(void)state;
	assert_int_equal(ul_pack_modules(&c, "/nonexistent", wants, 1, &report, &err), -UL_E_SYSTEM);
	assert_int_equal(ul_pack_modules(&c, "/proc/self/fdinfo", wants, 1, &report, &err), -UL_E_INPUT);
	assert_non_null(strstr(err.why, "neither a module nor the list modules.builtin"));
	write_file("in/odd.ko", "no module", 9);
	assert_int_equal(pack(&c, wants, 1, &report, &err), -UL_E_INPUT);
	write_file("in/odd.ko", "\x1f\x8b gzip", 7);
	assert_int_equal(pack(&c, wants, 1, &report, &err), -UL_E_INPUT);
	assert_non_null(strstr(err.why, "gzip"));
	write_file("in/odd.ko", "\x28\xb5\x2f\xfd cut off", 12);
	assert_int_equal(pack(&c, wants, 1, &report, &err), -UL_E_INPUT);
	write_file("in/odd.ko",
		   "\xfd"
		   "7zXZ\0 cut off",
		   14);
	assert_int_equal(pack(&c, wants, 1, &report, &err), -UL_E_INPUT);
	make_module(&module, "depends=", 9);
	write_file("in/odd.ko", module.data, module.len);
	assert_int_equal(pack(&c, wants, 1, &report, &err), -UL_E_INPUT);
	assert_string_equal(err.why, "it does not say which kernel it is for");
	module.len = 0;
	make_module(&module, "vermagic=5.0", 12);
	write_file("in/odd.ko", module.data, module.len);
	assert_int_equal(pack(&c, wants, 1, &report, &err), -UL_E_INPUT);
	assert_string_equal(err.why, "its .modinfo does not end with a NUL");
	module.len = 0;
	make_module(&module, other, sizeof(other) - 1);
	write_file("in/odd.ko", module.data, module.len);
	assert_int_equal(pack(&c, wants, 2, &report, &err), -UL_E_INPUT);
	assert_string_equal(err.why, "odd is for kernel 5.0, but overlay is for " KERNEL);
}

/* Keys in each other's way: one the prefix of the next, equal ones, the empty one. */
static void index_bytes(void **state)
{
	static const uint8_t expected[] = {0xb0, 0x07, 0xf4, 0x57, 0, 2, 0, 1, 0xe0, 0, 0, 0x1f,
					   /* 12: the node of "ab": a value */
					   0, 0, 0, 1, 0, 0, 0, 7, '2', 0,
					   /* 22: the node of "ac": a value */
					   0, 0, 0, 1, 0, 0, 0, 0, 0,
					   /* 31: the root: prefix "a", children b to c, a value */
					   'a', 0, 'b', 'c', 0x40, 0, 0, 12, 0x40, 0, 0, 22, 0, 0, 0, 1, 0, 0, 0, 0,
					   '1', 0};
	struct ul_kmod_pair pairs[] = {{"ac", "", 0}, {"a", "1", 0}, {"ab", "2", 7}};
	struct ul_kmod_pair bad[] = {{"a\x80", "", 0}};
	ul_autobuffer struct ul_buffer out = {0};

	(void)state;
	assert_int_equal(ul_kmod_index_write(pairs, 3, &out), 0);
	assert_int_equal(out.len, sizeof(expected));
	assert_memory_equal(out.data, expected, sizeof(expected));
	assert_int_equal(ul_kmod_index_write(bad, 1, &out), -EINVAL);
	assert_int_equal(out.len, sizeof(expected));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(libkmod_agrees, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(soft_dependencies, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(compressed_is_uncompressed, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(missing_modules, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(dependency_loop, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(refuses_trees, make_tree, remove_tree),
		cmocka_unit_test(index_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
