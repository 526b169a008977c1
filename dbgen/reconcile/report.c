/*
 * The report: what a run did, in memory and as JSON.
 *
 *     {"lower": {"identity", "name", "version"}, "lowerChanged": true, "first": false, "clean": true,
 *      "databaseKept": false, "databaseReason": "the lower is another one", "checked": 0, "emptied": 0, "sessions": 1,
 *      "counts": {"quarantined": 1, "restored": 0, "swept": 0, "invalidated": 2, "updated": 0, "dangling": 0, "notes":
 *      0}, "quarantined": [{"name", "why"}], "invalidated": [...], ...}
 *
 * report.json on the upper has this with "format" and "time" (RFC 3339) before it; state.json has it with few names.
 */
#include "dbgen/reconcile/report.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"

#define SHOWN_MAX 400 /* bytes of a name or reason that are kept */

static const char *const action_names[UL_RECONCILE_N_ACTIONS] = {
	[UL_RECONCILE_QUARANTINED] = "quarantined",
	[UL_RECONCILE_RESTORED] = "restored",
	[UL_RECONCILE_SWEPT] = "swept",
	[UL_RECONCILE_INVALIDATED] = "invalidated",
	[UL_RECONCILE_UPDATED] = "updated",
	[UL_RECONCILE_DANGLING] = "dangling",
	[UL_RECONCILE_NOTE] = "notes",
};

const char *ul_reconcile_action_name(enum ul_reconcile_action action)
{
	return action_names[action];
}

const struct ul_reconcile_item *ul_reconcile_items(const struct ul_reconcile_report *r, size_t *ret_n)
{
	*ret_n = r->list.n;
	return r->list.at;
}

void ul_reconcile_report_free(struct ul_reconcile_report *r)
{
	size_t n;
	const struct ul_reconcile_item *items = ul_reconcile_items(r, &n);

	for (size_t i = 0; i < n; i++) {
		free(items[i].name);
		free(items[i].why);
	}
	ul_vector_free(&r->list);
	*r = (struct ul_reconcile_report){0};
}

int ul_report_add(struct ul_reconcile_report *report, enum ul_reconcile_action action, const char *name,
		  const char *why)
{
	struct ul_reconcile_item item = {.action = action};

	if (report->n[action]++ >= UL_RECONCILE_LISTED)
		return 0;
	/* A row may hold any number of bytes. */
	item.name = strndup(name, SHOWN_MAX);
	item.why = strndup(why, SHOWN_MAX);
	if (item.name && item.why && ul_vector_push(&report->list, item) == 0)
		return 0;
	free(item.name);
	free(item.why);
	return -ENOMEM;
}

struct ul_report_mark ul_report_mark(const struct ul_reconcile_report *report)
{
	struct ul_report_mark mark = {.lost = report->lost, .listed = report->list.n};

	memcpy(mark.n, report->n, sizeof(mark.n));
	return mark;
}

static bool is_verdict(enum ul_reconcile_action action)
{
	return action == UL_RECONCILE_INVALIDATED || action == UL_RECONCILE_UPDATED;
}

void ul_report_forget_verdicts(struct ul_reconcile_report *report, const struct ul_report_mark *since)
{
	size_t n = since->listed;

	for (size_t i = n; i < report->list.n; i++) {
		struct ul_reconcile_item *item = &report->list.at[i];

		if (is_verdict(item->action)) {
			free(item->name);
			free(item->why);
		} else {
			report->list.at[n++] = *item;
		}
	}
	report->list.n = n;
	for (int i = 0; i < UL_RECONCILE_N_ACTIONS; i++)
		if (is_verdict((enum ul_reconcile_action)i))
			report->n[i] = since->n[i];
	report->lost = since->lost;
}

void ul_report_forget(struct ul_reconcile_report *report, const struct ul_report_mark *since)
{
	while (report->list.n > since->listed) {
		free(report->list.at[--report->list.n].name);
		free(report->list.at[report->list.n].why);
	}
	memcpy(report->n, since->n, sizeof(report->n));
	report->lost = since->lost;
}

bool ul_reconcile_did_something(const struct ul_reconcile_report *r)
{
	for (int i = 0; i < UL_RECONCILE_N_ACTIONS; i++)
		if (r->n[i] > 0)
			return true;
	return r->lower_changed || r->checked > 0;
}

/* ---- as JSON ---- */

static struct json_object *item_json(const struct ul_reconcile_item *item)
{
	struct json_object *obj = json_object_new_object();

	return ul_json_if(
		obj && ul_json_add_string(obj, "name", item->name) && ul_json_add_string(obj, "why", item->why), obj);
}

static bool add_list(const struct ul_reconcile_report *r, struct json_object *obj, enum ul_reconcile_action action,
		     size_t most)
{
	struct json_object *list = json_object_new_array();
	size_t n, taken = 0;
	const struct ul_reconcile_item *items = ul_reconcile_items(r, &n);
	bool ok = list;

	for (size_t i = 0; ok && i < n && taken < most; i++) {
		if (items[i].action != action)
			continue;
		ok = ul_json_append(list, item_json(&items[i]));
		taken++;
	}
	return ul_json_add(obj, action_names[action], list) && ok;
}

static struct json_object *counts_json(const struct ul_reconcile_report *r)
{
	struct json_object *obj = json_object_new_object();
	bool ok = obj;

	for (int i = 0; ok && i < UL_RECONCILE_N_ACTIONS; i++)
		ok = ul_json_add_uint(obj, action_names[i], r->n[i]);
	return ul_json_if(ok, obj);
}

static struct json_object *lower_json(const char *identity, const char *name, const char *version)
{
	struct json_object *obj = json_object_new_object();

	return ul_json_if(obj && ul_json_add_string(obj, "identity", identity) &&
				  ul_json_add_string(obj, "name", name) && ul_json_add_string(obj, "version", version),
			  obj);
}

struct json_object *ul_reconcile_report_json(const struct ul_reconcile_report *r, const char *name, const char *version,
					     size_t most)
{
	struct json_object *obj = json_object_new_object();
	bool ok = obj && ul_json_add(obj, "lower", lower_json(r->identity, name, version)) &&
		  ul_json_add_bool(obj, "lowerChanged", r->lower_changed) && ul_json_add_bool(obj, "first", r->first) &&
		  ul_json_add_bool(obj, "clean", r->was_clean) &&
		  ul_json_add_bool(obj, "databaseKept", r->database_kept) &&
		  (!r->database_reason[0] || ul_json_add_string(obj, "databaseReason", r->database_reason)) &&
		  ul_json_add_uint(obj, "checked", r->checked) && ul_json_add_uint(obj, "emptied", r->emptied) &&
		  ul_json_add_uint(obj, "sessions", r->sessions) && ul_json_add(obj, "counts", counts_json(r));

	for (int i = 0; ok && i < UL_RECONCILE_N_ACTIONS; i++)
		if (r->n[i] > 0)
			ok = add_list(r, obj, (enum ul_reconcile_action)i, most);
	return ul_json_if(ok, obj);
}
