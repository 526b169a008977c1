/* Rows of cli/manifest.c's table whose code stands in cli/manifest_check.c. */
#pragma once

int cli_manifest_check(int argc, char **argv);
