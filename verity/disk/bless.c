#include "verity/disk/bless.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/efi_variable.h"
#include "verity/disk/disk_layout.h"
#include "verity/disk/esp_files.h"

static const char WHAT[] = "calling the boot loader's entry good";

/* "NAME+3-0.efi": to "NAME.efi". false: there is no counter. */
static bool without_counter(const char *name, char *ret, size_t size)
{
	const char *dot = strrchr(name, '.'), *plus = NULL;
	size_t len = strlen(name);

	for (const char *c = name; dot && c < dot; c++)
		if (*c == '+')
			plus = c;
	if (!plus || plus == name || plus + 1 == dot || len >= size ||
	    strspn(plus + 1, "0123456789-") != (size_t)(dot - plus - 1))
		return false;
	mempcpy(mempcpy(ret, name, (size_t)(plus - name)), dot, strlen(dot) + 1);
	return true;
}

bool ul_bless_parse(const uint8_t *utf16, size_t len, struct ul_bless_entry *ret)
{
	char path[UL_BLESS_PATH_MAX / 2 + 1];
	struct ul_bless_entry e = {.dir = ""};
	char *slash;
	size_t n = 0;

	if (len % 2 != 0 || len > UL_BLESS_PATH_MAX)
		return false;
	for (; n < len / 2; n++) {
		unsigned int c = ul_get_le16(utf16 + 2 * n);

		if (c == 0)
			break;
		if (c < ' ' || c > '~' || c == ':')
			return false;
		path[n] = c == '\\' ? '/' : (char)c;
	}
	path[n] = '\0';
	slash = strrchr(path, '/');
	if (path[0] != '/' || slash == path || strstr(path, "/../") || strlen(slash + 1) >= sizeof(e.counted))
		return false;
	*slash = '\0';
	if (strlen(path + 1) >= sizeof(e.dir) || !without_counter(slash + 1, e.good, sizeof(e.good)))
		return false;
	memcpy(e.dir, path + 1, strlen(path + 1) + 1);
	memcpy(e.counted, slash + 1, strlen(slash + 1) + 1);
	*ret = e;
	return true;
}

static int open_esp(const char *disk, struct ul_esp_files *ret, struct ul_error *err)
{
	UL_CLEANUP(ul_gpt_free) struct ul_gpt gpt = {0};
	ul_autoclose int fd = open(disk, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int r = fd < 0 ? ul_error_errno(err, UL_E_SYSTEM, WHAT, disk, NULL, errno) : ul_gpt_read(fd, disk, &gpt, err);

	for (size_t i = 0; r == 0 && i < gpt.n; i++)
		if (!strcmp(gpt.partitions[i].type, UL_DISK_TYPE_ESP))
			return ul_esp_files_open(disk, &gpt.partitions[i], ret, err);
	return r < 0 ? r
		     : ul_error_set(err, UL_E_INPUT, WHAT, disk, NULL,
				    "it has no EFI system partition with the boot loader's entries");
}

static bool has(const struct ul_esp_entries *entries, const char *name)
{
	for (size_t i = 0; i < entries->n; i++)
		if (!strcmp(entries->at[i].name, name))
			return true;
	return false;
}

int ul_bless(const char *disk, const char *efivars, struct ul_bless_entry *ret, struct ul_error *err)
{
	ul_autobuffer struct ul_buffer value = {0};
	struct ul_esp_entries entries = {0};
	struct ul_esp_files esp;
	uint64_t room;
	int r = ul_efi_variable_read(efivars, UL_BLESS_VARIABLE, UL_BLESS_PATH_MAX, &value);

	if (r < 0 || !ul_bless_parse(value.data, value.len, ret))
		return 0;
	r = open_esp(disk, &esp, err);
	if (r < 0)
		return r;
	r = ul_esp_files_list(&esp, ret->dir, &entries, &room, err);
	if (r == 0 && has(&entries, ret->counted))
		r = ul_esp_files_rename(&esp, ret->dir, ret->counted, ret->good, err) < 0 ? -(int)UL_E_SYSTEM : 1;
	ul_vector_free(&entries);
	ul_esp_files_close(&esp);
	return r;
}
