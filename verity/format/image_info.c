/* image.json: parsed strictly, written with its members in one order, so that images are reproducible. */
#include "verity/format/image_info.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "verity/format/version.h"

#define FORMAT     1
#define PATH_LIMIT 4096 /* bytes of a path with its NUL, as the kernel has it */

/* Absolute, no empty, "." or ".." component, nothing that a mount option or a log line would trip over. */
static bool path_valid(const char *path)
{
	if (path[0] != '/' || path[1] == '\0' || strnlen(path, PATH_LIMIT) >= PATH_LIMIT)
		return false;
	for (const char *p = path; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f)
			return false;
	for (const char *part = path; part; part = strchr(part, '/')) {
		size_t len = strcspn(++part, "/");

		if (len == 0 || (len == 1 && part[0] == '.') || (len == 2 && part[0] == '.' && part[1] == '.'))
			return false;
	}
	return true;
}

/* A path directly in the store directory. */
static bool in_store(const char *path, const char *store_dir)
{
	size_t len = strlen(store_dir);

	return path_valid(path) && !strncmp(path, store_dir, len) && path[len] == '/' && !strchr(path + len + 1, '/');
}

/* What is wrong with the values, the same for reading and writing; NULL: nothing. */
static const char *defect(const struct ul_image_info *info)
{
	if (!info->name || !ul_image_name_valid(info->name))
		return "\"name\" is not an image name";
	if (!info->version || !ul_image_version_valid(info->version))
		return "\"version\" is not an image version";
	if (!info->store_dir || !path_valid(info->store_dir))
		return "\"storeDir\" is not an absolute path";
	if (info->system && !in_store(info->system, info->store_dir))
		return "\"system\" is not a path of the store directory";
	return NULL;
}

/* An optional member is absent or right, never of a wrong kind. */
static const char *read_members(struct json_object *json, struct ul_image_info *info)
{
	const char *name = ul_json_string(json, "name");
	const char *version = ul_json_string(json, "version");
	const char *system = ul_json_string(json, "system");
	const char *store_dir = ul_json_string(json, "storeDir");

	if (!name || !version || !store_dir)
		return "\"name\", \"version\" or \"storeDir\" is missing";
	if (!system && json_object_object_get_ex(json, "system", NULL))
		return "\"system\" is not a text";
	if (!ul_json_uint(json, "paths", &info->paths) || !ul_json_uint(json, "narSize", &info->nar_size) ||
	    !ul_json_uint(json, "manifestFormat", &info->manifest_format) ||
	    !ul_json_uint(json, "nixSchema", &info->nix_schema) || !ul_json_bool(json, "database", &info->database))
		return "\"paths\", \"narSize\", \"manifestFormat\", \"nixSchema\" or \"database\" is missing";
	info->name = strdup(name);
	info->version = strdup(version);
	info->store_dir = strdup(store_dir);
	info->system = system ? strdup(system) : NULL;
	if (!info->name || !info->version || !info->store_dir || (system && !info->system))
		return "out of memory";
	return defect(info);
}

int ul_image_info_parse(const char *text, size_t len, struct ul_image_info *ret, struct ul_error *err)
{
	static const char what[] = "reading image.json", todo[] = "Build the image again.";
	ul_autojson struct json_object *json = NULL;
	struct ul_image_info info = {0};
	const char *why;
	uint64_t format;

	if (len > UL_IMAGE_INFO_MAX)
		return ul_error_set(err, UL_E_IMAGE_INFO, what, NULL, todo, "it is longer than %d bytes",
				    UL_IMAGE_INFO_MAX);
	json = ul_json_parse(text, len, &why);
	if (!json)
		return ul_error_set(err, UL_E_IMAGE_INFO, what, NULL, todo, "%s", why);
	if (!ul_json_uint(json, "format", &format))
		return ul_error_set(err, UL_E_IMAGE_INFO, what, NULL, todo, "\"format\" is missing");
	if (format != FORMAT)
		return ul_error_set(err, UL_E_VERSION, what, NULL,
				    "Use an Underlay as new as the one that built the image.",
				    "its format is %llu, this Underlay knows %d", (unsigned long long)format, FORMAT);
	why = read_members(json, &info);
	if (why) {
		ul_image_info_free(&info);
		return ul_error_set(err, UL_E_IMAGE_INFO, what, NULL, todo, "%s", why);
	}
	*ret = info;
	return 0;
}

int ul_image_info_format(const struct ul_image_info *info, struct ul_buffer *ret, struct ul_error *err)
{
	static const char what[] = "writing image.json";
	ul_autojson struct json_object *json = NULL;
	const char *text, *why = defect(info);

	if (why)
		return ul_error_set(err, UL_E_INPUT, what, NULL, NULL, "%s", why);
	json = ul_json_document(FORMAT);
	if (!json || !ul_json_add_string(json, "name", info->name) ||
	    !ul_json_add_string(json, "version", info->version) || !ul_json_add_string(json, "system", info->system) ||
	    !ul_json_add_string(json, "storeDir", info->store_dir) || !ul_json_add_uint(json, "paths", info->paths) ||
	    !ul_json_add_uint(json, "narSize", info->nar_size) ||
	    !ul_json_add_uint(json, "manifestFormat", info->manifest_format) ||
	    !ul_json_add_uint(json, "nixSchema", info->nix_schema) ||
	    !ul_json_add_bool(json, "database", info->database))
		return ul_error_nomem(err, what);
	text = ul_json_line(json);
	if (!text || ul_buffer_reserve(ret, strlen(text) + 1) < 0)
		return ul_error_nomem(err, what);
	ul_buffer_append(ret, text, strlen(text));
	ul_buffer_append(ret, "\n", 1);
	return 0;
}

void ul_image_info_free(struct ul_image_info *info)
{
	free(info->name);
	free(info->version);
	free(info->system);
	free(info->store_dir);
	*info = (struct ul_image_info){0};
}
