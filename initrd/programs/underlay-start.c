/*
 * underlay-start: what the kernel starts as /init. Before: the kernel made an environment of every word of its
 * command line that it did not know, so that LD_PRELOAD=, LD_LIBRARY_PATH=, GLIBC_TUNABLES= and their kin would
 * steer the dynamic loader and libc long before underlay-init's first line could clear them. After: underlay-init
 * runs with the same arguments and an empty environment.
 *
 * So this program does without loader, libc and libraries: two system calls, written by hand for each architecture. It
 * reads nothing but its arguments' address. Where underlay-init cannot be started it says so and ends, which the kernel
 * answers with its own panic.
 */
#include <asm/unistd.h>

#include "initrd/layout/start.h"

static const char failed[] = "underlay: start: starting " UL_START_NEXT " failed. Build the initramfs again.\n";

_Noreturn void ul_start(char **arguments);

#if defined(__x86_64__)
/* The kernel leaves the number of arguments where the stack begins, and their addresses behind it. */
__asm__(".globl _start\n"
	"_start:\n\t"
	"endbr64\n\t"
	"xor %ebp, %ebp\n\t"
	"lea 8(%rsp), %rdi\n\t"
	"and $-16, %rsp\n\t"
	"call ul_start\n");

static long call(long number, const void *a, const void *b, const void *c)
{
	long result;

	__asm__ volatile("syscall" : "=a"(result) : "0"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return result;
}
#elif defined(__aarch64__)
__asm__(".globl _start\n"
	"_start:\n\t"
	"hint #34\n\t" /* bti c */
	"mov x29, #0\n\t"
	"mov x30, #0\n\t"
	"add x0, sp, #8\n\t"
	"bl ul_start\n");

static long call(long number, const void *a, const void *b, const void *c)
{
	register long x8 __asm__("x8") = number;
	register const void *x0 __asm__("x0") = a, *x1 __asm__("x1") = b, *x2 __asm__("x2") = c;

	__asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
	return (long)x0;
}
#else
/* cppcheck-suppress preprocessorErrorDirective */
#error "this architecture's way into the kernel is not written here yet"
#endif

_Noreturn void ul_start(char **arguments)
{
	char *none[1];

	/* Not an initialiser: it could become a call of memset, which is in libc. */
	none[0] = 0;
	call(__NR_execve, UL_START_NEXT, arguments, none);
	call(__NR_write, (const void *)2, failed, (const void *)(sizeof(failed) - 1));
	for (;;)
		call(__NR_exit_group, (const void *)127, 0, 0);
}
