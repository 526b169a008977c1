/* `underlay run`: a disk, or an image with its UKI or kernel, in QEMU. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/run_command.h"
#include "common/cleanup.h"
#include "common/config.h"
#include "common/file.h"
#include "common/run.h"
#include "verity/disk/disk_layout.h"
#include "verity/locate/image_view.h"

#define VARIABLES_MAX (64u << 20) /* bytes of a firmware's variables */

struct arguments {
	const char *disk, *uki, *kernel, *initrd, *cmdline, *upper, *upper_size, *variables, *tpm, *memory;
	uint32_t cpus;
	bool secure_boot, snapshot, no_kvm, dry_run;
};

#define AT(member) offsetof(struct arguments, member)

/* QEMU takes neither a disk of no bytes nor a machine without memory. */
static const char *check_mebibytes(const char *text)
{
	uint64_t size = 0;

	return ul_parse_size(text, &size) && size >= 1 << 20 ? NULL : "a size of 1M or more, as in 512M or 8G";
}

static const struct cli_option options[] = {
	{NULL, 0, "DISK", CLI_FILE, AT(disk), CLI_NEEDED,
	 .help = "a whole disk, which UEFI firmware starts; or, with a kernel or a UKI, a store image"},
	{"uki", 0, "UKI", CLI_FILE, AT(uki), 0, .help = "start this unified kernel image; DISK is the image for it"},
	{"kernel", 0, "FILE", CLI_FILE, AT(kernel), 0,
	 .help = "start this kernel, without firmware; DISK is the image for it"},
	{"initrd", 0, "FILE", CLI_FILE, AT(initrd), 0, .help = "the kernel's initramfs"},
	{"cmdline", 0, "TEXT", CLI_TEXT, AT(cmdline), 0, .def = "",
	 .help = "more of the kernel's command line, behind its console"},
	{"upper", 0, "FILE", CLI_FILE, AT(upper), 0,
	 .help = "a second disk for the upper; where the file is not there, it is made, and empty"},
	{"upper-size", 0, "SIZE", CLI_TEXT, AT(upper_size), 0, .check = check_mebibytes, .def = "1G",
	 .help = "of the upper's file where it is made"},
	{"secure-boot", 0, NULL, CLI_FLAG, AT(secure_boot), 0, .help = "firmware that checks signatures"},
	{"variables", 0, "FILE", CLI_FILE, AT(variables), 0,
	 .help = "keep the firmware's variables in this file; where it is not there, it is made"},
	{"tpm", 0, "DIR", CLI_DIRECTORY, AT(tpm), 0, .help = "a TPM 2.0 by swtpm, whose state this directory keeps"},
	{"snapshot", 0, NULL, CLI_FLAG, AT(snapshot), 0, .help = "what is written to the disks is gone afterwards"},
	{"memory", 'm', "SIZE", CLI_TEXT, AT(memory), 0, .check = check_mebibytes, .def = "1G",
	 .help = "of the machine"},
	{"cpus", 0, "N", CLI_NUMBER32, AT(cpus), 0, .min = 1, .max = 255, .def = "2",
	 .help = "processors of the machine"},
	{"no-kvm", 0, NULL, CLI_FLAG, AT(no_kvm), 0, .help = "emulate the processor, also where there is KVM"},
	{"dry-run", 0, NULL, CLI_FLAG, AT(dry_run), 0,
	 .help = "print QEMU's command line, a word a line, and do nothing"},
	{.help = NULL},
};

static const struct cli_rule rules[] = {
	{CLI_AT_MOST_ONE, "--uki --kernel", NULL},
	{CLI_AT_MOST_ONE, "--kernel --secure-boot", "a kernel is started without firmware"},
	{CLI_AT_MOST_ONE, "--kernel --variables", "a kernel is started without firmware"},
	{CLI_TOGETHER, "--kernel --initrd", NULL},
	{CLI_NEEDS, "--cmdline --kernel", "a UKI has its own"},
	{CLI_NEEDS, "--upper-size --upper", NULL},
	{.members = NULL},
};

static const char WHAT[] = "starting the machine";

/*
 * Firmware starts what is on an EFI system partition. It would say nothing of an image by itself, and wait. What has
 * no image is not ours to judge.
 */
static int check_esp(const struct arguments *a, const struct ul_image_view *view, struct ul_error *err)
{
	if (a->uki || a->kernel || view->slots.n == 0)
		return 0;
	for (size_t i = 0; i < view->gpt.n; i++)
		if (!strcmp(view->gpt.partitions[i].type, UL_DISK_TYPE_ESP))
			return 0;
	return ul_error_set(err, UL_E_INPUT, WHAT, a->disk,
			    "Give --uki, or --kernel and --initrd, or make a disk by `underlay disk build`.",
			    "it has no EFI system partition, from which firmware would start it");
}

