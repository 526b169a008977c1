/*
 * The drivers of watchdogs that PCs, virtual machines and boards have: packed by `underlay initrd build` where the
 * policy wants a watchdog (initrd/pack/initrd.c), and loaded in this order until one has a device
 * (initrd/trial/watchdog.c). One whose hardware is not there does nothing. A virtual machine's own comes before Intel's
 * TCO, which every q35 has and whose restart QEMU ignores unless told otherwise; before that comes what shows it.
 */
#pragma once

#define UL_WATCHDOG_DRIVERS                                                                                           \
	"wdat_wdt", "i6300esb", "lpc_ich", "i2c_i801", "iTCO_wdt", "sp5100_tco", "bcm2835_wdt", "imx2_wdt", "dw_wdt", \
		"sbsa_gwdt"
