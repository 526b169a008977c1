/* Every subcommand, each defined in a file of its own or of its group. */
#pragma once

#include "cli/cli.h"

extern const struct cli_command cli_manifest_create;
extern const struct cli_command cli_manifest_show;
extern const struct cli_command cli_manifest_export;
extern const struct cli_command cli_manifest_check;
extern const struct cli_command cli_db_build;
extern const struct cli_command cli_db_compare;
extern const struct cli_command cli_db_reconcile;
extern const struct cli_command cli_image_build;
extern const struct cli_command cli_image_sign;
extern const struct cli_command cli_image_inspect;
extern const struct cli_command cli_image_verify;
extern const struct cli_command cli_image_locate;
extern const struct cli_command cli_image_split;
extern const struct cli_command cli_initrd_build;
extern const struct cli_command cli_uki_build;
extern const struct cli_command cli_uki_sign;
extern const struct cli_command cli_uki_inspect;
extern const struct cli_command cli_disk_build;
extern const struct cli_command cli_disk_show;
extern const struct cli_command cli_install;
extern const struct cli_command cli_update;
extern const struct cli_command cli_run;
extern const struct cli_command cli_status;
extern const struct cli_command cli_timeline;
extern const struct cli_command cli_slots;
extern const struct cli_command cli_rollback;
extern const struct cli_command cli_mark_good;
extern const struct cli_command cli_gc;
extern const struct cli_command cli_remount;
extern const struct cli_command cli_mark_clean;

/* Print the script of a shell, or the tables as JSON. Returns 0 or 3. */
int cli_completion(const char *shell, const struct cli_group *groups);