/* What the disk is for, and which machine: its first slot says it. */
static int look_at_disk(const struct arguments *a, struct cli_run_request *q, struct ul_error *err)
{
	struct ul_image_view view;
	const char *architecture = "x86-64";
	int r = ul_image_view(a->disk, &view, err);

	if (r < 0)
		return r;
	if (view.slots.n > 0)
		architecture = view.views[0].architecture;
	q->machine = cli_run_machine_find(architecture);
	q->sector = view.gpt.sector_size;
	if (!q->machine)
		r = ul_error_set(err, UL_E_INPUT, WHAT, a->disk, NULL,
				 "it is for %s, which is not a machine that this starts", architecture);
	else
		r = check_esp(a, &view, err);
	ul_image_view_free(&view);
	return r;
}

/* A file of holes. */
static int make_upper(const struct arguments *a, struct ul_error *err)
{
	uint64_t size = 0;
	ul_autoclose int fd = -1;

	if (!a->upper)
		return 0;
	fd = open(a->upper, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0 && errno == EEXIST)
		return 0;
	(void)!ul_parse_size(a->upper_size, &size);
	if (fd >= 0 && ftruncate(fd, (off_t)size) == 0)
		return 0;
	ul_error_errno(err, UL_E_SYSTEM, "making the upper's file", a->upper, NULL, errno);
	/* The next start would take it for an upper that is there. */
	if (fd >= 0)
		unlink(a->upper);
	return -UL_E_SYSTEM;
}

static int make_variables(const struct arguments *a, const struct cli_run_request *q, struct ul_error *err)
{
	static const char what[] = "making the firmware's variables";
	const char *from = cli_run_variables(q->machine, a->secure_boot);
	ul_autobuffer struct ul_buffer bytes = {0};
	struct stat st;
	int r;

	if (!a->variables || stat(a->variables, &st) == 0)
		return 0;
	r = ul_read_file(AT_FDCWD, from, VARIABLES_MAX, &bytes);
	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, what, from, "Install the firmware (Debian: ovmf).", -r);
	return ul_write_output(what, a->variables, bytes.data, bytes.len, err);
}

/* swtpm ends by itself when QEMU has hung up. */
static int start_tpm(const struct arguments *a, const char *socket, struct ul_error *err)
{
	ul_autofree char *state = NULL, *control = NULL;

	if (asprintf(&state, "dir=%s", a->tpm) < 0)
		state = NULL;
	if (asprintf(&control, "type=unixio,path=%s", socket) < 0)
		control = NULL;
	if (!state || !control)
		return ul_error_nomem(err, WHAT);
	const char *const argv[] = {"swtpm",  "socket", "--tpm2",   "--tpmstate",  state,
				    "--ctrl", control,  "--daemon", "--terminate", NULL};

	return ul_run(argv, "starting the TPM", NULL, NULL, err);
}

static int print_command(const struct ul_names *words)
{
	for (size_t i = 0; i < words->n; i++)
		puts(words->at[i]);
	return 0;
}

static int start(const struct arguments *a, const struct cli_run_request *q, struct ul_names *words)
{
	struct ul_error err;
	int r = make_upper(a, &err);

	if (r == 0)
		r = make_variables(a, q, &err);
	if (r == 0 && a->tpm)
		r = start_tpm(a, q->tpm_socket, &err);
	if (r < 0)
		return cli_fail(&err);
	if (ul_vector_push(words, NULL) < 0) {
		ul_error_nomem(&err, WHAT);
		return cli_fail(&err);
	}
	fflush(stdout);
	execvp(words->at[0], words->at);
	ul_error_errno(&err, UL_E_SYSTEM, WHAT, words->at[0],
		       errno == ENOENT ? "Install QEMU (Debian: qemu-system-x86, qemu-system-arm)." : NULL, errno);
	return cli_fail(&err);
}

static int run(void *arguments)
{
	const struct arguments *a = arguments;
	ul_autonames struct ul_names words = {0};
	ul_autofree char *socket = NULL;
	struct cli_run_request q = {
		.disk = a->disk,
		.disk_is_image = a->uki || a->kernel,
		.snapshot = a->snapshot,
		.firmware = !a->kernel,
		.secure_boot = a->secure_boot,
		.uki = a->uki,
		.kernel = a->kernel,
		.initrd = a->initrd,
		.cmdline = a->cmdline,
		.upper = a->upper,
		.variables = a->variables,
		.cpus = a->cpus,
	};
	struct ul_error err;

	(void)!ul_parse_size(a->memory, &q.memory);
	if (a->tpm && asprintf(&socket, "%s/swtpm-sock", a->tpm) < 0) {
		socket = NULL;
		ul_error_nomem(&err, WHAT);
		return cli_fail(&err);
	}
	q.tpm_socket = socket;
	if (look_at_disk(a, &q, &err) < 0)
		return cli_fail(&err);
	q.kvm = !a->no_kvm && cli_run_has_kvm(cli_run_uname(q.machine));
	if (cli_run_command(&q, &words) < 0) {
		ul_error_nomem(&err, WHAT);
		return cli_fail(&err);
	}
	return a->dry_run ? print_command(&words) : start(a, &q, &words);
}

const struct cli_command cli_run = {
	.name = "run",
	.help = "start a disk, or an image with its UKI or kernel, in QEMU",
	.page = "underlay-run",
	.options = options,
	.rules = rules,
	.size = sizeof(struct arguments),
	.run = run,
};
