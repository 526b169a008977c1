/* Rows of cli/manifest.c's table whose code stands in cli/manifest_check.c. */
#pragma once

#define CLI_JOBS_MAX 256 /* threads that -j may ask for */

int cli_manifest_check(int argc, char **argv);
