/* See agree.h. */
#include "dbgen/reconcile/agree.h"

bool ul_agree_unchanged(const struct ul_agreement *a)
{
	struct ul_db_print now;

	ul_db_file_print(&a->db, &now);
	return a->db.intact && !a->upper.report->lower_changed && !a->o->check_always && now.size > 0 &&
	       now.size == a->marks.print.size && now.time == a->marks.print.time;
}
