/* The model behind the generator: shares and distributions as counted in NixOS systems' stores. */
#include "tests/unit/random_store.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/encoding.h"
#include "dbgen/store/store_path.h"

const struct random_store_options random_store_real = {.signed_share = 70, .mean_refs = 7, .odd_share = 1};

const struct random_store_options random_store_builder = {.signed_share = 70, .mean_refs = 4, .none_share = 10};

struct random_store_chunk {
	struct random_store_chunk *next;
	size_t used, size;
	char bytes[] __attribute__((aligned(16)));
};

/* What one run carries: the store, its state, and whether memory ran out. */
struct maker {
	struct random_store *s;
	struct random_store_options o;
	uint64_t state;
	bool failed;
};

uint64_t random_next(uint64_t *state)
{
	uint64_t v = *state += 0x9e3779b97f4a7c15ULL;

	v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9ULL;
	v = (v ^ v >> 27) * 0x94d049bb133111ebULL;
	return v ^ v >> 31;
}

static uint64_t below(struct maker *m, uint64_t n)
{
	return random_next(&m->state) % n;
}

static bool chance(struct maker *m, unsigned int percent)
{
	return below(m, 100) < percent;
}

/* From 0 to 1, exclusive. */
static double fraction(struct maker *m)
{
	return ((double)(random_next(&m->state) >> 11) + 0.5) / 9007199254740992.0;
}

static void *keep(struct maker *m, size_t size)
{
	struct random_store_chunk *c = m->s->chunks;
	void *at;

	size = (size + 15) / 16 * 16;
	if (!c || c->size - c->used < size) {
		size_t chunk = size > 1 << 20 ? size : 1 << 20;

		c = malloc(sizeof(*c) + chunk);
		if (!c) {
			m->failed = true;
			return NULL;
		}
		*c = (struct random_store_chunk){.next = m->s->chunks, .size = chunk};
		m->s->chunks = c;
	}
	at = c->bytes + c->used;
	c->used += size;
	return at;
}

static const char *textf(struct maker *m, const char *format, ...) __attribute__((format(printf, 2, 3)));

static const char *textf(struct maker *m, const char *format, ...)
{
	char buf[2048], *at;
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(buf, sizeof(buf), format, args);
	va_end(args);
	at = keep(m, (size_t)len + 1);
	return at ? memcpy(at, buf, (size_t)len + 1) : "";
}

static void random_bytes(struct maker *m, uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)random_next(&m->state);
}

static const char *random_digest(struct maker *m, char out[UL_HASH_DIGITS + 1])
{
	uint8_t digest[UL_DIGEST_SIZE];

	random_bytes(m, digest, sizeof(digest));
	ul_store_digest_text(digest, out);
	out[UL_HASH_DIGITS] = '\0';
	return out;
}

/* "glibc-2.38-44", "python3.11-requests-2.31.0-dist", "unit-systemd-udevd.service", ... */
static void random_name(struct maker *m, char *out, size_t size)
{
	static const char *const families[] = {"",         "",        "",    "",      "python3.11-", "perl5.38.2-",
					       "haskell-", "unit-",   "lib", "xorg-", "gst-",        "kde-",
					       "etc-",     "texlive-"};
	static const char *const parts[] = {"ba",  "con", "du",  "er",  "fon", "gra", "her", "il",
					    "jo",  "ker", "lin", "mo",  "net", "or",  "pro", "qt",
					    "ros", "sys", "ter", "uni", "vi",  "wra", "xa",  "zlib"};
	static const char *const ends[] = {"",     "",         "",      "",    "-dev",    "-lib",   "-doc", "-man",
					   "-bin", ".service", ".conf", ".sh", ".tar.gz", ".patch", "-hook"};
	int len = snprintf(out, size, "%s", families[below(m, UL_ARRAY_SIZE(families))]);

	for (uint64_t i = 1 + below(m, 4); i-- > 0;)
		len += snprintf(out + len, size - (size_t)len, "%s", parts[below(m, UL_ARRAY_SIZE(parts))]);
	if (chance(m, 75))
		len += snprintf(out + len, size - (size_t)len, "-%u.%u", (unsigned int)below(m, 8),
				(unsigned int)below(m, 40));
	if (chance(m, 50))
		len += snprintf(out + len, size - (size_t)len, ".%u", (unsigned int)below(m, 20));
	len += snprintf(out + len, size - (size_t)len, "%s", ends[below(m, UL_ARRAY_SIZE(ends))]);
	/* A long one now and then, up to the limit. */
	for (uint64_t more = chance(m, m->o.odd_share) ? below(m, UL_NAME_MAX - (size_t)len + 1) : 0; more-- > 0;)
		out[len++] = (char)('a' + below(m, 26));
	out[len] = '\0';
}

