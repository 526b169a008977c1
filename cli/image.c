/* The table of `underlay image`. */
#include "cli/image.h"

#include <stddef.h>

#include "cli/cli.h"

const struct cli_command cli_image_commands[] = {
	{"image", "build",
	 "-o IMAGE --name NAME --version VERSION [--system PATH] [--closure PATH]... "
	 "[--manifest FILE | --registration FILE | --database FILE] [--store DIR] [--store-dir DIR] "
	 "[--key FILE --cert FILE] [--passphrase-file FILE] [--format erofs|squashfs] "
	 "[--compression NAME[,LEVEL]] [--rollback-index N] [--fec[=ROOTS]] [--no-database] [--portable] [--machine NAME] "
	 "[--designator usr|root] [--store-group GID] [--threads N] [--force] [--no-namespace] [--json] [--verbose]",
	 "seal a closure into a store image", cli_image_build},
	{"image", "sign",
	 "IMAGE (--key FILE --cert FILE [--passphrase-file FILE] | --export DIR | "
	 "--root-hash-signature FILE --descriptor-signature FILE --cert FILE)",
	 "sign a store image, also by a key that is kept elsewhere", cli_image_sign},
	{"image", "inspect", "[--json] IMAGE", "show what a store image says of itself, unverified", cli_image_inspect},
	{"image", "verify",
	 "IMAGE [--cert FILE | --certs DIR] [--root-hash HEX] [--rollback-min N] [--seal-only] "
	 "[--contents] [--threads N | -j N] [--json]",
	 "verify a store image whole, offline", cli_image_verify},
	{"image", "locate",
	 "IMAGE (NUMBER[-NUMBER]... [--hash-block | --data-offset | --image-offset] | --damaged) "
	 "[--label LABEL] [--json]",
	 "name the file that a block of a store image belongs to", cli_image_locate},
	{NULL, NULL, NULL, NULL, NULL}};
