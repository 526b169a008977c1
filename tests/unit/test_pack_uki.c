/* PE files: what is appended where, and what a malformed one is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/bytes.h"
#include "initrd/pack/uki.h"
#include "verity/open/trust.h"

#define PE       0x80
#define OPTIONAL (PE + 24)
#define TABLE    (OPTIONAL + 240)
#define HEADERS  0x400
#define STUB_LEN (HEADERS + 0x400 + 100) /* two sections, and symbols that nobody wants */

static struct ul_error err;

static void put_section(uint8_t *row, const char *name, uint32_t memory, uint32_t address, uint32_t size,
			uint32_t offset)
{
	memcpy(row, name, strlen(name));
	ul_put_le32(row + 8, memory);
	ul_put_le32(row + 12, address);
	ul_put_le32(row + 16, size);
	ul_put_le32(row + 20, offset);
}

/* A stub in small: code at 0x1000, data at 0x3000, whose memory is larger than its bytes. */
static uint8_t *make_stub(void)
{
	uint8_t *p = calloc(1, STUB_LEN), *o = p + OPTIONAL;

	memcpy(p, "MZ", 2);
	ul_put_le32(p + 0x3c, PE);
	memcpy(p + PE, "PE\0", 4);
	ul_put_le16(p + PE + 4, 0x8664);
	ul_put_le16(p + PE + 6, 2);
	ul_put_le32(p + PE + 12, HEADERS + 0x400);
	ul_put_le32(p + PE + 16, 5);
	ul_put_le16(p + PE + 20, 240);
	ul_put_le16(o, 0x20b);
	ul_put_le32(o + 4, 0x200);
	ul_put_le32(o + 8, 0x200);
	ul_put_le32(o + 32, 0x1000);
	ul_put_le32(o + 36, 0x200);
	ul_put_le32(o + 56, 0x5000);
	ul_put_le32(o + 60, HEADERS);
	ul_put_le32(o + 108, 16);
	put_section(p + TABLE, ".text", 0x123, 0x1000, 0x200, HEADERS);
	put_section(p + TABLE + 40, ".data", 0x1234, 0x3000, 0x200, HEADERS + 0x200);
	memset(p + HEADERS, 0xc3, 0x400);
	memset(p + HEADERS + 0x400, 'S', 100);
	return p;
}

static int parse(const uint8_t *p, size_t len, struct ul_pe *ret)
{
	/* At its exact length, so that a read beyond it is one that the sanitizers see. */
	uint8_t *copy = malloc(len ? len : 1);
	int r;

	memcpy(copy, p, len);
	r = ul_pe_parse(copy, len, "stub", ret, &err);
	free(copy);
	return r;
}

static void test_append(void **state)
{
	static const char big[5000] = "kernel";
	const struct ul_pe_addition add[] = {{".cmdline", "quiet", 5, UL_PE_DATA},
					     {".linux", big, sizeof(big), UL_PE_CODE}};
	uint8_t *stub = make_stub();
	struct ul_buffer out = {0}, again = {0};
	const struct ul_pe_section *s;
	struct ul_pe pe, made;
	uint64_t sum = 0;

	(void)state;
	assert_int_equal(ul_pe_parse(stub, STUB_LEN, "stub", &pe, &err), 0);
	assert_int_equal(pe.n_sections, 2);
	assert_int_equal(ul_pe_append(&pe, add, 2, &out, &err), 0);
	assert_int_equal(ul_pe_append(&pe, add, 2, &again, &err), 0);
	assert_int_equal(out.len, again.len);
	assert_memory_equal(out.data, again.data, out.len);
	assert_int_equal(ul_pe_parse(out.data, out.len, "made", &made, &err), 0);
	assert_int_equal(made.n_sections, 4);

	s = ul_pe_find(&made, ".cmdline");
	assert_non_null(s);
	assert_int_equal(ul_pe_section_len(s), 5);
	assert_memory_equal(out.data + s->offset, "quiet\0\0\0", 8);
	/* Behind the stub's sections, whose symbols are gone, and behind .data's zeroed memory. */
	assert_int_equal(s->offset, HEADERS + 0x400);
	assert_int_equal(s->address, 0x5000);
	s = ul_pe_find(&made, ".linux");
	assert_int_equal(s->address, 0x6000);
	assert_int_equal(s->offset, HEADERS + 0x600);
	assert_int_equal(ul_pe_section_len(s), sizeof(big));
	assert_memory_equal(out.data + s->offset, big, sizeof(big));
	assert_int_equal(s->offset + s->file_size, out.len);
	assert_int_equal(made.image_size, 0x8000);
	assert_int_equal(ul_get_le32(out.data + PE + 12), 0);
	assert_int_equal(ul_get_le32(out.data + OPTIONAL + 4), 0x200 + 0x1400);
	assert_int_equal(ul_get_le32(out.data + OPTIONAL + 8), 0x200 + 0x200);
	/* The stub's own bytes are as they were. */
	assert_memory_equal(out.data + HEADERS, stub + HEADERS, 0x400);
	for (size_t i = 0; i < out.len; i += 2)
		if (i != OPTIONAL + 64 && i != OPTIONAL + 66)
			sum += ul_get_le16(out.data + i);
	sum = sum % 0xffff ? sum % 0xffff : 0xffff;
	assert_int_equal(ul_get_le32(out.data + OPTIONAL + 64), sum + out.len);

	/* A second kernel would be looked for by name, and the first one found. */
	assert_int_equal(ul_pe_append(&made, add, 1, &again, &err), -UL_E_INPUT);
	assert_non_null(strstr(err.why, "has a section .cmdline already"));
	ul_buffer_free(&out);
	ul_buffer_free(&again);
	free(stub);
}

