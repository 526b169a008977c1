/* underlay remount: the hook of Nix's local-overlay store, by hand. */
#include "cli/remount.h"

#include "cli/commands.h"
#include "common/paths.h"

struct arguments {
	const char *mount_point;
};

static const struct cli_option options[] = {
	{NULL, 0, "MOUNT-POINT", CLI_DIRECTORY, offsetof(struct arguments, mount_point), 0, .def = UL_PATH_STORE,
	 .help = "where the overlay is mounted"},
	{.help = NULL},
};

static int run(void *arguments)
{
	const struct arguments *a = arguments;
	struct ul_error err;

	return cli_remount_overlay(a->mount_point, &err) < 0 ? cli_fail(&err) : 0;
}

const struct cli_command cli_remount = {
	.name = "remount",
	.help = "have the kernel look at the upper again, after files were taken out of it",
	.page = "underlay-remount",
	.options = options,
	.size = sizeof(struct arguments),
	.run = run,
};
