/*
 * dm-verity by libcryptsetup. Before: the decided parameters of a slot. After: /dev/mapper/NAME, whose first and
 * last block were read and whose status is `V`; or no mapping, and the reason.
 *
 * - The superblock is not read: CRYPT_VERITY_NO_HEADER with every parameter given. (crypt_load would read
 *   it; crypt_format without CRYPT_VERITY_CREATE_HASH writes nothing and takes the parameters as they are.)
 * - dm-verity opens with any root hash. Corruption shows when a block is read: so read, then ask.
 * - restart and panic on corruption are for the running system. If they held during the first read, a
 *   damaged slot would restart the machine for ever, and the next slot would never be tried: the check runs on a
 *   mapping that answers with an I/O error, then the mapping is made again as the policy wants it.
 * - udev's cookies are not waited for: an initramfs that runs udev without device-mapper's rules would wait for
 *   ever. libdevmapper then makes the node itself, at once; udev, where it runs, finds it there.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libcryptsetup.h>
#include <libdevmapper.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "common/cleanup.h"
#include "common/encoding.h"
#include "common/file.h"
#include "verity/open/dm.h"
#include "verity/open/kernel_keys.h"
#include "verity/open/open.h"

#define REMOVE_TRIES   20
#define REMOVE_WAIT_US 50000

static const char WHAT[] = "activating dm-verity";

static void (*line_log)(const char *line);

/* The libraries' error lines since the last start of an operation: the only place where errno survives. */
static char heard[1024];

static void hear(int level, const char *message, void *user)
{
	char line[512];
	size_t at = strlen(heard), len;

	(void)user;
	snprintf(line, sizeof(line), "%s", message);
	len = strcspn(line, "\n");
	line[len] = '\0';
	/* Our sentence brings its own full stop. */
	if (level == CRYPT_LOG_ERROR && len > 0 && line[len - 1] == '.')
		line[--len] = '\0';
	if (level == CRYPT_LOG_ERROR && len > 0)
		snprintf(heard + at, sizeof(heard) - at, "%s%s", at ? "; " : "", line);
	if (line_log && len > 0)
		line_log(line);
}

/* libdevmapper words a failed ioctl as "... failed: <strerror>". */
static bool heard_errno(int errnum)
{
	return strstr(heard, strerror(errnum)) != NULL;
}

static void prepare_libraries(void)
{
	heard[0] = '\0';
	crypt_set_log_callback(NULL, hear, NULL);
	dm_udev_set_sync_support(0);
}

static uint32_t corruption_flag(enum ul_corruption_mode mode)
{
	switch (mode) {
	case UL_CORRUPTION_RESTART:
		return CRYPT_ACTIVATE_RESTART_ON_CORRUPTION;
	case UL_CORRUPTION_PANIC:
		return CRYPT_ACTIVATE_PANIC_ON_CORRUPTION;
	case UL_CORRUPTION_EIO:
		break;
	}
	return 0;
}

static const char *corruption_word(enum ul_corruption_mode mode)
{
	switch (mode) {
	case UL_CORRUPTION_RESTART:
		return "restart_on_corruption";
	case UL_CORRUPTION_PANIC:
		return "panic_on_corruption";
	case UL_CORRUPTION_EIO:
		break;
	}
	return NULL;
}

/* ---- why it failed ---- */

/* Which keyrings lack which key. */
static int explain_no_key(const char *what, const char *object, const struct ul_seal *seal, struct ul_error *err)
{
	struct ul_signer_claim claim = {0};
	char keyrings[192];

	ul_kernel_keyrings(keyrings, sizeof(keyrings));
	(void)ul_signature_claim(seal->root_hash_signature.data, seal->root_hash_signature.len, &claim);
	return ul_error_set(
		err, UL_E_SIGNER, what, object,
		"Sign with a key that the kernel has, or enrol the certificate (UEFI db, MOK, or built in).",
		"no key of %s made it; it names serial %.40s of \"%.100s\"", keyrings, claim.serial, claim.issuer);
}

