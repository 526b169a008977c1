#include "initrd/report/state.h"

#include <fcntl.h>
#include <string.h>

#include "common/clock.h"
#include "common/encoding.h"
#include "common/file.h"
#include "common/json.h"
#include "common/paths.h"
#include "initrd/base/boot_paths.h"
#include "verity/trial/sentence.h"

static const char what[] = "writing the state";

#define RECONCILED_NAMES 32 /* of each action; the whole report is on the upper */

/*
 * json-c fails only for want of memory: the builders below give NULL then, which poisons whatever they
 * were to be put into, so that one check at the end is enough.
 */

static struct json_object *signer_json(const struct ul_signer_name *by)
{
	struct json_object *obj = json_object_new_object();

	return ul_json_if(obj && ul_json_add_string(obj, "subject", by->subject) &&
				  ul_json_add_string(obj, "fingerprint", by->fingerprint),
			  obj);
}

static struct json_object *kernel_signer_json(const struct ul_signer_claim *by)
{
	struct json_object *obj = json_object_new_object();

	return ul_json_if(obj && ul_json_add_string(obj, "issuer", by->issuer) &&
				  ul_json_add_string(obj, "serial", by->serial),
			  obj);
}

static struct json_object *fec_json(const struct ul_lower *l)
{
	struct json_object *obj = json_object_new_object();

	return ul_json_if(obj && ul_json_add_uint(obj, "roots", l->seal.d.fec_roots) &&
				  ul_json_add_uint(obj, "mended", l->mended) &&
				  ul_json_add_bool(obj, "exact", l->mended_exact),
			  obj);
}

static struct json_object *lower_json(const struct ul_boot *b, const struct ul_lower *l)
{
	struct json_object *obj = json_object_new_object();
	char hex[2 * UL_ROOT_HASH_MAX + 1];
	bool ok = obj != NULL;

	if (ok && l->has_slot)
		ok = ul_json_add_string(obj, "name", l->slot.name) &&
		     ul_json_add_string(obj, "version", l->slot.version) &&
		     ul_json_add_string(obj, "disk", l->slot.disk) &&
		     ul_json_add_string(obj, "device", l->slot.data.device);
	if (ok && l->sealed) {
		ul_hex_encode(l->seal.d.root_hash, l->seal.d.root_hash_len, hex);
		ok = ul_json_add_string(obj, "rootHash", hex) &&
		     ul_json_add_string(obj, "verified", ul_policy_mode_words[b->policy.verify_mode]) &&
		     ul_json_add_bool(obj, "descriptor", l->seal.from_descriptor) &&
		     ul_json_add_uint(obj, "rollbackIndex", l->seal.d.rollback_index);
		if (ok && l->seal.by.fingerprint[0])
			ok = ul_json_add(obj, "signer", signer_json(&l->seal.by));
		if (ok && l->seal.kernel_by.serial[0])
			ok = ul_json_add(obj, "kernelSigner", kernel_signer_json(&l->seal.kernel_by));
	}
	if (ok && l->shared)
		ok = ul_json_add_string(obj, "share", l->device) &&
		     ul_json_add_string(obj, "verified", ul_policy_mode_words[UL_POLICY_INSECURE]) &&
		     (!l->info.name || ul_json_add_string(obj, "name", l->info.name)) &&
		     (!l->info.version || ul_json_add_string(obj, "version", l->info.version));
	if (ok && l->filesystem)
		ok = ul_json_add_string(obj, "filesystem", l->filesystem) &&
		     ul_json_add_string(obj, "mount", l->mount) && ul_json_add_string(obj, "store", l->store);
	if (ok && l->sealed && l->seal.d.fec_roots)
		ok = ul_json_add(obj, "fec", fec_json(l));
	if (ok && l->mapping[0])
		ok = ul_json_add_string(obj, "mapping", l->mapping);
	if (ok && l->manifest)
		ok = ul_json_add_uint(obj, "paths", ul_manifest_n_paths(l->manifest));
	return ul_json_if(ok && ul_json_add_string(obj, "system", l->system), obj);
}

static struct json_object *error_json(const char *stage, const struct ul_error *e)
{
	struct json_object *obj = json_object_new_object();
	char sentence[1200];

