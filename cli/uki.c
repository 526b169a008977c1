/* underlay uki: build, sign and inspect a unified kernel image; the work is initrd/pack/uki.c's. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/image_key.h"
#include "common/file.h"
#include "common/json.h"
#include "initrd/pack/uki.h"

#define TEXT_MAX 4096 /* bytes of a section that are shown */

struct arguments {
	const char *image, *output;
	struct cli_key key;
	bool json;
	struct ul_uki_options options;
	struct cli_texts initrds;
};

#define AT(member) offsetof(struct arguments, member)

static int write_image(const char *path, const struct ul_buffer *image, struct ul_error *err)
{
	return ul_write_output("writing the UKI", path, image->data, image->len, err);
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

static const struct cli_option build_options[] = {
	{"output", 'o', "FILE", CLI_FILE, AT(output), CLI_NEEDED,
	 .help = "the UKI; it is replaced whole or not at all"},
	{"kernel", 0, "FILE", CLI_FILE, AT(options.kernel), CLI_NEEDED, .help = "a kernel with an EFI stub"},
	{"initrd", 0, "FILE", CLI_FILES, AT(initrds), CLI_NEEDED,
	 .help = "the initramfs, as `underlay initrd build` makes it; one with microcode first"},
	{"cmdline", 0, "TEXT|@FILE", CLI_TEXT, AT(options.cmdline), 0,
	 .help = "the kernel's command line, or the file that holds it"},
	{"os-release", 0, "FILE", CLI_FILE, AT(options.os_release), 0,
	 .help = "what a boot menu shows, see os-release(5); Underlay and the kernel's version when not given"},
	{"uname", 0, "TEXT", CLI_TEXT, AT(options.uname), 0,
	 .help = "the kernel's version; read from the kernel when not given, if that is one for x86-64"},
	{"stub", 0, "FILE", CLI_FILE, AT(options.stub), 0,
	 .help = "systemd's stub; the installed one for the kernel's machine when not given"},
	{"key", 0, "FILE", CLI_FILE, AT(key.key), 0, .help = "sign it too, with this private key (PEM)"},
	{"cert", 0, "FILE", CLI_FILE, AT(key.cert), 0, .help = "the key's certificate (PEM)"},
	{"passphrase-file", 0, "FILE", CLI_FILE, AT(key.passphrase_file), 0,
	 .help = "the first line of this file is the key's passphrase"},
	{.help = NULL},
};

static const struct cli_rule build_rules[] = {
	{CLI_TOGETHER, "--key --cert", NULL},
	{CLI_NEEDS, "--passphrase-file --key", NULL},
	{.members = NULL},
};

static int run_build(void *arguments)
{
	struct arguments *a = arguments;
	ul_autobuffer struct ul_buffer image = {0}, cmdline = {0};
	struct ul_uki_report report = {0};
	struct ul_error err;
	int r;

	a->options.initrds = a->initrds.at;
	a->options.initrd_count = a->initrds.n;
	r = load_cmdline(a, &cmdline, &err);
	if (r == 0)
		r = ul_uki_build(&a->options, &image, &report, &err);
	if (r == 0 && a->key.key)
		r = sign(a, &image, &err);
	if (r == 0)
		r = write_image(a->output, &image, &err);
	if (r < 0)
		return cli_fail(&err);
	printf("%s: %.2f MB, kernel %s for %s, %s\n", a->output, (double)image.len / 1e6,
	       report.uname[0] ? report.uname : "of unknown version", report.machine,
	       a->key.key ? "signed" : "not signed");
	return 0;
}

const struct cli_command cli_uki_build = {
	.group = "uki",
	.name = "build",
	.help = "make a unified kernel image, signed where a key is given",
	.page = "underlay-uki",
	.options = build_options,
	.rules = build_rules,
	.size = sizeof(struct arguments),
	.run = run_build,
};

/* ---- sign ---- */

static const struct cli_option sign_options[] = {
	{NULL, 0, "UKI", CLI_FILE, AT(image), CLI_NEEDED, .help = "the UKI; a signature that is there stays"},
	{"key", 0, "FILE", CLI_FILE, AT(key.key), CLI_NEEDED, .help = "the private key (PEM); firmware wants RSA"},
	{"cert", 0, "FILE", CLI_FILE, AT(key.cert), CLI_NEEDED, .help = "its certificate (PEM)"},
	{"passphrase-file", 0, "FILE", CLI_FILE, AT(key.passphrase_file), 0,
	 .help = "the first line of this file is the key's passphrase"},
	{"output", 'o', "FILE", CLI_FILE, AT(output), 0, .help = "where to write; in place when not given"},
	{.help = NULL},
};

static int read_uki(const struct arguments *a, struct ul_buffer *image, struct ul_pe *pe, struct ul_error *err)
{
	int r = ul_read_file(AT_FDCWD, a->image, 0x7fffffff, image);

	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, "reading the UKI", a->image, NULL, -r);
	return ul_pe_parse(image->data, image->len, a->image, pe, err);
}

static int run_sign(void *arguments)
{
	const struct arguments *a = arguments;
	ul_autobuffer struct ul_buffer image = {0};
	const char *output = a->output ? a->output : a->image;
	struct ul_error err;
	struct ul_pe pe = {0};
	int r = read_uki(a, &image, &pe, &err);

	if (r == 0)
		r = sign(a, &image, &err);
	if (r == 0)
		r = write_image(output, &image, &err);
	if (r < 0)
		return cli_fail(&err);
	printf("%s: signed\n", output);
	return 0;
}

