# What the boot made of an image or a place that is not the usual one; Nix judges where it was given a database.
echo "begin state" >&3
cat /run/underlay/state.json >&3
echo "end state" >&3
say lowerdir "$(sed -n 's|^overlay /nix/store .*[,]lowerdir=\([^,]*\),.*|\1|p' /proc/mounts)"
say host "$(awk '$2 == "/run/underlay/host" {print $3, substr($4, 1, 22)}' /proc/mounts)"
# A store that is all of its filesystem has the registration beside the paths.
a_path='^/nix/store/[0-9a-z]{32}-'
ls -d /nix/store/* | grep -E "$a_path" >/tmp/store
say store-paths "$(wc -l </tmp/store)"
if grep -q '"mode": *"none"' /run/underlay/state.json; then
	check "nothing claims to be a database" test ! -e /nix/var/nix/db/db.sqlite
else
	check "Nix calls every path of the store valid" nix-store --check-validity $(cat /tmp/store)
	added=$(nix-store --add /proc/version)
	check "the store takes a new path" nix-store --check-validity "$added"
	nix-store --delete "$added" >/dev/null
	nix-store --gc --print-dead >/tmp/dead 2>/tmp/gc.log
	check "the collector looks" test $? = 0
	check "no path of the image is garbage" lacks -qE "$a_path" /tmp/dead
fi
