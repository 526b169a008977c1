#include "initrd/boot/run.h"

#include <string.h>

#include "common/clock.h"
#include "initrd/base/log.h"
#include "initrd/base/titles.h"
#include "initrd/report/damage.h"
#include "initrd/trial/trial.h"

static int run_one(struct ul_boot *b, const struct ul_stage *stage, struct ul_error *err)
{
	uint64_t start = ul_now_us(), took;
	struct ul_stage_time *t = NULL;
	int r;

	/* A stage that runs again adds to its time. */
	for (size_t i = 0; i < b->n_times; i++)
		if (b->times[i].name == stage->name)
			t = &b->times[i];
	if (!t && b->n_times < UL_BOOT_STAGES) {
		t = &b->times[b->n_times++];
		*t = (struct ul_stage_time){.name = stage->name, .start_us = start - b->start_us};
	}
	ul_log(UL_LOG_DEBUG, "%s: begins", stage->name);
	r = stage->run(b, err);
	took = ul_now_us() - start;
	if (t)
		t->took_us += took;
	ul_log(UL_LOG_DEBUG, "%s: %s after %.3f ms", stage->name, r < 0 ? "failed" : "done", (double)took / 1000);
	return r;
}

/* The slot in work is not used: say why, keep it for the report, make room for the next. */
static void refuse_slot(struct ul_boot *b, const char *stage, const struct ul_error *err)
{
	struct ul_lower *lower = &b->lowers[b->n_lowers - 1];
	char sentence[1200], title[UL_TITLE_SIZE];

	ul_lower_title(lower, title, sizeof(title));
	ul_log(UL_LOG_ERROR, "%s: %s", stage, ul_error_sentence(err, sentence, sizeof(sentence)));
	ul_log(UL_LOG_WARNING, "%s: %s is not used%s", stage, title,
	       lower->shared ? "" : "; looking for another image");
	if (b->n_refusals < UL_BOOT_REFUSALS) {
		struct ul_refusal *refusal = &b->refusals[b->n_refusals++];

		refusal->stage = stage;
		refusal->err = *err;
		memcpy(refusal->slot, title, sizeof(title));
	}
	ul_trial_ended(b, err);
	b->n_lowers--;
	ul_lower_release(b, lower);
}

/* The row that this one goes back to; NULL: none. */
static const struct ul_stage *find_back(const struct ul_stage *stages, const struct ul_stage *stage)
{
	for (const struct ul_stage *s = stages; stage->back && s < stage; s++)
		if (!strcmp(s->name, stage->back))
			return s;
	return NULL;
}

int ul_boot_run(struct ul_boot *b, const struct ul_stage *stages, struct ul_error *err)
{
	const struct ul_stage *s = stages;

	while (s->name) {
		const struct ul_stage *back = find_back(stages, s);
		int r = s->flags & UL_STAGE_PID1 && !b->pid1 ? 0 : run_one(b, s, err);

		if (r == UL_STAGE_BACK && !back)
			r = ul_error_set(err, UL_E_SYSTEM, "going back to an earlier stage", s->name,
					 "Report this: it is a bug.",
					 "its row in the list of stages names no stage to go back to");
		if (r >= 0) {
			s = r == UL_STAGE_BACK ? back : s + 1;
			continue;
		}
		if (b->n_lowers > 0)
			ul_damage_explain(b, &b->lowers[b->n_lowers - 1], err);
		if (back && s->flags & UL_STAGE_SLOT && b->n_lowers > 0 && r != -UL_E_UPPER) {
			refuse_slot(b, s->name, err);
			s = back;
			continue;
		}
		if (!b->failed_stage)
			b->failed_stage = s->name;
		b->failure = *err;
		return r;
	}
	return 0;
}
