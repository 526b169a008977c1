/* The closure of a program over its loader and shared libraries. */
#include "initrd/pack/libs.h"

#include <elf.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <string.h>

#include "common/file.h"
#include "initrd/pack/elf.h"

static const char what[] = "finding the libraries";

/* The directories that loaders search by themselves, by machine; Debian's multiarch names first. */
static const struct {
	uint16_t machine;
	const char *const dirs[7];
} default_dirs[] = {
	{EM_X86_64, {"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"}},
	{EM_AARCH64,
	 {"/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"}},
	{EM_RISCV,
	 {"/lib/riscv64-linux-gnu", "/usr/lib/riscv64-linux-gnu", "/lib64/lp64d", "/usr/lib64/lp64d", "/lib",
	  "/usr/lib"}},
	{EM_NONE, {"/lib64", "/usr/lib64", "/lib", "/usr/lib"}},
};

/* A library that is asked for, and by whom. */
struct need {
	char *name;    /* owned */
	char *by;      /* owned; path of the file that needs it */
	char *search;  /* owned; that file's own search path, "" for none */
	bool own_only; /* it is a DT_RUNPATH: the program's DT_RPATH does not count */
};

struct closure {
	struct ul_cpio *cpio;
	const char *sysroot;
	uint16_t machine;
	struct ul_names search;       /* default directories, then ld.so.conf's, then the loader's own */
	const char *main_rpath;       /* DT_RPATH of the program: holds for its libraries too */
	const char *main_path;        /* the program's own path, below sysroot */
	char *system_dir;             /* where libc lies; NULL until it is found */
	UL_VECTOR(struct need) needs; /* done ones first, then those that wait */
	struct ul_error *err;
};

/* A library that was found. */
struct found {
	char *path;      /* owned; on the build machine, without sysroot */
	bool by_runpath; /* by an absolute search path of the file that needs it */
	struct ul_buffer bytes;
};

static void found_free(struct found *f)
{
	free(f->path);
	ul_buffer_free(&f->bytes);
}

static int read_below(const struct closure *c, const char *path, size_t max, struct ul_buffer *ret)
{
	ul_autofree char *full = ul_path_join(*c->sysroot ? c->sysroot : "/", path);

	return full ? ul_read_file(AT_FDCWD, full, max, ret) : -ENOMEM;
}

static int add_dir(struct closure *c, const char *dir)
{
	int r = ul_names_add_new(&c->search, dir);

	return r < 0 ? r : 0;
}

static int read_ld_conf(struct closure *c, const char *path, int depth);

/* "include PATTERN", relative to the including file's directory as ldconfig has it. */
static int include_ld_conf(struct closure *c, const char *pattern, const char *from, int depth)
{
	ul_autofree char *below = NULL, *full = NULL;
	size_t skip = strlen(c->sysroot);
	glob_t matches = {0};
	int r = 0;

	if (pattern[0] == '/')
		below = strdup(pattern);
	else if (asprintf(&below, "%.*s%s", (int)(strrchr(from, '/') - from + 1), from, pattern) < 0)
		below = NULL;
	full = below ? ul_path_join(*c->sysroot ? c->sysroot : "/", below) : NULL;
	if (!full)
		return -ENOMEM;
	/* glob sorts, so the order is the same on every machine. */
	if (glob(full, 0, NULL, &matches) == 0)
		for (size_t i = 0; r == 0 && i < matches.gl_pathc; i++)
			r = read_ld_conf(c, matches.gl_pathv[i] + skip, depth + 1);
	globfree(&matches);
	return r;
}

/* A configuration that cannot be read only means fewer directories: what is missing is reported by name. */
static int read_ld_conf(struct closure *c, const char *path, int depth)
{
	ul_autobuffer struct ul_buffer text = {0};
	char *line, *rest;
	int r = 0;

	if (depth > UL_LD_CONF_DEPTH || read_below(c, path, UL_LD_CONF_MAX, &text) < 0)
		return 0;
	rest = ul_buffer_string(&text);
	if (!rest)
		return -ENOMEM;
	while (r == 0 && (line = strsep(&rest, "\n"))) {
		line[strcspn(line, "#")] = '\0';
		line += strspn(line, " \t");
		if (!strncmp(line, "include", 7) && (line[7] == ' ' || line[7] == '\t')) {
			char *pattern = line + 7 + strspn(line + 7, " \t");

			pattern[strcspn(pattern, " \t\r")] = '\0';
			r = include_ld_conf(c, pattern, path, depth);
		} else if (line[0] == '/') {
			line[strcspn(line, " \t\r=")] = '\0';
			r = add_dir(c, line);
		}
	}
	return r;
}

