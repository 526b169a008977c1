/* The table of `underlay image`. */
#include "cli/image.h"

#include <stddef.h>

#include "cli/cli.h"

const struct cli_command cli_image_commands[] = {
	{"image", "inspect", "[--json] IMAGE", "show what a store image says of itself, unverified",
	 cli_image_inspect},
	{NULL, NULL, NULL, NULL, NULL}};
