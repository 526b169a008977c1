/* Collecting what a unified kernel image holds, and having it signed. */
#include "initrd/pack/uki.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "common/bytes.h"
#include "common/file.h"
#include "common/run.h"
#include "initrd/policy/policy.h"
#include "verity/format/pkcs7.h"

static const char building[] = "building the UKI", signing[] = "signing the UKI";

#define STUB_MAX       (16u << 20)
#define OS_RELEASE_MAX 65536

/* By the kernel's architecture, where systemd installs it. */
static const struct {
	uint16_t machine;
	const char *stub;
} stubs[] = {
	{0x8664, "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"},
	{0xaa64, "/usr/lib/systemd/boot/efi/linuxaa64.efi.stub"},
	{0x5064, "/usr/lib/systemd/boot/efi/linuxriscv64.efi.stub"},
};

/* All that goes in. */
struct parts {
	struct ul_buffer stub, os_release, kernel, initrd;
	const char *cmdline;
	char uname[128];
};

static void parts_free(struct parts *p)
{
	ul_buffer_free(&p->stub);
	ul_buffer_free(&p->os_release);
	ul_buffer_free(&p->kernel);
	ul_buffer_free(&p->initrd);
}

static int read_part(const char *path, size_t max, struct ul_buffer *ret, struct ul_error *err)
{
	int r = ul_read_file(AT_FDCWD, path, max, ret);

	return r < 0 ? ul_error_errno(err, UL_E_SYSTEM, building, path, NULL, -r) : 0;
}

/* ---- the parts ---- */

/*
 * The boot protocol of x86 (Documentation/arch/x86/boot.rst of the kernel) has, 0x200 behind what the 16-bit number
 * at 0x20e says, a text whose first word is the version. Others say it only inside the compressed kernel.
 */
static void kernel_version(const struct ul_buffer *kernel, char *buf, size_t size)
{
	size_t at, len = 0;

	if (kernel->len < 0x210 || memcmp(kernel->data + 0x202, "HdrS", 4) != 0)
		return;
	at = 0x200 + (size_t)ul_get_le16(kernel->data + 0x20e);
	while (at + len < kernel->len && len + 1 < size && kernel->data[at + len] > ' ' &&
	       kernel->data[at + len] < 0x7f)
		len++;
	memcpy(buf, kernel->data + at, at < kernel->len ? len : 0);
	buf[len] = '\0';
}

static int read_kernel(const struct ul_uki_options *o, struct parts *p, struct ul_pe *ret, struct ul_error *err)
{
	int r = read_part(o->kernel, UL_UKI_PART_MAX, &p->kernel, err);

	if (r < 0)
		return r;
	if (ul_pe_parse(p->kernel.data, p->kernel.len, o->kernel, ret, NULL) < 0)
		return ul_error_set(err, UL_E_INPUT, building, o->kernel,
				    "Give the bzImage or Image of a kernel with CONFIG_EFI_STUB.",
				    "it is not a kernel that UEFI can start");
	if (o->uname && strlen(o->uname) >= sizeof(p->uname))
		return ul_error_set(err, UL_E_INPUT, building, o->kernel, NULL,
				    "the kernel's version is longer than %zu bytes", sizeof(p->uname) - 1);
	for (const char *c = o->uname; c && *c; c++)
		if (*c <= ' ' || *c >= 0x7f)
			return ul_error_set(err, UL_E_INPUT, building, o->uname, "Give what `uname -r` prints.",
					    "the kernel's version holds a space, or what is not ASCII");
	if (o->uname)
		snprintf(p->uname, sizeof(p->uname), "%s", o->uname);
	else
		kernel_version(&p->kernel, p->uname, sizeof(p->uname));
	return 0;
}

static int read_stub(const struct ul_uki_options *o, const struct ul_pe *kernel, struct parts *p, const char **ret_path,
		     struct ul_pe *ret, struct ul_error *err)
{
	const char *path = o->stub;
	int r;

