/* underlay uki: build, sign and inspect a unified kernel image; the work is initrd/pack/uki.c's. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/image.h"
#include "common/file.h"
#include "common/json.h"
#include "initrd/pack/uki.h"

#define INITRDS_MAX 16

enum { OPT_KERNEL = 256, OPT_INITRD, OPT_CMDLINE, OPT_OS_RELEASE, OPT_UNAME, OPT_STUB };
enum { OPT_KEY = 512, OPT_CERT, OPT_PASSPHRASE, OPT_JSON };

struct arguments {
	const char *image, *output;
	struct cli_key key;
	bool json;
	struct ul_uki_options options;
	const char *initrds[INITRDS_MAX];
};

static int parse_part(int c, struct arguments *a)
{
	struct ul_uki_options *o = &a->options;

	switch (c) {
	case OPT_KERNEL:
		o->kernel = optarg;
		return 0;
	case OPT_INITRD:
		if (o->initrd_count == INITRDS_MAX)
			return cli_usage_error(cli_current(), "--initrd may be given %d times", INITRDS_MAX);
		a->initrds[o->initrd_count++] = optarg;
		return 0;
	case OPT_CMDLINE:
		o->cmdline = optarg;
		return 0;
	case OPT_OS_RELEASE:
		o->os_release = optarg;
		return 0;
	case OPT_UNAME:
		o->uname = optarg;
		return 0;
	case OPT_STUB:
		o->stub = optarg;
		return 0;
	default:
		return cli_usage_error(cli_current(), "see the arguments");
	}
}

static int parse(int argc, char **argv, const struct option *options, struct arguments *a)
{
	int c, status = 0;

	a->options.initrds = a->initrds;
	while (status == 0 && (c = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
		switch (c) {
		case 'o':
			a->output = optarg;
			break;
		case OPT_KEY:
			a->key.key = optarg;
			break;
		case OPT_CERT:
			a->key.cert = optarg;
			break;
		case OPT_PASSPHRASE:
			a->key.passphrase_file = optarg;
			break;
		case OPT_JSON:
			a->json = true;
			break;
		default:
			status = parse_part(c, a);
		}
	}
	return status;
}

static int write_image(const char *path, const struct ul_buffer *image, struct ul_error *err)
{
	int r = ul_write_file_atomic(AT_FDCWD, path, 0644, image->data, image->len);

	return r < 0 ? ul_error_errno(err, UL_E_SYSTEM, "writing the UKI", path, NULL, -r) : 0;
}

static int sign(const struct arguments *a, struct ul_buffer *image, struct ul_error *err)
{
	UL_CLEANUP(cli_free_signer) struct ul_signer *signer = NULL;
	ul_autobuffer struct ul_buffer out = {0};
	struct ul_buffer unsigned_image = *image;
	int r = cli_load_signer(&a->key, &signer, err);

	if (r == 0)
		r = ul_uki_sign(image, signer, a->key.cert, &out, err);
	if (r < 0)
		return r;
	*image = out;
	out = unsigned_image;
	return 0;
}

/* ---- build ---- */

/* @FILE stands for what the file holds, without the newline that an editor leaves at its end. */
static int load_cmdline(struct arguments *a, struct ul_buffer *text, struct ul_error *err)
{
	const char *path = a->options.cmdline;
	char *line;
	int r;

	if (!path || path[0] != '@')
		return 0;
	r = ul_read_file(AT_FDCWD, ++path, 65536, text);
	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, "reading the command line", path, NULL, -r);
	line = ul_buffer_string(text);
	if (!line)
		return ul_error_nomem(err, "reading the command line");
	if (strlen(line) != text->len)
		return ul_error_set(err, UL_E_INPUT, "reading the command line", path, NULL, "it holds a NUL byte");
	while (text->len > 0 && (line[text->len - 1] == '\n' || line[text->len - 1] == '\r'))
		line[--text->len] = '\0';
	a->options.cmdline = line;
	return 0;
}

