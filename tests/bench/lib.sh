# What the benchmark scripts share: runs by turns, medians, a table, JSON. Sourced, not run.
#
#   bench_round NAME COMMAND...     run once, note the wall-clock time; a failing command ends the benchmark
#   bench_given NAME COMMAND...     the same for a command that prints its own time, in seconds
#   bench_median NAME               median of the times noted, in seconds
#   bench_json FILE TITLE KEY=VALUE...   medians and times of all names, and the given facts

declare -A bench_times
declare -a bench_names

bench_note() { # NAME SECONDS
	[ -n "${bench_times[$1]:-}" ] || bench_names+=("$1")
	bench_times[$1]+="$2 "
}

bench_run() { # COMMAND...: what it prints goes to $bench_dir/stdout
	"$@" >"$bench_dir/stdout" 2>"$bench_dir/stderr" || {
		echo "benchmark: $* failed:" >&2
		cat "$bench_dir/stderr" >&2
		exit 3
	}
}

bench_round() {
	local name=$1 start end
	shift
	start=$EPOCHREALTIME
	bench_run "$@"
	end=$EPOCHREALTIME
	bench_note "$name" "$(awk -v a="$start" -v b="$end" 'BEGIN { printf "%.4f", b - a }')"
}

bench_given() {
	local name=$1
	shift
	bench_run "$@"
	bench_note "$name" "$(tail -n 1 "$bench_dir/stdout")"
}

bench_median() {
	tr ' ' '\n' <<<"${bench_times[$1]}" | grep . | sort -n |
		awk '{ t[NR] = $1 } END { print NR % 2 ? t[(NR + 1) / 2] : (t[NR / 2] + t[NR / 2 + 1]) / 2 }'
}

# Bytes a second of `openssl speed` for SHA-256 in pieces of BYTES by JOBS processes.
bench_sha256() { # BYTES JOBS [SECONDS]
	openssl speed -evp sha256 -bytes "$1" -seconds "${3:-2}" -multi "$2" 2>/dev/null |
		awk '/^sha256|^evp/ { sub("k$", "", $NF); printf "%.0f\n", $NF * 1000 }'
}

bench_table() { # BYTES: rates are of these
	local name
	printf '%-44s %10s %10s\n' '' 'median s' 'MB/s'
	for name in "${bench_names[@]}"; do
		awk -v n="$name" -v t="$(bench_median "$name")" -v b="$1" \
			'BEGIN { printf "%-44s %10.3f %10.0f\n", n, t, b / t / 1e6 }'
	done
}

bench_json() {
	local file=$1 title=$2 name fact
	shift 2
	{
		for fact in "$@"; do jq -n --arg k "${fact%%=*}" --argjson v "${fact#*=}" '{($k): $v}'; done
		for name in "${bench_names[@]}"; do
			jq -n --arg n "$name" --argjson m "$(bench_median "$name")" \
				--argjson t "[$(sed 's/ $//; s/ /,/g' <<<"${bench_times[$name]}")]" \
				'{runs: {($n): {median: $m, seconds: $t}}}'
		done
	} | jq -s --arg title "$title" 'reduce .[] as $x ({benchmark: $title}; . * $x)' >"$file"
	echo "written: $file"
}

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }
