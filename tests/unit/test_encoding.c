/* Text encodings: known values, round trips, and what a strict decoder refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/encoding.h"

static void hex_round_trip(void **state)
{
	uint8_t back[4];
	char text[9];

	(void)state;
	ul_hex_encode("\x00\xff\x1a\x80", 4, text);
	assert_string_equal(text, "00ff1a80");
	assert_true(ul_hex_decode("00FF1a80", 8, back, 4));
	assert_memory_equal(back, "\x00\xff\x1a\x80", 4);
	assert_false(ul_hex_decode("00ff1a8", 7, back, 4));
	assert_false(ul_hex_decode("00ff1a8g", 8, back, 4));
}

/* Values that `nix-hash --to-base32` of Nix 2.8 printed. */
static void nix32_known(void **state)
{
	static const char *const hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
	uint8_t hash[32], back[32];
	char text[53];

	(void)state;
	assert_true(ul_hex_decode(hex, 64, hash, 32));
	ul_nix32_encode(hash, 32, text);
	assert_string_equal(text, "1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s");
	assert_true(ul_nix32_decode(text, 52, back, 32));
	assert_memory_equal(hash, back, 32);
	assert_false(ul_nix32_decode("ebbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", 32, back, 20));
	/* 52 digits hold 260 bits: the four spare ones must be zero. */
	text[0] = 'z';
	assert_false(ul_nix32_decode(text, 52, back, 32));
}

/* The order of digits is the order of the byte-reversed values: what the manifest's sort rests on. */
static void nix32_order(void **state)
{
	uint8_t a[20], b[20], reversed_a[20], reversed_b[20];
	char text_a[33], text_b[33];

	(void)state;
	srand(7);
	for (int round = 0; round < 2000; round++) {
		for (int i = 0; i < 20; i++) {
			a[i] = (uint8_t)rand();
			b[i] = rand() % 4 ? a[i] : (uint8_t)rand();
		}
		for (int i = 0; i < 20; i++) {
			reversed_a[i] = a[19 - i];
			reversed_b[i] = b[19 - i];
		}
		ul_nix32_encode(a, 20, text_a);
		ul_nix32_encode(b, 20, text_b);
		int texts = strcmp(text_a, text_b), bytes = memcmp(reversed_a, reversed_b, 20);

		assert_int_equal((texts > 0) - (texts < 0), (bytes > 0) - (bytes < 0));
	}
}

static void base64_strict(void **state)
{
	static const struct {
		const char *plain, *text;
	} rows[] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foobar", "Zm9vYmFy"}};
	static const char *const bad[] = {"Zg=", "Zg", "Zh==", "Zm9=", "Z===", "====", "Zg==Zg==", "Zm9v\n", "Zm 9"};
	uint8_t out[16];
	char text[16];
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ul_base64_encode((const uint8_t *)rows[i].plain, strlen(rows[i].plain), text);
		assert_string_equal(text, rows[i].text);
		assert_true(ul_base64_decode(text, strlen(text), out, &len));
		assert_int_equal(len, strlen(rows[i].plain));
		assert_memory_equal(out, rows[i].plain, len);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(ul_base64_decode(bad[i], strlen(bad[i]), out, &len));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hex_round_trip),
		cmocka_unit_test(nix32_known),
		cmocka_unit_test(nix32_order),
		cmocka_unit_test(base64_strict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
