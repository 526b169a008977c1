/*
 * The rows of the policy's settings and of the kernel parameters, for the checks that hold other files against them:
 *
 *   policy_rows settings    SECTION KEY FIELD REASON, a line each, apart by tabs
 *   policy_rows heads       the lines of mdoc that underlay.conf(5) has of each setting beside its text
 *   policy_rows parameters  NAME RULE SECTION KEY REASON, a line each, apart by tabs
 *   policy_rows words       the words that a policy is made of, as lines of tests/fuzz/fuzz_config.dict
 *   policy_rows names       the parameters as lines of tests/fuzz/fuzz_cmdline.dict
 */
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "initrd/policy/policy.h"

static void settings(void)
{
	for (const struct ul_config_key *k = ul_policy_keys; k->key; k++)
		printf("%s\t%s\t%s\t%s\n", k->section, k->key, k->field, k->why);
}

/* "Cm a | Cm b", of those in the mask. */
static void print_choices(const char *const *choices, unsigned int mask)
{
	const char *before = "Cm";

	for (unsigned int i = 0; choices[i]; i++)
		if (mask & UL_CONFIG_IS(i)) {
			printf(" %s %s", before, choices[i]);
			before = "| Cm";
		}
}

static void print_need(const struct ul_config_need *need, const char *word)
{
	const char *const *choices = ul_config_find(ul_policy_keys, need->section, need->key)->choices;
	unsigned int all, others;

	for (all = 0; choices[all]; all++)
		;
	others = ~need->values & (UL_CONFIG_IS(all) - 1);
	printf(".Em %s : Li [%s] Cm %s", word, need->section, need->key);
	/* One that is ruled out is shorter than all the others. */
	if (all > 3 && !(others & (others - 1))) {
		printf(" No other than");
		print_choices(choices, others);
	} else {
		printf(" Li =");
		print_choices(choices, need->values);
	}
	printf(" .\n");
}

static void print_kind(const struct ul_config_key *k)
{
	static const char *const kinds[] = {
		[UL_CONFIG_STRING] = " Ar text", [UL_CONFIG_BOOL] = " Cm yes | Cm no",  [UL_CONFIG_UINT] = " Ar number",
		[UL_CONFIG_SIZE] = " Ar size",   [UL_CONFIG_DURATION] = " Ar duration", [UL_CONFIG_LIST] = " Ar word",
	};

	if (k->choices)
		print_choices(k->choices, ~0u);
	else
		printf("%s", kinds[k->kind]);
	printf("%s\n", k->kind == UL_CONFIG_LIST ? " ..." : "");
}

static void heads(void)
{
	for (const struct ul_config_key *k = ul_policy_keys; k->key; k++) {
		char min[32], max[32];

		printf("[%s]\n.It Cm %s Li =", k->section, k->key);
		print_kind(k);
		printf(".Em Default : %s%s .\n", k->def ? "Li " : "not set", k->def ? k->def : "");
		if (k->min || k->max) {
			ul_config_number_text(k->kind, k->min, min);
			ul_config_number_text(k->kind, k->max, max);
			printf(".Em Range : Li %s No to Li %s .\n", min, max);
		}
		for (size_t i = 0; i < UL_CONFIG_NEEDS && k->needs[i].key; i++)
			print_need(&k->needs[i], i > 0 && k->any_need ? "Or" : "Needs");
	}
}

static void parameters(void)
{
	static const char *const rules[] = {
		[UL_PARAM_FREE] = "FREE",       [UL_PARAM_STRENGTHEN] = "STRENGTHEN", [UL_PARAM_ALLOWED] = "ALLOWED",
		[UL_PARAM_REFUSED] = "REFUSED", [UL_PARAM_IGNORED] = "IGNORED",
	};

	for (const struct ul_param *row = ul_params; row->name; row++)
		printf("%s\t%s\t%s\t%s\t%s\n", row->name, rules[row->rule], row->section ? row->section : "",
		       row->key ? row->key : "", row->why);
}

static void words(void)
{
	for (const struct ul_config_key *k = ul_policy_keys; k->key; k++) {
		printf("\"[%s]\\x0a\"\n\"%s = \"\n", k->section, k->key);
		for (size_t i = 0; k->choices && k->choices[i]; i++)
			printf("\"%s\"\n", k->choices[i]);
	}
}

static void names(void)
{
	for (const struct ul_param *row = ul_params; row->name; row++)
		printf("\"%.*s=\"\n", (int)strcspn(row->name, "*"), row->name);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*print)(void);
	} commands[] = {
		{"settings", settings}, {"heads", heads}, {"parameters", parameters},
		{"words", words},       {"names", names},
	};

	for (size_t i = 0; argc == 2 && i < UL_ARRAY_SIZE(commands); i++)
		if (!strcmp(argv[1], commands[i].name)) {
			commands[i].print();
			return 0;
		}
	fputs("usage: policy_rows settings|heads|parameters|words|names\n", stderr);
	return 2;
}