static int collect_search_dirs(struct closure *c, const char *interpreter)
{
	const char *slash = strrchr(interpreter, '/');
	ul_autofree char *own = strndup(interpreter, (size_t)(slash - interpreter));
	size_t row = 0, i = 0;
	int r;

	if (!own)
		return ul_error_nomem(c->err, what);
	while (default_dirs[row].machine != c->machine && default_dirs[row].machine != EM_NONE)
		row++;
	do /* no row is empty */
		r = add_dir(c, default_dirs[row].dirs[i++]);
	while (r == 0 && default_dirs[row].dirs[i]);
	if (r == 0)
		r = read_ld_conf(c, "/etc/ld.so.conf", 0);
	/* A loader in a Nix store has its own directory as its default one. */
	if (r == 0 && *own)
		r = add_dir(c, own);
	return r < 0 ? ul_error_nomem(c->err, what) : 0;
}

/* Read dir/name if it is a library of this machine. 1: it is; 0: it is not there, or another's. */
static int try_library(const struct closure *c, const char *dir, const char *name, struct found *ret)
{
	ul_autobuffer struct ul_buffer bytes = {0};
	ul_autofree char *path = ul_path_join(dir, name);
	const uint8_t *d;
	int r;

	if (!path)
		return ul_error_nomem(c->err, what);
	r = read_below(c, path, UL_CPIO_FILE_MAX, &bytes);
	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r < 0)
		return ul_error_errno(c->err, UL_E_SYSTEM, what, path, NULL, -r);
	d = bytes.data;
	if (!ul_elf_is(d, bytes.len) || bytes.len < sizeof(Elf64_Ehdr) || d[EI_CLASS] != ELFCLASS64 ||
	    d[EI_DATA] != ELFDATA2LSB || (d[18] | d[19] << 8) != c->machine)
		return 0;
	*ret = (struct found){.path = ul_steal(path), .bytes = bytes};
	bytes = (struct ul_buffer){0};
	return 1;
}

/*
 * Take "." and ".." out of an absolute path by its text alone. The initramfs has no symbolic links, so
 * that is where the loader's walk over them will end.
 */
static void simplify(char *path)
{
	char *out = path;

	for (const char *in = path; *in;) {
		size_t n = strcspn(++in, "/");

		if (n == 2 && in[0] == '.' && in[1] == '.') {
			while (out > path && *--out != '/')
				;
		} else if (n > 0 && !(n == 1 && in[0] == '.')) {
			*out++ = '/';
			memmove(out, in, n);
			out += n;
		}
		in += n;
	}
	*out = '\0';
}

/* One directory of a search path, $ORIGIN put in. Empty, relative or with other tokens: skipped. */
static int try_search_part(const struct closure *c, const char *part, size_t len, const char *by, const char *name,
			   struct found *ret)
{
	ul_autofree char *text = strndup(part, len), *dir = NULL;
	bool origin = false;
	size_t skip;
	int r;

	if (!text)
		return ul_error_nomem(c->err, what);
	skip = !strncmp(text, "$ORIGIN", 7) ? 7 : !strncmp(text, "${ORIGIN}", 9) ? 9 : 0;
	if (skip > 0) {
		origin = true;
		if (asprintf(&dir, "%.*s%s", (int)(strrchr(by, '/') - by), by, text + skip) < 0)
			return ul_error_nomem(c->err, what);
	} else {
		dir = ul_steal(text);
	}
	if (dir[0] != '/' || strchr(dir, '$'))
		return 0;
	r = try_library(c, dir, name, ret);
	if (r == 1)
		simplify(ret->path);
	/* The program itself moves (to /init), its libraries do not: its $ORIGIN leads nowhere there. */
	if (r == 1)
		ret->by_runpath = !(origin && !strcmp(by, c->main_path));
	return r;
}

static int try_search_path(const struct closure *c, const char *search, const char *by, const char *name,
			   struct found *ret)
{
	int r = 0;

	while (r == 0 && search && *search) {
		size_t len = strcspn(search, ":");

		r = try_search_part(c, search, len, by, name, ret);
		search += len + (search[len] == ':');
	}
	return r;
}

static int find_library(const struct closure *c, const struct need *n, struct found *ret)
{
	int r;

	if (strchr(n->name, '/'))
		return ul_error_set(c->err, UL_E_INPUT, what, n->by,
				    "Link it so that it names the library without a directory.",
				    "it needs %s by a path", n->name);
	r = try_search_path(c, n->search, n->by, n->name, ret);
	if (r == 0 && !n->own_only)
		r = try_search_path(c, c->main_rpath, c->main_path, n->name, ret);
	for (size_t i = 0; r == 0 && i < c->search.n; i++)
		r = try_library(c, c->search.at[i], n->name, ret);
	if (r == 0)
		return ul_error_set(c->err, UL_E_INPUT, what, n->by, "Install the library.",
				    "it needs %s, which is in none of the directories that the "
				    "loader searches",
				    n->name);
	return r < 0 ? r : 0;
}

static bool queued(const struct closure *c, const char *name)
{
	for (size_t i = 0; i < c->needs.n; i++)
		if (!strcmp(c->needs.at[i].name, name))
			return true;
	return false;
}

