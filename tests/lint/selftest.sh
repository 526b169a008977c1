#!/usr/bin/env bash
# The checks of tests/lint refuse what they are for, in copies that are spoilt here: a check that finds nothing any more
# looks like a clean tree. Prints TAP.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
lint=$PWD/tests/lint
dir=$(mktemp -d)
tap_at_exit 'rm -rf "$dir"'

# refuses WORDS COMMAND...: it ends with status 1 and says so in a line with these words. What else it says is of the
# tree that was copied.
refuses() {
	local words=$1
	shift
	"$@" >"$dir/out" 2>&1
	[ $? -eq 1 ] && grep -F -- "$words" "$dir/out" && return
	cat "$dir/out"
	return 1
}

# ---- layers.sh, over a copy of this tree ----

mapfile -t folders < <(awk '!/^#/ && NF { print $1 }' layers.txt)
copy() {
	rm -rf "$dir/top"
	mkdir "$dir/top"
	cp --parents layers.txt $(printf '%s/*.[ch] ' "${folders[@]}") "$dir/top"
}
layers() { "$lint/layers.sh" "$dir/top"; }
# layers_refuses NAME WORDS FILE LINE: of the copy with that line added to the file.
layers_refuses() {
	copy
	mkdir -p "$dir/top/$(dirname "$3")"
	echo "$4" >>"$dir/top/$3"
	tap "layers: $1" refuses "$2" layers
}

