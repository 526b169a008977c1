/* What underlay-init gives up, and that it ends with its image. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "initrd/base/harden.h"

static bool makes_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p != MAP_FAILED && mprotect(p, 4096, PROT_READ | PROT_EXEC) == 0;
}

static bool kernel_can(void)
{
	unsigned int major = 0, minor = 0;
	struct utsname name;

	assert_int_equal(uname(&name), 0);
	assert_int_equal(sscanf(name.release, "%u.%u", &major, &minor), 2);
	return major > 6 || (major == 6 && minor >= 7);
}

/* In a child, as it cannot be undone. Its status: bits of what it saw. */
static void test_refuse_new_code(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		bool could = makes_code(), refused = ul_refuse_new_code(), can = makes_code();

		if (refused != kernel_can() || !could || can == refused)
			_exit(1);
		execl("/proc/self/exe", "test_harden", "after", NULL);
		_exit(2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refuse_new_code),
	};

	/* The next image: it is as free as any. */
	if (argc == 2 && !strcmp(argv[1], "after"))
		return makes_code() ? 0 : 3;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
