/* The subcommands of `underlay image`, one file each; cli/image.c is their table. */
#pragma once

int cli_image_inspect(int argc, char **argv);
