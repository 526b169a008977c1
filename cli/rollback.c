/* `underlay rollback`: an older image of the disk again, from the next boot on. */
#include <stdio.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/trials.h"

struct arguments {
	const char *version, *disk;
};

#define AT(member) offsetof(struct arguments, member)

static const struct cli_option options[] = {
	{NULL, 0, "VERSION", CLI_TEXT, AT(version), 0,
	 .help = "the version to go back to; the newest older one that is good or has tries left when not given"},
	CLI_TRIALS_DISK_ROW(AT(disk)),
	{.help = NULL},
};

static int run(void *arguments)
{
	const struct arguments *a = arguments;
	const struct ul_disk_trial *to = NULL;
	struct ul_disk_trials trials;
	struct ul_error err;
	char title[CLI_TRIAL_TITLE];
	int r = cli_trials_open(a->disk, UL_TRIAL_CHANGE, &trials, &err);

	if (r < 0)
		return cli_fail(&err);
	r = ul_disk_trials_roll_back(&trials, a->version, &to, &err);
	if (r < 0)
		r = cli_fail(&err);
	else
		printf("the next boot starts %s; what is newer is not started again until `underlay slots forget`\n",
		       cli_trial_title(to, title));
	ul_disk_trials_close(&trials);
	return r;
}

const struct cli_command cli_rollback = {
	.name = "rollback",
	.help = "start an older image of the machine's disk from the next boot on",
	.page = "underlay-slots",
	.options = options,
	.size = sizeof(struct arguments),
	.run = run,
};