copy
for folder in "${folders[@]}"; do
	source=$(cd "$dir/top" && ls "$folder"/*.[ch] | head -n 1)
	# The last folder that this one may not include, and a header there.
	other=$(awk -v from="$folder" '
		!/^#/ && NF { all[++n] = $1; if ($1 == from) for (i = 1; i <= NF; i++) may[$i] = 1 }
		END { for (i = n; i > 0; i--) if (!(all[i] in may)) print all[i] }' layers.txt |
		while read -r candidate; do ls "$candidate"/*.h 2>/dev/null; done | head -n 1)
	echo "#include \"$other\"" >>"$dir/top/$source"
	line=$(wc -l <"$dir/top/$source")
	tap "layers: a forbidden include in $folder" \
		refuses "$source:$line: $folder may not include ${other%/*} (\"$other\")" layers
done
layers_refuses "a folder that is not listed" "dbgen/sub/bad.c: layers.txt does not list the folder dbgen/sub" \
	dbgen/sub/bad.c '#include "dbgen/store/store_path.h"'
layers_refuses "a new folder at the top" "more/x.h: layers.txt does not list the folder more" more/x.h ''
layers_refuses "a file at the top" "x.c: layers.txt does not list the folder ." x.c ''
layers_refuses "a header that is not there" '"common/gone.h" is not there' common/x.c '#include "common/gone.h"'
layers_refuses "a header named from its own folder" '"store_path.h" is not there' dbgen/store/x.c '#include "store_path.h"'
layers_refuses "a way around" '"common/../cli/cli.h" is not there' common/x.h '	#  include "common/../cli/cli.h"'
layers_refuses "angle brackets" '<cli/cli.h> is of this tree' common/x.h '#include <cli/cli.h>'
layers_refuses "a name that is made by a macro" 'does not name its file' common/x.h '#include HEADER'
layers_refuses "a source that is included" 'is not a header' common/x.c '#include "common/dir.c"'
layers_refuses "a list that goes up" 'common/x may include cli/x, which is not listed above it' layers.txt 'common/x common : cli/x'
layers_refuses "a folder that is empty" 'layers.txt: common/x has no source files' layers.txt 'common/x common : common'

# ---- circles.py, over objects made here ----

# part FILE CODE: a source of the tree and its object.
part() {
	mkdir -p "$dir/objects/$(dirname "$1")" "$dir/objects/build/$(dirname "$1")"
	echo "$2" >"$dir/objects/$1"
	(cd "$dir/objects" && "${CC:-cc}" -I. -MMD -c -o "build/${1%.c}.o" "$1")
}
circles() { (cd "$dir/objects" && "$lint/circles.py" build); }
mkdir "$dir/objects"
printf '%s\n' '# the list' 'low low :' 'middle middle : low' 'high high : middle' >"$dir/objects/layers.txt"
part low/a.c 'void a(void) {}'
part low/b.c 'void a(void); void b(void) { a(); }'
part middle/c.c 'void b(void); void c(void) { b(); }'
part high/d.c 'void c(void); void a(void); int main(void) { c(); a(); return 0; }'
tap "circles: none where all calls go down" circles
part low/gone.c 'void a(void); void gone(void) { a(); }'
part low/a.c 'void gone(void); void a(void) { gone(); }'
tap "circles: two files of a library" refuses "2 files of the library low call each other in a circle: low/a.c low/gone.c" circles
tap "circles: each arrow has its symbol" refuses "low/gone.c wants a of low/a.c" circles
rm "$dir/objects/low/gone.c"
tap "circles: the object of a source that has gone does not count" circles
part low/a.c 'void c(void); void a(void) { c(); }'
tap "circles: three files of two libraries" refuses \
	"3 files of the whole call each other in a circle: low/a.c low/b.c middle/c.c" circles
tap "circles: a call up the house" refuses "low/a.c wants c of middle/c.c: in layers.txt middle is not below low" circles
part low/a.c 'void a(void) {}'
echo 'void e(void) {}' >"$dir/objects/low/e.c"
tap "circles: a source that was not compiled" refuses "low/e.c has no object" circles

# ---- includes.py, over objects made here ----

includes() { (cd "$dir/objects" && "$lint/includes.py" build); }
rm -rf "$dir/objects"
mkdir -p "$dir"/objects/{low,middle,high}
printf '%s\n' '# the list' 'low low :' 'middle middle : low' 'high high : middle' >"$dir/objects/layers.txt"
for folder in low middle high; do echo "void $folder(void);" >"$dir/objects/$folder/$folder.h"; done
echo '#include "low/low.h"' >>"$dir/objects/middle/middle.h"
good() {
	part low/low.c '#include "low/low.h"
		void low(void) {}'
	part middle/middle.c '#include "middle/middle.h"
		void middle(void) { low(); }'
	part high/high.c '#include "high/high.h"
		#include "middle/middle.h"
		void high(void) { low(); middle(); }'
}
good
tap "includes: what each file says, and what its headers say" includes
# includes_refuse NAME WORDS CODE: of low/low.c with that code.
includes_refuse() {
	good
	part low/low.c "void low(void) {}
$3"
	tap "includes: $1" refuses "$2" includes
}
up='low/low.c reads high/high.h: in layers.txt high is not below low'
includes_refuse "a header from above" "$up" '#include "high/high.h"'
# hidden NAME CODE: it is refused for both.
hidden() {
	includes_refuse "$1" "$up" "$2"
	tap "includes: $1: it is to be written plainly" refuses 'low/low.c reads high/high.h, and no line says so' includes
}
hidden "a name that is made by a macro" '#define HEADER "high/high.h"
#include HEADER'
hidden "a line that goes on in the next one" '#inc\
lude "high/high.h"'
hidden "a comment before the word" '#/**/include "high/high.h"'
hidden "a digraph" '%:include "high/high.h"'
hidden "angle brackets" '#include <high/high.h>'
hidden "angle brackets and a way around" '#include <low/../high/high.h>'
ln -s ../high/high.h "$dir/objects/low/link.h"
hidden "a symlink" '#include "low/link.h"'
includes_refuse "a function that is declared by hand" "low/low.c uses high of high/high.c, which no header that it reads declares" \
	'extern void high(void); void more(void) { high(); }'
good
part high/high.c 'void low(void); void high(void) { low(); }'
tap "includes: declared by hand, though it is below" refuses "high/high.c uses low of low/low.c" includes
good
rm "$dir/objects/build/low/low.d"
tap "includes: a source without a .d file" includes
printf '#include "high/high.h"\n' >"$dir/objects/low/low.c"
tap "includes: the compiler is asked" refuses "$up" includes
echo 'void e(void) {}' >"$dir/objects/low/e.c"
tap "includes: a source that was not compiled" refuses "low/e.c has no object" includes

# ---- owners.sh and size.sh, over a small tree ----

small=$dir/small
fresh() {
	rm -rf "$small"
	mkdir -p "$small/tests/lint" "$small/common" "$small/cli"
	printf '%s\n' 'common common :' 'cli cli : common' >"$small/layers.txt"
	printf '%s\n' 'numbers  strtoul\(  common/config.c,cli/  ul_parse_number' >"$small/tests/lint/owners.txt"
	printf '%s\n' '# what was here before' 'numbers common/old.c 2  a reason' >"$small/tests/lint/owners.allowed"
	echo 'n = strtoul(text, NULL, 10);' | tee "$small"/common/config.c "$small"/cli/x.c >"$small/common/old.c"
	echo 'm = strtoul(text, NULL, 10);' >>"$small/common/old.c"
}
owners() { "$lint/owners.sh" "$@" "$small"; }
fresh
tap "owners: the owner, the owner's folder, and what is allowed" owners
printf '%s\n' '/* strtoul( is' ' * strtoul( */ int a; // strtoul(' 'int b; /* strtoul( */' >"$small/common/x.c"
tap "owners: a comment is not a use" owners
echo 'n = /* no */ strtoul(a, b, c);' >>"$small/common/x.c"
tap "owners: somebody else" refuses "common/x.c: numbers (1 lines, 0 allowed): use ul_parse_number" owners
fresh
echo 'strtoul(' >>"$small/common/old.c"
tap "owners: more than is allowed" refuses "common/old.c: numbers (3 lines, 2 allowed)" owners
fresh
sed -i 1d "$small/common/old.c"
tap "owners: a list that allows more than there is" refuses "owners.allowed: numbers common/old.c 2: 1 are left" owners
owners --shrink
tap_is "owners: the list shrinks" "$(cat "$small/tests/lint/owners.allowed")" "# what was here before
numbers common/old.c 1  a reason"
tap "owners: the list has shrunk" owners
sed -i 's/  a reason//' "$small/tests/lint/owners.allowed"
tap "owners: what stays has its reason" refuses "owners.allowed: numbers common/old.c: its reason is not beside it" owners
echo 'strtoul(' >>"$small/common/x.c"
owners --shrink
tap "owners: the list does not grow" refuses "common/x.c: numbers (1 lines, 0 allowed)" owners
fresh
mv "$small/common/config.c" "$small/common/number.c"
tap "owners: an owner that has gone" refuses "numbers is owned by common/config.c, which is not there" owners
fresh
echo 'numbers strtoul\( common/config.c' >"$small/tests/lint/owners.txt"
tap "owners: a row that cannot be read" refuses "not four columns" owners

# The tree's own rows. row NAME LINE...: each is refused; without a name, each is fine.
row() {
	local name=$1 line
	shift
	fresh
	sed 's|^\(json .*\)  common/json[^ ]*|\1  -|; s|^\(digits .*\)  common/n[^ ]*|\1  -|; s|^\(orders .*\)  common/c[^ ]*|\1  -|' \
		tests/lint/owners.txt | grep -E '^(json|digits|orders) ' >"$small/tests/lint/owners.txt"
	: >"$small/tests/lint/owners.allowed"
	for line; do
		printf '%s\n' "$line" >"$small/common/x.c"
		if [ -n "$name" ]; then
			tap "owners: $name: $line" refuses "common/x.c: $name (1 lines, 0 allowed)" owners
		else
			tap "owners: fine: $line" owners
		fi
	done
}
row json 'text = json_object_to_json_string_ext(obj, 0);' 'json_object_to_file("x", obj);' 'json_tokener_parse(text);' \
	'ul_json_append(list, json_object_new_string(text));' 'printf("{\"name\": \"%s\"}", name);' \
	'fputs("],\"time\":null", out);' 'printf("\"%s\":%d", key, n);' "fputc('\"', out);"
row digits "value = value * 10 + (c - '0');" 'n = 10 * n + digit;' '__builtin_mul_overflow(value, 10, &value)'
row orders 'return (x > y) - (x < y);' 'return (a->id > b->id) - (a->id < b->id);' \
	'return strcmp(*(char *const *)a, *(char *const *)b);'
row '' 'ul_json_add_string(obj, "name", name);' 'say("\"%.100s\": %s", value, why);' 'n = size * 100;' \
	'struct json_tokener *t = ul_json_tokener_new();' 'order = ul_order(x, y);'

size() { "$lint/size.sh" "$small"; }
# lines N: so many.
lines() { seq "$1" | sed 's/.*/\tx++;/'; }
wide=$(printf 'w%.0s' {1..110})
fresh
{ echo "/* $wide 789 */" && echo '{' && lines 60 && echo '}' && lines 537; } >"$small/common/x.c"
printf '#\t%s\n' "$wide" >"$small/x.sh"
tap "size: 600 lines, a function of 60, comments of 118 and 120 columns" size
lines 1 >>"$small/common/x.c"
tap "size: 601 lines" refuses "common/x.c: 601 lines: split it" size
{ echo '{' && lines 61 && echo '}'; } >"$small/common/x.c"
tap "size: a function of 61 lines" refuses "common/x.c:1: a function of 61 lines" size
printf '/*\n * %s 567890\n */\n' "$wide" >"$small/common/x.c"
tap "size: 120 columns, … counts as one" size
printf '/*\n * %s 5678901\n */\n' "$wide" >"$small/common/x.c"
tap "size: 121 columns" refuses "common/x.c:2: a comment of 121 columns" size
printf '/*\n */\nx = "%s %s";\n' "$wide" "$wide" >"$small/common/x.c"
printf '#\t%s901\n' "$wide" >"$small/x.sh"
tap "size: a script, with a tab" refuses "x.sh:1: a comment of 121 columns" size

six='int a, const struct x *b, char c[2], int (*d)(int, int), void *e, int f'
fresh
{
	printf 'static int good(%s)\n{\n}\n' "$six"
	printf 'int printed(%s, ...) __attribute__((format(printf, 6, 7)));\n' "$six"
	printf 'int table[] = {f(1, 2, 3, 4, 5, 6, 7)}; /* f(1, 2, 3, 4, 5, 6, 7) */\n// f(1, 2, 3, 4, 5, 6, 7)\n'
	printf 'X("a, b, c, d, e, f, g")\nY(%s)\n' "','"
} >"$small/common/x.c"
tap "size: six parameters" size
# parameters NAME CODE: in common/x.c.
parameters() {
	fresh
	printf '%s\n' "$2" >"$small/common/x.c"
	tap "size: seven parameters$1" refuses "common/x.c:1: bad has 7 parameters: give it a struct" size
}
parameters "" "int bad($six, int g)"
parameters ", a prototype" "__attribute__((noreturn)) void *bad($six, int g);"
parameters ", over lines" "static inline struct x *bad(${six//, /,
	}, /* a comment, too
	*/ int g)"