static const char *random_sig(struct maker *m, const char *key)
{
	char text[UL_HASH_DIGITS * 4];
	uint8_t sig[64];

	random_bytes(m, sig, sizeof(sig));
	ul_base64_encode(sig, sizeof(sig), text);
	return textf(m, "%s:%s", key, text);
}

static const char *random_sigs(struct maker *m, bool *ret_ultimate)
{
	bool from_cache = chance(m, m->o.signed_share);

	*ret_ultimate = !from_cache && chance(m, 80);
	if (from_cache && !chance(m, m->o.odd_share))
		return random_sig(m, "cache.nixos.org-1");
	if (!chance(m, m->o.odd_share))
		return NULL;
	switch (below(m, 3)) {
	case 0:
		return textf(m, "%s %s", random_sig(m, "cache.nixos.org-1"), random_sig(m, "builder.example.org-1"));
	case 1:
		return random_sig(m, "builder.example.org-1");
	default:
		return "odd-key:c2hvcnQ=";
	}
}

static const char *random_ca(struct maker *m, const char *name)
{
	uint8_t hash[UL_NAR_HASH_SIZE];
	char text[64];

	random_bytes(m, hash, sizeof(hash));
	hash[31] &= 0x0f;
	ul_nix32_encode(hash, sizeof(hash), text);
	if (strstr(name, ".tar.gz") || strstr(name, ".patch"))
		return textf(m, "fixed:sha256:%s", text);
	return textf(m, "%s:sha256:%s", chance(m, 50) ? "fixed:r" : "text", text);
}

static const char *random_deriver(struct maker *m, const char *name)
{
	char digest[UL_HASH_DIGITS + 1];
	size_t len = strlen(name);

	if (chance(m, m->o.odd_share))
		return textf(m, "/gnu/store/%s-%s.drv", random_digest(m, digest), name);
	/* An output that is not "out" carries its name behind the derivation's. */
	if (len > 4 && (!strcmp(name + len - 4, "-dev") || !strcmp(name + len - 4, "-lib")))
		len -= 4;
	len = len > UL_NAME_MAX - 4 ? UL_NAME_MAX - 4 : len;
	return textf(m, "%s/%s-%.*s.drv", m->s->store_dir, random_digest(m, digest), (int)len, name);
}

/* So that the mean stays what it was when some have none and the others one more. */
#define NONE_SCALE 1.14

/* How many references: most have few, some dozens, a system or an environment hundreds. */
static size_t random_degree(struct maker *m, size_t i)
{
	double mean = m->o.mean_refs;
	double n = mean > 0 ? -log(fraction(m)) * mean * 0.75 : 0;

	if (m->o.none_share > 0)
		n = chance(m, m->o.none_share) ? 0 : n * NONE_SCALE + 1;
	if (chance(m, m->o.none_share > 0 ? 1 : 3))
		n *= 8;
	if (below(m, 2000) == 0)
		n += (double)below(m, 1500);
	return n < (double)i ? (size_t)n : i;
}

/* References to paths before: mostly popular ones, some made at about the same time. */
static void random_refs(struct maker *m, size_t i, struct ul_path_info *p)
{
	size_t n = random_degree(m, i);
	const char **refs = keep(m, (n + 2) * sizeof(*refs));

	if (!refs)
		return;
	for (size_t k = 0; k < n; k++) {
		double u = fraction(m);
		size_t to = chance(m, 25) ? i - 1 - (size_t)below(m, i < 300 ? i : 300)
					  : (size_t)((double)i * u * u * u * u);

		refs[k] = m->s->paths[to].path;
	}
	if (chance(m, 20) && (n > 0 || m->o.none_share == 0))
		refs[n++] = p->path;
	p->refs = refs;
	p->n_refs = n;
}

static void random_path(struct maker *m, size_t i)
{
	struct ul_path_info *p = &m->s->paths[i];
	char digest[UL_HASH_DIGITS + 1], name[UL_NAME_MAX + 64];
	bool drv = chance(m, m->o.drv_share);

	random_name(m, name, sizeof(name));
	if (drv) {
		name[UL_NAME_MAX - 4] = '\0';
		strcat(name, ".drv");
	}
	p->path = textf(m, "%s/%s-%s", m->s->store_dir, random_digest(m, digest), name);
	random_bytes(m, p->nar_hash, sizeof(p->nar_hash));
	/* A logarithmic normal distribution around 40 kB; a NAR's size is a multiple of 8. */
	p->nar_size =
		120 +
		(uint64_t)exp(10.6 + 2.2 * (fraction(m) + fraction(m) + fraction(m) + fraction(m) - 2) * 1.7) / 8 * 8;
	/* Downloads and builds come in bursts. */
	p->registered = 1680000000 + (int64_t)(i / 64 * 977) + (int64_t)below(m, 20);
	if (drv) {
		p->ca = random_ca(m, name);
	} else {
		p->sigs = random_sigs(m, &p->ultimate);
		if (chance(m, 85))
			p->deriver = random_deriver(m, name);
		if (strstr(name, ".tar.gz") || strstr(name, ".patch") || strstr(name, ".sh"))
			p->ca = random_ca(m, name);
	}
	random_refs(m, i, p);
}

