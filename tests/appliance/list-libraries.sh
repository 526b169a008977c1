#!/bin/bash
# Print, as JSON, what default.nix packages: programs of the Debian tree this runs in, the libraries they
# load, and which libraries each of these names as needed.
set -euo pipefail

# name: the programs' files; the first one's version is the package's.
programs=(
	"nix: /usr/bin/nix /usr/bin/nix-store /usr/bin/nix-build /usr/bin/nix-instantiate /usr/bin/nix-collect-garbage /usr/bin/nix-env /usr/bin/nix-hash /usr/bin/nix-daemon"
	"busybox: /usr/bin/busybox"
	"bash: /usr/bin/bash"
	"coreutils: /usr/bin/ls /usr/bin/sha256sum /usr/bin/sort /usr/bin/comm /usr/bin/stat /usr/bin/dd"
	"findutils: /usr/bin/find /usr/bin/xargs"
	"sqlite: /usr/bin/sqlite3"
	"underlay: /srv/underlay-remount" # Nix's remount hook; see tests/lib/appliance.sh
)

json_list() {
	local item comma=
	printf '['
	for item; do
		printf '%s"%s"' "$comma" "$item"
		comma=,
	done
	printf ']'
}

# A tree is merged-usr in trixie and not in bookworm.
locate() {
	local file=$1
	[ -e "$file" ] || file=${file#/usr}
	echo "$file"
}

needed() {
	patchelf --print-needed "$1" 2>/dev/null || true # nothing where the program is static
}

declare -A libraries
printf '{"libc":"%s",\n' "$(ldd --version | sed -n '1s/.* //p')"
image=$(ls /boot/vmlinuz-*)
printf '"kernel":{"version":"%s","image":"%s","modules":"%s"},\n' "${image#*vmlinuz-}" "$image" \
	"/lib/modules/${image#*vmlinuz-}"

printf '"programs":{'
comma=
for row in "${programs[@]}"; do
	read -r -a files <<<"${row#*: }"
	for i in "${!files[@]}"; do
		files[i]=$(locate "${files[i]}")
	done
	case ${row%%:*} in
	busybox) version=$("${files[0]}" | sed -n '1s/^BusyBox v\([^ ]*\).*/\1/p') ;;
	sqlite) version=$("${files[0]}" --version | cut -d ' ' -f 1) ;;
	*) version=$("${files[0]}" --version | sed -n '1s/.* \([0-9][0-9.]*\).*/\1/p') ;;
	esac
	names=()
	for file in "${files[@]}"; do
		names+=($(needed "$file"))
		while read -r name _ file _; do
			[[ $file == /* ]] && libraries[$name]=$file
		done < <(ldd "$file" 2>/dev/null)
	done
	printf '%s\n"%s":{"version":"%s","files":%s,"needed":%s}' "$comma" "${row%%:*}" "$version" \
		"$(json_list "${files[@]}")" "$(json_list $(printf '%s\n' "${names[@]}" | sort -u))"
	comma=,
done
libraries[ld-linux-x86-64.so.2]=/lib64/ld-linux-x86-64.so.2
libraries[libnss_dns.so.2]=${libraries[libc.so.6]%/*}/libnss_dns.so.2 # Nix loads it by name

printf '},\n"libraries":{'
comma=
for name in $(printf '%s\n' "${!libraries[@]}" | sort); do
	printf '%s\n"%s":{"file":"%s","needed":%s}' "$comma" "$name" "${libraries[$name]}" \
		"$(json_list $(needed "${libraries[$name]}"))"
	comma=,
done
printf '}}\n'