	return ul_json_if(obj && ul_json_add_string(obj, "stage", stage) &&
				  ul_json_add_uint(obj, "code", (uint64_t)e->code) &&
				  ul_json_add_string(obj, "name", ul_code_name(e->code)) &&
				  ul_json_add_string(obj, "sentence", ul_error_sentence(e, sentence, sizeof(sentence))),
			  obj);
}

static struct json_object *lowers_json(const struct ul_boot *b)
{
	struct json_object *list = json_object_new_array();
	bool ok = list != NULL;

	for (size_t i = 0; ok && i < b->n_lowers; i++)
		ok = ul_json_append(list, lower_json(b, &b->lowers[i]));
	return ul_json_if(ok, list);
}

static struct json_object *refused_json(const struct ul_boot *b)
{
	struct json_object *list = json_object_new_array();
	bool ok = list != NULL;

	for (size_t i = 0; ok && i < b->n_refusals; i++) {
		struct json_object *obj = error_json(b->refusals[i].stage, &b->refusals[i].err);

		ok = obj && ul_json_add_string(obj, "slot", b->refusals[i].slot);
		ok = ul_json_append(list, ul_json_if(ok, obj));
	}
	return ul_json_if(ok, list);
}

static struct json_object *passed_json(const struct ul_boot *b)
{
	struct json_object *list = json_object_new_array();
	bool ok = list != NULL;

	for (size_t i = 0; ok && i < b->n_passed; i++) {
		struct json_object *obj = json_object_new_object();

		ok = obj && ul_json_add_string(obj, "slot", b->passed[i].slot) &&
		     ul_json_add_string(obj, "why", b->passed[i].why);
		ok = ul_json_append(list, ul_json_if(ok, obj));
	}
	return ul_json_if(ok, list);
}

/* What is known of the image that was started. */
static struct json_object *trial_json(const struct ul_boot *b, const struct ul_lower *lower)
{
	const struct ul_trial_image image = {lower->seal.d.root_hash, lower->seal.d.root_hash_len, ""};
	const struct ul_trial *t = ul_trial_find(&b->record->store.record, &image);
	struct json_object *obj = json_object_new_object();
	bool ok = obj &&
		  ul_json_add_string(obj, "kept", b->record->store.place == UL_TRIAL_PARTITION ? "partition" : "efi") &&
		  (!b->record->disk[0] || ul_json_add_string(obj, "disk", b->record->disk)) &&
		  ul_json_add_string(obj, "state", ul_trial_state_words[t ? t->state : 0]);

	if (ok && t && t->state == UL_TRIAL_TRYING)
		ok = ul_json_add_uint(obj, "triesLeft", t->tries_left);
	return ul_json_if(ok, obj);
}

static struct json_object *timeline_json(const struct ul_boot *b)
{
	struct json_object *obj = json_object_new_object();
	struct json_object *list = json_object_new_array();
	bool ok = obj && list && ul_json_add_uint(obj, "startUs", b->start_us) &&
		  ul_json_add_uint(obj, "totalUs", ul_now_us() - b->start_us);

	for (size_t i = 0; ok && i < b->n_times; i++) {
		const struct ul_stage_time *t = &b->times[i];
		struct json_object *row = json_object_new_object();

		ok = row && ul_json_add_string(row, "name", t->name) && ul_json_add_uint(row, "startUs", t->start_us) &&
		     ul_json_add_uint(row, "us", t->took_us);
		ok = ul_json_append(list, ul_json_if(ok, row));
	}
	list = ul_json_if(ok, list);
	return ul_json_if(ul_json_add(obj, "stages", list), obj);
}

/* What it is made from, and what of it nobody vouches for. */
static struct json_object *root_json(const struct ul_boot *b)
{
	struct json_object *obj = json_object_new_object();
	struct json_object *list = json_object_new_array();
	bool ok = obj && list && ul_json_add_string(obj, "from", ul_root_from_words[b->policy.root_from]);

	for (size_t i = 0; ok && i < b->root_unsealed.n; i++)
		ok = ul_json_append_string(list, b->root_unsealed.at[i]);
	list = ul_json_if(ok, list);
	return ul_json_if(ul_json_add(obj, "unsealed", list), obj);
}

