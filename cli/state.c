#include "cli/state.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "common/file.h"
#include "common/json.h"
#include "common/paths.h"

#define STATE_MAX (1024 * 1024) /* bytes */

int cli_state_load(const char *file, struct json_object **ret, struct ul_error *err)
{
	static const char what[] = "reading the state of the boot";
	ul_autobuffer struct ul_buffer text = {0};
	const char *why = NULL;
	uint64_t format = 0;
	int r = ul_read_file(AT_FDCWD, file, STATE_MAX, &text);

	if (r == -ENOENT && !strcmp(file, UL_PATH_STATE))
		return ul_error_set(err, UL_E_SYSTEM, what, file, NULL,
				    "it is not there: this system was not started by underlay-init");
	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, what, file, NULL, -r);
	*ret = ul_json_parse((const char *)text.data, text.len, &why);
	if (!*ret)
		return ul_error_set(err, UL_E_INPUT, what, file, NULL, "it is not JSON: %s", why);
	if (!ul_json_uint(*ret, "format", &format) || format != 1)
		return ul_error_set(err, UL_E_VERSION, what, file, "Use a newer underlay.", "its format is not 1");
	return 0;
}

struct json_object *cli_state_lower(struct json_object *state)
{
	struct json_object *lowers = NULL;

	if (!json_object_object_get_ex(state, "lowers", &lowers) || !json_object_is_type(lowers, json_type_array))
		return NULL;
	return json_object_array_get_idx(lowers, 0);
}
