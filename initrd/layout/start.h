/* Where the programs lie in the initramfs: for what packs them and for what starts them. */
#pragma once

#define UL_INITRD_START    "/init"                  /* underlay-start; the kernel starts it by this name */
#define UL_START_NEXT      "/bin/underlay-init"     /* what it starts */
#define UL_INITRD_SHUTDOWN "/bin/underlay-shutdown" /* beside it: what systemd returns to at the end */