static int build(int argc, char **argv)
{
	static const struct option options[] = {
		{"output", required_argument, NULL, 'o'},
		{"kernel", required_argument, NULL, OPT_KERNEL},
		{"initrd", required_argument, NULL, OPT_INITRD},
		{"cmdline", required_argument, NULL, OPT_CMDLINE},
		{"os-release", required_argument, NULL, OPT_OS_RELEASE},
		{"uname", required_argument, NULL, OPT_UNAME},
		{"stub", required_argument, NULL, OPT_STUB},
		{"key", required_argument, NULL, OPT_KEY},
		{"cert", required_argument, NULL, OPT_CERT},
		{"passphrase-file", required_argument, NULL, OPT_PASSPHRASE},
		{0},
	};
	ul_autobuffer struct ul_buffer image = {0}, cmdline = {0};
	struct arguments a = {.image = NULL};
	struct ul_uki_report report = {0};
	struct ul_error err;
	int r = parse(argc, argv, options, &a);

	if (r)
		return r;
	if (optind < argc)
		return cli_usage_error(cli_current(), "\"%s\" is one argument too many", argv[optind]);
	if (!a.output || !a.options.kernel || !a.options.initrd_count)
		return cli_usage_error(cli_current(), "-o, --kernel and --initrd are wanted");
	if (!a.key.key != !a.key.cert)
		return cli_usage_error(cli_current(), "--key and --cert belong together");
	r = load_cmdline(&a, &cmdline, &err);
	if (r == 0)
		r = ul_uki_build(&a.options, &image, &report, &err);
	if (r == 0 && a.key.key)
		r = sign(&a, &image, &err);
	if (r == 0)
		r = write_image(a.output, &image, &err);
	if (r < 0)
		return cli_fail(&err);
	printf("%s: %.2f MB, kernel %s for %s, %s\n", a.output, (double)image.len / 1e6,
	       report.uname[0] ? report.uname : "of unknown version", report.machine,
	       a.key.key ? "signed" : "not signed");
	return 0;
}

/* ---- sign ---- */

static int sign_image(int argc, char **argv)
{
	static const struct option options[] = {
		{"output", required_argument, NULL, 'o'},
		{"key", required_argument, NULL, OPT_KEY},
		{"cert", required_argument, NULL, OPT_CERT},
		{"passphrase-file", required_argument, NULL, OPT_PASSPHRASE},
		{0},
	};
	ul_autobuffer struct ul_buffer image = {0};
	struct arguments a = {.image = NULL};
	struct ul_error err;
	struct ul_pe pe = {0};
	int r = parse(argc, argv, options, &a);

	if (r)
		return r;
	if (argc - optind != 1 || !a.key.key || !a.key.cert)
		return cli_usage_error(cli_current(), "one UKI, --key and --cert are wanted");
	a.image = argv[optind];
	r = ul_read_file(AT_FDCWD, a.image, 0x7fffffff, &image);
	if (r < 0)
		r = ul_error_errno(&err, UL_E_SYSTEM, "reading the UKI", a.image, NULL, -r);
	if (r == 0)
		r = ul_pe_parse(image.data, image.len, a.image, &pe, &err);
	if (r == 0)
		r = sign(&a, &image, &err);
	if (r == 0)
		r = write_image(a.output ? a.output : a.image, &image, &err);
	if (r < 0)
		return cli_fail(&err);
	printf("%s: signed\n", a.output ? a.output : a.image);
	return 0;
}

/* ---- inspect ---- */

/* A section that is text, cut to fit and escaped; a NUL ends it, as it does for the stub. */
static void section_text(const struct ul_pe *pe, const char *name, char *buf, size_t size)
{
	const struct ul_pe_section *s = ul_pe_find(pe, name);
	char text[4096];

	snprintf(text, sizeof(text), "%.*s",
		 s ? (int)(ul_pe_section_len(s) < sizeof(text) ? ul_pe_section_len(s) : sizeof(text) - 1) : 0,
		 s ? (const char *)pe->data + s->offset : "");
	ul_escape_text(buf, size, text);
}

static void print_people(const struct ul_pe *pe, const char *cert)
{
	char text[8192], name[33];
	struct ul_signer_claim claim;
	const uint8_t *der;
	uint32_t at = 0;
	size_t len, n = 0;

	printf("%s: PE for %s, %zu bytes\n", pe->name, ul_pe_machine_name(pe->machine), pe->len);
	for (size_t i = 0; i < pe->n_sections; i++) {
		const struct ul_pe_section *s = &pe->sections[i];

		ul_escape_text(name, sizeof(name), s->name);
		printf("  %-9s %10zu bytes at %-10" PRIu32 " in memory at 0x%08" PRIx32 "\n", name,
		       ul_pe_section_len(s), s->offset, s->address);
	}
	section_text(pe, ".cmdline", text, sizeof(text));
	printf("command line: %s\n", text);
	section_text(pe, ".uname", text, sizeof(text));
	printf("kernel: %s\n", text);
	for (; ul_pe_signature(pe, &at, &der, &len); n++)
		if (ul_signature_claim(der, len, &claim))
			printf("signed, as it says, by %s (issuer %s, serial %s)\n",
			       claim.subject[0] ? claim.subject : "(no certificate enclosed)", claim.issuer,
			       claim.serial);
		else
			puts("a signature that cannot be read");
	if (n == 0)
		puts("not signed");
	if (cert)
		printf("verified: a signature is by %s\n", cert);
}

