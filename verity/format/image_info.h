/*
 * image.json in the lower (nix/.underlay/image.json): what the image is. Written by image build, read after
 * verification.
 *
 *     {"format": 1, "name": "demo", "version": "1.2", "system": "/nix/store/HASH-demo", "storeDir": "/nix/store",
 *      "paths": 1234, "narSize": 123456789, "manifestFormat": 1, "nixSchema": 10, "database": true}
 *
 * Members that are not known are passed over, so an older Underlay reads what a newer one adds. That an image has a
 * names layer is not said here: nix/.underlay/names says it itself, and a second statement could only contradict it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"

#define UL_IMAGE_INFO_MAX 65536 /* bytes of the file */

struct ul_image_info {
	char *name, *version;
	char *system; /* store path whose `init` is started; NULL: none */
	char *store_dir;
	uint64_t paths;
	uint64_t nar_size; /* bytes, sum */
	uint64_t manifest_format;
	uint64_t nix_schema;
	bool database; /* a database for attach is in the image */
};

int ul_image_info_parse(const char *text, size_t len, struct ul_image_info *ret, struct ul_error *err);
int ul_image_info_format(const struct ul_image_info *info, struct ul_buffer *ret, struct ul_error *err);
void ul_image_info_free(struct ul_image_info *info);
