/*
 * /run/underlay/state.json: what the boot did, for `underlay status`, `underlay timeline` and whoever
 * watches a fleet. Members may be added, none changes its meaning within a format number.
 *
 *     {"format": 1, "underlay": "0.1.0", "result": "booted" | "prepared" | "failed",
 *      "lowers": [{"name", "version", "disk", "device", "rootHash", "verified": "user" | ... | "insecure": nothing is,
 *                  "share": the directory that the host shares, "9p:TAG", where it is that, "descriptor": true,
 *                  "rollbackIndex", "signer": {"subject", "fingerprint"}: who signed, as checked by underlay-init,
 *                  "kernelSigner": {"issuer", "serial"}: by which key, as checked by the kernel,
 *                  "filesystem", "mount", "store", "mapping",
 *                  "fec": {"roots", "mended" (times, until the system was started), "exact"}, "paths", "system"}],
 *      "refused": [{"slot", "stage", "code", "name", "sentence"}],
 *      "passedOver": images that had their tries in vain: [{"slot", "why"}],
 *      "trial": where the machine counts starts: {"kept": "partition" | "efi", "disk": that has the record,
 *               "state" of the image that was started: "new" | "trying" | "good" | "bad", "triesLeft" of a trying one},
 *      "watchdogSeconds": after which the hardware restarts the machine, unless it is taken over,
 *      "root": {"from": "tmpfs" | "mounted", "unsealed": what of a mounted one is on no memory, so that nobody vouches
 *               for it: ["/ (ext4, /dev/sda2)"]},
 *      "upper": {"type": "tmpfs" | "disk", "mount", "persistent", "filesystem", "fresh": nothing of an earlier boot
 *                is on it, "mended": how many things on it were not what they must be, "device",
 *                "session": this boot's layer, from the mount, "joined": of a persistent one: what earlier sessions
 *                left: {"sessions", "entries" that were kept, "removed": kept ones that went for them, "sealed":
 *                thrown away for their names, "orphans": for want of what they were copied from, "deep": for
 *                lying deeper than any path, "mended"}, "keptLost": true where what earlier boots kept was not there,
 *                "fallback": why it is not the one that the policy wants, "guard": of a disk's, what keeps its old
 *                contents out of the session: "new" (made in this boot) | "checked" | "anew" | "none",
 *                "checkUs", "anewUs": what fsck and making var anew took, where they were done, "leftOut": the first
 *                "PATH: why" of what var had no room for, "leftOutCount": all, "leftIn": where they lie until the next
 *                boot, from the mount},
 *      "reconcile": for a persistent upper only; see dbgen/reconcile/report.c; at most 32 names of each action,
 *      "database": {"mode": "attach", "why", "us": of stage database, and of the database in
 *                   stage reconcile, "gcRoots": how many, "kept": for a persistent upper only},
 *      "system": {"path": what is started, "from": "image" | "profile",
 *                 "why": not the profile, where the policy wants it},
 *      "timeline": {"startUs": CLOCK_MONOTONIC at the start of /init, "totalUs",
 *                   "stages": [{"name", "startUs" (since the start of /init), "us"}]},
 *      "failure": {"stage", "code", "name", "what", "object", "why", "todo"},
 *      "lastFailure": {"from": "efi" | "pstore", "stage", "code", "name", "sentence", "when" (seconds since 1970),
 *                      "underlay"}}, of an earlier boot
 *
 * What was not reached is left out. `underlay status --json` adds "damage" (cli/status_damage.h), and to "upper"
 * "exposed": true where others than root may enter it.
 */
#pragma once

#include "common/buffer.h"
#include "initrd/base/boot.h"

int ul_state_format(const struct ul_boot *b, const char *result, struct ul_buffer *ret, struct ul_error *err);

/* Write it to b->run_dir/state.json. */
int ul_state_write(const struct ul_boot *b, const char *result, struct ul_error *err);
