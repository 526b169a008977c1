/* The kernel's uevents: well-formed ones are read, others are not. */
#include <errno.h>
#include <linux/netlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "initrd/base/uevent.h"

/* A heap copy of exactly len bytes, so that a sanitizer sees a read beyond it. */
static int parse(const char *text, size_t len, struct ul_uevent *ret)
{
	static char *copy;

	free(copy);
	copy = malloc(len ? len : 1);
	memcpy(copy, text, len);
	return ul_uevent_parse(copy, len, ret);
}

#define PARSE(text, ret) parse(text, sizeof(text), ret)

static void test_disk(void **state)
{
	struct ul_uevent e;

	(void)state;
	assert_int_equal(PARSE("add@/devices/pci0000:00/0000:00:04.0/virtio1/block/vda\0ACTION=add\0"
			       "DEVPATH=/devices/pci0000:00/0000:00:04.0/virtio1/block/vda\0"
			       "SUBSYSTEM=block\0MAJOR=254\0MINOR=0\0DEVNAME=vda\0DEVTYPE=disk\0"
			       "SEQNUM=1234",
			       &e),
			 0);
	assert_string_equal(e.action, "add");
	assert_string_equal(e.subsystem, "block");
	assert_string_equal(e.devname, "vda");
	assert_null(e.modalias);
}

static void test_driver(void **state)
{
	struct ul_uevent e;

	(void)state;
	assert_int_equal(PARSE("add@/devices/x\0ACTION=add\0DEVPATH=/devices/x\0"
			       "MODALIAS=virtio:d00000002v00001AF4\0MODALIAS=second",
			       &e),
			 0);
	assert_string_equal(e.modalias, "virtio:d00000002v00001AF4");
}

static void test_rejects(void **state)
{
	struct ul_uevent e = {.action = "untouched"};

	(void)state;
	assert_int_equal(parse("", 0, &e), -EINVAL);
	assert_int_equal(PARSE("", &e), -EINVAL);
	assert_int_equal(PARSE("libudev\0ACTION=add\0DEVPATH=/x", &e), -EINVAL);
	assert_int_equal(PARSE("add@/x\0DEVPATH=/x", &e), -EINVAL);
	assert_int_equal(PARSE("add@/x\0ACTION=add", &e), -EINVAL);
	/* No NUL at the end. */
	assert_int_equal(parse("add@/x\0ACTION=add\0DEVPATH=/x", 28, &e), -EINVAL);
	assert_string_equal(e.action, "untouched");
}

static void test_too_long(void **state)
{
	char *text = calloc(1, UL_UEVENT_MAX + 1);
	struct ul_uevent e;

	(void)state;
	memcpy(text, "add@/x\0ACTION=add\0DEVPATH=/x", 28);
	assert_int_equal(ul_uevent_parse(text, UL_UEVENT_MAX, &e), 0);
	assert_int_equal(ul_uevent_parse(text, UL_UEVENT_MAX + 1, &e), -EINVAL);
	free(text);
}

/* Root may send to the socket as well; only the kernel is believed. Its own may come in between. */
static void test_sender(void **state)
{
	static const char forged[] = "add@/forged\0ACTION=add\0DEVPATH=/forged\0SUBSYSTEM=block";
	ul_autoclose int fd = -1, other = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
	struct sockaddr_nl address;
	socklen_t len = sizeof(address);
	char buf[UL_UEVENT_MAX];
	struct ul_uevent e;
	struct ul_error err;
	int r;

	(void)state;
	assert_int_equal(ul_uevent_open(&fd, &err), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	address.nl_groups = 0;
	assert_int_equal(sendto(other, forged, sizeof(forged), 0, (struct sockaddr *)&address, sizeof(address)),
			 sizeof(forged));
	while ((r = ul_uevent_receive(fd, buf, &e)) == 1)
		assert_string_not_equal(e.devpath, "/forged");
	assert_int_equal(r, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_disk),     cmocka_unit_test(test_driver), cmocka_unit_test(test_rejects),
		cmocka_unit_test(test_too_long), cmocka_unit_test(test_sender),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
