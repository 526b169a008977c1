#include "cli/efi_machine.h"

#include <fcntl.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "initrd/pack/uki.h"

int cli_read_efi_machine(const char *path, bool uki, const struct ul_pe_machine **ret, struct ul_error *err)
{
	const char *what = uki ? "reading the unified kernel image" : "reading the boot loader";
	ul_autobuffer struct ul_buffer bytes = {0};
	struct ul_pe pe;
	int r = ul_read_file(AT_FDCWD, path, 3u * UL_UKI_PART_MAX, &bytes);

	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, what, path, NULL, -r);
	r = ul_pe_parse(bytes.data, bytes.len, path, &pe, err);
	if (r < 0)
		return r;
	if (uki && (!ul_pe_find(&pe, ".linux") || !ul_pe_find(&pe, ".initrd")))
		return ul_error_set(err, UL_E_INPUT, what, path, "Make it by `underlay uki build`.",
				    "it has no kernel or no initramfs in it");
	*ret = ul_pe_machine_find(pe.machine);
	return *ret ? 0
		    : ul_error_set(err, UL_E_INPUT, what, path, NULL, "it is for a machine (%#x) that has no name here",
				   (unsigned int)pe.machine);
}