parameters " and more" "int bad($six, int g, ...);"
echo 'common/x.c bad  a reason' >"$small/tests/lint/size.allowed"
tap "size: seven parameters, which are allowed" size
echo 'common/x.c bad' >"$small/tests/lint/size.allowed"
tap "size: what is allowed has its reason" refuses "size.allowed: common/x.c bad: its reason is not beside it" size
printf '%s\n' 'common/x.c bad  a reason' 'common/x.c gone  a reason' >"$small/tests/lint/size.allowed"
tap "size: what is allowed is there" refuses "size.allowed: common/x.c gone has no more than 6 parameters" size

# ---- english.py, over the same small tree ----

english() { "$lint/english.py" "$small"; }
# riddle NAME WORDS LINE: of the tree with that line in common/x.c.
riddle() {
	fresh
	echo 'common  common :' >"$small/layers.txt"
	echo "$3" >"$small/common/x.c"
	tap "english: $1" refuses "common/x.c:1: $2" english
}
riddle "a comment without its subject" '"Of": begin with the subject' '/* Of the open directory. */'
riddle "a comment that needs another one" '"The same of": begin' 'int a; /* The same of a file. */'
riddle "the same, in the next line" '"The same,": begin with the subject' '/*
 * The same, or with K behind it.
 */'