const struct cli_command cli_uki_sign = {
	.group = "uki",
	.name = "sign",
	.help = "sign a unified kernel image for Secure Boot",
	.page = "underlay-uki",
	.options = sign_options,
	.size = sizeof(struct arguments),
	.run = run_sign,
};

/* ---- inspect ---- */

/* A section that is text, cut to fit; a NUL ends it, as it does for the stub. It may have any other byte. */
static void section_text(const struct ul_pe *pe, const char *name, char *buf, size_t size)
{
	const struct ul_pe_section *s = ul_pe_find(pe, name);
	size_t len = s ? ul_pe_section_len(s) : 0;

	snprintf(buf, size, "%.*s", (int)(len < size ? len : size - 1), s ? (const char *)pe->data + s->offset : "");
}

static void print_section_text(const struct ul_pe *pe, const char *name, const char *label)
{
	char text[TEXT_MAX], shown[4 * TEXT_MAX];

	section_text(pe, name, text, sizeof(text));
	ul_escape_text(shown, sizeof(shown), text);
	printf("%s: %s\n", label, shown);
}

static void print_people(const struct ul_pe *pe, const char *cert)
{
	char name[33];
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
	print_section_text(pe, ".cmdline", "command line");
	print_section_text(pe, ".uname", "kernel");
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

static struct json_object *claim_json(const struct ul_signer_claim *claim)
{
	struct json_object *obj = json_object_new_object();

	return ul_json_if(ul_json_add_string(obj, "subject", claim->subject) &&
				  ul_json_add_string(obj, "fingerprint", claim->fingerprint) &&
				  ul_json_add_string(obj, "issuer", claim->issuer) &&
				  ul_json_add_string(obj, "serial", claim->serial),
			  obj);
}

static struct json_object *signatures_json(const struct ul_pe *pe)
{
	struct json_object *list = json_object_new_array();
	struct ul_signer_claim claim;
	const uint8_t *der;
	uint32_t at = 0;
	bool ok = list != NULL;
	size_t len;

	while (ok && ul_pe_signature(pe, &at, &der, &len)) {
		if (!ul_signature_claim(der, len, &claim))
			claim = (struct ul_signer_claim){0};
		ok = ul_json_append(list, claim_json(&claim));
	}
	return ul_json_if(ok, list);
}

static struct json_object *section_json(const struct ul_pe_section *s)
{
	struct json_object *obj = json_object_new_object();

	return ul_json_if(
		ul_json_add_string(obj, "name", s->name) && ul_json_add_uint(obj, "bytes", ul_pe_section_len(s)) &&
			ul_json_add_uint(obj, "offset", s->offset) && ul_json_add_uint(obj, "address", s->address),
		obj);
}

static struct json_object *sections_json(const struct ul_pe *pe)
{
	struct json_object *list = json_object_new_array();
	bool ok = list != NULL;

	for (size_t i = 0; ok && i < pe->n_sections; i++)
		ok = ul_json_append(list, section_json(&pe->sections[i]));
	return ul_json_if(ok, list);
}

static int print_json(const struct ul_pe *pe, bool verified)
{
	ul_autojson struct json_object *obj = ul_json_document(1);
	char cmdline[TEXT_MAX], uname[TEXT_MAX];
	bool ok;

	section_text(pe, ".cmdline", cmdline, sizeof(cmdline));
	section_text(pe, ".uname", uname, sizeof(uname));
	ok = obj && ul_json_add_string(obj, "machine", ul_pe_machine_name(pe->machine)) &&
	     ul_json_add_string(obj, "cmdline", cmdline) && ul_json_add_string(obj, "uname", uname) &&
	     ul_json_add_bool(obj, "verified", verified) && ul_json_add(obj, "sections", sections_json(pe)) &&
	     ul_json_add(obj, "signatures", signatures_json(pe));
	return cli_print_json(ok ? obj : NULL);
}

static const struct cli_option inspect_options[] = {
	{NULL, 0, "UKI", CLI_FILE, AT(image), CLI_NEEDED, .help = "the UKI"},
	{"cert", 0, "FILE", CLI_FILE, AT(key.cert), 0,
	 .help = "check that a signature is by this certificate (PEM) and covers the file as it is"},
	{"json", 0, NULL, CLI_FLAG, AT(json), 0, .help = "print it as JSON"},
	{.help = NULL},
};

static int run_inspect(void *arguments)
{
	const struct arguments *a = arguments;
	ul_autobuffer struct ul_buffer image = {0};
	struct ul_error err, bad;
	struct ul_pe pe = {0};
	int verified = 0, status = 0;

	if (read_uki(a, &image, &pe, &err) < 0)
		return cli_fail(&err);
	if (a->key.cert)
		verified = ul_uki_verify(a->image, a->key.cert, &bad);
	/* Not asked is not the same as not verified. */
	if (verified < 0 && ul_code_exit_status(bad.code) != 1)
		return cli_fail(&bad);
	if (a->json)
		status = print_json(&pe, a->key.cert && verified == 0);
	else
		print_people(&pe, verified == 0 ? a->key.cert : NULL);
	return verified < 0 ? cli_fail(&bad) : status;
}

const struct cli_command cli_uki_inspect = {
	.group = "uki",
	.name = "inspect",
	.help = "show a unified kernel image's sections and signers",
	.page = "underlay-uki",
	.options = inspect_options,
	.size = sizeof(struct arguments),
	.run = run_inspect,
};