	for (size_t i = 0; !path && i < UL_ARRAY_SIZE(stubs); i++)
		if (stubs[i].machine == kernel->machine)
			path = stubs[i].stub;
	if (!path)
		return ul_error_set(err, UL_E_INPUT, building, o->kernel, "Give one by --stub.",
				    "no stub is known for its architecture (0x%04x)", kernel->machine);
	r = ul_read_file(AT_FDCWD, path, STUB_MAX, &p->stub);
	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, building, path,
				      "Install systemd's stub (Debian: systemd-boot-efi), or give "
				      "one by --stub.",
				      -r);
	r = ul_pe_parse(p->stub.data, p->stub.len, path, ret, err);
	if (r == 0 && ret->machine != kernel->machine)
		return ul_error_set(err, UL_E_INPUT, building, path, "Give the stub of the kernel's architecture.",
				    "the stub is for %s, the kernel for %s", ul_pe_machine_name(ret->machine),
				    ul_pe_machine_name(kernel->machine));
	*ret_path = path;
	return r;
}

/* The kernel wants an archive to begin at a multiple of four. */
static int read_initrds(const struct ul_uki_options *o, struct parts *p, struct ul_error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < o->initrd_count; i++) {
		if (p->initrd.len % 4)
			r = ul_buffer_append(&p->initrd, "\0\0\0", 4 - p->initrd.len % 4);
		if (r < 0)
			return ul_error_nomem(err, building);
		r = read_part(o->initrds[i], UL_UKI_PART_MAX, &p->initrd, err);
	}
	if (r == 0 && p->initrd.len == 0)
		return ul_error_set(err, UL_E_INPUT, building, o->initrds[0], NULL, "the initramfs is empty");
	return r;
}

static int read_os_release(const struct ul_uki_options *o, struct parts *p, struct ul_error *err)
{
	if (o->os_release)
		return read_part(o->os_release, OS_RELEASE_MAX, &p->os_release, err);
	if (ul_buffer_printf(&p->os_release, "ID=underlay\nNAME=\"Underlay\"\nPRETTY_NAME=\"Underlay%s%s%s\"\n",
			     p->uname[0] ? " (Linux " : "", p->uname, p->uname[0] ? ")" : "") < 0)
		return ul_error_nomem(err, building);
	return 0;
}

/* A parameter that every policy refuses would show at the first boot only, by a machine that does not start. */
static int check_cmdline(const char *text, struct ul_error *err)
{
	struct ul_cmdline cmdline = {0};
	size_t len = strlen(text);
	int r = 0;

	if (len > UL_UKI_CMDLINE_MAX)
		return ul_error_set(err, UL_E_CMDLINE, building, "the command line", "Shorten it.",
				    "it is longer than %d bytes", UL_UKI_CMDLINE_MAX);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return ul_error_set(err, UL_E_CMDLINE, building, "the command line", NULL,
					    "it holds a control character (byte %zu)", i);
	r = ul_cmdline_parse(text, len, &cmdline, err);
	for (size_t i = 0; r == 0 && i < cmdline.n; i++) {
		const struct ul_param *row = ul_param_find(cmdline.args[i].name);

		if (row && row->rule == UL_PARAM_REFUSED)
			r = ul_error_set(err, UL_E_CMDLINE, building, cmdline.args[i].name,
					 "Remove it from the command line.", "%s", row->why);
	}
	ul_cmdline_free(&cmdline);
	return r;
}

int ul_uki_build(const struct ul_uki_options *o, struct ul_buffer *ret, struct ul_uki_report *ret_report,
		 struct ul_error *err)
{
	UL_CLEANUP(parts_free) struct parts p = {.cmdline = o->cmdline};
	struct ul_pe_addition add[5];
	struct ul_pe kernel = {0}, stub = {0};
	const char *stub_path = NULL;
	size_t n = 0;
	int r;

