/* A tree of kernel modules: what it holds, and what a module says of itself. */
#include "initrd/pack/module_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/dir.h"
#include "common/file.h"
#include "initrd/pack/elf.h"
#include "initrd/pack/uncompress.h"

static const char reading[] = "reading a kernel module";
static const char what[] = "reading the kernel modules";

void ul_module_normalise(char *name)
{
	bool range = false;

	for (char *p = name; *p; p++) {
		if (*p == '[')
			range = true;
		else if (*p == ']')
			range = false;
		else if (*p == '-' && !range)
			*p = '_';
	}
}

/* "virtio-pci.ko.xz" -> "virtio_pci"; NULL: not a module's name (or out of memory). */
static char *module_name(const char *file)
{
	const char *end = strstr(file, ".ko");
	char *name;

	if (!end || end == file || (end[3] != '\0' && end[3] != '.'))
		return NULL;
	name = strndup(file, (size_t)(end - file));
	if (name)
		ul_module_normalise(name);
	return name;
}

static int add_file(struct ul_module_tree *tree, const char *below, const char *file)
{
	struct ul_module_file f = {.name = module_name(file)};

	if (!f.name)
		return 0;
	if (asprintf(&f.path, "%s%s%s", below, *below ? "/" : "", file) < 0) {
		free(f.name);
		return -ENOMEM;
	}
	if (ul_vector_push(&tree->files, f) < 0) {
		free(f.name);
		free(f.path);
		return -ENOMEM;
	}
	return tree->files.n > UL_MODULE_TREE_MAX ? -E2BIG : 0;
}

/*
 * Symbolic links are followed, since a NixOS tree links to files and folders of other packages; but not
 * `build` and `source`, which lead to a kernel's whole source. A loop of links ends at the depth limit.
 */
