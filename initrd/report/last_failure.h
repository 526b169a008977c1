/*
 * A failed boot's report that outlives it. The failing boot leaves one record, the next good boot reads it into
 * state.json ("lastFailure") and takes it away.
 *
 * The record is one line of JSON, at most UL_LAST_FAILURE_MAX bytes:
 *
 *     {"format": 1, "code": 21, "name": "corrupt", "stage": "verify", "sentence": "...", "when": seconds since 1970,
 *      "underlay": "0.1.0"}
 *
 * It is kept, by what the machine has:
 *
 *   efi      in the variable UnderlayLastFailure of a vendor GUID of our own, non-volatile. Flash wears out: it is
 *            written only where it differs in more than its time from the one that is there.
 *   pstore   in the kernel's log, as the line "underlay: record JSON", which the kernel hands to a pstore backend
 *            (ramoops) when it restarts: it is told to do so by printk's always_kmsg_dump.
 *
 * Whoever is root in the system, or has the firmware, can write either: what is read is bounded, parsed strictly,
 * shown, and believed in nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "initrd/base/boot.h"

#define UL_LAST_FAILURE_MAX 900 /* with "underlay: record " it fits into one record of the kernel's log */
#define UL_LAST_FAILURE_EFI "UnderlayLastFailure-5f0b6a52-3d0c-4c62-9f0e-8b1de2c7a941"

/* The record of b->failure, into buf. Returns buf. */
char *ul_last_failure_format(const struct ul_boot *b, unsigned long long when, char buf[UL_LAST_FAILURE_MAX + 1]);

/* The record in these bytes. false: they are not a record. */
bool ul_last_failure_parse(const char *text, size_t len, struct ul_last_failure *ret);

/* Keep b->failure, as well as the machine can. What it cannot is a line in the log, not a failure. */
void ul_last_failure_keep(struct ul_boot *b);

/* Before the system is started: b->last_failure is what an earlier boot kept. */
void ul_last_failure_find(struct ul_boot *b);

/* It stands in state.json: take it away. */
void ul_last_failure_clear(struct ul_boot *b);
