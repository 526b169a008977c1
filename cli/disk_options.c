#include "cli/disk_options.h"

#include <inttypes.h>
#include <stdio.h>

#include "cli/efi_machine.h"
#include "common/config.h"
#include "common/json.h"

/* What the firmware starts must be for one machine. */
static int look_at_programs(struct ul_disk_spec *spec, struct ul_error *err)
{
	const struct ul_pe_machine *uki, *loader;
	int r = cli_read_efi_machine(spec->uki, true, &uki, err);

	if (r < 0)
		return r;
	spec->efi = uki->efi;
	spec->architecture = uki->architecture;
	if (!spec->boot_loader)
		return 0;
	r = cli_read_efi_machine(spec->boot_loader, false, &loader, err);
	if (r < 0 || loader == uki)
		return r;
	return ul_error_set(err, UL_E_INPUT, "reading the boot loader", spec->boot_loader,
			    "Give the one of the UKI's machine.", "it is for %s, the UKI is for %s",
			    loader->architecture, uki->architecture);
}

uint64_t cli_size_of(const char *text)
{
	uint64_t size = 0;

	if (text)
		(void)!ul_parse_size(text, &size);
	return size;
}

int cli_disk_spec(struct cli_disk_arguments *a, struct ul_error *err)
{
	struct ul_disk_spec *spec = &a->spec;

	spec->slots = a->slots;
	spec->tries = a->tries;
	spec->esp_size = cli_size_of(a->esp_size);
	spec->slot_size = cli_size_of(a->slot_size);
	spec->upper_size = cli_size_of(a->upper_size);
	spec->no_upper = a->upper_size && spec->upper_size == 0;
	return look_at_programs(spec, err);
}

static int print_json(const char *disk, const struct ul_disk_result *result)
{
	ul_autojson struct json_object *o = ul_json_document(1);
	const struct ul_disk_layout *l = &result->layout;
	bool ok = o && ul_json_add_string(o, "disk", disk) && ul_json_add_uint(o, "size", l->size) &&
		  ul_json_add_uint(o, "sectorSize", result->sector) && ul_json_add_string(o, "name", result->name) &&
		  ul_json_add_string(o, "version", result->version) && ul_json_add_string(o, "uki", result->uki_path) &&
		  ul_json_add_bool(o, "signed", result->is_signed) && ul_json_add_uint(o, "espSize", l->esp.size) &&
		  ul_json_add_uint(o, "slots", l->slots) && ul_json_add_uint(o, "slotSize", l->slot[0].data.size) &&
		  ul_json_add_uint(o, "upperSize", l->upper.size);

	return cli_print_json(ok ? o : NULL);
}

int cli_disk_print(const struct cli_disk_arguments *a, const char *disk, const struct ul_disk_result *result)
{
	const struct ul_disk_layout *l = &result->layout;

	if (a->json)
		return print_json(disk, result);
	printf("%s: a disk of %" PRIu64 " MiB that starts %s %s%s\n", disk, l->size >> 20, result->name,
	       result->version, result->is_signed ? "" : " (the image is not signed; see underlay image sign)");
	printf("  esp    %" PRIu64 " MiB, %s\n", l->esp.size >> 20, result->uki_path);
	if (l->slots)
		printf("  slots  %u, each with room for %" PRIu64 " MiB\n", l->slots, l->slot[0].data.size >> 20);
	if (l->upper.size)
		printf("  upper  %" PRIu64 " MiB\n", l->upper.size >> 20);
	return 0;
}