static struct json_object *signatures_json(const struct ul_pe *pe)
{
	struct json_object *list = json_object_new_array();
	struct ul_signer_claim claim;
	const uint8_t *der;
	uint32_t at = 0;
	size_t len;

	while (list && ul_pe_signature(pe, &at, &der, &len)) {
		struct json_object *obj = json_object_new_object();

		if (!ul_signature_claim(der, len, &claim))
			claim = (struct ul_signer_claim){0};
		if (!obj || !ul_json_add_string(obj, "subject", claim.subject) ||
		    !ul_json_add_string(obj, "fingerprint", claim.fingerprint) ||
		    !ul_json_add_string(obj, "issuer", claim.issuer) ||
		    !ul_json_add_string(obj, "serial", claim.serial) || json_object_array_add(list, obj) < 0) {
			json_object_put(obj);
			json_object_put(list);
			return NULL;
		}
	}
	return list;
}

static struct json_object *sections_json(const struct ul_pe *pe)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; list && i < pe->n_sections; i++) {
		const struct ul_pe_section *s = &pe->sections[i];
		struct json_object *obj = json_object_new_object();
		char name[33];

		ul_escape_text(name, sizeof(name), s->name);
		if (!obj || !ul_json_add_string(obj, "name", name) ||
		    !ul_json_add_uint(obj, "bytes", ul_pe_section_len(s)) ||
		    !ul_json_add_uint(obj, "offset", s->offset) || !ul_json_add_uint(obj, "address", s->address) ||
		    json_object_array_add(list, obj) < 0) {
			json_object_put(obj);
			json_object_put(list);
			return NULL;
		}
	}
	return list;
}

static int print_json(const struct ul_pe *pe, bool verified, struct ul_error *err)
{
	ul_autojson struct json_object *obj = json_object_new_object();
	struct json_object *sections = sections_json(pe), *signatures = signatures_json(pe);
	char cmdline[8192], uname[512];

	section_text(pe, ".cmdline", cmdline, sizeof(cmdline));
	section_text(pe, ".uname", uname, sizeof(uname));
	if (!obj || !sections || !signatures || !ul_json_add_string(obj, "machine", ul_pe_machine_name(pe->machine)) ||
	    !ul_json_add_string(obj, "cmdline", cmdline) || !ul_json_add_string(obj, "uname", uname) ||
	    !ul_json_add_bool(obj, "verified", verified) || json_object_object_add(obj, "sections", sections) < 0 ||
	    json_object_object_add(obj, "signatures", signatures) < 0)
		return ul_error_nomem(err, "printing");
	puts(json_object_to_json_string_ext(obj, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	return 0;
}

static int inspect(int argc, char **argv)
{
	static const struct option options[] = {
		{"cert", required_argument, NULL, OPT_CERT},
		{"json", no_argument, NULL, OPT_JSON},
		{0},
	};
	ul_autobuffer struct ul_buffer image = {0};
	struct arguments a = {.image = NULL};
	struct ul_error err, bad;
	struct ul_pe pe = {0};
	int verified = 0, r = parse(argc, argv, options, &a);

	if (r)
		return r;
	if (argc - optind != 1)
		return cli_usage_error(cli_current(), "one UKI is wanted");
	a.image = argv[optind];
	r = ul_read_file(AT_FDCWD, a.image, 0x7fffffff, &image);
	if (r < 0)
		r = ul_error_errno(&err, UL_E_SYSTEM, "reading the UKI", a.image, NULL, -r);
	if (r == 0)
		r = ul_pe_parse(image.data, image.len, a.image, &pe, &err);
	if (r < 0)
		return cli_fail(&err);
	if (a.key.cert)
		verified = ul_uki_verify(a.image, a.key.cert, &bad);
	if (a.json)
		r = print_json(&pe, a.key.cert && verified == 0, &err);
	else
		print_people(&pe, verified == 0 ? a.key.cert : NULL);
	if (r < 0)
		return cli_fail(&err);
	return verified < 0 ? cli_fail(&bad) : 0;
}

const struct cli_command cli_uki_commands[] = {
	{"uki", "build",
	 "-o FILE --kernel FILE --initrd FILE [--initrd FILE]... [--cmdline TEXT|@FILE] "
	 "[--os-release FILE] [--uname TEXT] [--stub FILE] "
	 "[--key FILE --cert FILE [--passphrase-file FILE]]",
	 "make a unified kernel image, signed where a key is given", build},
	{"uki", "sign", "UKI --key FILE --cert FILE [--passphrase-file FILE] [-o FILE]",
	 "sign a unified kernel image for Secure Boot", sign_image},
	{"uki", "inspect", "UKI [--cert FILE] [--json]", "show a unified kernel image's sections and signers", inspect},
	{NULL, NULL, NULL, NULL, NULL},
};