static int scan(struct ul_module_tree *tree, int fd, const char *below, int depth)
{
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	int r = ul_dir_of(fd, &dir);

	while (r >= 0 && (r = ul_dir_next(dir, &entry)) > 0) {
		const char *name = entry->d_name;
		ul_autofree char *path = NULL;
		struct stat st;
		int child;

		if (name[0] == '.' || fstatat(dirfd(dir), name, &st, 0) < 0)
			continue;
		if (!S_ISDIR(st.st_mode)) {
			r = add_file(tree, below, name);
			continue;
		}
		if (depth == 0 && (!strcmp(name, "build") || !strcmp(name, "source")))
			continue;
		if (depth >= UL_MODULE_DEPTH_MAX)
			return -ELOOP;
		if (asprintf(&path, "%s%s%s", below, *below ? "/" : "", name) < 0)
			return -ENOMEM;
		child = openat(dirfd(dir), name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = child < 0 ? -errno : scan(tree, child, path, depth + 1);
	}
	return r;
}

/* Where two files have one name, updates/ comes before the kernel's own, as depmod has it. */
static int by_name(const void *a, const void *b)
{
	const struct ul_module_file *x = a, *y = b;
	int c = strcmp(x->name, y->name);

	if (c == 0)
		c = !!strncmp(x->path, "updates/", 8) - !!strncmp(y->path, "updates/", 8);
	return c ? c : strcmp(x->path, y->path);
}

/* modules.builtin: a path a line. The file may be missing: then nothing is known to be built in. */
static int read_builtin(struct ul_module_tree *tree, const char *path)
{
	ul_autobuffer struct ul_buffer text = {0};
	int r = ul_read_file(AT_FDCWD, path, UL_BUILTIN_MAX, &text);
	char *line, *rest;

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	rest = ul_buffer_string(&text);
	if (!rest)
		return -ENOMEM;
	while ((line = strsep(&rest, "\n"))) {
		const char *slash = strrchr(line, '/');
		ul_autofree char *name = module_name(slash ? slash + 1 : line);

		if (name && ul_names_add(&tree->builtin, name) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int read_side_file(const struct ul_module_tree *tree, const char *name, struct ul_buffer *ret)
{
	ul_autofree char *path = ul_path_join(tree->dir, name);
	int r = path ? ul_read_file(AT_FDCWD, path, UL_BUILTIN_MAX, ret) : -ENOMEM;

	return r == -ENOENT ? 0 : r;
}

int ul_module_tree_open(const char *dir, struct ul_module_tree *ret, struct ul_error *err)
{
	ul_automoduletree struct ul_module_tree tree = {.dir = strdup(dir)};
	ul_autofree char *builtin = ul_path_join(dir, "modules.builtin");
	int fd, r;

	if (!tree.dir || !builtin)
		return ul_error_nomem(err, what);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = fd < 0 ? -errno : scan(&tree, fd, "", 0);
	if (r == 0)
		r = read_builtin(&tree, builtin);
	if (r == 0)
		r = read_side_file(&tree, "modules.builtin.modinfo", &tree.builtin_modinfo);
	if (r == 0)
		r = read_side_file(&tree, "modules.alias", &tree.aliases);
	if (r < 0)
		return ul_error_errno(err, r == -ENOMEM ? UL_E_MEMORY : UL_E_SYSTEM, what, dir,
				      "Give the directory /lib/modules/VERSION of the kernel.", -r);
	if (tree.files.n == 0 && tree.builtin.n == 0)
		return ul_error_set(err, UL_E_INPUT, what, dir,
				    "Give the directory /lib/modules/VERSION of the kernel.",
				    "it holds neither a module nor the list modules.builtin");
	ul_vector_sort(&tree.files, by_name);
	*ret = tree;
	tree = (struct ul_module_tree){0};
	return 0;
}

void ul_module_tree_free(struct ul_module_tree *tree)
{
	for (size_t i = 0; i < tree->files.n; i++) {
		free(tree->files.at[i].name);
		free(tree->files.at[i].path);
	}
	ul_vector_free(&tree->files);
	free(tree->dir);
	ul_names_free(&tree->builtin);
	ul_buffer_free(&tree->builtin_modinfo);
	ul_buffer_free(&tree->aliases);
	*tree = (struct ul_module_tree){0};
}

const struct ul_module_file *ul_module_tree_find(const struct ul_module_tree *tree, const char *name)
{
	ul_autofree char *wanted = strdup(name);
	size_t low = 0, high = tree->files.n;

	if (!wanted)
		return NULL;
	ul_module_normalise(wanted);
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcmp(tree->files.at[mid].name, wanted) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low < tree->files.n && !strcmp(tree->files.at[low].name, wanted) ? &tree->files.at[low] : NULL;
}

bool ul_module_tree_builtin(const struct ul_module_tree *tree, const char *name)
{
	const char *at = (const char *)tree->builtin_modinfo.data;
	const char *end = at + tree->builtin_modinfo.len;
	ul_autofree char *wanted = strdup(name);

	if (!wanted)
		return false;
	ul_module_normalise(wanted);
	if (ul_names_has(&tree->builtin, wanted))
		return true;
	while (at < end) {
		size_t len = strnlen(at, (size_t)(end - at));
		const char *alias = memmem(at, len, ".alias=", 7);
		size_t text = alias ? (size_t)(at + len - (alias + 7)) : 0;

		if (alias && text == strlen(name) && !memcmp(alias + 7, name, text))
			return true;
		at += len + 1;
	}
	return false;
}

/* Lines of modules.alias are "alias PATTERN MODULE"; a pattern without wildcards is a name. */
char *ul_module_tree_alias(const struct ul_module_tree *tree, const char *alias)
{
	const char *at = (const char *)tree->aliases.data, *end = at + tree->aliases.len;
	size_t len = strlen(alias);

	while (at < end) {
		const char *eol = memchr(at, '\n', (size_t)(end - at));
		size_t line = (size_t)((eol ? eol : end) - at);

		if (line > 7 + len && !memcmp(at, "alias ", 6) && !memcmp(at + 6, alias, len) && at[6 + len] == ' ')
			return strndup(at + 7 + len, line - 7 - len);
		at += line + 1;
	}
	return NULL;
}

/* "a,b c" into words, '-' as '_'. Aliases among soft dependencies ("crypto-crc32c") keep their '-'. */
static int split(const char *text, size_t len, bool names, struct ul_names *ret)
{
	while (len > 0) {
		size_t n = 0;

		while (n < len && text[n] != ',' && text[n] != ' ' && text[n] != '\n')
			n++;
		if (n > 0) {
			if (ul_names_add_n(ret, text, n) < 0)
				return -ENOMEM;
			if (names)
				ul_module_normalise(ret->at[ret->n - 1]);
		}
		text += n;
		len -= n;
		if (len > 0)
			text++, len--;
	}
	return 0;
}

/* "pre: a b post: c": the words behind each mark. */
static int split_softdep(const char *text, size_t len, struct ul_module *m)
{
	ul_autonames struct ul_names words = {0};
	struct ul_names *list = NULL;

	if (split(text, len, false, &words) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < words.n; i++) {
		const char *w = words.at[i];

		if (!strcmp(w, "pre:"))
			list = &m->pre;
		else if (!strcmp(w, "post:"))
			list = &m->post;
		else if (list && ul_names_add_new(list, w) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* "6.12.1-amd64 SMP preempt mod_unload modversions": the first word is the kernel's version. */
static int take_vermagic(const char *text, size_t len, struct ul_module *m)
{
	size_t n = 0;

	while (n < len && text[n] != ' ')
		n++;
	free(m->kernel);
	m->kernel = strndup(text, n);
	return m->kernel ? 0 : -ENOMEM;
}

static int take_info(const char *text, size_t len, struct ul_module *m)
{
	static const char *const keys[] = {"depends=", "alias=", "softdep=", "weakdep=", "vermagic="};
	size_t key = 0, skip;

	while (key < UL_ARRAY_SIZE(keys) && strncmp(text, keys[key], strlen(keys[key])) != 0)
		key++;
	if (key == UL_ARRAY_SIZE(keys))
		return 0;
	skip = strlen(keys[key]);
	text += skip;
	len -= skip;
	switch (key) {
	case 0:
		return split(text, len, true, &m->depends);
	case 1:
		return ul_names_add_n(&m->aliases, text, len);
	case 2:
		return split_softdep(text, len, m);
	case 3:
		return split(text, len, false, &m->weak);
	default:
		return take_vermagic(text, len, m);
	}
}

int ul_modinfo_parse(const uint8_t *info, size_t len, struct ul_module *m, struct ul_error *err)
{
	const char *at = (const char *)info, *end = at + len;

	while (at < end) {
		size_t n = strnlen(at, (size_t)(end - at));

		if (n == (size_t)(end - at))
			return ul_error_set(err, UL_E_INPUT, reading, m->path, NULL,
					    "its .modinfo does not end with a NUL");
		if (take_info(at, n, m) < 0)
			return ul_error_nomem(err, what);
		at += n + 1;
	}
	return 0;
}

int ul_module_read(const struct ul_module_tree *tree, const struct ul_module_file *file, struct ul_module *ret,
		   struct ul_error *err)
{
	const char *ko = strstr(strrchr(file->path, '/') ? strrchr(file->path, '/') : file->path, ".ko");
	UL_CLEANUP(ul_module_free) struct ul_module m = {.name = strdup(file->name)};
	ul_autofree char *full = ul_path_join(tree->dir, file->path);
	struct ul_elf_bytes info;
	int r;

	m.path = strndup(file->path, (size_t)(ko - file->path) + 3);
	if (!m.name || !m.path || !full)
		return ul_error_nomem(err, what);
	r = ul_read_uncompressed(full, UL_MODULE_FILE_MAX, &m.data, err);
	if (r == 0)
		r = ul_elf_section(m.data.data, m.data.len, ".modinfo", full, &info, err);
	if (r == 0 && !info.data)
		r = ul_error_set(err, UL_E_INPUT, reading, full, NULL,
				 "it has no .modinfo section, so it is not a kernel module");
	if (r == 0)
		r = ul_modinfo_parse(info.data, info.len, &m, err);
	if (r == 0 && (!m.kernel || !*m.kernel || strchr(m.kernel, '/') || m.kernel[0] == '.'))
		r = ul_error_set(err, UL_E_INPUT, reading, full, NULL, "it does not say which kernel it is for");
	if (r < 0)
		return r;
	*ret = m;
	m = (struct ul_module){0};
	return 0;
}

void ul_module_free(struct ul_module *m)
{
	free(m->name);
	free(m->path);
	ul_buffer_free(&m->data);
	ul_names_free(&m->depends);
	ul_names_free(&m->aliases);
	ul_names_free(&m->pre);
	ul_names_free(&m->post);
	ul_names_free(&m->weak);
	free(m->kernel);
	*m = (struct ul_module){0};
}