static void random_outputs(struct maker *m, const struct ul_path_info *drv)
{
	static const char *const ids[] = {"out", "dev", "lib"};
	struct random_store *s = m->s;
	char digest[UL_HASH_DIGITS + 1];

	for (size_t i = 0, n = 1 + below(m, 3); i < n; i++)
		s->outputs[s->n_outputs++] = (struct random_store_output){
			drv->path, ids[i],
			chance(m, 50) ? s->paths[below(m, s->n)].path
				      : textf(m, "%s/%s-made-%s", s->store_dir, random_digest(m, digest), ids[i])};
}

static void random_realisations(struct maker *m)
{
	struct random_store *s = m->s;
	uint8_t hash[32];
	char hex[65], digest[UL_HASH_DIGITS + 1];

	/* Each third is a build trace, as Nix 2.35 and later have them: it names no others, nor do others name it. */
	for (size_t i = 0; i < s->n_realisations; i++) {
		bool trace = i % 3 == 2;
		size_t ref = (size_t)below(m, i + 1);

		random_bytes(m, hash, sizeof(hash));
		ul_hex_encode(hash, sizeof(hash), hex);
		s->realisations[i] = (struct random_store_realisation){
			.drv_path = trace ? textf(m, "%s-traced.drv", random_digest(m, digest))
					  : textf(m, "sha256:%s", hex),
			.output_name = chance(m, 80) ? "out" : "dev",
			.output_path = s->paths[below(m, s->n)].path,
			.signatures = chance(m, 50) ? random_sig(m, "cache.nixos.org-1") : NULL,
			.ref = trace || ref % 3 == 2 ? i : ref,
		};
	}
}

struct random_store *random_store_new(uint64_t seed, size_t n, const struct random_store_options *options)
{
	struct random_store *s = calloc(1, sizeof(*s));
	struct maker m = {.s = s, .o = *options, .state = seed};

	if (!s)
		return NULL;
	s->n = n;
	s->store_dir = options->store_dir ? options->store_dir : "/nix/store";
	s->n_realisations = options->realisations < n ? options->realisations : n;
	s->paths = calloc(n + 1, sizeof(*s->paths));
	s->realisations = calloc(s->n_realisations + 1, sizeof(*s->realisations));
	s->outputs = calloc(n * 3 + 1, sizeof(*s->outputs));
	m.failed = !s->paths || !s->outputs || !s->realisations;
	for (size_t i = 0; i < n && !m.failed; i++)
		random_path(&m, i);
	for (size_t i = 0; i < n && !m.failed && options->drv_share > 0; i++)
		if (strcmp(s->paths[i].path + strlen(s->paths[i].path) - 4, ".drv") == 0)
			random_outputs(&m, &s->paths[i]);
	if (!m.failed)
		random_realisations(&m);
	if (!m.failed)
		return s;
	random_store_free(s);
	return NULL;
}

void random_store_free(struct random_store *s)
{
	if (!s)
		return;
	for (struct random_store_chunk *c = s->chunks, *next; c; c = next) {
		next = c->next;
		free(c);
	}
	free(s->paths);
	free(s->outputs);
	free(s->realisations);
	free(s);
}

int random_store_fill(const struct random_store *s, struct ul_builder *b, struct ul_error *err)
{
	int r = 0;

	for (size_t i = 0; i < s->n && r == 0; i++)
		r = ul_builder_add(b, &s->paths[i], err);
	for (size_t i = 0; i < s->n_outputs && r == 0; i++)
		r = ul_builder_add_drv_output(b, s->outputs[i].drv, s->outputs[i].id, s->outputs[i].path, err);
	for (size_t i = 0; i < s->n_realisations && r == 0; i++) {
		const struct random_store_realisation *row = &s->realisations[i], *to = &s->realisations[row->ref];

		r = ul_builder_add_realisation(b, row->drv_path, row->output_name, row->output_path, row->signatures,
					       err);
		if (r == 0 && row->ref != i)
			r = ul_builder_add_realisation_ref(b, row->drv_path, row->output_name, to->drv_path,
							   to->output_name, err);
	}
	return r;
}
