#include "cli/run_command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Places: Debian's packages ovmf and qemu-efi-aarch64. */
struct cli_run_machine {
	const char *architecture; /* as the Discoverable Partitions Specification names it */
	const char *uname, *qemu, *type, *secure_type, *console;
	const char *code, *secure_code, *variables, *secure_variables;
	const char *tpm; /* device */
};

static const struct cli_run_machine machines[] = {
	{"x86-64", "x86_64", "qemu-system-x86_64", "q35", "q35,smm=on", "ttyS0", "/usr/share/OVMF/OVMF_CODE_4M.fd",
	 "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd",
	 "/usr/share/OVMF/OVMF_VARS_4M.ms.fd", "tpm-tis"},
	{"arm64", "aarch64", "qemu-system-aarch64", "virt", "virt", "ttyAMA0", "/usr/share/AAVMF/AAVMF_CODE.fd",
	 "/usr/share/AAVMF/AAVMF_CODE.ms.fd", "/usr/share/AAVMF/AAVMF_VARS.fd", "/usr/share/AAVMF/AAVMF_VARS.ms.fd",
	 "tpm-tis-device"},
};

const struct cli_run_machine *cli_run_machine_find(const char *architecture)
{
	for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++)
		if (!strcmp(machines[i].architecture, architecture))
			return &machines[i];
	return NULL;
}

const char *cli_run_uname(const struct cli_run_machine *machine)
{
	return machine->uname;
}

const char *cli_run_variables(const struct cli_run_machine *machine, bool secure_boot)
{
	return secure_boot ? machine->secure_variables : machine->variables;
}

/* ---- words ---- */

/* Words are added until one finds no memory. */
struct line {
	struct ul_names *words;
	int error;
};

static void add(struct line *l, const char *word)
{
	if (l->error == 0)
		l->error = ul_names_add(l->words, word);
}

static void addf(struct line *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void addf(struct line *l, const char *format, ...)
{
	char *word;
	va_list args;
	int n;

	va_start(args, format);
	n = vasprintf(&word, format, args);
	va_end(args);
	if (n < 0)
		l->error = -ENOMEM;
	else if (l->error == 0)
		l->error = ul_names_take(l->words, word);
	else
		free(word);
}

/* Adds "BEFORE NAME", of a file, as one word. Among other words of an option a comma is doubled. */
static void add_name(struct line *l, const char *before, const char *file)
{
	char escaped[2 * 4096];
	size_t n = 0;

	for (; *file && n + 2 < sizeof(escaped); file++) {
		if (*file == ',')
			escaped[n++] = ',';
		escaped[n++] = *file;
	}
	escaped[n] = '\0';
	addf(l, "%s%s", before, escaped);
}

/* What stands before a colon is a protocol to QEMU ("nbd:"), unless there is a slash before that. */
static void add_drive(struct line *l, const char *options, const char *file)
{
	char before[160];

	snprintf(before, sizeof(before), "%s,file=%s", options, *file == '/' ? "" : "./");
	add(l, "-drive");
	add_name(l, before, file);
}

static void add_disk(struct line *l, const struct cli_run_request *q)
{
	char options[128];

	if (!q->disk)
		return;
	snprintf(options, sizeof(options), "if=none,id=disk,format=raw,discard=unmap%s%s",
		 q->disk_is_image ? ",readonly=on" : "", !q->disk_is_image && q->snapshot ? ",snapshot=on" : "");
	add_drive(l, options, q->disk);
	add(l, "-device");
	addf(l, "virtio-blk-pci,drive=disk,logical_block_size=%" PRIu32 ",physical_block_size=%" PRIu32 "%s", q->sector,
	     q->sector, q->firmware && !q->uki ? ",bootindex=1" : "");
}

static void add_upper(struct line *l, const struct cli_run_request *q)
{
	if (!q->upper)
		return;
	add_drive(l,
		  q->snapshot ? "if=none,id=upper,format=raw,snapshot=on" : "if=none,id=upper,format=raw,discard=unmap",
		  q->upper);
	add(l, "-device");
	add(l, "virtio-blk-pci,drive=upper,serial=upper");
}

static void add_firmware(struct line *l, const struct cli_run_request *q)
{
	const struct cli_run_machine *m = q->machine;

	if (!q->firmware)
		return;
	if (q->secure_boot && strcmp(m->type, m->secure_type) != 0) {
		add(l, "-global");
		add(l, "driver=cfi.pflash01,property=secure,value=on");
	}
	add_drive(l, "if=pflash,format=raw,unit=0,readonly=on", q->secure_boot ? m->secure_code : m->code);
	if (q->variables)
		add_drive(l, "if=pflash,format=raw,unit=1", q->variables);
	else
		add_drive(l, "if=pflash,format=raw,unit=1,snapshot=on", cli_run_variables(m, q->secure_boot));
}

static void add_kernel(struct line *l, const struct cli_run_request *q)
{
	if (!q->kernel && !q->uki)
		return;
	add(l, "-kernel");
	add(l, q->uki ? q->uki : q->kernel);
	if (!q->kernel)
		return;
	add(l, "-initrd");
	add(l, q->initrd);
	add(l, "-append");
	addf(l, "console=%s%s%s", q->machine->console, q->cmdline[0] ? " " : "", q->cmdline);
}

static void add_tpm(struct line *l, const struct cli_run_request *q)
{
	if (!q->tpm_socket)
		return;
	add(l, "-chardev");
	add_name(l, "socket,id=tpm,path=", q->tpm_socket);
	add(l, "-tpmdev");
	add(l, "emulator,id=tpm0,chardev=tpm");
	add(l, "-device");
	addf(l, "%s,tpmdev=tpm0", q->machine->tpm);
}

int cli_run_command(const struct cli_run_request *q, struct ul_names *ret)
{
	struct line l = {.words = ret};

	add(&l, q->machine->qemu);
	add(&l, "-machine");
	add(&l, q->secure_boot ? q->machine->secure_type : q->machine->type);
	add(&l, "-accel");
	add(&l, q->kvm ? "kvm" : "tcg");
	add(&l, "-cpu");
	add(&l, q->kvm ? "host" : "max");
	add(&l, "-m");
	addf(&l, "%" PRIu64 "M", q->memory >> 20);
	add(&l, "-smp");
	addf(&l, "%" PRIu32, q->cpus);
	add(&l, "-nodefaults");
	add(&l, "-no-user-config");
	add(&l, "-display");
	add(&l, "none");
	/* The console is where the command was given; Ctrl-A X ends the machine. */
	add(&l, "-serial");
	add(&l, "mon:stdio");
	add(&l, "-device");
	add(&l, "virtio-rng-pci");
	add(&l, "-nic");
	add(&l, "user,model=virtio-net-pci");
	add_firmware(&l, q);
	add_disk(&l, q);
	add_upper(&l, q);
	add_kernel(&l, q);
	add_tpm(&l, q);
	return l.error;
}
