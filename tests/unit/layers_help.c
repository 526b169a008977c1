/* Helpers of the tests of the layers; see layers_help.h. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/file.h"
#include "tests/unit/db_help.h"
#include "tests/unit/layers_help.h"

static const char *top;

int layers_setup(void **state)
{
	(void)state;
	top = db_help_subdir("layers");
	umask(022);
	return chdir(top) < 0 || system("mkdir store names up") != 0 ? -1 : 0;
}

int layers_teardown(void **state)
{
	(void)state;
	/* A test that failed may have left flags that nothing was to leave. */
	return system("chattr -R -f -i -a . || true") < 0 || chdir("/") < 0 || ul_remove_tree(AT_FDCWD, top) < 0 ? -1
														 : 0;
}

void layers_run(const char *command)
{
	if (system(command) != 0)
		fail_msg("%s", command);
}

void layers_print(const char *command, const char *wanted)
{
	static char got[1 << 16];
	FILE *f = popen(command, "r");
	size_t n = fread(got, 1, sizeof(got) - 1, f);

	got[n] = '\0';
	assert_int_equal(pclose(f), 0);
	assert_string_equal(got, wanted);
}

int layers_dir(const char *name)
{
	int fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

void layers_sentence(const struct ul_error *err, const char *wanted)
{
	char sentence[1200];

	assert_string_equal(ul_error_sentence(err, sentence, sizeof(sentence)), wanted);
}

void layers_deep(const char *where, int depth, const char *name)
{
	int fd;

	assert_int_equal(ul_mkdir_parents(AT_FDCWD, where, 0755), 0);
	assert_true(mkdir(where, 0755) == 0 || errno == EEXIST);
	fd = layers_dir(where);
	for (int i = 0; i < depth; i++) {
		int next, file = openat(fd, "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

		assert_true(file >= 0);
		close(file);
		assert_int_equal(mkdirat(fd, name, 0755), 0);
		next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = next;
	}
	close(fd);
}
