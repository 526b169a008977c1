#include "verity/image/fs_image.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/config.h"
#include "common/paths.h"
#include "common/run.h"
#include "common/version_number.h"
#include "verity/format/image_layout.h"

static const char WHAT[] = "writing the filesystem";
#define ARGS_MAX 40

/* Compressions that some tool and Linux have for the format. */
struct compression {
	const char *name;      /* ours */
	const char *tool_name; /* the tool's; NULL: the same */
	unsigned int min, max; /* levels; max 0: it has no levels */
};

static const struct compression erofs_compressions[] = {
	{"none", NULL, 0, 0},    {"lz4", NULL, 0, 0},  {"lz4hc", NULL, 0, 12}, {"zstd", NULL, 0, 22},
	{"deflate", NULL, 0, 9}, {"xz", "lzma", 0, 9}, {NULL, NULL, 0, 0},
};

static const struct compression squashfs_compressions[] = {
	{"none", NULL, 0, 0}, {"lz4", NULL, 0, 0}, {"lz4hc", "lz4", 0, 0}, {"zstd", NULL, 1, 22},
	{"gzip", NULL, 1, 9}, {"xz", NULL, 0, 0},  {NULL, NULL, 0, 0},
};

static int bad_compression(const struct compression *table, const char *asked, struct ul_error *err)
{
	char todo[200] = "One of:";

	for (const struct compression *c = table; c->name; c++) {
		size_t len = strlen(todo);

		snprintf(todo + len, sizeof(todo) - len, c->max ? " %s[,%u..%u]" : " %s", c->name, c->min, c->max);
	}
	return ul_error_set(err, UL_E_USAGE, "choosing the compression", asked, todo,
			    "this format has no such compression or level");
}

/* Split "NAME[,LEVEL]" and look it up. */
static int parse_compression(const struct compression *table, const char *asked, struct ul_fs_tool *tool,
			     struct ul_error *err)
{
	const char *comma = strchr(asked, ',');
	size_t len = comma ? (size_t)(comma - asked) : strlen(asked);
	const struct compression *c = table;

	while (c->name && (strlen(c->name) != len || memcmp(c->name, asked, len) != 0))
		c++;
	if (!c->name)
		return bad_compression(table, asked, err);
	if (comma) {
		uint64_t level;

		if (!ul_parse_number(comma + 1, &level) || c->max == 0 || level < c->min || level > c->max)
			return bad_compression(table, asked, err);
		snprintf(tool->level, sizeof(tool->level), "%u", (unsigned int)level);
	}
	if (strcmp(c->name, "none") != 0)
		snprintf(tool->compression, sizeof(tool->compression), "%s", c->tool_name ? c->tool_name : c->name);
	/* squashfs: lz4 and lz4hc are one compressor with and without an option. */
	if (tool->squashfs && !strcmp(c->name, "lz4hc"))
		strcpy(tool->level, "hc");
	return 0;
}

/* Whether the text has this word between characters that are not part of a name. */
static bool has_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = text; (p = strstr(p, word)); p += len)
		if ((p == text || !(isalnum((unsigned char)p[-1]) || p[-1] == '-')) &&
		    !isalnum((unsigned char)p[len]) && p[len] != '-')
			return true;
	return false;
}

/* The tool's help from where it lists its compressions; NULL: it does not say. */
static const char *compression_list(const struct ul_fs_tool *tool, const char *help)
{
	static const char *const headings[] = {
		"Available compressors are:",                    /* mkfs.erofs to 1.7 */
		"supported compressors and their option ranges", /* mkfs.erofs 1.8 */
		"Compressors available",                         /* mksquashfs */
	};

	for (size_t i = tool->squashfs ? 2 : 0; i < (tool->squashfs ? 3u : 2u); i++) {
		const char *p = strstr(help, headings[i]);

		if (p)
			return p;
	}
	return NULL;
}

static const char ASKING[] = "asking for the tool's abilities";

/* The help, wherever the tool writes it: mkfs.erofs to 1.6 takes standard error. */
static int read_help(const struct ul_fs_tool *tool, struct ul_buffer *ret, struct ul_error *err)
{
	const char *command = tool->squashfs ? "exec mksquashfs -help 2>&1" : "exec mkfs.erofs --help 2>&1";
	const char *argv[] = {"sh", "-c", command, NULL};
	int status;

	return ul_run(argv, ASKING, ret, &status, err);
}

/* Also finds out whether the tool is installed at all. */
static int read_version(const struct ul_fs_tool *tool, struct ul_buffer *ret, struct ul_error *err)
{
	const char *argv[] = {tool->program, tool->squashfs ? "-version" : "-V", NULL};
	int status;

	return ul_run(argv, ASKING, ret, &status, err);
}

/* erofs-utils 1.5 and older lost such files from any directory. "mkfs.erofs (erofs-utils) 1.8.6" */
static bool drops_lost_found(const char *version)
{
	return ul_version_at_least(strpbrk(version, "0123456789"), 1, 6) != 1;
}

