#include "initrd/base/uevent.h"

#include <errno.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>

#include "common/cleanup.h"

int ul_uevent_parse(const char *message, size_t len, struct ul_uevent *ret)
{
	struct ul_uevent event = {0};
	const struct {
		const char *key;
		const char **field;
	} fields[] = {
		{"ACTION=", &event.action},   {"DEVPATH=", &event.devpath},   {"SUBSYSTEM=", &event.subsystem},
		{"DEVNAME=", &event.devname}, {"MODALIAS=", &event.modalias},
	};
	const char *end = message + len;

	if (len == 0 || len > UL_UEVENT_MAX || end[-1] != '\0' || !strchr(message, '@'))
		return -EINVAL;
	for (const char *p = message + strlen(message) + 1; p < end; p += strlen(p) + 1)
		for (size_t i = 0; i < UL_ARRAY_SIZE(fields); i++) {
			size_t n = strlen(fields[i].key);

			if (!*fields[i].field && !strncmp(p, fields[i].key, n))
				*fields[i].field = p + n;
		}
	if (!event.action || !event.devpath)
		return -EINVAL;
	*ret = event;
	return 0;
}

int ul_uevent_open(int *ret_fd, struct ul_error *err)
{
	static const char what[] = "listening for device events";
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = 1};
	ul_autoclose int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
	int size = 1 << 20;

	if (fd < 0)
		return ul_error_errno(err, UL_E_SYSTEM, what, "netlink socket", NULL, errno);
	/* A burst of many disks must fit; where it does not, receive says so and all is looked at. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, what, "netlink socket", NULL, errno);
	*ret_fd = ul_steal_fd(&fd);
	return 0;
}

int ul_uevent_receive(int fd, char buf[UL_UEVENT_MAX], struct ul_uevent *ret)
{
	for (;;) {
		struct sockaddr_nl from = {0};
		struct iovec part = {.iov_base = buf, .iov_len = UL_UEVENT_MAX};
		struct msghdr message = {
			.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &part, .msg_iovlen = 1};
		ssize_t n = recvmsg(fd, &message, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		/* Port 0 is the kernel; a process could send to our port as well. */
		if (from.nl_pid != 0 || message.msg_flags & MSG_TRUNC)
			continue;
		if (ul_uevent_parse(buf, (size_t)n, ret) == 0)
			return 1;
	}
}