static struct json_object *joined_json(const struct ul_join_report *j)
{
	struct json_object *obj = json_object_new_object();

	return ul_json_if(
		obj && ul_json_add_uint(obj, "sessions", j->sessions) && ul_json_add_uint(obj, "entries", j->joined) &&
			ul_json_add_uint(obj, "removed", j->removed) && ul_json_add_uint(obj, "sealed", j->sealed) &&
			ul_json_add_uint(obj, "orphans", j->orphans) && ul_json_add_uint(obj, "deep", j->deep) &&
			ul_json_add_uint(obj, "mended", j->mended),
		obj);
}

static bool add_guard(const struct ul_upper *u, struct json_object *obj)
{
	static const char *const words[] = {
		[UL_GUARDED_NOT] = "none",
		[UL_GUARDED_NEW] = "new",
		[UL_GUARDED_CHECKED] = "checked",
		[UL_GUARDED_ANEW] = "anew",
	};

	return !u->persistent || (ul_json_add_string(obj, "guard", words[u->guarded]) &&
				  (!u->check_us || ul_json_add_uint(obj, "checkUs", u->check_us)) &&
				  (!u->anew_us || ul_json_add_uint(obj, "anewUs", u->anew_us)));
}

/* What was in it, and is not there any more. */
static bool add_lost(const struct ul_upper *u, struct json_object *obj)
{
	struct json_object *list;
	bool ok = !u->kept_lost || ul_json_add_bool(obj, "keptLost", true);

	if (!ok || u->n_left_out == 0)
		return ok;
	list = json_object_new_array();
	ok = list != NULL;
	for (size_t i = 0; ok && i < u->left_out.n; i++)
		ok = ul_json_append_string(list, u->left_out.at[i]);
	return ul_json_add(obj, "leftOut", ul_json_if(ok, list)) &&
	       ul_json_add_uint(obj, "leftOutCount", u->n_left_out) && ul_json_add_string(obj, "leftIn", u->left_in);
}

static struct json_object *upper_json(const struct ul_upper *u)
{
	struct json_object *obj = json_object_new_object();
	char sentence[1200];
	bool ok = obj && ul_json_add_string(obj, "type", u->persistent ? "disk" : "tmpfs") &&
		  ul_json_add_string(obj, "mount", UL_PATH_UPPER) &&
		  ul_json_add_bool(obj, "persistent", u->persistent) &&
		  ul_json_add_string(obj, "filesystem", u->filesystem) && ul_json_add_bool(obj, "fresh", u->fresh) &&
		  ul_json_add_uint(obj, "mended", u->n_mended) && add_guard(u, obj) && add_lost(u, obj);

	if (ok && u->device[0])
		ok = ul_json_add_string(obj, "device", u->device);
	if (ok && u->session[0])
		ok = ul_json_add_string(obj, "session", u->session);
	if (ok && u->persistent)
		ok = ul_json_add(obj, "joined", joined_json(&u->joined));
	if (ok && u->fallback)
		ok = ul_json_add_string(obj, "fallback", ul_error_sentence(&u->why, sentence, sizeof(sentence)));
	return ul_json_if(ok, obj);
}

/* The stages that come after the upper: known when the database's mode is. */
static bool add_writable(const struct ul_boot *b, struct json_object *obj)
{
	struct json_object *db = json_object_new_object();
	bool ok = db &&
		  ul_json_add_string(db, "mode",
				     b->database == UL_DATABASE_ATTACH || b->database == UL_DATABASE_REBUILD
					     ? ul_database_mode_words[b->database]
					     : "none") &&
		  ul_json_add_string(db, "why", b->database_why) && ul_json_add_uint(db, "us", b->database_us) &&
		  ul_json_add_uint(db, "gcRoots", b->n_gcroots);

	if (ok && b->reconciled) {
		const struct ul_lower *l = &b->lowers[b->n_lowers - 1];

		ok = ul_json_add_bool(db, "kept", b->reconcile.database_kept) &&
		     ul_json_add(obj, "reconcile",
				 ul_reconcile_report_json(&b->reconcile, l->info.name, l->info.version,
							  RECONCILED_NAMES));
	}
	return ul_json_add(obj, "database", ul_json_if(ok, db)) && ok;
}

