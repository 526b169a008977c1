/* How Nix comes to know the lower's paths: stage reconcile and stage database do what is decided here. */
#pragma once

#include "initrd/base/boot.h"

/*
 * Decide between attach and rebuild for the lower in work: b->database, b->database_why. -UL_E_DATABASE: the
 * policy wants attach, and the image does not have a whole database.
 */
int ul_database_decide(struct ul_boot *b, struct ul_error *err);
