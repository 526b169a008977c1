/* The closure of the wanted kernel modules, and how it is laid in the initramfs. */
#include "initrd/pack/modules.h"

#include <errno.h>
#include <string.h>

#include "common/file.h"
#include "initrd/layout/modules.h"
#include "initrd/pack/kmod_index.h"
#include "initrd/pack/module_tree.h"

static const char what[] = "packing the kernel modules";

/* Most modules that an initramfs may hold. */
#define SET_MAX 4096

struct set {
	const struct ul_module_tree *tree;
	UL_VECTOR(struct ul_module) modules; /* in the order of discovery: a module's index never changes */
	struct ul_error *err;
};

static int nomem(struct set *s)
{
	return ul_error_nomem(s->err, what);
}

static struct ul_module *set_find(const struct set *s, const char *name)
{
	for (size_t i = 0; i < s->modules.n; i++)
		if (!strcmp(s->modules.at[i].name, name))
			return &s->modules.at[i];
	return NULL;
}

static int set_add(struct set *s, const struct ul_module_file *file)
{
	int r;

	if (set_find(s, file->name))
		return 0;
	if (s->modules.n == SET_MAX)
		return ul_error_set(s->err, UL_E_INPUT, what, s->tree->dir, NULL, "more than %d modules are wanted",
				    SET_MAX);
	if (ul_vector_reserve(&s->modules, 1) < 0)
		return nomem(s);
	r = ul_module_read(s->tree, file, &s->modules.at[s->modules.n], s->err);
	if (r == 0)
		s->modules.n++;
	return r;
}

/* Without modules.alias the modules themselves are asked who has the alias. Slow, and seldom needed. */
static int find_by_scan(struct set *s, const char *alias, const struct ul_module_file **ret)
{
	for (size_t i = 0; i < s->tree->files.n && !*ret; i++) {
		UL_CLEANUP(ul_module_free) struct ul_module m = {0};
		int r = ul_module_read(s->tree, &s->tree->files.at[i], &m, s->err);

		if (r < 0)
			return r;
		if (ul_names_has(&m.aliases, alias))
			*ret = &s->tree->files.at[i];
	}
	return 0;
}

/* A soft or weak dependency: a module's name or an alias. Where nothing has it, that is not a failure. */
static int add_soft(struct set *s, const char *name)
{
	const struct ul_module_file *file = ul_module_tree_find(s->tree, name);
	ul_autofree char *by_alias = NULL;
	int r = 0;

	if (!file && ul_module_tree_builtin(s->tree, name))
		return 0;
	if (!file && s->tree->aliases.len > 0) {
		by_alias = ul_module_tree_alias(s->tree, name);
		file = by_alias ? ul_module_tree_find(s->tree, by_alias) : NULL;
	} else if (!file) {
		r = find_by_scan(s, name, &file);
	}
	return r < 0 || !file ? r : set_add(s, file);
}

static int add_softs(struct set *s, size_t i)
{
	/* Indices, not pointers: the array moves while it grows. */
	int r = 0;

	for (size_t k = 0; r == 0 && k < s->modules.at[i].pre.n; k++)
		r = add_soft(s, s->modules.at[i].pre.at[k]);
	for (size_t k = 0; r == 0 && k < s->modules.at[i].post.n; k++)
		r = add_soft(s, s->modules.at[i].post.at[k]);
	for (size_t k = 0; r == 0 && k < s->modules.at[i].weak.n; k++)
		r = add_soft(s, s->modules.at[i].weak.at[k]);
	return r;
}

static int add_depends(struct set *s, size_t i)
{
	int r = 0;

	for (size_t k = 0; r == 0 && k < s->modules.at[i].depends.n; k++) {
		const char *name = s->modules.at[i].depends.at[k];
		const struct ul_module_file *file = ul_module_tree_find(s->tree, name);

		if (file)
			r = set_add(s, file);
		else if (!ul_module_tree_builtin(s->tree, name))
			r = ul_error_set(s->err, UL_E_MODULE, what, s->modules.at[i].name,
					 "Give the whole tree of the kernel's modules.",
					 "it needs %s, which %s has neither as a module nor in "
					 "modules.builtin",
					 name, s->tree->dir);
	}
	return r;
}

static int add_wanted(struct set *s, const struct ul_module_want *w, struct ul_module_report *report)
{
	const struct ul_module_file *file = ul_module_tree_find(s->tree, w->name);
	int r;

	if (!file && ul_module_tree_builtin(s->tree, w->name))
		return ul_names_add_new(&report->builtin, w->name) < 0 ? nomem(s) : 0;
	if (!file && !w->required)
		return ul_names_add_new(&report->missing, w->name) < 0 ? nomem(s) : 0;
	if (!file)
		return ul_error_set(s->err, UL_E_MODULE, what, w->name,
				    "Give the modules' directory of a kernel that has it.",
				    "%s has it neither as a module nor in modules.builtin; it is "
				    "needed because %s",
				    s->tree->dir, w->why);
	r = set_add(s, file);
	if (r == 0 && w->how == UL_MODULE_ALWAYS && ul_names_add_new(&report->listed, file->name) < 0)
		r = nomem(s);
	return r;
}

