/* Questions to device-mapper, and the one change that libcryptsetup cannot make. */
#include "verity/open/dm.h"

#include <errno.h>
#include <libdevmapper.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/number.h"

/* libdevmapper prints to standard error unless told otherwise; a library of ours never prints. */
__attribute__((format(printf, 5, 6))) static void drop_log(int level, const char *file, int line, int dm_errno,
							   const char *format, ...)
{
	(void)level;
	(void)file;
	(void)line;
	(void)dm_errno;
	(void)format;
}

static void cleanup_task(struct dm_task **task)
{
	if (*task)
		dm_task_destroy(*task);
}

/* Run a query about one mapping. 1, 0: no such mapping, -errno. */
static int run_query(int type, const char *name, struct dm_task **ret, struct dm_info *ret_info)
{
	UL_CLEANUP(cleanup_task) struct dm_task *task = NULL;
	int errnum;

	dm_log_with_errno_init(drop_log);
	task = dm_task_create(type);
	if (!task || !dm_task_set_name(task, name))
		return -ENOMEM;
	if (!dm_task_run(task)) {
		errnum = dm_task_get_errno(task);
		return errnum == ENXIO ? 0 : errnum > 0 ? -errnum : -ENODEV;
	}
	if (!dm_task_get_info(task, ret_info))
		return -EIO;
	if (!ret_info->exists)
		return 0;
	*ret = ul_steal(task);
	return 1;
}

static int query_table(const char *name, struct ul_dm_mapping *m)
{
	UL_CLEANUP(cleanup_task) struct dm_task *task = NULL;
	struct dm_info info = {0};
	uint64_t start = 0, length = 0;
	char *type = NULL, *params = NULL;
	void *next;
	int r = run_query(DM_DEVICE_TABLE, name, &task, &info);

	if (r <= 0)
		return r;
	next = dm_get_next_target(task, NULL, &start, &length, &type, &params);
	m->verity = !next && start == 0 && type && strcmp(type, "verity") == 0;
	m->read_only = info.read_only;
	m->suspended = info.suspended || !info.live_table;
	m->sectors = length;
	m->table = strdup(params ? params : "");
	return m->table ? 1 : -ENOMEM;
}

static int query_status(const char *name, struct ul_dm_mapping *m)
{
	UL_CLEANUP(cleanup_task) struct dm_task *task = NULL;
	struct dm_info info = {0};
	uint64_t start = 0, length = 0;
	char *type = NULL, *params = NULL;
	const char *count;
	int r = run_query(DM_DEVICE_STATUS, name, &task, &info);

	if (r <= 0)
		return r;
	dm_get_next_target(task, NULL, &start, &length, &type, &params);
	m->status = params && (params[0] == 'V' || params[0] == 'C') ? params[0] : '\0';
	/* Newer kernels: "V 12", or "V -" without error correction. */
	count = m->status ? params + 1 + strspn(params + 1, " ") : "";
	m->counted = ul_take_number(&count, &m->corrected);
	return 1;
}

int ul_dm_query(const char *name, struct ul_dm_mapping *ret)
{
	struct ul_dm_mapping m = {0};
	/* The status first: of a mapping that does not exist it says so without an error. */
	int r = query_status(name, &m);

	if (r > 0)
		r = query_table(name, &m);
	if (r <= 0) {
		ul_dm_mapping_free(&m);
		return r;
	}
	*ret = m;
	return 1;
}

void ul_dm_mapping_free(struct ul_dm_mapping *m)
{
	free(m->table);
	*m = (struct ul_dm_mapping){0};
}

static int run_change(int type, const char *name, uint64_t sectors, const char *table)
{
	UL_CLEANUP(cleanup_task) struct dm_task *task = dm_task_create(type);
	int errnum;

	if (!task || !dm_task_set_name(task, name) ||
	    (table && (!dm_task_add_target(task, 0, sectors, "verity", table) || !dm_task_set_ro(task))))
		return -ENOMEM;
	if (dm_task_run(task))
		return 0;
	errnum = dm_task_get_errno(task);
	return errnum > 0 ? -errnum : -EIO;
}

int ul_dm_reload(const char *name, uint64_t sectors, const char *table)
{
	int r;

	dm_log_with_errno_init(drop_log);
	dm_udev_set_sync_support(0);
	r = run_change(DM_DEVICE_RELOAD, name, sectors, table);
	return r < 0 ? r : run_change(DM_DEVICE_RESUME, name, 0, NULL);
}

bool ul_dm_has_target(const char *target)
{
	UL_CLEANUP(cleanup_task) struct dm_task *task = NULL;
	struct dm_versions *row, *last;

	dm_log_with_errno_init(drop_log);
	task = dm_task_create(DM_DEVICE_LIST_VERSIONS);
	if (!task || !dm_task_run(task))
		return false;
	row = dm_task_get_versions(task);
	do {
		last = row;
		if (strcmp(row->name, target) == 0)
			return true;
		row = (struct dm_versions *)(void *)((char *)row + row->next);
	} while (row != last);
	return false;
}