static int explain_signature(const char *object, const struct ul_seal *seal, struct ul_error *err)
{
	static const char what[] = "checking the root hash's signature in the kernel";

	if (!ul_kernel_checks_signatures())
		return ul_error_set(err, UL_E_MODULE, what, object,
				    "Use a kernel that has it, or let the policy verify in user space (user).",
				    "the kernel was built without CONFIG_DM_VERITY_VERIFY_ROOTHASH_SIG");
	if (heard_errno(ENOKEY))
		return explain_no_key(what, object, seal, err);
	if (heard_errno(EKEYREJECTED))
		return ul_error_set(err, UL_E_SIGNATURE, what, object, "Sign the image again.",
				    "the kernel knows the key, but the signature is not over this "
				    "root hash, or the key is revoked");
	if (heard_errno(EBADMSG))
		return ul_error_set(err, UL_E_SIGNATURE, what, object, "Sign the image again.",
				    "the kernel cannot parse it as PKCS#7");
	if (heard_errno(ENOPKG))
		return ul_error_set(err, UL_E_SIGNATURE, what, object, "Sign with RSA and SHA-256.",
				    "the kernel lacks the signature's algorithm");
	return 0;
}

static int explain(int r, const struct ul_verity_want *want, struct ul_error *err)
{
	const char *object = want->slot->data.device;
	int signature;

	if (!ul_dm_has_target("verity"))
		return ul_error_set(err, UL_E_MODULE, WHAT, object,
				    "Put the modules dm_mod and dm_verity into the initramfs.",
				    "the kernel has no dm-verity");
	signature = want->kernel_signature ? explain_signature(object, want->seal, err) : 0;
	if (signature < 0)
		return signature;
	if (!want->kernel_signature && heard_errno(ENOKEY))
		return ul_error_set(err, UL_E_SIGNATURE, WHAT, object,
				    "Let the policy verify by the kernel too (kernel or both).",
				    "the kernel demands a signature "
				    "(dm_verity.require_signatures), and none was passed");
	/* A dm-verity of before 5.4, which has no such argument. */
	if (want->kernel_signature && r == -ENOTSUP)
		return ul_error_set(err, UL_E_MODULE, WHAT, object,
				    "Use a kernel with CONFIG_DM_VERITY_VERIFY_ROOTHASH_SIG.",
				    "the kernel does not check root hash signatures");
	if (want->seal->d.fec_roots && (heard_errno(EINVAL) || r == -EINVAL || r == -ENOTSUP))
		return ul_error_set(err, UL_E_MODULE, WHAT, object,
				    "Use a kernel with CONFIG_DM_VERITY_FEC and its module "
				    "reed_solomon, or an image without --fec.",
				    "the kernel refuses the error correction (FEC) that the image has");
	if (heard_errno(EBUSY) || r == -EBUSY)
		return ul_error_set(err, UL_E_VERITY, WHAT, object, "Unmount or close it first.",
				    "the device is in use");
	if (heard[0])
		return ul_error_set(err, UL_E_VERITY, WHAT, object, NULL, "%s", heard);
	return ul_error_errno(err, UL_E_VERITY, WHAT, object, NULL, r < 0 ? -r : EIO);
}

/* ---- one mapping ---- */

static int make_mapping(const char *name, const struct ul_verity_want *want, struct ul_error *err)
{
	struct crypt_device *cd = NULL;
	const struct ul_slot *slot = want->slot;
	const struct ul_buffer *signature = &want->seal->root_hash_signature;
	const struct ul_descriptor *d = &want->seal->d;
	struct crypt_params_verity params = {
		.hash_name = d->hash,
		.salt = (const char *)d->salt,
		.salt_size = (uint32_t)d->salt_len,
		.hash_type = 1,
		.data_block_size = d->data_block_size,
		.hash_block_size = d->hash_block_size,
		.data_size = d->data_blocks,
		.hash_area_offset = d->hash_start,
		.fec_device = d->fec_roots ? slot->hash.device : NULL,
		.fec_area_offset = d->fec_start,
		.fec_roots = d->fec_roots,
		.flags = CRYPT_VERITY_NO_HEADER,
	};
	uint32_t flags = CRYPT_ACTIVATE_READONLY | corruption_flag(want->corruption);
	int r;

	prepare_libraries();
	r = crypt_init_data_device(&cd, slot->hash.device, slot->data.device);
	if (r == 0)
		r = crypt_format(cd, CRYPT_VERITY, NULL, NULL, NULL, NULL, 0, &params);
	if (r == 0 && want->kernel_signature)
		r = crypt_activate_by_signed_key(cd, name, (const char *)d->root_hash, d->root_hash_len,
						 (const char *)signature->data, signature->len, flags);
	else if (r == 0)
		r = crypt_activate_by_volume_key(cd, name, (const char *)d->root_hash, d->root_hash_len, flags);
	if (cd)
		crypt_free(cd);
	return r < 0 ? explain(r, want, err) : 0;
}

