#include "cli/image_key.h"

#include <fcntl.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "verity/locate/image_view.h"
#include "verity/open/open.h"

#define PASSPHRASE_MAX 1024

void cli_free_signer(struct ul_signer **signer)
{
	ul_signer_free(*signer);
}

int cli_load_signer(const struct cli_key *key, struct ul_signer **ret, struct ul_error *err)
{
	ul_autobuffer struct ul_buffer text = {0};
	char *passphrase = NULL;
	int r;

	if (key->passphrase_file) {
		r = ul_read_file(AT_FDCWD, key->passphrase_file, PASSPHRASE_MAX, &text);
		if (r < 0)
			return ul_error_errno(err, UL_E_SYSTEM, "reading the passphrase", key->passphrase_file, NULL,
					      -r);
		passphrase = ul_buffer_string(&text);
		if (!passphrase)
			return ul_error_nomem(err, "reading the passphrase");
		/* The newline that an editor adds does not belong to the passphrase. */
		passphrase[strcspn(passphrase, "\n")] = '\0';
	}
	r = ul_signer_load(key->key, key->cert, passphrase, ret, err);
	if (text.data)
		explicit_bzero(text.data, text.len);
	return r;
}

static void free_trust(struct ul_trust **trust)
{
	ul_trust_free(*trust);
}

int cli_signer_of(const char *image, const char *cert, struct ul_signer_name *ret, struct ul_error *err)
{
	UL_CLEANUP(free_trust) struct ul_trust *trust = NULL;
	UL_CLEANUP(ul_slots_free) struct ul_slot_list list = {0};
	struct ul_seal_policy policy = {.mode = UL_VERIFY_USER, .descriptor_required = true};
	struct ul_seal seal;
	int r = ul_trust_load_file(cert, &trust, err);

	if (r == 0)
		r = ul_image_slots(image, NULL, &list, err);
	if (r == 0)
		r = ul_image_one_slot(&list, "reading the image back", image, NULL, err);
	if (r < 0)
		return r;
	policy.trust = trust;
	r = ul_seal_decide(&list.at[0], &policy, &seal, err);
	if (r < 0)
		return r;
	*ret = seal.by;
	ul_seal_free(&seal);
	return 0;
}
