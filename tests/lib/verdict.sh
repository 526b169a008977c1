# What a boot must come to. To be sourced after tap.sh and qemu.sh, by a script that has
#
#   boot NAME ARGUMENT...    boots, and writes what underlay-init said to $work/NAME.said
#
#   refused NAME CODE ACTION SENTENCE ARGUMENT...   the boot must end in the code (NUMBER:NAME), by the action, with a
#                            sentence that the pattern matches from its beginning
#   boots NAME ARGUMENT...   the appliance's scenario `hello` must run to its end

refused() {
	local name=$1 code=$2 action=$3 sentence=$4 verb end=$3 bad
	shift 4
	case $action in
	reboot) verb=rebooting ;;
	poweroff) verb="powering off" ;;
	halt) verb=halting ;;
	shell) verb="opening a shell" end=reboot ;;
	esac
	boot "$name" "$@" || true >"$work/$name.said" # it has said nothing that anybody looks for
	bad=$(
		tap "$name: says what, which, why and what to do" \
			grep -qE "^underlay: $sentence" "$work/$name.said"
		tap "$name: ends in failure ${code%:*} (${code#*:}) and $verb" \
			grep -qF "failure ${code%:*} (${code#*:}); $verb" "$work/$name.said"
		tap_is "$name: how the machine ended" "$(cat "$qemu_dir/$name.end")" "$end"
		tap "$name: nothing of the system ran" test ! -s "$qemu_dir/$name.results"
	)
	echo "$bad"
	lacks -q '^not ok' <<<"$bad" || qemu_show "$name"
}

boots() {
	local name=$1 bad
	boot "$@"
	bad=$(
		tap_is "$name: boots all the same" "$(cat "$qemu_dir/$name.results")" \
			"$(printf 'say hello\nend hello 0')"
		tap_is "$name: how the machine ended" "$(cat "$qemu_dir/$name.end")" poweroff
	)
	echo "$bad"
	lacks -q '^not ok' <<<"$bad" || qemu_show "$name"
}
