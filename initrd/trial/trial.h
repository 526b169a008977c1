/*
 * Trials: an image that was put on a machine is started a few times, until the running system calls it good; if it
 * never does, an older one is started. The record (verity/trial) of an image lies on the image's own disk, else with
 * the firmware. It is believed in nothing but the order.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "initrd/base/boot.h"

/*
 * Which of b->slots (newest first; not empty) is tried next; index 0 where the policy counts no starts, or nothing is
 * known. Those that it passes over are told and kept in b->passed.
 */
size_t ul_trial_next(struct ul_boot *b);

/*
 * The record that knows images on this slot's disk; it is opened at the first call. NULL: the machine keeps none, which
 * is told once.
 */
struct ul_boot_record *ul_trial_record(struct ul_boot *b, const struct ul_slot *slot);

/* Keep what was changed. What cannot be kept is told, and the boot goes on: a start is more than a count. */
void ul_trial_keep(struct ul_boot_record *record);

/*
 * The image whose start was counted is not started: its slot was refused, or the boot failed. Where that is not the
 * image's fault, it gets its try back.
 */
void ul_trial_ended(struct ul_boot *b, const struct ul_error *why);

/* The started image, as its seal says it. */
struct ul_trial_image ul_trial_image_of(const struct ul_lower *lower);

/*
 * Let the hardware restart the machine where it hangs from now on, as long as [failure] watchdog says; and find out
 * whether it did before. The timer runs on when this program ends. A machine without one: told, and no failure.
 */
void ul_watchdog_arm(struct ul_boot *b);