/* Change 32 bits of a good stub; it must be told so. */
static void refuse(size_t at, uint32_t value, const char *why)
{
	uint8_t *stub = make_stub();
	struct ul_pe pe;

	ul_put_le32(stub + at, value);
	assert_int_equal(parse(stub, STUB_LEN, &pe), -UL_E_INPUT);
	assert_non_null(strstr(err.why, why));
	free(stub);
}

static void test_malformed(void **state)
{
	uint8_t *stub = make_stub();
	struct ul_pe pe;

	(void)state;
	/* The symbols at the end are not looked at; without anything else it is no such file. */
	for (size_t len = 0; len < STUB_LEN - 100; len++)
		assert_int_equal(parse(stub, len, &pe), -UL_E_INPUT);
	free(stub);
	refuse(0, 0, "start");
	refuse(0x3c, 0xfffffff0, "no PE header");
	refuse(PE, 0, "no PE header");
	refuse(PE + 4, 0x00008664, "no sections");
	refuse(PE + 4, 0xffff8664, "no sections, or more than 96");
	refuse(PE + 4, 0x00608664, "outside its headers");
	refuse(PE + 20, 0xffff, "optional header");
	refuse(PE + 20, 100, "optional header");
	refuse(OPTIONAL, 0x10b, "64-bit");
	refuse(OPTIONAL + 32, 0, "alignment");
	refuse(OPTIONAL + 32, 0x80000000, "alignment");
	refuse(OPTIONAL + 36, 0x201, "alignment");
	refuse(OPTIONAL + 60, 0xffffffff, "outside its headers");
	refuse(OPTIONAL + 148, 0xffffffff, "certificate table");
	refuse(OPTIONAL + 148, STUB_LEN + 1, "certificate table");
	refuse(TABLE + 16, 0xffffffff, "section lies outside");
	refuse(TABLE + 20, 0xffffffff, "section lies outside");
}

/* Without certificates the place where they would be means nothing, and what is made does not hand it on. */
static void test_no_certificates(void **state)
{
	static const uint32_t places[] = {1, HEADERS + 0x400, STUB_LEN, STUB_LEN + 1, 0xffffffff};
	const struct ul_pe_addition add = {".linux", "x", 1, UL_PE_CODE};

	(void)state;
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		uint8_t *stub = make_stub();
		struct ul_buffer out = {0};
		struct ul_pe pe, made;

		ul_put_le32(stub + OPTIONAL + 144, places[i]);
		assert_int_equal(ul_pe_parse(stub, STUB_LEN, "stub", &pe, &err), 0);
		assert_int_equal(pe.certificates, 0);
		assert_int_equal(ul_pe_append(&pe, &add, 1, &out, &err), 0);
		assert_int_equal(ul_pe_parse(out.data, out.len, "made", &made, &err), 0);
		assert_int_equal(ul_get_le32(out.data + OPTIONAL + 144), 0);
		assert_int_equal(ul_get_le32(out.data + OPTIONAL + 148), 0);
		ul_buffer_free(&out);
		free(stub);
	}
}

