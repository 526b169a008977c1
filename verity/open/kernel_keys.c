#include "verity/open/kernel_keys.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/number.h"
#include "common/version_number.h"

#define KEYS_MAX (1024 * 1024) /* bytes of /proc/keys */

/* The parameter exists where the kernel has CONFIG_DM_VERITY_VERIFY_ROOTHASH_SIG. */
#define PARAMETERS "/sys/module/dm_verity/parameters"

/*
 * A line of /proc/keys is "SERIAL FLAGS USAGE TIMEOUT PERMISSIONS UID GID TYPE DESCRIPTION", and a keyring's
 * description ends in ": COUNT" or ": empty". -1: no keyring has that name.
 */
static long count_entries(const char *keys, const char *keyring)
{
	char want[64];
	const char *at;
	uint64_t n;

	snprintf(want, sizeof(want), " keyring   %s: ", keyring);
	at = strstr(keys, want);
	if (!at)
		return -1;
	at += strlen(want);
	return ul_take_number(&at, &n) ? (long)n : 0;
}

static void describe(const char *keys, const char *keyring, char *buf, size_t size)
{
	long n = count_entries(keys, keyring);

	if (!*keys)
		snprintf(buf, size, "%s", keyring);
	else if (n < 0)
		snprintf(buf, size, "%s (absent)", keyring);
	else
		snprintf(buf, size, "%s (%ld %s)", keyring, n, n == 1 ? "entry" : "entries");
}

void ul_kernel_keyrings_text(const char *keys, const char *release, char *buf, size_t size)
{
	char builtin[64], secondary[64], platform[64];
	/* A release that is not a number is some vendor's: nothing is said of it. */
	bool asks_platform = ul_version_at_least(release, 6, 12) != 0;

	describe(keys, ".builtin_trusted_keys", builtin, sizeof(builtin));
	describe(keys, ".secondary_trusted_keys", secondary, sizeof(secondary));
	describe(keys, ".platform", platform, sizeof(platform));
	if (asks_platform)
		snprintf(buf, size, "%s, %s or %s", builtin, secondary, platform);
	else
		snprintf(buf, size, "%s or %s (.platform is asked from kernel 6.12 on)", builtin, secondary);
}

void ul_kernel_keyrings(char *buf, size_t size)
{
	ul_autobuffer struct ul_buffer text = {0};
	struct utsname name = {0};
	const char *keys = NULL;

	if (ul_read_file(AT_FDCWD, "/proc/keys", KEYS_MAX, &text) == 0)
		keys = ul_buffer_string(&text);
	(void)uname(&name);
	ul_kernel_keyrings_text(keys ? keys : "", name.release, buf, size);
}

bool ul_kernel_checks_signatures(void)
{
	return access(PARAMETERS, F_OK) < 0 || access(PARAMETERS "/require_signatures", F_OK) == 0;
}