riddle "likewise" '"Likewise": begin with the subject' '// Likewise for files'
riddle "none" '"is none": say "is not a ..."' '/* One of more bytes is none. */'
riddle "none, in a message" '"is none": say' 'static const char why[] = "the hash is none";'
riddle "a message without value and rule" '"not possible": say which value' 'say("a name is not possible");'
fresh
echo 'common  common :' >"$small/layers.txt"
cat >"$small/common/x.c" <<'EOF'
/* The same inputs give the same bytes; where there is none, nothing is impossible. */
static const char *text = "/* Of this */", quote = '"'; /* of the row */
EOF
tap "english: what reads well" english

# ---- tests/docs/check_names.py, over a small tree ----

names() { tests/docs/check_names.py "$small"; }
# named NAME WORDS FILE LINE: of the tree with that line in the file.
named() {
	fresh
	mkdir -p "$small/tests/lint"
	echo "$4" >"$small/$3"
	tap "names: $1" refuses "# $3:1: $2" names
}
fresh
cat >"$small/common/x.h" <<'EOF'
/* See config.c, common/old.c, common/old.*, common/NAME.c, tests/lint, /etc/x.sh, $dir/gone.sh, <gone.h>, zmap.c. */
const char *path = "common/data.c"; // code is the compiler's
EOF
tap "names: those that are there, and those of others" names
named "a comment" "common/gone.c is not there" common/x.h 'int a; /* see common/gone.c */'
named "a comment of a script" "gone.h is not there" tests/x.sh 'true # of gone.h'
named "a command of a script" "tests/gone/run is not there" tests/x.sh 'tests/gone/run'
named "a document" "cli/gone is not there" README.md 'See [this](cli/gone).'
named "a manual page" "config/x.c is not there" cli/x.1 '.\" config/x.c'
named "a glob of nothing" "common/gone is not there" tests/x.sh 'ls common/gone*'
fresh
cp "$small/common/old.c" "$small/cli/old.c"
echo '/* as old.c does */' >"$small/tests/x.c"
tap "names: two files of that name" refuses "tests/x.c:1: old.c may be cli/old.c or common/old.c" names
tap_end
