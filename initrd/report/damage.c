#include "initrd/report/damage.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "initrd/base/log.h"
#include "verity/open/damage.h"
#include "verity/locate/locate.h"

#define LOCATE_LIMIT_S 20

/* What the block belongs to, in the words of ul_place_text; nothing where that cannot be told. */
static void locate(const struct ul_lower *lower, uint64_t block, int fd)
{
	struct ul_places places = {0};
	struct ul_error err;
	char text[400] = "";

	(void)ul_locate_blocks(&lower->slot.data, lower->seal.d.data_block_size, &block, 1, &places, &err);
	if (places.n > 0 && places.at[0].kind != UL_PLACE_UNUSED && places.at[0].kind != UL_PLACE_UNKNOWN)
		ul_place_text(&places.at[0], text, sizeof(text));
	(void)ul_write_full(fd, text, strlen(text));
}

static void locate_apart(const struct ul_lower *lower, uint64_t block, char *buf, size_t size)
{
	int ends[2];
	size_t used = 0;
	ssize_t n;
	pid_t pid;

	*buf = '\0';
	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	pid = fork();
	if (pid == 0) {
		static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS};

		/* PID 1's own way with a crash restarts the machine. */
		for (size_t i = 0; i < UL_ARRAY_SIZE(crashes); i++)
			(void)signal(crashes[i], SIG_DFL);
		alarm(LOCATE_LIMIT_S);
		locate(lower, block, ends[1]);
		_exit(0);
	}
	close(ends[1]);
	while (pid > 0 && used + 1 < size && (n = read(ends[0], buf + used, size - 1 - used)) > 0)
		used += (size_t)n;
	buf[used] = '\0';
	close(ends[0]);
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
}

void ul_damage_explain(const struct ul_boot *b, const struct ul_lower *lower, struct ul_error *err)
{
	ul_autofree char *kmsg = ul_path_join(b->dev_dir, "kmsg");
	struct ul_damage damage = {.mended_exact = true};
	size_t used = strlen(err->why);
	char place[300];
	struct stat st;

	if (!kmsg || !lower->has_slot || !lower->sealed || !lower->slot.data.device ||
	    stat(lower->slot.data.device, &st) < 0 || !S_ISBLK(st.st_mode))
		return;
	snprintf(damage.device, sizeof(damage.device), "%u:%u", major(st.st_rdev), minor(st.st_rdev));
	if (!ul_damage_read_log(kmsg, &damage))
		return;
	if (damage.data.n > 0) {
		locate_apart(lower, damage.data.numbers[0], place, sizeof(place));
		snprintf(err->why + used, sizeof(err->why) - used, "; data block %llu is corrupt%s%s",
			 (unsigned long long)damage.data.numbers[0], *place ? ": " : "", place);
	} else if (damage.hash.n > 0) {
		snprintf(err->why + used, sizeof(err->why) - used, "; block %llu of the hash partition is corrupt",
			 (unsigned long long)damage.hash.numbers[0]);
	}
}

void ul_damage_ask(struct ul_boot *b)
{
	ul_autofree char *kmsg = ul_path_join(b->dev_dir, "kmsg");
	struct ul_damage damage;
	struct ul_error err;

	for (size_t i = 0; kmsg && i < b->n_lowers; i++) {
		struct ul_lower *lower = &b->lowers[i];

		if (!lower->mapping[0] || !lower->seal.d.fec_roots ||
		    ul_damage_read(lower->mapping, kmsg, &damage, &err) < 0)
			continue;
		lower->mended = damage.mended;
		lower->mended_exact = damage.mended_exact;
		if (damage.mended)
			ul_log(UL_LOG_WARNING, "verify: error correction mended blocks, %s%llu times until now",
			       damage.mended_exact ? "" : "at least ", (unsigned long long)damage.mended);
	}
}
