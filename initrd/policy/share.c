#include "initrd/policy/share.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

const struct ul_share_kind ul_share_kinds[] = {
	{"virtiofs", {"virtiofs"}, NULL, EINVAL},
	/*
	 * cache=loose: what was read once stays in memory. An overlay's lower must not change under it anyway, and
	 * without it every page of every program is asked for again.
	 */
	{"9p", {"9pnet_virtio", "9p"}, "trans=virtio,version=9p2000.L,cache=loose", ENOENT},
	{.name = NULL},
};

const char *ul_share_parse(const char *text, struct ul_share *ret)
{
	struct ul_share share = {0};

	for (const struct ul_share_kind *kind = ul_share_kinds; kind->name; kind++) {
		size_t len = strlen(kind->name);

		if (!strncmp(text, kind->name, len) && text[len] == ':')
			share = (struct ul_share){kind, text + len + 1};
	}
	if (!share.kind)
		return "it begins with neither virtiofs: nor 9p:";
	if (!*share.tag)
		return "it names no tag";
	if (strlen(share.tag) > UL_SHARE_TAG_MAX)
		return "its tag is longer than 36 bytes";
	for (const char *p = share.tag; *p; p++)
		if (*p <= ' ' || *p > '~')
			return "its tag has a character that is not printable";
	*ret = share;
	return NULL;
}