/* Modules of two kernels in one tree would load on neither. */
static int check_kernel(struct set *s, struct ul_module_report *report)
{
	for (size_t i = 1; i < s->modules.n; i++)
		if (strcmp(s->modules.at[i].kernel, s->modules.at[0].kernel) != 0)
			return ul_error_set(s->err, UL_E_INPUT, what, s->tree->dir, "Give the directory of one kernel.",
					    "%s is for kernel %s, but %s is for %s", s->modules.at[0].name,
					    s->modules.at[0].kernel, s->modules.at[i].name, s->modules.at[i].kernel);
	if (s->modules.n > 0 && !(report->kernel = strdup(s->modules.at[0].kernel)))
		return nomem(s);
	return 0;
}

/* Append the dependencies of m, deepest first, each once: the order in which they can be loaded. */
static int load_order(const struct set *s, const struct ul_module *m, struct ul_names *ret)
{
	for (size_t i = 0; i < m->depends.n; i++) {
		const struct ul_module *d = set_find(s, m->depends.at[i]);
		size_t before = ret->n;

		if (!d || ul_names_has(ret, d->path))
			continue;
		/* Marked before the descent, moved behind it after: a cycle ends here. */
		if (ul_names_add(ret, d->path) < 0 || load_order(s, d, ret) < 0)
			return -ENOMEM;
		for (size_t k = before; k + 1 < ret->n; k++) {
			char *swap = ret->at[k];

			ret->at[k] = ret->at[k + 1];
			ret->at[k + 1] = swap;
		}
	}
	return 0;
}

/* modules.dep's line: "PATH: DEPENDENCY..." with the one to be loaded first at the end. */
static char *dep_line(const struct set *s, const struct ul_module *m)
{
	ul_autonames struct ul_names order = {0};
	ul_autobuffer struct ul_buffer line = {0};

	if (load_order(s, m, &order) < 0 || ul_buffer_printf(&line, "%s:", m->path) < 0)
		return NULL;
	for (size_t i = order.n; i > 0; i--)
		if (ul_buffer_printf(&line, " %s", order.at[i - 1]) < 0)
			return NULL;
	return ul_buffer_string(&line) ? strdup((char *)line.data) : NULL;
}

static int add_index(struct ul_cpio *c, const char *dir, const char *name, struct ul_kmod_pair *pairs, size_t count,
		     struct ul_error *err)
{
	ul_autobuffer struct ul_buffer bytes = {0};
	ul_autofree char *path = ul_path_join(dir, name);
	int r = path ? ul_kmod_index_write(pairs, count, &bytes) : -ENOMEM;

	if (r == -EINVAL)
		return ul_error_set(err, UL_E_INPUT, what, name, NULL, "a module's name or alias is not plain text");
	if (r < 0)
		return ul_error_nomem(err, what);
	return ul_cpio_add_file(c, &(struct ul_cpio_file){path, 0644, bytes.data, bytes.len, UL_CPIO_MODULE, ""}, err);
}

static int add_dep_index(struct ul_cpio *c, struct set *s, const char *dir)
{
	ul_autofree struct ul_kmod_pair *pairs = calloc(s->modules.n + 1, sizeof(*pairs));
	ul_autonames struct ul_names lines = {0};

	if (!pairs)
		return nomem(s);
	for (size_t i = 0; i < s->modules.n; i++) {
		ul_autofree char *line = dep_line(s, &s->modules.at[i]);

		if (!line || ul_names_add(&lines, line) < 0)
			return nomem(s);
		pairs[i] = (struct ul_kmod_pair){s->modules.at[i].name, lines.at[i], (uint32_t)i};
	}
	return add_index(c, dir, "modules.dep.bin", pairs, s->modules.n, s->err);
}

static int add_alias_index(struct ul_cpio *c, struct set *s, const char *dir)
{
	ul_autofree struct ul_kmod_pair *pairs = NULL;
	size_t count = 0;

	for (size_t i = 0; i < s->modules.n; i++)
		count += s->modules.at[i].aliases.n;
	pairs = calloc(count + 1, sizeof(*pairs));
	if (!pairs)
		return nomem(s);
	count = 0;
	for (size_t i = 0; i < s->modules.n; i++)
		for (size_t k = 0; k < s->modules.at[i].aliases.n; k++) {
			ul_module_normalise(s->modules.at[i].aliases.at[k]);
			pairs[count++] = (struct ul_kmod_pair){s->modules.at[i].aliases.at[k], s->modules.at[i].name,
							       (uint32_t)i};
		}
	return add_index(c, dir, "modules.alias.bin", pairs, count, s->err);
}

static int add_builtin_index(struct ul_cpio *c, struct set *s, const char *dir)
{
	const struct ul_names *names = &s->tree->builtin;
	ul_autofree struct ul_kmod_pair *pairs = calloc(names->n + 1, sizeof(*pairs));

	if (!pairs)
		return nomem(s);
	for (size_t i = 0; i < names->n; i++)
		pairs[i] = (struct ul_kmod_pair){names->at[i], "", 0};
	return add_index(c, dir, "modules.builtin.bin", pairs, names->n, s->err);
}