	if (!p.cmdline || !*p.cmdline)
		p.cmdline = " ";
	r = check_cmdline(p.cmdline, err);
	if (r == 0)
		r = read_kernel(o, &p, &kernel, err);
	if (r == 0)
		r = read_stub(o, &kernel, &p, &stub_path, &stub, err);
	if (r == 0)
		r = read_os_release(o, &p, err);
	if (r == 0)
		r = read_initrds(o, &p, err);
	if (r < 0)
		return r;
	add[n++] = (struct ul_pe_addition){".osrel", p.os_release.data, p.os_release.len, UL_PE_DATA};
	add[n++] = (struct ul_pe_addition){".cmdline", p.cmdline, strlen(p.cmdline), UL_PE_DATA};
	if (p.uname[0])
		add[n++] = (struct ul_pe_addition){".uname", p.uname, strlen(p.uname), UL_PE_DATA};
	add[n++] = (struct ul_pe_addition){".initrd", p.initrd.data, p.initrd.len, UL_PE_DATA};
	add[n++] = (struct ul_pe_addition){".linux", p.kernel.data, p.kernel.len, UL_PE_CODE};
	r = ul_pe_append(&stub, add, n, ret, err);
	if (r < 0)
		return r;
	*ret_report = (struct ul_uki_report){
		.machine = ul_pe_machine_name(stub.machine), .kernel = p.kernel.len, .initrd = p.initrd.len};
	snprintf(ret_report->stub, sizeof(ret_report->stub), "%s", stub_path);
	snprintf(ret_report->uname, sizeof(ret_report->uname), "%s", p.uname);
	return 0;
}

/* ---- signing ---- */

/* A file in memory that a child can open as /proc/self/fd/N. -UL_E_SYSTEM. */
static int memory_file(const char *name, const void *data, size_t len, int *ret_fd, char path[32], struct ul_error *err)
{
	ul_autoclose int fd = memfd_create(name, 0);
	int r = fd < 0 ? -errno : ul_write_full(fd, data, len);

	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, signing, name, NULL, -r);
	snprintf(path, 32, "/proc/self/fd/%d", fd);
	*ret_fd = ul_steal_fd(&fd);
	return 0;
}

int ul_uki_sign(const struct ul_buffer *image, struct ul_signer *signer, const char *cert_path, struct ul_buffer *ret,
		struct ul_error *err)
{
	ul_autoclose int in = -1, key = -1, out = -1;
	ul_autobuffer struct ul_buffer pem = {0};
	char in_path[32], key_path[32], out_path[32];
	const char *argv[] = {"sbsign", "--key", key_path, "--cert", cert_path, "--output", out_path, in_path, NULL};
	struct ul_pe pe;
	int r = ul_signer_export_key(signer, &pem, err);

	if (r == 0)
		r = memory_file("key", pem.data, pem.len, &key, key_path, err);
	if (pem.data)
		explicit_bzero(pem.data, pem.size);
	if (r == 0)
		r = memory_file("unsigned", image->data, image->len, &in, in_path, err);
	if (r == 0)
		r = memory_file("signed", "", 0, &out, out_path, err);
	if (r == 0)
		r = ul_run(argv, signing, NULL, NULL, err);
	if (r < 0)
		return r;
	r = ul_read_file(AT_FDCWD, out_path, 0x7fffffff, ret);
	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, signing, "sbsign's output", NULL, -r);
	r = ul_pe_parse(ret->data, ret->len, "sbsign's output", &pe, err);
	if (r == 0 && pe.certificates_size == 0)
		r = ul_error_set(err, UL_E_SYSTEM, signing, "sbsign's output", NULL, "it is not signed");
	return r;
}

int ul_uki_verify(const char *path, const char *cert_path, struct ul_error *err)
{
	const char *argv[] = {"sbverify", "--cert", cert_path, path, NULL};
	UL_CLEANUP(ul_cleanup_x509) X509 *cert = NULL;
	int status, r = ul_certificate_load(AT_FDCWD, cert_path, UL_E_INPUT, "reading the certificate", &cert, err);

	/* sbverify's status would be that of a signature by another key. */
	if (r == 0)
		r = ul_run(argv, "checking the UKI's signature", NULL, &status, err);
	if (r == 0 && status)
		r = ul_error_set(err, UL_E_SIGNATURE, "checking the UKI's signature", path,
				 "Sign it (underlay uki sign).", "the key of %s did not sign these bytes", cert_path);
	return r;
}