/* What is started, once it is decided: after stage database. */
static bool add_system(const struct ul_boot *b, struct json_object *obj)
{
	struct json_object *system = json_object_new_object();
	char sentence[1200];
	bool ok = system && ul_json_add_string(system, "path", ul_boot_system(b)) &&
		  ul_json_add_string(system, "from", b->profile ? "profile" : "image");

	if (ok && b->profile_why.code)
		ok = ul_json_add_string(system, "why", ul_error_sentence(&b->profile_why, sentence, sizeof(sentence)));
	return ul_json_add(obj, "system", ul_json_if(ok, system));
}

static bool add_failure(const struct ul_boot *b, struct json_object *obj)
{
	struct json_object *failure = error_json(b->failed_stage, &b->failure);
	bool ok = failure && ul_json_add_string(failure, "what", b->failure.what) &&
		  ul_json_add_string(failure, "object", b->failure.object) &&
		  ul_json_add_string(failure, "why", b->failure.why) &&
		  ul_json_add_string(failure, "todo", b->failure.todo);

	return ul_json_add(obj, "failure", ul_json_if(ok, failure));
}

static struct json_object *last_failure_json(const struct ul_last_failure *f)
{
	struct json_object *obj = json_object_new_object();

	return ul_json_if(
		obj && ul_json_add_string(obj, "from", f->from) && ul_json_add_string(obj, "stage", f->stage) &&
			ul_json_add_uint(obj, "code", f->code) && ul_json_add_string(obj, "name", f->name) &&
			ul_json_add_string(obj, "sentence", f->sentence) && ul_json_add_uint(obj, "when", f->when) &&
			ul_json_add_string(obj, "underlay", f->underlay),
		obj);
}

int ul_state_format(const struct ul_boot *b, const char *result, struct ul_buffer *ret, struct ul_error *err)
{
	ul_autojson struct json_object *obj = ul_json_document(1);
	const char *text = NULL;
	bool ok = obj && ul_json_add_string(obj, "underlay", UL_VERSION) && ul_json_add_string(obj, "result", result) &&
		  ul_json_add(obj, "lowers", lowers_json(b)) && ul_json_add(obj, "refused", refused_json(b)) &&
		  ul_json_add(obj, "passedOver", passed_json(b));

	if (ok && b->watchdog_s)
		ok = ul_json_add_uint(obj, "watchdogSeconds", b->watchdog_s);
	if (ok && b->record && b->n_lowers > 0)
		ok = ul_json_add(obj, "trial", trial_json(b, &b->lowers[b->n_lowers - 1]));

	if (ok && b->root_known)
		ok = ul_json_add(obj, "root", root_json(b));
	if (ok && b->upper.mounted)
		ok = ul_json_add(obj, "upper", upper_json(&b->upper));
	if (ok && b->database_why[0])
		ok = add_writable(b, obj) && add_system(b, obj);
	ok = ok && ul_json_add(obj, "timeline", timeline_json(b));
	if (ok && b->failed_stage)
		ok = add_failure(b, obj);
	if (ok && b->last_failure.from)
		ok = ul_json_add(obj, "lastFailure", last_failure_json(&b->last_failure));
	if (ok)
		text = ul_json_text(obj);
	if (!text || ul_buffer_append(ret, text, strlen(text)) < 0 || ul_buffer_append(ret, "\n", 1) < 0)
		return ul_error_nomem(err, what);
	return 0;
}

int ul_state_write(const struct ul_boot *b, const char *result, struct ul_error *err)
{
	ul_autobuffer struct ul_buffer text = {0};
	ul_autofree char *path = ul_path_join(b->run_dir, "state.json");
	int r = ul_state_format(b, result, &text, err);

	if (r < 0)
		return r;
	if (!path)
		return ul_error_nomem(err, what);
	r = ul_mkdir_parents(AT_FDCWD, b->run_dir, 0755);
	if (r == 0)
		r = ul_write_file(AT_FDCWD, path, 0644, text.data, text.len);
	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, what, path, NULL, -r);
	return 0;
}