/* Queue what elf needs; `path` is where it was found. */
static int queue(struct closure *c, const struct ul_elf *elf, const char *path)
{
	const char *search = elf->runpath ? elf->runpath : elf->rpath ? elf->rpath : "";

	for (size_t i = 0; i < elf->needed.n; i++) {
		struct need n;

		if (queued(c, elf->needed.at[i]))
			continue;
		if (c->needs.n == UL_LIBS_MAX)
			return ul_error_set(c->err, UL_E_INPUT, what, c->main_path, NULL,
					    "it needs more than %d libraries", UL_LIBS_MAX);
		if (ul_vector_reserve(&c->needs, 1) < 0)
			return ul_error_nomem(c->err, what);
		n = (struct need){.name = strdup(elf->needed.at[i]),
				  .by = strdup(path),
				  .search = strdup(search),
				  .own_only = elf->runpath != NULL};
		c->needs.at[c->needs.n++] = n;
		if (!n.name || !n.by || !n.search)
			return ul_error_nomem(c->err, what);
	}
	return 0;
}

static int add_library(struct closure *c, const char *name, struct found *f)
{
	ul_autofree char *path = NULL;

	path = f->by_runpath ? strdup(f->path) : ul_path_join(c->system_dir, name);
	if (!path)
		return ul_error_nomem(c->err, what);
	f->bytes.len = ul_elf_strip(f->bytes.data, f->bytes.len);
	return ul_cpio_add_file(
		c->cpio, &(struct ul_cpio_file){path, 0755, f->bytes.data, f->bytes.len, UL_CPIO_LIBRARY, f->path},
		c->err);
}

/* Find library i of the queue, add it, queue what it needs. The loader is among them and is done. */
static int do_library(struct closure *c, size_t i, const char *loader_name)
{
	UL_CLEANUP(found_free) struct found f = {0};
	const struct need *n = &c->needs.at[i];
	ul_autoelf struct ul_elf elf = {0};
	int r;

	if (!strcmp(n->name, loader_name))
		return 0;
	r = find_library(c, n, &f);
	if (r == 0)
		r = ul_elf_parse(f.bytes.data, f.bytes.len, f.path, &elf, c->err);
	if (r == 0)
		r = add_library(c, n->name, &f);
	return r < 0 ? r : queue(c, &elf, f.path);
}

/* All default-directory libraries go where libc is. */
static int find_system_dir(struct closure *c)
{
	UL_CLEANUP(found_free) struct found f = {0};
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->search.n; i++)
		r = try_library(c, c->search.at[i], "libc.so.6", &f);
	if (r < 0)
		return r;
	c->system_dir = r == 1 ? strndup(f.path, (size_t)(strrchr(f.path, '/') - f.path))
			       : strdup(c->search.at[c->search.n - 1]);
	return c->system_dir ? 0 : ul_error_nomem(c->err, what);
}

static int add_loader(struct closure *c, const char *interpreter)
{
	ul_autobuffer struct ul_buffer bytes = {0};
	int r = read_below(c, interpreter, UL_CPIO_FILE_MAX, &bytes);

	if (r < 0)
		return ul_error_errno(c->err, UL_E_INPUT, "reading the loader of the program", interpreter, NULL, -r);
	bytes.len = ul_elf_strip(bytes.data, bytes.len);
	return ul_cpio_add_file(
		c->cpio, &(struct ul_cpio_file){interpreter, 0755, bytes.data, bytes.len, UL_CPIO_LIBRARY, interpreter},
		c->err);
}

static void closure_free(struct closure *c)
{
	ul_names_free(&c->search);
	for (size_t i = 0; i < c->needs.n; i++) {
		free(c->needs.at[i].name);
		free(c->needs.at[i].by);
		free(c->needs.at[i].search);
	}
	ul_vector_free(&c->needs);
	free(c->system_dir);
}

int ul_pack_libs(struct ul_cpio *cpio, const uint8_t *data, size_t len, const char *path, const char *sysroot,
		 struct ul_error *err)
{
	UL_CLEANUP(closure_free)
	struct closure c = {.cpio = cpio, .sysroot = sysroot, .main_path = path, .err = err};
	ul_autoelf struct ul_elf elf = {0};
	ul_autofree char *absolute = NULL;
	int r;

	if (!ul_elf_is(data, len))
		return 0;
	r = ul_elf_parse(data, len, path, &elf, err);
	if (r < 0 || !elf.interpreter)
		return r;
	/* $ORIGIN wants a directory, so a path given as a bare name is completed. */
	absolute = realpath(path, NULL);
	if (!absolute)
		return ul_error_errno(err, UL_E_SYSTEM, what, path, NULL, errno);
	c.main_path = absolute;
	if (*sysroot && !strncmp(absolute, sysroot, strlen(sysroot)))
		c.main_path += strlen(sysroot);
	c.machine = elf.machine;
	c.main_rpath = elf.runpath ? NULL : elf.rpath;
	r = add_loader(&c, elf.interpreter);
	if (r == 0)
		r = collect_search_dirs(&c, elf.interpreter);
	if (r == 0)
		r = find_system_dir(&c);
	if (r == 0)
		r = queue(&c, &elf, c.main_path);
	for (size_t i = 0; r == 0 && i < c.needs.n; i++)
		r = do_library(&c, i, strrchr(elf.interpreter, '/') + 1);
	return r;
}