static int print_softdep(struct ul_buffer *text, const char *mark, const struct ul_names *words)
{
	int r = words->n ? ul_buffer_printf(text, " %s:", mark) : 0;

	for (size_t i = 0; r == 0 && i < words->n; i++)
		r = ul_buffer_printf(text, " %s", words->at[i]);
	return r;
}

static int add_softdeps(struct ul_cpio *c, struct set *s, const char *dir)
{
	ul_autobuffer struct ul_buffer text = {0};
	ul_autofree char *path = ul_path_join(dir, "modules.softdep");
	int r = path ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < s->modules.n; i++) {
		const struct ul_module *m = &s->modules.at[i];

		if (m->pre.n + m->post.n == 0)
			continue;
		r = ul_buffer_printf(&text, "softdep %s", m->name);
		if (r == 0)
			r = print_softdep(&text, "pre", &m->pre);
		if (r == 0)
			r = print_softdep(&text, "post", &m->post);
		if (r == 0)
			r = ul_buffer_append(&text, "\n", 1);
	}
	return r < 0 ? nomem(s)
		     : ul_cpio_add_file(c, &(struct ul_cpio_file){path, 0644, text.data, text.len, UL_CPIO_MODULE, ""},
					s->err);
}

static int add_files(struct ul_cpio *c, struct set *s, const char *dir, struct ul_module_report *report)
{
	for (size_t i = 0; i < s->modules.n; i++) {
		const struct ul_module *m = &s->modules.at[i];
		ul_autofree char *path = ul_path_join(dir, m->path);
		int r;

		if (!path || ul_names_add(&report->packed, m->name) < 0)
			return nomem(s);
		r = ul_cpio_add_file(
			c, &(struct ul_cpio_file){path, 0644, m->data.data, m->data.len, UL_CPIO_MODULE, m->path},
			s->err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Always written: a reader can tell "nothing to load" from "made by something else". */
static int add_list(struct ul_cpio *c, const struct ul_module_report *report, struct ul_error *err)
{
	ul_autobuffer struct ul_buffer text = {0};

	for (size_t i = 0; i < report->listed.n; i++)
		if (ul_buffer_printf(&text, "%s\n", report->listed.at[i]) < 0)
			return ul_error_nomem(err, what);
	return ul_cpio_add_file(
		c, &(struct ul_cpio_file){UL_PATH_MODULES_LOAD, 0644, text.data, text.len, UL_CPIO_CONFIG, ""}, err);
}

static int lay(struct ul_cpio *c, struct set *s, struct ul_module_report *report)
{
	ul_autofree char *dir = NULL;
	int r = add_list(c, report, s->err);

	if (r < 0 || s->modules.n == 0)
		return r;
	dir = ul_path_join(UL_MODULES_DIR, report->kernel);
	if (!dir)
		return nomem(s);
	r = add_files(c, s, dir, report);
	if (r == 0)
		r = add_dep_index(c, s, dir);
	if (r == 0)
		r = add_alias_index(c, s, dir);
	if (r == 0)
		r = add_builtin_index(c, s, dir);
	/* libkmod wants the file; nobody here looks modules up by the symbols that they export. */
	if (r == 0)
		r = add_index(c, dir, "modules.symbols.bin", NULL, 0, s->err);
	return r < 0 ? r : add_softdeps(c, s, dir);
}

static void set_free(struct set *s)
{
	for (size_t i = 0; i < s->modules.n; i++)
		ul_module_free(&s->modules.at[i]);
	ul_vector_free(&s->modules);
}

int ul_pack_modules(struct ul_cpio *c, const char *dir, const struct ul_module_want *wants, size_t count,
		    struct ul_module_report *ret, struct ul_error *err)
{
	ul_automoduletree struct ul_module_tree tree = {0};
	ul_automodulereport struct ul_module_report report = {0};
	UL_CLEANUP(set_free) struct set s = {.tree = &tree, .err = err};
	int r = ul_module_tree_open(dir, &tree, err);

	for (size_t i = 0; r == 0 && i < count; i++)
		r = add_wanted(&s, &wants[i], &report);
	/* The set grows behind i until it is closed. */
	for (size_t i = 0; r == 0 && i < s.modules.n; i++) {
		r = add_depends(&s, i);
		if (r == 0)
			r = add_softs(&s, i);
	}
	if (r == 0)
		r = check_kernel(&s, &report);
	if (r == 0)
		r = lay(c, &s, &report);
	if (r < 0)
		return r;
	*ret = report;
	report = (struct ul_module_report){0};
	return 0;
}

void ul_module_report_free(struct ul_module_report *r)
{
	free(r->kernel);
	ul_names_free(&r->packed);
	ul_names_free(&r->listed);
	ul_names_free(&r->builtin);
	ul_names_free(&r->missing);
	*r = (struct ul_module_report){0};
}
