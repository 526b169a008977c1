#include "verity/disk/transfer_files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/file.h"

#define DIRECTORY "sysupdate.d"

#define PATH_SIZE 2048 /* bytes of a path or URL as it is written */

/* systemd expands what follows a %. false: it is too long. */
static bool escape(const char *text, char ret[PATH_SIZE])
{
	size_t n = 0;

	for (; *text && n + 2 < PATH_SIZE; text++) {
		if (*text == '%')
			ret[n++] = '%';
		ret[n++] = *text;
	}
	ret[n] = '\0';
	return !*text;
}

/* Both sides of a transfer begin alike. A directory of the machine is for trying, and for updates from a USB stick. */
static int head(const struct ul_transfer_request *q, char *buf, size_t size)
{
	bool url = strstr(q->source, "://") != NULL;

	return snprintf(buf, size,
			"# Made by underlay image split.\n"
			"[Transfer]\n"
			"ProtectVersion=%%A\n"
			"%s"
			"\n"
			"[Source]\n"
			"Type=%s\n"
			"Path=%s\n",
			url ? "" : "Verify=no\n", url ? "url-file" : "regular-file", q->source);
}

/* sysupdate writes its files in the order of their names: what is found last, the data, comes behind what it needs. */
static int write_partition(int dirfd, const struct ul_transfer_request *q, const char *file, const char *suffix)
{
	char text[4096];
	size_t n = (size_t)head(q, text, sizeof(text));

	if (n >= sizeof(text))
		return -ENAMETOOLONG;
	n += (size_t)snprintf(text + n, sizeof(text) - n,
			      "MatchPattern=%s_@v_@u.%s-%s%s.raw\n"
			      "\n"
			      "[Target]\n"
			      "Type=partition\n"
			      "Path=%s\n"
			      "MatchPattern=%s_@v\n"
			      "MatchPartitionType=%s%s\n"
			      "ReadOnly=yes\n",
			      q->name, q->types->designator, q->types->architecture, suffix, q->device, q->name,
			      q->types->designator, suffix);
	return n < sizeof(text) ? ul_write_file_atomic(dirfd, file, 0644, text, n) : -ENAMETOOLONG;
}

static int write_uki(int dirfd, const struct ul_transfer_request *q)
{
	char text[4096], tries[64] = "";
	size_t n = (size_t)head(q, text, sizeof(text));

	if (n >= sizeof(text))
		return -ENAMETOOLONG;
	if (q->tries)
		snprintf(tries, sizeof(tries), "TriesLeft=%u\nTriesDone=0\n", q->tries);
	n += (size_t)snprintf(text + n, sizeof(text) - n,
			      "MatchPattern=%s_@v.efi\n"
			      "\n"
			      "[Target]\n"
			      "Type=regular-file\n"
			      "Path=/EFI/Linux\n"
			      "PathRelativeTo=boot\n"
			      "MatchPattern=%s_@v+@l-@d.efi %s_@v+@l.efi %s_@v.efi\n"
			      "Mode=0444\n"
			      "%s"
			      "InstancesMax=2\n",
			      q->name, q->name, q->name, q->name, tries);
	return n < sizeof(text) ? ul_write_file_atomic(dirfd, DIRECTORY "/70-uki.transfer", 0644, text, n)
				: -ENAMETOOLONG;
}

int ul_transfer_files_write(int dirfd, const struct ul_transfer_request *request)
{
	static const struct {
		const char *file, *suffix;
	} partitions[] = {
		{DIRECTORY "/50-verity-sig.transfer", "-verity-sig"},
		{DIRECTORY "/52-verity.transfer", "-verity"},
		{DIRECTORY "/60-data.transfer", ""},
	};
	char source[PATH_SIZE], device[PATH_SIZE];
	struct ul_transfer_request escaped = *request, *q = &escaped;
	int r;

	if (!escape(request->source, source) || !escape(request->device, device))
		return -ENAMETOOLONG;
	q->source = source;
	q->device = device;
	r = mkdirat(dirfd, DIRECTORY, 0755) < 0 && errno != EEXIST ? -errno : 0;
	for (size_t i = 0; r == 0 && i < sizeof(partitions) / sizeof(partitions[0]); i++)
		r = write_partition(dirfd, q, partitions[i].file, partitions[i].suffix);
	if (r == 0 && q->uki)
		r = write_uki(dirfd, q);
	return r;
}
