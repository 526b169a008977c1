/* cli/reconcile.c: a row of the table in cli/db.c. */
#pragma once

int cli_db_reconcile(int argc, char **argv);
