#include "cli/gc_layout.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cli/state.h"
#include "common/cleanup.h"
#include "common/file.h"
#include "common/json.h"
#include "common/paths.h"

static const char what[] = "finding the store's layers";

/* root + path + "/" + rest, kept in the list; NULL: no memory. rest may be NULL. */
static const char *place(struct ul_names *list, const char *root, const char *path, const char *rest)
{
	ul_autofree char *first = ul_path_join(root, path);
	char *joined = first && rest ? ul_path_join(first, rest) : ul_steal(first);

	return joined && ul_names_take(list, joined) == 0 ? joined : NULL;
}

static int add_lower(struct cli_gc_layout *l, struct json_object *lower, const char *root, bool attached,
		     uint64_t *ret_paths, struct ul_error *err)
{
	const char *mount = ul_json_string(lower, "mount"), *store = ul_json_string(lower, "store");
	const char *database = NULL;

	if (!mount || !store)
		return ul_error_set(err, UL_E_INPUT, what, "state.json", NULL,
				    "one of its \"lowers\" has no \"mount\" or no \"store\"");
	if (!place(&l->sealed, root, mount, strcmp(store, ".") ? store : NULL))
		return ul_error_nomem(err, what);
	(void)ul_json_uint(lower, "paths", ret_paths);
	if (!attached)
		return 0;
	database = place(&l->databases, root, mount, UL_LOWER_DB "/db.sqlite");
	if (!database)
		return ul_error_nomem(err, what);
	/* An image of another maker has no database, and is not the lower that is attached. */
	if (access(database, F_OK) < 0)
		free(l->databases.at[--l->databases.n]);
	return 0;
}

static int read_lowers(struct cli_gc_layout *l, struct json_object *state, const char *root, struct ul_error *err)
{
	struct json_object *lowers = NULL, *database = NULL;
	const char *mode;
	uint64_t paths = 0;
	int r = 0;

	json_object_object_get_ex(state, "lowers", &lowers);
	json_object_object_get_ex(state, "database", &database);
	mode = ul_json_string(database, "mode");
	if (!json_object_is_type(lowers, json_type_array) || !mode)
		return ul_error_set(err, UL_E_INPUT, what, "state.json", NULL,
				    "it has no \"lowers\" or no \"database\"; the boot failed before these were known");
	for (size_t i = 0; r == 0 && i < json_object_array_length(lowers); i++)
		r = add_lower(l, json_object_array_get_idx(lowers, i), root, !strcmp(mode, "attach"), &paths, err);
	/* A rebuilt database begins with the rows of the lower on top, numbered from 1. */
	if (!strcmp(mode, "rebuild"))
		l->at.sealed_id = (int64_t)paths;
	return r;
}

/*
 * Whether what earlier boots left may be freed while the system runs (initrd/upper/anew.c): where the filesystem was
 * checked whole or made by this boot, and where the policy answers for the disk. A word that is not known, or none, is
 * taken for the strictest.
 */
static bool may_free(struct json_object *upper)
{
	static const char *const words[] = {"checked", "new", "none"};
	const char *guard = ul_json_string(upper, "guard");

	for (size_t i = 0; guard && i < UL_ARRAY_SIZE(words); i++)
		if (!strcmp(guard, words[i]))
			return true;
	return false;
}

static int read_upper(struct cli_gc_layout *l, struct json_object *state, const char *root, struct ul_error *err)
{
	struct json_object *upper = NULL;
	const char *mount, *session;

	json_object_object_get_ex(state, "upper", &upper);
	mount = ul_json_string(upper, "mount");
	session = ul_json_string(upper, "session");
	if (!mount || !session)
		return ul_error_set(err, UL_E_INPUT, what, "state.json", NULL,
				    "its \"upper\" has no \"mount\" or no \"session\"");
	(void)ul_json_bool(upper, "persistent", &l->at.persistent);
	l->at.may_free = may_free(upper);
	l->at.upper = place(&l->paths, root, mount, NULL);
	if (!l->at.upper || ul_names_add(&l->paths, session) < 0)
		return ul_error_nomem(err, what);
	l->at.session = l->paths.at[l->paths.n - 1];
	return 0;
}

int cli_gc_layout_read(const char *file, const char *root, struct cli_gc_layout *ret, struct ul_error *err)
{
	ul_autojson struct json_object *state = NULL;
	int r;

	*ret = (struct cli_gc_layout){.at = {.root = root, .store_dir = UL_PATH_STORE}};
	r = cli_state_load(file, &state, err);
	if (r < 0)
		return r;
	ret->at.view = place(&ret->paths, root, UL_PATH_STORE, NULL);
	ret->at.state_dir = place(&ret->paths, root, UL_PATH_VAR "/nix", NULL);
	if (!ret->at.view || !ret->at.state_dir)
		return ul_error_nomem(err, what);
	r = read_lowers(ret, state, root, err);
	if (r == 0)
		r = read_upper(ret, state, root, err);
	ret->at.sealed = (const char *const *)ret->sealed.at;
	ret->at.n_sealed = ret->sealed.n;
	ret->at.databases = (const char *const *)ret->databases.at;
	ret->at.n_databases = ret->databases.n;
	return r;
}

void cli_gc_layout_free(struct cli_gc_layout *l)
{
	ul_names_free(&l->paths);
	ul_names_free(&l->sealed);
	ul_names_free(&l->databases);
}