static int probe_tool(struct ul_fs_tool *tool, struct ul_error *err)
{
	ul_autobuffer struct ul_buffer help_text = {0}, version_text = {0};
	const char *help, *version, *list;
	int r = read_version(tool, &version_text, err);

	if (r == 0)
		r = read_help(tool, &help_text, err);
	if (r < 0)
		return r;
	help = ul_buffer_string(&help_text);
	version = ul_buffer_string(&version_text);
	if (!help || !version)
		return ul_error_nomem(err, ASKING);
	list = compression_list(tool, help);
	if (*tool->compression && list && !has_word(list, tool->compression))
		return ul_error_set(err, UL_E_SYSTEM, "choosing the compression", tool->compression,
				    "Choose another by --compression, or install a newer one.",
				    "the installed %s does not have it", tool->program);
	if (tool->squashfs) {
		tool->writes_at_offset = strstr(help, "-offset ") != NULL;
		tool->splits_hard_links = true;
		return 0;
	}
	tool->writes_at_offset = strstr(help, " --offset=") != NULL;
	tool->splits_hard_links = strstr(help, " --hard-dereference") != NULL;
	tool->sets_block_size = strstr(help, "\n -b#") != NULL;
	tool->drops_lost_found = drops_lost_found(version);
	return 0;
}

int ul_fs_tool_find(const char *format, const char *compression, struct ul_fs_tool *ret, struct ul_error *err)
{
	struct ul_fs_tool tool = {.program = "mkfs.erofs"};
	int r;

	if (format && !strcmp(format, "squashfs")) {
		tool.squashfs = true;
		tool.program = "mksquashfs";
	} else if (format && strcmp(format, "erofs") != 0) {
		return ul_error_set(err, UL_E_USAGE, "choosing the format", format, "One of: erofs squashfs",
				    "there is no such format");
	}
	if (!compression)
		compression = tool.squashfs ? "zstd" : "lz4";
	r = parse_compression(tool.squashfs ? squashfs_compressions : erofs_compressions, compression, &tool, err);
	if (r == 0)
		r = probe_tool(&tool, err);
	if (r == 0)
		*ret = tool;
	return r;
}

/* Arguments under construction: pointers, and a place for those that are put together. */
struct arguments {
	const char *argv[ARGS_MAX + 1];
	size_t n;
	char text[512];
	size_t used;
};

static void add(struct arguments *a, const char *argument)
{
	if (a->n < ARGS_MAX)
		a->argv[a->n++] = argument;
}

__attribute__((format(printf, 2, 3))) static void add_format(struct arguments *a, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(a->text + a->used, sizeof(a->text) - a->used, format, args);
	va_end(args);
	if (len < 0 || (size_t)len >= sizeof(a->text) - a->used)
		return;
	add(a, a->text + a->used);
	a->used += (size_t)len + 1;
}

static void erofs_arguments(const struct ul_fs_tool *tool, const struct ul_fs_job *job, struct arguments *a)
{
	add(a, "--quiet");
	add(a, "-T1");
	add(a, "-x-1");
	add(a, "--all-root");
	add(a, "-U00000000-0000-0000-0000-000000000000"); /* why: fs_image.h */
	if (tool->sets_block_size)
		add_format(a, "-b%u", UL_IMAGE_BLOCK);
	if (tool->splits_hard_links)
		add(a, "--hard-dereference");
	if (job->offset)
		add_format(a, "--offset=%" PRIu64, job->offset);
	if (*tool->compression) {
		add_format(a, "-z%s%s%s", tool->compression, *tool->level ? "," : "", tool->level);
		add(a, "-C65536");
	}
	add(a, job->output);
	add(a, job->tree);
}

static void squashfs_arguments(const struct ul_fs_tool *tool, const struct ul_fs_job *job, struct arguments *a)
{
	static const char *const fixed[] = {
		"-noappend",    "-quiet",
		"-no-progress", "-exit-on-error",
		"-no-xattrs",   "-no-hardlinks",
		"-mkfs-time",   "1",
		"-all-time",    "1",
	};
	static const char *const plain[] = {"-noI", "-noId", "-noD", "-noF", "-noX"};

	add(a, job->tree);
	add(a, job->output);
	if (job->store_group) {
		/* -all-root would win over what is said of one directory. */
		add(a, "-action");
		add(a, "guid(0,0)@true");
		add(a, "-action");
		add_format(a, "guid(0,%u)@pathname(" UL_LOWER_STORE ")", job->store_group);
	} else {
		add(a, "-all-root");
	}
	for (size_t i = 0; i < UL_ARRAY_SIZE(fixed); i++)
		add(a, fixed[i]);
	for (size_t i = 0; !*tool->compression && i < UL_ARRAY_SIZE(plain); i++)
		add(a, plain[i]);
	if (*tool->compression) {
		add(a, "-comp");
		add(a, tool->compression);
	}
	if (!strcmp(tool->level, "hc")) {
		add(a, "-Xhc");
	} else if (*tool->level) {
		add(a, "-Xcompression-level");
		add(a, tool->level);
	}
	if (job->offset) {
		add(a, "-offset");
		add_format(a, "%" PRIu64, job->offset);
	}
	if (job->threads) {
		add(a, "-processors");
		add_format(a, "%u", job->threads);
	}
}

int ul_fs_make(const struct ul_fs_tool *tool, const struct ul_fs_job *job, struct ul_error *err)
{
	struct arguments a = {.n = 0};

	/* Both tools read it; mksquashfs then refuses the times that are given as options. */
	unsetenv("SOURCE_DATE_EPOCH");
	add(&a, tool->program);
	if (tool->squashfs)
		squashfs_arguments(tool, job, &a);
	else
		erofs_arguments(tool, job, &a);
	return ul_run(a.argv, WHAT, NULL, NULL, err);
}
