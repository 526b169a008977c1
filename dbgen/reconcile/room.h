/* A disk that is full to its last block: each step of a reconcile, tried again once there is room; see room.c. */
#pragma once

#include "dbgen/reconcile/agree.h"
#include "dbgen/reconcile/quarantine.h"

/*
 * Do a step, and where the disk is full make room and do it again. A step that fails so must be one that can be done
 * again. until: what of the room is not taken for it any more. What the step returns in the end; a dry run does it
 * once.
 */
int ul_with_room(struct ul_agreement *a, int (*step)(struct ul_agreement *a), enum ul_room until);

/* Throw away of the quarantine and the trash what this run may: as the limits say, or more. */
int ul_room_empty(struct ul_agreement *a, enum ul_quarantine_extent extent);
