/*
 * Stage database. Before: the lower's manifest is open, /nix/var of the new root is the upper's; what a persistent
 * upper has of a database agrees with this lower. After: Nix will find every path of the lower valid. Either it reads
 * the lower's own database in place (attach: nothing is written but the `store =` line of /run/underlay/nix.conf), or
 * db.sqlite lies in /nix/var/nix/db, written from the manifest (rebuild; for a persistent upper stage reconcile did
 * it). In both cases the collector's roots of the lower stand in /nix/var/nix/gcroots/underlay (database_gcroots.h). A
 * lower without a manifest, which the policy must permit, has neither.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/paths.h"
#include "dbgen/database/db.h"
#include "initrd/base/boot.h"
#include "initrd/base/boot_paths.h"
#include "initrd/base/log.h"
#include "initrd/stages/database_gcroots.h"
#include "initrd/stages/stages.h"

/*
 * A tmpfs gives huge pages (within_size: where a file fills them) while the database is written: that takes half the
 * time, for the kernel clears and maps one page where it would 512. No longer than that: of a sparse file every 4 KiB
 * that a build writes would take 2 MiB. Where it cannot be, nothing but time is lost.
 */
static void give_huge_pages(const struct ul_boot *b, const char *option)
{
	char path[PATH_MAX];

	if (!strcmp(b->upper.filesystem, "tmpfs"))
		(void)!mount(NULL, ul_boot_path(b, UL_PATH_UPPER, path), NULL, MS_REMOUNT | MS_NOSUID | MS_NODEV,
			     option);
}

static int rebuild(struct ul_boot *b, const struct ul_lower *lower, struct ul_error *err)
{
	ul_autoclose int fd = -1;
	char path[PATH_MAX];
	int r = ul_mkdir_parents(AT_FDCWD, ul_boot_path(b, UL_PATH_VAR "/nix/db", path), 0755);

	if (r == 0) {
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = fd < 0 ? -errno : 0;
	}
	if (r < 0)
		return ul_error_errno(err, UL_E_DATABASE, "making the database's directory", path, NULL, -r);
	give_huge_pages(b, "huge=within_size");
	r = ul_db_build(lower->manifest, fd, path, NULL, err);
	give_huge_pages(b, "huge=never");
	return r;
}

/* A file of the run directory, named by its place in the running system. r: what came of making its text, or -errno. */
static int write_conf(const struct ul_boot *b, const char *place, int r, const struct ul_buffer *text,
		      struct ul_error *err)
{
	ul_autofree char *path = ul_path_join(b->run_dir, strrchr(place, '/') + 1);

	if (r == 0)
		r = path ? ul_mkdir_parents(AT_FDCWD, b->run_dir, 0755) : -ENOMEM;
	if (r == 0)
		r = ul_write_file(AT_FDCWD, path, 0644, text->data, text->len);
	return r < 0 ? ul_error_errno(err, UL_E_DATABASE, "writing Nix's configuration", place, NULL, -r) : 0;
}

/*
 * The store that Nix is to open. The lower is named as a store of its own, so its URL is escaped inside
 * the outer one.
 */
static int write_nix_conf(const struct ul_boot *b, const struct ul_lower *lower, struct ul_error *err)
{
	const char *named = b->policy.remount_hook;
	const char *hook = named ? named : lower->remount_hook;
	ul_autobuffer struct ul_buffer text = {0};
	int r = ul_buffer_printf(&text, "# Written by underlay-init at boot, for who opens the store.\n");

	/*
	 * Nix syncs its database, and not the files that it registers there. All versions know this setting; it covers
	 * builds and downloads alike.
	 */
	if (r == 0 && b->upper.persistent)
		r = ul_buffer_printf(&text, "sync-before-registering = true\n");
	/*
	 * Nix's check of the mount wants the lower's store as the only layer beneath the upper one: see the overlay's
	 * layers.
	 */
	if (r == 0 && b->database == UL_DATABASE_ATTACH) {
		r = ul_buffer_printf(&text,
				     "extra-experimental-features = local-overlay-store "
				     "read-only-local-store\n"
				     "store = local-overlay://?lower-store=local%%3Froot%%3D%s"
				     "%%26read-only%%3Dtrue&check-mount=false&upper-layer=" UL_PATH_UPPER "/%s/up",
				     lower->mount, b->upper.session);
		if (r == 0 && hook)
			r = ul_buffer_printf(&text, "&remount-hook=%s", hook);
		if (r == 0)
			r = ul_buffer_append(&text, "\n", 1);
	} else if (r == 0) {
		/* Nix's own default, in case that nix.conf sends everybody to the daemon: it would ask itself. */
		r = ul_buffer_printf(&text, "store = auto\n");
	}
	return write_conf(b, UL_PATH_NIX_CONF, r, &text, err);
}

/*
 * For everybody on a machine with a nix-daemon. Nix takes the setting `store` before NIX_REMOTE, so who read the file
 * above would open a database that is root's alone, daemon or not. Where the database is one, Nix finds its way itself.
 */
static int write_users_conf(const struct ul_boot *b, struct ul_error *err)
{
	static const char head[] =
		"# Written by underlay-init at boot; /etc/nix/nix.conf includes it where a nix-daemon "
		"runs.\n";
	ul_autobuffer struct ul_buffer text = {0};
	int r = ul_buffer_printf(&text, "%s%s", head, b->database == UL_DATABASE_ATTACH ? "store = daemon\n" : "");

	return write_conf(b, UL_PATH_NIX_USERS, r, &text, err);
}

int ul_stage_database(struct ul_boot *b, struct ul_error *err)
{
	const struct ul_lower *lower = &b->lowers[b->n_lowers - 1];
	bool attach = b->database == UL_DATABASE_ATTACH;
	uint64_t start = ul_now_us();
	int r = 0;

	/* For a persistent upper stage reconcile did its part, and noted how long that took. */
	if (!b->reconciled) {
		b->database_us = 0;
		if (b->database == UL_DATABASE_REBUILD)
			r = rebuild(b, lower, err);
	}
	if (r == 0)
		r = ul_gcroots_make(b, err);
	if (r == 0)
		r = write_nix_conf(b, lower, err);
	if (r == 0)
		r = write_users_conf(b, err);
	b->database_us += ul_now_us() - start;
	if (r == 0 && b->database == UL_DATABASE_NONE)
		ul_log(UL_LOG_INFO, "database: none (%s)", b->database_why);
	else if (r == 0)
		ul_log(UL_LOG_INFO, "database: %s in %.1f ms, %u paths (%s)",
		       attach                                        ? "attached"
		       : b->reconciled && b->reconcile.database_kept ? "kept"
								     : "rebuilt",
		       (double)b->database_us / 1000, ul_manifest_n_paths(lower->manifest), b->database_why);
	return r;
}
