#!/usr/bin/env bash
# Bad input of `db build`: manifests and databases to merge that are cut, flipped, reordered, or claim what is
# not there. Each time one sentence, status 1, no file left behind, and no more memory than the input justifies.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=$(realpath "${BUILD:-build}")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh

# Kilobytes at the peak of a build from the good manifest, its threads' buffers included, and a bit.
memory_limit=0

# Store paths with a hash of 32 hexadecimal digits, each of which refers to the three before it. SALT: other paths.
registration() { # PATHS SALT
	awk -v n="$1" -v salt="$2" 'function path(i) { return sprintf("/nix/store/%s%07d%024d-package-%d", salt, i, i, i) }
		BEGIN {
			for (i = 0; i < n; i++) {
				printf "%s\nsha256:%064d\n%d\n\n%d\n", path(i), i, 8 * i + 120, i < 3 ? i : 3
				for (k = i < 3 ? 0 : i - 3; k < i; k++) print path(k)
			}
		}'
}

build_db() { # ARGUMENT...
	rm -rf "$dir/db"
	mkdir "$dir/db"
	/usr/bin/time -o "$dir/peak" -f %M "$build/underlay" db build -o "$dir/db" "$@" >"$dir/out" 2>&1
}
peak() { tail -n 1 "$dir/peak"; }

# The last build failed as it must.
refused() { # STATUS
	[ "$1" -eq 1 ] && [ "$(wc -l <"$dir/out")" -eq 1 ] && grep -q '^underlay: .*: .*\.$' "$dir/out" &&
		is_empty_dir "$dir/db" && [ "$(peak)" -le "$memory_limit" ]
}

flip() { # FILE OFFSET: one bit of the byte there
	local byte
	byte=$(od -An -tu1 -j "$2" -N 1 "$1")
	printf "\\x$(printf %x $((byte ^ 1 << $2 % 8)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

bad_manifest() { # NAME: $dir/bad
	local status=0
	for threads in 1 2; do
		build_db --threads "$threads" "$dir/bad"
		refused $? || status=1
	done
	build_db --low-memory "$dir/bad"
	refused $? || status=1
	report "$status" "refused: $1"
}

registration 9000 0 >"$dir/registration" && registration 200 1 >"$dir/others" &&
	"$build/underlay" manifest create -o "$dir/good" --registration "$dir/registration" >"$dir/out" 2>&1 &&
	"$build/underlay" manifest create -o "$dir/other" --registration "$dir/others" >"$dir/out" 2>&1 &&
	build_db --threads 2 "$dir/good"
report $? "a good manifest"
memory_limit=$(($(peak) + 8192))
size=$(stat -c %s "$dir/good")

for percent in 0 1 5 50 99; do
	head -c $((size * percent / 100)) "$dir/good" >"$dir/bad"
	bad_manifest "cut off at $percent %"
done
cp "$dir/good" "$dir/bad" && echo >>"$dir/bad"
bad_manifest "a byte too many"
for part in $(seq 1 12); do
	cp "$dir/good" "$dir/bad"
	flip "$dir/bad" $((size * part / 13))
	bad_manifest "a bit flipped after $part thirteenths"
done
{ head -c 8192 "$dir/good" && tail -c +12289 "$dir/good" | head -c 4096 && tail -c +8193 "$dir/good" | head -c 4096 &&
	tail -c +16385 "$dir/good"; } >"$dir/bad"
bad_manifest "two blocks in the other order"
for field in 16 20 24 40 44; do # numbers of paths, batches, references, outputs, realisations
	cp "$dir/good" "$dir/bad"
	printf '\xff\xff\xff\x0f' | dd of="$dir/bad" bs=1 seek=$field conv=notrunc status=none
	bad_manifest "an absurd number at byte $field"
done

# ---- databases to merge ----

build_db "$dir/other" && mv "$dir/db/db.sqlite" "$dir/upper" && build_db --merge-from "$dir/upper" "$dir/good" &&
	[ "$(sqlite3 "$dir/db/db.sqlite" 'select count(*) from ValidPaths')" -eq 9200 ]
report $? "a good database to merge"
memory_limit=$(($(peak) + 8192))

bad_upper() { # NAME: $dir/bad
	build_db --merge-from "$dir/bad" "$dir/good"
	refused $?
	report $? "not merged: $1"
}

size=$(stat -c %s "$dir/upper")
for bytes in 1 99 4096 $((size / 2)) $((size - 4096)); do
	head -c "$bytes" "$dir/upper" >"$dir/bad"
	bad_upper "cut off after $bytes bytes"
done
while IFS=$'\t' read -r name sql; do
	cp "$dir/upper" "$dir/bad"
	sqlite3 "$dir/bad" "$sql" >/dev/null
	bad_upper "$name"
done <<'END'
no references	drop table Refs
no such column	alter table ValidPaths rename column hash to other
a view in a table's place	alter table ValidPaths rename to Real; create view ValidPaths as select * from Real
END

cp tests/fuzz/seeds/import_database/claims-gigabytes "$dir/bad"
bad_upper "17 KB with a value that claims gigabytes"

# Most bits of a database say nothing of it when they are wrong: it is refused, or what is made of it is sound.
status=0 merged=0
for part in $(seq 1 60); do
	cp "$dir/upper" "$dir/bad"
	flip "$dir/bad" $((size * part / 61))
	if build_db --merge-from "$dir/bad" "$dir/good"; then
		merged=$((merged + 1))
		[ "$(sqlite3 "$dir/db/db.sqlite" 'pragma integrity_check; pragma foreign_key_check')" = ok ] &&
			[ "$(peak)" -le "$memory_limit" ] || status=1
	else
		refused $? || status=1
	fi
done
report "$status" "60 databases with a flipped bit: $merged merged into a sound one, the others refused"

# Rows that lead nowhere are dropped, and those that lean on them; circles among the upper's own stay as Nix left them.
cp "$dir/upper" "$dir/bad"
sqlite3 "$dir/bad" 'pragma foreign_keys = off; delete from ValidPaths where id = 100;
	insert or ignore into Refs values (1, 2); insert into Refs select 5, id from ValidPaths where id between 6 and 90'
build_db --merge-from "$dir/bad" "$dir/good" &&
	[ "$(sqlite3 "$dir/db/db.sqlite" 'pragma integrity_check; pragma foreign_key_check')" = ok ] &&
	[ "$(sqlite3 "$dir/db/db.sqlite" 'select count(*) from ValidPaths')" -eq 9099 ]
report $? "dangling references: their rows are left out, a circle stays"
tap_end
