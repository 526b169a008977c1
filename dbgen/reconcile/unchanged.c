/* See agree.h. */
#include "dbgen/reconcile/agree.h"

#include <string.h>

bool ul_agree_unchanged(const struct ul_agreement *a)
{
	struct ul_db_print now;

	ul_db_file_print(&a->db, &now);
	return a->db.intact && !a->upper.report->lower_changed && !a->o->check_always && now.size > 0 &&
	       now.size == a->marks.print.size && now.time == a->marks.print.time;
}

const struct ul_marks *ul_agree_before(const struct ul_agreement *a)
{
	return a->marks.known && strcmp(a->marks.identity, a->upper.report->identity) != 0 ? &a->marks : NULL;
}
