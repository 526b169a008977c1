/* underlay remount: the hook of Nix's local-overlay store, by hand. */
#include "cli/remount.h"

#include "cli/cli.h"
#include "common/paths.h"

static int run_remount(int argc, char **argv)
{
	struct ul_error err;

	if (argc > 1 && argv[1][0] == '-')
		return cli_usage_error(cli_current(), "unknown option \"%s\"", argv[1]);
	if (argc > 2)
		return cli_usage_error(cli_current(), "unexpected argument \"%s\"", argv[2]);
	return cli_remount_overlay(argc > 1 ? argv[1] : UL_PATH_STORE, &err) < 0 ? cli_fail(&err) : 0;
}

const struct cli_command cli_remount_commands[] = {
	{"remount", NULL, "[MOUNT-POINT]", "have the kernel look at the upper again, after files were taken out of it",
	 run_remount},
	{NULL, NULL, NULL, NULL, NULL},
};