static void test_append_refused(void **state)
{
	struct ul_pe_addition add = {".linux", "x", 1, UL_PE_CODE};
	struct ul_buffer out = {0};
	uint8_t *stub = make_stub();
	struct ul_pe pe;

	(void)state;
	ul_put_le32(stub + OPTIONAL + 144, HEADERS + 0x400);
	ul_put_le32(stub + OPTIONAL + 148, 64);
	assert_int_equal(ul_pe_parse(stub, STUB_LEN, "stub", &pe, &err), 0);
	assert_int_equal(ul_pe_append(&pe, &add, 1, &out, &err), -UL_E_INPUT);
	assert_non_null(strstr(err.why, "it is signed"));
	ul_put_le32(stub + OPTIONAL + 148, 0);
	/* The table's next row would lie on the first section. */
	ul_put_le32(stub + TABLE + 20, TABLE + 100);
	assert_int_equal(ul_pe_parse(stub, STUB_LEN, "stub", &pe, &err), 0);
	assert_int_equal(ul_pe_append(&pe, &add, 1, &out, &err), -UL_E_INPUT);
	assert_non_null(strstr(err.why, "no room"));
	ul_put_le32(stub + TABLE + 20, HEADERS);
	ul_put_le32(stub + TABLE + 40 + 12, 0xf0000000);
	assert_int_equal(ul_pe_parse(stub, STUB_LEN, "stub", &pe, &err), 0);
	assert_int_equal(ul_pe_append(&pe, &add, 1, &out, &err), -UL_E_INPUT);
	assert_non_null(strstr(err.why, "2 GiB"));
	assert_int_equal(out.len, 0);
	free(stub);
}

/* The certificate table is the symbols' 100 bytes here. */
static void test_signatures(void **state)
{
	uint8_t *stub = make_stub(), *table = stub + HEADERS + 0x400;
	struct ul_signer_claim claim;
	const uint8_t *der;
	struct ul_pe pe;
	uint32_t at = 0;
	size_t len;

	(void)state;
	ul_put_le32(stub + OPTIONAL + 144, HEADERS + 0x400);
	ul_put_le32(stub + OPTIONAL + 148, 100);
	memset(table, 0, 100);
	ul_put_le32(table, 13); /* another kind */
	ul_put_le32(table + 4, 0x00010200);
	ul_put_le32(table + 16, 20);
	ul_put_le32(table + 20, 0x00020200);
	ul_put_le32(table + 40, 61); /* beyond the end */
	ul_put_le32(table + 44, 0x00020200);
	assert_int_equal(ul_pe_parse(stub, STUB_LEN, "stub", &pe, &err), 0);
	assert_true(ul_pe_signature(&pe, &at, &der, &len));
	assert_ptr_equal(der, table + 24);
	assert_int_equal(len, 12);
	assert_false(ul_signature_claim(der, len, &claim));
	assert_false(ul_pe_signature(&pe, &at, &der, &len));
	free(stub);
}

static int build_with(const char *cmdline)
{
	static const char *const none[] = {"/nonexistent"};
	struct ul_uki_options o = {.kernel = none[0], .initrds = none, .initrd_count = 1};
	struct ul_buffer out = {0};
	struct ul_uki_report report;

	o.cmdline = cmdline;
	return ul_uki_build(&o, &out, &report, &err);
}

static void test_cmdline(void **state)
{
	char text[UL_UKI_CMDLINE_MAX + 2];

	(void)state;
	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(build_with(text), -UL_E_CMDLINE);
	text[UL_UKI_CMDLINE_MAX] = '\0';
	assert_int_equal(build_with(text), -UL_E_SYSTEM); /* the kernel is not there */
	assert_int_equal(build_with("a\nb"), -UL_E_CMDLINE);
	/* What would be refused at each boot. */
	assert_int_equal(build_with("quiet underlay.verify=pinned"), -UL_E_CMDLINE);
	assert_string_equal(err.object, "underlay.verify");
	assert_int_equal(build_with("underlay.tymeout=3"), -UL_E_CMDLINE);
	assert_int_equal(build_with("underlay.timeout=3 usrhash=0"), -UL_E_SYSTEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_append),          cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_no_certificates), cmocka_unit_test(test_append_refused),
		cmocka_unit_test(test_signatures),      cmocka_unit_test(test_cmdline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