/* Read one block past the page cache. 0 or -errno. */
static int read_block(int fd, uint64_t block, uint32_t size)
{
	ul_autofree void *buf = NULL;
	ssize_t n;

	if (posix_memalign(&buf, 4096, 4096) != 0)
		return -ENOMEM;
	do
		n = pread(fd, buf, size, (off_t)(block * size));
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : (uint32_t)n != size ? -EIO : 0;
}

static int corrupt(const char *object, struct ul_error *err)
{
	return ul_error_set(err, UL_E_CORRUPT, "reading through dm-verity", object, "Write the image again.",
			    "a block does not match the hash tree, or the tree the root hash");
}

/* The first and the last block are read, then the kernel says `V`. */
static int check_mapping(const char *name, const struct ul_verity_want *want, struct ul_error *err)
{
	const char *device = want->slot->data.device;
	const struct ul_descriptor *d = &want->seal->d;
	struct ul_dm_mapping mapping = {0};
	bool signature_checked = false;
	char path[PATH_MAX];
	ul_autoclose int fd = -1;
	char status;
	int r;

	snprintf(path, sizeof(path), "%s/%s", dm_dir(), name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
	if (fd < 0)
		return ul_error_errno(err, UL_E_VERITY, "opening the mapping", path, NULL, errno);
	r = read_block(fd, 0, d->data_block_size);
	if (r == 0)
		r = read_block(fd, d->data_blocks - 1, d->data_block_size);
	status = ul_dm_query(name, &mapping) == 1 ? mapping.status : '\0';
	if (status)
		signature_checked = strstr(mapping.table, " root_hash_sig_key_desc ") != NULL;
	ul_dm_mapping_free(&mapping);
	if (status == 'C')
		return corrupt(device, err);
	/* A disk that cannot be read is not one that was tampered with. */
	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, "reading through dm-verity", device,
				      "Check the disk and its cable.", -r);
	if (status != 'V')
		return ul_error_set(err, UL_E_VERITY, WHAT, path, NULL, "the kernel does not say that it is verified");
	if (want->kernel_signature && !signature_checked)
		return ul_error_set(err, UL_E_VERITY, WHAT, path, NULL,
				    "the kernel does not say that it checked a signature");
	return 0;
}

/* ---- an existing mapping ---- */

/* The next word of *at, cut off; "" at the end. */
static char *next_word(char **at)
{
	char *word = strsep(at, " ");

	return word ? word : (char *)"";
}

