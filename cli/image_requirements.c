#include "cli/image_requirements.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/encoding.h"
#include "common/file.h"
#include "common/paths.h"
#include "initrd/policy/requirements.h"

const char *cli_check_root_hash(const char *text)
{
	size_t digits = strlen(text);

	if ((digits == 64 || digits == 128) && strspn(text, "0123456789abcdefABCDEF") == digits)
		return NULL;
	return "a root hash, 64 or 128 digits of hex";
}

int cli_trust_load(const char *cert, const char *certs, struct ul_trust **ret, struct ul_error *err)
{
	static const char what[] = "loading the trusted certificates";
	const char *dir = certs ? certs : UL_PATH_CERTS;
	int r = cert ? ul_trust_load_file(cert, ret, err) : ul_trust_load_dir(AT_FDCWD, dir, ret, err);

	if (r < 0 || ul_trust_count(*ret) > 0)
		return r;
	/* A boot takes a directory that is not there for an empty one. */
	if (certs && access(certs, R_OK) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, what, certs, NULL, errno);
	return ul_error_set(err, UL_E_SIGNER, what, dir, "Give the signer's certificate by --cert.",
			    "no certificate is trusted: it holds none");
}

static int from_policy(const struct cli_demand_options *o, struct cli_demands *d, struct ul_error *err)
{
	ul_autobuffer struct ul_buffer text = {0};
	int r = ul_read_file(AT_FDCWD, o->policy, UL_CONFIG_MAX, &text);

	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, "reading the policy", o->policy, NULL, -r);
	r = ul_policy_parse(&d->policy, (const char *)text.data, text.len, o->policy, err);
	if (r < 0)
		return r;
	if (d->policy.verify_mode == UL_POLICY_INSECURE)
		return ul_error_set(err, UL_E_CONFIG, "reading the policy", o->policy, "Name a policy that verifies.",
				    "its [verify] mode is insecure: it starts a shared directory and no image");
	if (d->policy.verify_mode != UL_POLICY_PINNED || o->cert || o->certs)
		r = cli_trust_load(o->cert, o->certs, &d->trust, err);
	if (r == 0)
		r = ul_policy_finish(&d->policy, d->trust ? ul_trust_count(d->trust) : 0, err);
	if (r < 0)
		return r;
	d->demands = ul_policy_requirements(&d->policy, d->trust);
	/* The keyrings that will be asked are another kernel's: the certificate that stands for them is asked here. */
	if (d->policy.verify_mode != UL_POLICY_PINNED)
		d->demands.seal.mode = UL_VERIFY_USER;
	d->designator = ul_designator_words[d->policy.designator];
	return 0;
}

/* A root hash alone is trust enough; else certificates, by default those of the machine. */
static int from_options(const struct cli_demand_options *o, struct cli_demands *d, struct ul_error *err)
{
	int r = 0;

	d->demands = (struct ul_requirements){
		.seal = {.mode = UL_VERIFY_USER,
			 .descriptor_required = !o->descriptor || strcmp(o->descriptor, "optional") != 0,
			 .rollback_min = o->rollback_min},
		.name = o->name,
		.manifest_required = true,
	};
	if (o->root_hash) {
		size_t len = strlen(o->root_hash) / 2;

		(void)ul_hex_decode(o->root_hash, 2 * len, d->root_hash, len);
		d->demands.seal.pinned_root_hash = d->root_hash;
		d->demands.seal.pinned_root_hash_len = len;
		d->demands.pin_names_image = true;
	}
	if (o->root_hash && !o->cert && !o->certs)
		d->demands.seal.mode = UL_VERIFY_PINNED;
	else
		r = cli_trust_load(o->cert, o->certs, &d->trust, err);
	d->demands.seal.trust = d->trust;
	return r;
}

int cli_demands_load(const struct cli_demand_options *o, struct cli_demands *ret, struct ul_error *err)
{
	*ret = (struct cli_demands){0};
	ul_policy_init(&ret->policy);
	return o->policy ? from_policy(o, ret, err) : from_options(o, ret, err);
}

void cli_demands_free(struct cli_demands *d)
{
	ul_trust_free(d->trust);
	ul_policy_free(&d->policy);
}
