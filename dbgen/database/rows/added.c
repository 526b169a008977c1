/* The rows that a merge added, and their end; see added.h. */
#include "dbgen/database/rows/added.h"

#include <stdlib.h>

#include "common/cleanup.h"

static void free_batch(struct ul_batch *b)
{
	const struct ul_text_column *const texts[] = {&b->name, &b->deriver, &b->sigs, &b->ca};

	for (size_t i = 0; i < UL_ARRAY_SIZE(texts); i++) {
		free((void *)texts[i]->off);
		free((void *)texts[i]->bytes);
	}
	free((void *)b->digest);
	free((void *)b->nar_hash);
	free((void *)b->nar_size);
	free((void *)b->registered);
	free((void *)b->ultimate);
	free((void *)b->ref_off);
	free((void *)b->refs);
}

void ul_db_added_free(struct ul_db_added *a)
{
	if (!a)
		return;
	free_batch(&a->all);
	free(a->before);
	for (uint32_t i = 0; i < a->n_outputs; i++) {
		free((void *)a->outputs[i].id);
		free((void *)a->outputs[i].path);
	}
	free(a->outputs);
	for (uint32_t i = 0; i < a->n_realisations; i++) {
		free((void *)a->realisations[i].drv_path);
		free((void *)a->realisations[i].output_name);
		free((void *)a->realisations[i].signatures);
		free((void *)a->realisations[i].refs);
	}
	free(a->realisations);
	free(a);
}
