# A user's day: everything that he asks of Nix, one step after the other. In the tree, as its root; /mnt: the files
# beside this one, the paths that are sealed (sealed-paths), and run/, which the boot left. Each step's status, what it
# says and what it complains of are written to file descriptor 3, without what another run would have otherwise anyway.
set -u
umask 022
PATH=/tmp/bin:$PATH
mkdir -p /tmp/bin /tmp/home /run/underlay
cp -r /mnt/run/. /run/underlay/ 2>/dev/null || true # over a plain store there is no boot
chmod 1777 /tmp
began=$(date +%s)
system=$(cat /mnt/system)
mapfile -t sealed </mnt/sealed-paths
named() { # NAME: the sealed path of that name
	printf '%s\n' "${sealed[@]}" | grep -- "-$1\$"
}

# Temporary names and what is named after them, process numbers, times of today.
normal() {
	busybox awk -v began="$began" '{
		gsub(/nix-(build|shell)-?[^ \/'"'"']*/, "nix-build")
		gsub(/\.tmp-link-[0-9]+-[0-9]+/, ".tmp-link")
		sub(/-0\.00 MiB/, "0.00 MiB")
		if (/removing stale temporary roots file|removing stale link from .* to .\/tmp\/nix-build/)
			next
		gsub(/20[0-9][0-9]-[0-9][0-9]-[0-9][0-9]( [0-9]+:[0-9]+:[0-9]+)?/, "DATE")
		while (match($0, /"registrationTime":[0-9]+/)) {
			time = substr($0, RSTART + 19, RLENGTH - 19)
			$0 = substr($0, 1, RSTART) "registered\":" (time >= began ? "TODAY" : time) substr($0, RSTART + RLENGTH)
		}
		print
	}'
}

# step NAME COMMAND...; refused STATUS NAME COMMAND...: with another status than 0 over a plain store
wanted=0
step() {
	local name=$1 status=0
	shift
	"$@" >/tmp/step.out 2>/tmp/step.err </dev/null || status=$?
	{
		echo "== $name"
		echo "wanted $wanted"
		echo "status $status"
		normal </tmp/step.out | sed 's/^/says /'
		normal </tmp/step.err | sed 's/^/complains /'
	} >&3
}
refused() {
	local -i wanted=$1
	step "${@:2}"
}
# sorted COMMAND...: where the order is that of a directory.
sorted() {
	local status=0
	"$@" >/tmp/sorted.out 2>/tmp/sorted.err || status=$?
	sort /tmp/sorted.out
	sort /tmp/sorted.err >&2
	return $status
}
nar() {
	nix-store --dump "$@" | sha256sum
}
without_ca() {
	NIX_CONFIG="experimental-features = nix-command flakes
$(grep local-overlay /run/underlay/nix.conf 2>/dev/null)" "$@"
}

printf 'root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/tmp/home:/bin/sh\n' >/etc/passwd
printf 'root:x:0:\nuser:x:1000:\n' >/etc/group
mkdir -p /etc/nix
cat >/etc/nix/nix.conf <<-'END_CONF'
	build-users-group =
	sandbox = false
	substituters =
	substitute = false
	max-jobs = 1
	extra-experimental-features = nix-command flakes ca-derivations
	!include /run/underlay/nix.conf
END_CONF
cd /tmp || exit 1
cp /mnt/*.nix /tmp/
export NO_COLOR=1 HOME=/tmp/root
mkdir -p /tmp/root
nix_build() {
	nix-build --no-out-link /tmp/day.nix "$@"
}

# ---- what is sealed -----------------------------------------------------------------------------------

busybox=$(named busybox-1.0) library=$(named library-1.0) two=$(named two-1.0) drv=$(named 'two-1.0\.drv')
step "sealed: all paths" sorted nix path-info --all
step "ca off: a derivation is valid" without_ca nix-store --check-validity "$(named 'addressed-base\.drv')"
step "ca off: what it made is valid" without_ca nix-store --check-validity "$(named addressed-base)"
step "ca off: roots" without_ca nix-store --query --roots "$(named addressed-base)"
step "ca off: a collection" sorted without_ca nix-store --gc --print-dead
step "sealed: all of it is valid" nix-store --check-validity "${sealed[@]}"
refused 1 "sealed: a path that is none" nix-store --check-validity /nix/store/00000000000000000000000000000000-none
step "sealed: verify" sorted nix-store --verify
step "sealed: verify contents" sorted nix-store --verify --check-contents
step "sealed: nix store verify" sorted nix store verify --all --no-trust
for query in references referrers referrers-closure requisites deriver hash size roots valid-derivers tree graph; do
	step "sealed: query --$query" sorted nix-store --query --$query "$library"
done
step "sealed: query --outputs" nix-store --query --outputs "$drv"
step "sealed: query --binding" nix-store --query --binding name "$drv"
step "sealed: path-info" nix path-info --recursive --closure-size --json "$system"
step "sealed: path-info of content-addressed paths" nix path-info --json "$(named addressed-base)" "$(named addressed-user)"
step "sealed: sigs" nix path-info --sigs "$library"
step "sealed: nar" nar "$library"
step "sealed: ls" nix store ls --long --recursive "$library"
step "sealed: derivation show" nix derivation show "$drv"
step "sealed: why-depends" nix why-depends "$two" "$busybox"
step "sealed: realise what is there" nix-store --realise "$drv"
step "the store's name" nix store info

# ---- building -----------------------------------------------------------------------------------------

step "build: sealed derivations need nothing" nix-build --no-out-link /tmp/sealed.nix -A two -A fixed -A library --max-jobs 0
step "build: dry run" nix_build -A hello --dry-run
step "build" nix-build /tmp/day.nix -A hello -o /tmp/result
hello=$(readlink /tmp/result)
step "build: runs" /tmp/result/bin/hello
step "build: again" nix_build -A hello --max-jobs 0
step "build: once more, compared" nix_build -A hello --check
step "build: once more what differs each time" nix_build -A changes --quiet
refused 104 "build: it differs" bash -c 'nix-build --no-out-link /tmp/day.nix -A changes --check >/dev/null 2>&1'
step "build: what leans on it" nix-build /tmp/day.nix -A leans -o /tmp/result-leans
step "build: two outputs" nix-build /tmp/day.nix -A outputs -o /tmp/result-outputs
refused 100 "build: one that fails" nix_build -A fails
step "build: its log" nix-store --read-log "$(nix-instantiate /tmp/day.nix -A fails 2>/dev/null)"
step "build: evaluated from a build" nix eval --file /tmp/day.nix imports
step "build: a sealed derivation anew" nix-build --no-out-link /tmp/sealed.nix -A two --check
step "build: nix build" nix build --file /tmp/day.nix other --no-link --print-out-paths
step "add" nix-store --add /tmp/day.nix
step "add: nix store add" nix store add --name day /tmp/day.nix
step "add: flat, by another hash" nix-store --add-fixed sha512 /tmp/day.nix
step "add: what is sealed" nix-store --add "$busybox"
leans=$(readlink /tmp/result-leans)
for query in references referrers requisites deriver roots valid-derivers tree; do
	step "built: query --$query" sorted nix-store --query --$query "$leans" "$hello"
done
step "built: a sealed path's referrers" sorted nix-store --query --referrers "$library"
step "built: all that refers to a sealed path" sorted nix-store --query --referrers-closure "$busybox"
step "built: path-info" nix path-info --recursive --closure-size --json "$leans"
step "built: why-depends" nix why-depends "$leans" "$busybox"
step "built: roots" sorted nix-store --gc --print-roots
step "built: a sealed path's roots" sorted nix-store --query --roots "$busybox"

# ---- profiles -----------------------------------------------------------------------------------------

step "nix-env: install" nix-env --file /tmp/day.nix --install --attr hello other
step "nix-env: query" nix-env --query --installed --out-path
step "nix-env: what it installed runs" /tmp/root/.nix-profile/bin/hello
step "nix-env: upgrade" nix-env --file /tmp/day.nix --upgrade
step "nix-env: the newer one" nix-env --file /tmp/day.nix --install --attr helloNew
step "nix-env: the newer one runs" /tmp/root/.nix-profile/bin/hello
step "nix-env: generations" nix-env --list-generations
step "nix-env: rollback" nix-env --rollback
step "nix-env: the older one runs" /tmp/root/.nix-profile/bin/hello
step "nix-env: uninstall" nix-env --uninstall other
step "nix-env: switch to a generation" nix-env --switch-generation 2
step "nix-env: delete generations" nix-env --delete-generations old
step "nix-env: generations that stay" nix-env --list-generations
step "nix-env: a sealed path as a profile" nix-env --profile /nix/var/nix/profiles/sealed --set "$system"
step "nix-env: its roots" sorted nix-store --query --roots "$system"

# ---- flakes -------------------------------------------------------------------------------------------

mkdir -p /tmp/flake
cp /mnt/{flake,day,sealed}.nix /tmp/flake/
touch -d @1000000000 /tmp/flake /tmp/flake/*
profile=(--profile /nix/var/nix/profiles/flakes)
step "flake: metadata" nix flake metadata --json path:/tmp/flake
step "flake: show" nix flake show path:/tmp/flake
step "flake: check" nix flake check path:/tmp/flake
step "flake: build" nix build path:/tmp/flake --out-link /tmp/result-flake
step "flake: run" nix run path:/tmp/flake
step "flake: eval" nix eval path:/tmp/flake#answer
step "flake: shell" nix shell path:/tmp/flake#hello --command hello
step "profile: install" nix profile install "${profile[@]}" path:/tmp/flake#hello
step "profile: list" nix profile list "${profile[@]}" --json
sed -i 's/inherit (import .\/day.nix) hello leans/inherit (import .\/day.nix) leans; hello = (import .\/day.nix).helloNew/' /tmp/flake/flake.nix
touch -d @1000000001 /tmp/flake /tmp/flake/flake.nix
step "profile: upgrade" nix profile upgrade "${profile[@]}" hello
step "profile: runs" /nix/var/nix/profiles/flakes/bin/hello
step "profile: history" nix profile history "${profile[@]}"
step "profile: rollback" nix profile rollback "${profile[@]}"
step "profile: runs as before" /nix/var/nix/profiles/flakes/bin/hello
step "profile: remove" nix profile remove "${profile[@]}" hello
step "profile: wipe history" nix profile wipe-history "${profile[@]}"
step "profile: closures" nix profile diff-closures "${profile[@]}"

# ---- to other stores and back -------------------------------------------------------------------------

cache="file:///tmp/cache?compression=none"
narinfo() {
	cat "/tmp/cache/$(basename "$1" | cut -c 1-32).narinfo"
}
from_cache=(--option substitute true --option substituters file:///tmp/cache --option require-sigs false)
step "cache: copy what is built" sorted nix copy --to "$cache" "$leans"
step "cache: copy what is sealed" sorted nix copy --to "$cache" "$system"
step "cache: what is built" narinfo "$leans"
step "cache: what is sealed" narinfo "$library"
step "cache: its paths" sorted nix path-info --store "$cache" --all
step "cache: a path is deleted here" sorted bash -c 'rm /tmp/result-leans && nix-store --delete "$1"' _ "$leans"
refused 1 "cache: it is invalid" nix-store --check-validity "$leans"
step "cache: and comes back" sorted nix copy --from "$cache" --no-check-sigs "$leans"
step "cache: as it was" nar "$leans"
step "cache: what is sealed comes from it, too" sorted nix copy --from "$cache" --no-check-sigs "$system"
step "cache: deleted again" sorted nix-store --delete "$leans"
refused 1 "cache: unsigned paths are refused" nix-store --realise "$leans" "${from_cache[@]}" --option require-sigs true
step "cache: as a substituter" nix-store --realise "$leans" "${from_cache[@]}" --add-root /tmp/result-leans
step "cache: what it would fetch" nix_build -A leans --dry-run "${from_cache[@]}"
step "cache: path-info of what came" nix path-info --json "$leans"
step "chroot: copy" sorted nix copy --no-check-sigs --to /tmp/chroot "$leans" "$system"
step "chroot: its paths" sorted nix path-info --store /tmp/chroot --all
step "chroot: references" sorted nix-store --store /tmp/chroot --query --references "$leans"
step "chroot: verify" sorted nix-store --store /tmp/chroot --verify --check-contents
step "chroot: deleted here" sorted bash -c 'rm /tmp/result-leans && nix-store --delete "$1"' _ "$leans"
step "chroot: copy back" sorted nix copy --no-check-sigs --from /tmp/chroot "$leans"
step "chroot: as it was" nar "$leans"
step "chroot: add there" nix-store --store /tmp/chroot --add /tmp/day.nix

# In ssh's place: there is no master that others share; what was to run there runs here.
cat >/tmp/bin/ssh <<-'END_SSH'
	#!/bin/bash
	echo "ssh $*" >>/tmp/ssh.log
	[[ " $* " != *" -O check "* ]] || exit 255
	[[ $* != *"echo started"* ]] || echo started
	for word; do
		shift
		case $word in nix-daemon | nix-store) exec "$word" "$@" ;; nix-daemon\ * | nix-store\ *) exec bash -c "$word" ;; esac
	done
END_SSH
chmod +x /tmp/bin/ssh
far='ssh-ng://elsewhere?remote-store=local%3Froot%3D/tmp/far'
step "ssh-ng: copy" sorted nix copy --no-check-sigs --to "$far" "$leans" "$system"
step "ssh-ng: its paths" sorted nix path-info --store "$far" --all
step "ssh-ng: ssh was asked" bash -c 'grep -c elsewhere /tmp/ssh.log'
step "ssh-ng: deleted here" sorted nix-store --delete "$leans"
step "ssh-ng: copy back" sorted nix copy --no-check-sigs --from "$far" "$leans"
step "ssh-ng: as it was" nar "$leans"
step "ssh-ng: another machine asks this store" nix path-info --store ssh-ng://here --json "$library" "$leans"
step "ssh-ng: and takes of it" sorted nix copy --no-check-sigs --from ssh-ng://here --to /tmp/further "$leans"
step "ssh-ng: and gives to it" nix-store --add /tmp/flake.nix --store ssh-ng://here
step "nix-copy-closure" nix-copy-closure --to elsewhere "$leans"
step "export" bash -c 'nix-store --export $(nix-store --query --requisites "$1") >/tmp/exported && sha256sum </tmp/exported' _ "$leans"
step "import: deleted here" sorted nix-store --delete "$leans"
step "import" bash -c 'nix-store --import </tmp/exported | sort'
step "import: as it was" nar "$leans"
ln -s "$leans" /nix/var/nix/gcroots/leans

# ---- content-addressed derivations --------------------------------------------------------------------

step "ca: build" nix_build -A second
step "ca: the same content by another derivation" nix_build -A secondAgain
step "ca: nothing is left to be built" nix_build -A first -A second -A secondAgain --max-jobs 0
step "ca: realisation" nix realisation info --json --file /tmp/day.nix second
step "ca: realisations of what is sealed" nix realisation info --json --file /tmp/sealed.nix addressedBase addressedUser
step "ca: sealed derivations need nothing" nix-build --no-out-link /tmp/sealed.nix -A addressedUser --max-jobs 0
step "ca: to the cache" sorted nix copy --to "$cache" --file /tmp/day.nix second
step "ca: its realisations" bash -c 'cat /tmp/cache/realisations/* | sort'
step "ca: on a sealed one" nix_build -A onSealed
step "ca: nix store make-content-addressed" nix store make-content-addressed "$leans" --json
step "ca: with the feature off again" without_ca nix_build -A hello --max-jobs 0

# ---- repair -------------------------------------------------------------------------------------------

damage() {
	chmod u+w "$1/bin/hello" && echo damaged >>"$1/bin/hello"
}
step "repair: damage" damage "$hello"
refused 1 "repair: verify sees it" sorted nix-store --verify --check-contents
refused 1 "repair: verify-path sees it" nix-store --verify-path "$hello" "$library"
step "repair: without a cache" sorted nix-store --repair-path "$hello" --option max-jobs 0
step "repair: with the cache" nix-store --repair-path "$hello" "${from_cache[@]}"
step "repair: as it was" nix-store --verify-path "$hello"
step "repair: damage again" damage "$hello"
step "repair: nix store repair" nix store repair "$hello" "${from_cache[@]}"
step "repair: as it was again" nix-store --verify-path "$hello"
step "repair: damage for verify" damage "$hello"
step "repair: verify --repair" sorted nix-store --verify --check-contents --repair "${from_cache[@]}"
step "repair: all is well" sorted nix-store --verify --check-contents
step "repair: damage for a build" damage "$hello"
step "repair: nix-build --repair" sorted nix_build -A hello --repair
step "repair: with the cache after all" nix-store --repair-path "$hello" "${from_cache[@]}"
step "repair: runs" "$hello/bin/hello"
step "repair: what is sealed" nix-store --repair-path "$library" "${from_cache[@]}"
step "repair: is as it was" nar "$library"

# ---- a user without rights ----------------------------------------------------------------------------

as_user() {
	chroot --userspec=1000:1000 / env HOME=/tmp/home USER=user "$@"
}
chown 1000:1000 /tmp/home
sed -i 's|!include /run/underlay/nix.conf|!include /run/underlay/users.conf|' /etc/nix/nix.conf
env 'NIX_CONFIG=!include /run/underlay/nix.conf' nix-daemon >/tmp/daemon.log 2>&1 &
daemon=$!
for _ in {1..100}; do
	[ ! -S /nix/var/nix/daemon-socket/socket ] || break
	sleep 0.1
done
step "user: all that is sealed is valid" as_user nix-store --check-validity "${sealed[@]}"
step "user: references" sorted as_user nix-store --query --references "$library"
step "user: path-info" as_user nix path-info --recursive --closure-size --json "$two"
step "user: build" as_user nix-build /tmp/day.nix -A users -o /tmp/home/result
step "user: what is built" cat /tmp/home/result
step "user: add" as_user nix-store --add /tmp/day.nix
step "user: flake" as_user nix build path:/tmp/flake --no-link --print-out-paths
step "user: profile" as_user nix-env --profile /tmp/home/profile --set "$(readlink /tmp/home/result)"
step "user: roots" sorted as_user nix-store --query --roots "$(readlink /tmp/home/result)"
step "user: sealed derivations need nothing" as_user nix-build --no-out-link /tmp/sealed.nix -A two --max-jobs 0
step "user: ca" as_user nix build --file /tmp/day.nix second --no-link --print-out-paths
# What asked last goes on holding its paths until its server has ended.
while [ -n "$(cat /proc/$daemon/task/$daemon/children)" ]; do
	sleep 0.1
done
step "user: collects" sorted as_user nix-store --gc
step "user: what he built stays" as_user nix-store --check-validity "$(readlink /tmp/home/result)"
refused 1 "user: deletes what is in use" as_user nix-store --delete "$(readlink /tmp/home/result)"
refused 1 "user: cannot write the store" as_user touch /nix/store/x
refused 1 "user: nor the database" as_user touch /nix/var/nix/db/db.sqlite
step "root beside the daemon: the store's name" nix store info
step "root beside the daemon: all that is sealed is valid" nix-store --check-validity "${sealed[@]}"
kill $daemon
wait $daemon
sed -i 's|!include /run/underlay/users.conf|!include /run/underlay/nix.conf|' /etc/nix/nix.conf

# ---- hard links, and what goes ------------------------------------------------------------------------

step "optimise: a twin" nix-build /tmp/day.nix -A twin -o /tmp/result-twin
step "optimise" sorted nix-store --optimise
step "optimise: files" bash -c 'stat -c %h "$1/numbers" /tmp/result-twin/numbers' _ "$leans"
step "optimise: all is well" sorted nix-store --verify --check-contents
refused 1 "delete: what is in use" nix-store --delete "$hello"
refused 1 "delete: what is sealed" nix-store --delete "$library"
step "collect: a generation more" nix-env --file /tmp/day.nix --install --attr other
step "collect: rollback" nix-env --rollback
step "collect: garbage" nix_build -A second -A users2
step "collect: what is dead" sorted nix-store --gc --print-dead
step "collect: what is alive" sorted nix-store --gc --print-live
step "collect: generations, dry run" sorted nix-collect-garbage --delete-old --dry-run
step "collect" sorted nix-collect-garbage --delete-old
step "collect: what stays" sorted nix path-info --all
step "collect: what is seen" ls /nix/store
step "collect: nothing is left" sorted nix-store --gc
rm -rf /tmp/result* /nix/var/nix/gcroots/leans /nix/var/nix/profiles/* /tmp/home/{result,profile}*
step "collect: everything" sorted nix-store --gc
step "end: all paths" sorted nix path-info --all
step "end: what is sealed is valid" nix-store --check-validity "${sealed[@]}"
step "end: and whole" nix-store --verify-path "${sealed[@]}"
step "end: verify" sorted nix-store --verify --check-contents
step "end: a sealed path's referrers" sorted nix-store --query --referrers "$busybox"
step "end: build once more" nix_build -A leans
# Nobody does that by chance.
step "by force: the root of what is sealed" sorted nix-store --delete --ignore-liveness "$(named underlay-roots)"
refused 1 "by force: it is there" test -e "$(named underlay-roots)"
refused 1 "by force: it is valid" nix-store --check-validity "$(named underlay-roots)"
step "by force: a path that nothing needs" sorted nix-store --delete "$(named alone)"
refused 1 "by force: that one is there" test -e "$(named alone)"
refused 1 "by force: that one is valid" nix-store --check-validity "$(named alone)"
step "by force: and built again" nix-build --no-out-link /tmp/sealed.nix -A alone
echo "== the end" >&3
