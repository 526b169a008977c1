/* See anew.h. */
#include "dbgen/reconcile/anew.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/dir.h"
#include "dbgen/store/store_path.h"

/* What the last run counted of it, in words; "" where it does not say. */
static const char *count_text(const struct ul_agreement *a, char *buf, size_t size)
{
	buf[0] = '\0';
	if (a->marks.upper_paths > 0)
		snprintf(buf, size,
			 " (when the last boot had reconciled, it had rows of %" PRIu64 " path%s of the upper)",
			 a->marks.upper_paths, a->marks.upper_paths == 1 ? "" : "s");
	return buf;
}

static int tell_trouble(struct ul_agreement *a, const char *why, const char *then)
{
	struct ul_reconcile_report *report = a->upper.report;
	char count[120];

	if (report->database_trouble)
		return 0;
	report->database_trouble = true;
	snprintf(report->database_reason, sizeof(report->database_reason), "%s", why);
	return ul_upper_dir_report(&a->upper, UL_RECONCILE_NOTE, UL_DB_FILE_NAME, "%s: %s%s", why, then,
				   count_text(a, count, sizeof(count)));
}

int ul_anew_tell(struct ul_agreement *a, const char *ordinary)
{
	struct ul_reconcile_report *report = a->upper.report;

	if (a->db.why[0])
		return tell_trouble(a, a->db.why, "it is written anew, with the rows that stand");
	if (!report->database_trouble)
		snprintf(report->database_reason, sizeof(report->database_reason), "%s", ordinary);
	return 0;
}

int ul_anew_tell_damaged(struct ul_agreement *a)
{
	return tell_trouble(a, "it is damaged", "the rows that its files bear out are kept");
}

/* Entries of one layer that had rows, as their names tell. Of a layer that cannot be read the join says so. */
static uint64_t count_layer(struct ul_agreement *a, int fd)
{
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	uint64_t n = 0;
	int r = ul_dir_open(fd, ".", &dir);

	while (r >= 0 && (r = ul_dir_next(dir, &entry)) > 0) {
		uint8_t digest[UL_DIGEST_SIZE];
		const char *name = entry->d_name;

		n += ul_store_base_parse(name, strlen(name), digest) && ul_upper_store_has(&a->store, name) &&
		     ul_manifest_has_digest(a->lower.manifest, name, NULL) == 0;
	}
	return n;
}

int ul_anew_tell_gone(struct ul_agreement *a)
{
	struct ul_reconcile_report *report = a->upper.report;
	const struct ul_entries *entries = &a->store.entries;
	uint64_t n = entries->kept >= 0 ? count_layer(a, entries->kept) : 0;
	char then[120];

	for (size_t i = 0; i < entries->sessions.n; i++)
		n += count_layer(a, entries->sessions.at[i]);
	if (n == 0 && a->marks.print.size == 0 && a->marks.clean_id == 0 && !a->db.why[0]) {
		if (!report->database_kept)
			snprintf(report->database_reason, sizeof(report->database_reason), "there was none");
		return 0;
	}
	snprintf(then, sizeof(then), "Nix does not know %" PRIu64 " entr%s of the upper any more", n,
		 n == 1 ? "y" : "ies");
	return tell_trouble(a, a->db.why[0] ? a->db.why : "it is not there any more", then);
}
