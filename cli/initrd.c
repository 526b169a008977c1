#include "cli/cli.h"

#include <stddef.h>

const struct cli_command cli_initrd_commands[] = {{NULL, NULL, NULL, NULL, NULL}};