static bool word_is(char **at, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool word_is(char **at, const char *format, ...)
{
	char want[2 * UL_SALT_MAX + 64];
	va_list args;

	va_start(args, format);
	vsnprintf(want, sizeof(want), format, args);
	va_end(args);
	return strcmp(next_word(at), want) == 0;
}

static bool word_is_device(char **at, const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISBLK(st.st_mode) &&
	       word_is(at, "%u:%u", major(st.st_rdev), minor(st.st_rdev));
}

/* The optional words: each that is wanted is there, and none besides. */
static bool options_match(char **at, const struct ul_verity_want *want)
{
	const struct ul_descriptor *d = &want->seal->d;
	const char *mode = corruption_word(want->corruption);
	bool mode_seen = false, signature_seen = false, fec_seen = false;
	char *word;

	if (!*at)
		return !mode && !want->kernel_signature && d->fec_roots == 0;
	next_word(at); /* how many words follow */
	while (*(word = next_word(at))) {
		if (mode && strcmp(word, mode) == 0) {
			mode_seen = true;
		} else if (strcmp(word, "root_hash_sig_key_desc") == 0) {
			signature_seen = *next_word(at) != '\0';
		} else if (strcmp(word, "use_fec_from_device") == 0) {
			fec_seen = word_is_device(at, want->slot->hash.device);
		} else if (strcmp(word, "fec_blocks") == 0) {
			next_word(at); /* follows from the others */
		} else if (strcmp(word, "fec_start") == 0) {
			if (!word_is(at, "%" PRIu64, d->fec_start / d->data_block_size))
				return false;
		} else if (strcmp(word, "fec_roots") == 0) {
			if (!word_is(at, "%u", d->fec_roots))
				return false;
		} else if (strcmp(word, "restart_on_error") == 0 || strcmp(word, "panic_on_error") == 0) {
			continue; /* ul_verity_set_read_error's: it looks for itself */
		} else {
			return false;
		}
	}
	return mode_seen == (mode != NULL) && signature_seen == want->kernel_signature &&
	       fec_seen == (d->fec_roots != 0);
}

static bool table_matches(char *table, const struct ul_verity_want *want)
{
	const struct ul_slot *slot = want->slot;
	const struct ul_descriptor *d = &want->seal->d;
	char root_hash[2 * UL_ROOT_HASH_MAX + 1], salt[2 * UL_SALT_MAX + 1] = "-";
	char **at = &table;

	ul_hex_encode(d->root_hash, d->root_hash_len, root_hash);
	if (d->salt_len)
		ul_hex_encode(d->salt, d->salt_len, salt);
	return word_is(at, "1") && word_is_device(at, slot->data.device) && word_is_device(at, slot->hash.device) &&
	       word_is(at, "%u", d->data_block_size) && word_is(at, "%u", d->hash_block_size) &&
	       word_is(at, "%" PRIu64, d->data_blocks) && word_is(at, "%" PRIu64, d->hash_start / d->hash_block_size) &&
	       word_is(at, "%s", d->hash) && word_is(at, "%s", root_hash) && word_is(at, "%s", salt) &&
	       options_match(at, want);
}

/* 1: it exists and is the wanted one, 0: none of that name. A name proves nothing. */
static int find_existing(const char *name, const struct ul_verity_want *want, struct ul_error *err)
{
	const struct ul_descriptor *d = &want->seal->d;
	struct ul_dm_mapping m = {0};
	bool matches;
	int r = ul_dm_query(name, &m);

	/* Without device-mapper there is no mapping either: making one says what is missing. */
	if (r <= 0)
		return 0;
	matches = m.verity && m.read_only && !m.suspended && m.sectors == d->data_blocks * (d->data_block_size / 512) &&
		  table_matches(m.table, want);
	ul_dm_mapping_free(&m);
	if (!matches)
		return ul_error_set(err, UL_E_VERITY, WHAT, name, "Take it down (veritysetup close).",
				    "a mapping of that name exists, and it is not this image's");
	return 1;
}

/* ---- */

static int remove_mapping(const char *name)
{
	int r = -EBUSY;

	/* Whoever probes new devices (udev's blkid) may hold it open for a moment. */
	for (int i = 0; i < REMOVE_TRIES && r == -EBUSY; i++) {
		if (i > 0)
			usleep(REMOVE_WAIT_US);
		prepare_libraries();
		r = crypt_deactivate(NULL, name);
	}
	return r;
}

static int make_checked(const char *name, const struct ul_verity_want *want, struct ul_error *err)
{
	int r = make_mapping(name, want, err);

	if (r < 0)
		return r;
	r = check_mapping(name, want, err);
	if (r < 0)
		remove_mapping(name);
	return r;
}

static int check_devices(const struct ul_slot *slot, struct ul_error *err)
{
	const struct ul_extent *const extents[] = {&slot->data, &slot->hash};
	struct stat st;

	for (size_t i = 0; i < UL_ARRAY_SIZE(extents); i++) {
		if (stat(extents[i]->device, &st) < 0)
			return ul_error_errno(err, UL_E_DEVICE, WHAT, extents[i]->device, NULL, errno);
		if (!S_ISBLK(st.st_mode) || extents[i]->offset != 0)
			return ul_error_set(err, UL_E_VERITY, WHAT, extents[i]->device,
					    "Attach the image to a loop device with partitions (losetup -P).",
					    "it is not a partition's block device");
	}
	return 0;
}

int ul_verity_activate(const char *name, const struct ul_verity_want *want, struct ul_error *err)
{
	struct ul_verity_want first = *want;
	int r = check_devices(want->slot, err);

	if (r < 0)
		return r;
	if (want->kernel_signature && want->seal->root_hash_signature.len == 0)
		return ul_error_set(err, UL_E_SIGNATURE, WHAT, want->slot->disk,
				    "Sign the image (underlay image sign).",
				    "the kernel is to check a signature, and the image has none");
	r = find_existing(name, want, err);
	if (r < 0)
		return r;
	if (r > 0)
		return check_mapping(name, want, err);
	first.corruption = UL_CORRUPTION_EIO;
	r = make_checked(name, &first, err);
	if (r < 0 || want->corruption == UL_CORRUPTION_EIO)
		return r;
	r = ul_verity_deactivate(name, err);
	return r < 0 ? r : make_checked(name, want, err);
}

int ul_verity_deactivate(const char *name, struct ul_error *err)
{
	int r = remove_mapping(name);

	if (r < 0)
		return ul_error_errno(err, UL_E_VERITY, "taking dm-verity down", name,
				      r == -EBUSY ? "Unmount what uses it." : NULL, -r);
	return 0;
}

void ul_verity_set_log(void (*log)(const char *line))
{
	line_log = log;
}
