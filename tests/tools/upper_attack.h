/*
 * The parts of upper_attack: what somebody writes on an upper while the machine is off, and whether anything sealed
 * changed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define ATTACK_NAME_MAX 256
#define ATTACK_PATH_MAX 4096

/* ---- upper_attack_store.c: a store to be sealed, and every kind of attack on it ---- */

/* How many kinds there are. Each has a directory, a file and a symlink in the store. */
size_t attack_n_kinds(void);

/* "HASH-kind" of the directory ('d'), file ('f') or symlink ('l') of the kind. */
void attack_name(char ret[ATTACK_NAME_MAX], size_t kind, char type);

/* In the current directory: the store; with its `.links` or without. */
void attack_make_store(bool links);

/* In the current directory, a kept layer: all kinds of attacks on the sealed store of that UUID (16 bytes). */
void attack_write_kinds(const char *sealed, const unsigned char *uuid);

/* Small steps that end the program where they fail, but not where the thing is there already. */
void attack_file(const char *path, const char *text);
void attack_dir(const char *path);
void attack_xattr(const char *path, const char *name, const void *value, size_t size);
/* The value of trusted.overlay.origin that names a sealed file. Bytes. */
size_t attack_origin(const char *file, const unsigned char *uuid, unsigned char ret[256]);
_Noreturn void attack_die(const char *path);

/* ---- upper_attack_compare.c: the view against the sealed store ---- */

struct attack_compare {
	const char *sealed, *view;
	const char *kept; /* whose names are looked up in the view; may be NULL */
	bool modes;       /* compare owners and modes, too: nobody changed them through the overlay */
	unsigned int say; /* differences that are still to be printed */
	uint64_t entries, differences;
};

/* Look at, open and read each name that the kept layer has, through the view. */
void attack_touch(const char *kept, const char *view);

/* Every sealed path: listed once, its type, bytes and listing; and no name of the kept layer's inside. */
void attack_compare(struct attack_compare *c);

/*
 * Print every path of the view, sorted, with all that a program can see of it; not those at whose top a sealed one
 * has the name.
 */
void attack_print_view(const char *view, const char *sealed);

/* ---- upper_attack_look.c: the view while the disk errs ---- */

/* Print a record of all that is sealed, with the first bytes of each file. */
void attack_record(const char *sealed);

/*
 * Look at all of it through the view, by its names. Prints the figures. 1: some answer is neither an error nor what the
 * record says, or, where strict is set, something could not be looked at.
 */
int attack_look(const char *record, const char *view, bool strict);

/* ---- upper_attack_random.c ---- */

struct attack_random {
	const char *sealed, *names, *upper, *view;
	const char *links; /* NULL: the sealed store has `.links` */
	const unsigned char *uuid;
	uint64_t seed;
	unsigned int trees;
	bool guarded; /* false: without the names, as a control */
};

/* Random uppers, each booted twice. Prints the figures. The number of trees that changed something sealed. */
unsigned int attack_random(const struct attack_random *a);

/* Change everything through the view that a system may: its own names, and sealed ones where `sealed` is set. */
void attack_disturb(const char *view, const char *sealed, unsigned int additions);
