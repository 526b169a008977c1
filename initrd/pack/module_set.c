/* The modules of a boot, each with its reason. Some exist on one machine only, or in other kernels. */
#include "initrd/pack/modules.h"

#define ALWAYS   UL_MODULE_ALWAYS
#define BY_ALIAS UL_MODULE_BY_ALIAS
#define BY_NAME  UL_MODULE_BY_NAME

const struct ul_module_want ul_module_defaults[] = {
	/* What every boot uses, in the order of loading. */
	{"dm_verity", ALWAYS, true, "the sealed image is opened through it"},
	{"overlay", ALWAYS, true, "/nix/store is an overlay over the sealed image"},
	{"sha256_generic", ALWAYS, false, "dm-verity hashes with it"},
	{"sha256", ALWAYS, false, "dm-verity hashes with it (its name from kernel 6.16 on)"},

	/* The processor's own SHA-256: several times faster, and dm-verity lies under every read. */
	{"sha256_ssse3", BY_ALIAS, false, "it speeds dm-verity up on x86 processors"},
	{"sha256_ce", BY_ALIAS, false, "it speeds dm-verity up on ARM processors"},

	/* Filesystems of the lower and of the upper: which of them shows when the device is probed. */
	{"erofs", BY_NAME, false, "the sealed image may be of this filesystem"},
	{"squashfs", BY_NAME, false, "the sealed image may be of this filesystem"},
	{"ext4", BY_NAME, false, "the writable layer, or the sealed image, may be of this filesystem"},
	{"dm_crypt", BY_NAME, false, "the writable layer may be encrypted"},

	/* What a failed boot leaves for the next one. */
	{"efivarfs", BY_NAME, false, "the report of a failed boot is kept in an EFI variable"},
	{"ramoops", BY_NAME, false, "the report of a failed boot is kept in memory that a restart spares"},

	/* Disks of virtual machines. */
	{"virtio_pci", BY_ALIAS, false, "virtual machines attach their devices by it"},
	{"virtio_mmio", BY_ALIAS, false, "small virtual machines attach their devices by it"},
	{"virtio_blk", BY_ALIAS, false, "it drives the disks of KVM machines"},
	{"virtio_scsi", BY_ALIAS, false, "it drives the disks of KVM machines and clouds"},
	{"hv_storvsc", BY_ALIAS, false, "it drives the disks of Hyper-V machines"},
	{"xen_blkfront", BY_ALIAS, false, "it drives the disks of Xen machines"},

	/* Disks of real machines. */
	{"nvme", BY_ALIAS, false, "it drives NVMe disks"},
	{"vmd", BY_ALIAS, false, "it shows the NVMe disks behind Intel's VMD"},
	{"ahci", BY_ALIAS, false, "it drives SATA disks"},
	{"ata_piix", BY_ALIAS, false, "it drives the IDE disks of older and virtual machines"},
	{"sd_mod", BY_ALIAS, false, "it makes disks of SATA, SCSI and USB storage"},
	{"xhci_pci", BY_ALIAS, false, "the image may be on a USB stick"},
	{"ehci_pci", BY_ALIAS, false, "the image may be on a USB stick"},
	{"usb_storage", BY_ALIAS, false, "the image may be on a USB stick"},
	{"uas", BY_ALIAS, false, "the image may be on a fast USB disk"},
	{"sdhci_pci", BY_ALIAS, false, "the image may be on eMMC or an SD card"},
	{"sdhci_acpi", BY_ALIAS, false, "the image may be on eMMC or an SD card"},
	{"mmc_block", BY_ALIAS, false, "it makes disks of eMMC and SD cards"},
	{0},
};
