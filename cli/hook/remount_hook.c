/*
 * underlay-remount MOUNT-POINT: what Nix's setting `remount-hook` takes, which is the path of a program and no
 * command line. A program of its own, because it has to be in the system's closure: it needs nothing but libc.
 */
#include <stdio.h>
#include <string.h>

#include "cli/remount.h"

int main(int argc, char **argv)
{
	char sentence[1200];
	struct ul_error err;

	if (argc == 2 && !strcmp(argv[1], "--version"))
		return puts("underlay-remount " UL_VERSION) < 0 || fflush(stdout) != 0 ? 3 : 0;
	if (argc != 2) {
		fputs("usage: underlay-remount MOUNT-POINT\n", stderr);
		return 2;
	}
	if (cli_remount_overlay(argv[1], &err) == 0)
		return 0;
	fprintf(stderr, "underlay-remount: %s\n", ul_error_sentence(&err, sentence, sizeof(sentence)));
	return ul_code_exit_status(err.code);
}
