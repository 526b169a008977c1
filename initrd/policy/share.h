/*
 * A directory that the host of a virtual machine shares by virtiofs or 9p, as the lower: for development. Nothing
 * vouches for what it holds, or will hold a moment later, so only a policy that says mode = insecure may name one.
 * How it is found and mounted: find_share.h.
 */
#pragma once

#define UL_SHARE_TAG_MAX 36 /* bytes: virtiofs has no room for more */

/* The ways to share. */
struct ul_share_kind {
	const char *name;       /* before the colon; also the filesystem's, for the kernel */
	const char *modules[2]; /* in the order of loading */
	const char *options;    /* for the mount; NULL: none */
	int no_such_tag;        /* the mount's errno where the machine has none of this tag */
};

/* Ended by name == NULL. */
extern const struct ul_share_kind ul_share_kinds[];

struct ul_share {
	const struct ul_share_kind *kind;
	const char *tag; /* points into the text that was parsed */
};

/* Parse "virtiofs:TAG" or "9p:TAG"; *ret is set on success only. NULL, or what is wrong with it. */
const char *ul_share_parse(const char *text, struct ul_share *ret);
