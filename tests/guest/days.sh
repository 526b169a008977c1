# Some days of a machine, a boot each: what Nix does in them, and what must be so after each step. $day, $mode.
# What is done is written down as it is done, and never asked of Nix afterwards:
#   /tmp/have      the registration, in one line, of each path of the upper that is to be valid
#   /tmp/gone      names of those that were deleted and not built again
#   /tmp/earlier   names that were there when the day began: they lie in the kept layer
#   /tmp/today     names that were made today: they lie in the session
#   /tmp/lingers   names whose files stay to be seen until the next boot, as underlay-init(8) says
# Nix gives up 8 MiB of its own when it collects, and takes them back later: no part of what is measured here.
export NIX_CONFIG="gc-reserved-space = 0"
touch /tmp/have /tmp/gone /tmp/today /tmp/lingers
[ "$day" = 1 ] || cp /data/have /data/gone /tmp/
cut -d ' ' -f 1 /tmp/have >/tmp/earlier
ls -A /nix/.ro/nix/store | sort >/tmp/sealed-names
session=$(echo /nix/.rw/sessions/*/up)

cat >/tmp/days.nix <<END_NIX
let
  busybox = builtins.storePath "$busybox";
  tool = "\${busybox}/bin/busybox";
  build = name: script: derivation {
    name = "days-\${name}";
    system = "x86_64-linux";
    builder = tool;
    args = [ "sh" "-euc" script ];
  };
  big = name: build name "(echo \${name}; \${tool} dd if=/dev/zero bs=1048576 count=8) >\$out";
  twin = name: build name ''
    \${tool} mkdir \$out
    (echo twins; \${tool} dd if=/dev/zero bs=1048576 count=1) >\$out/same
    echo \${name} >\$out/own
  '';
in rec {
  stays = build "stays" ''
    \${tool} mkdir -p \$out/bin \$out/deep/er
    echo "#!\${tool} sh" >\$out/bin/run
    \${tool} chmod +x \$out/bin/run
    \${tool} ln -s ../bin/run \$out/deep/run
    for i in 1 2 3 4 5 6 7 8 9; do echo \$i >\$out/deep/er/\$i; done
  '';
  leans = build "leans" "echo \${stays} >\$out";
  leansLater = build "leansLater" "echo \${stays} \${leans} >\$out";
  twin1 = twin "twin1";
  twin2 = twin "twin2";
  soon = big "soon";
  later = big "later";
  collected = big "collected";
  back = big "back";
  twice = twin "twice";
  returns = twin "returns";
  brief = big "brief";
}
END_NIX

# ---- what is done -----------------------------------------------------------------------------------

# Registrations, one a line: base name, hash, size, deriver, references.
registered() {
	awk 'function next_line() {getline line; return line}
		{sub(".*/", ""); text = $0; for (i = 0; i < 3; i++) text = text " " next_line()
		n = next_line() + 0; for (i = 0; i < n; i++) text = text " " next_line(); print text}' | sort
}

# name_of ATTRIBUTE: of those that were ever built.
name_of() {
	cut -d ' ' -f 1 /tmp/have /tmp/gone | grep "^[0-9a-z]*-days-$1\$"
}

# without FILE NAME: takes the lines of that name out.
without() {
	grep -v "^$2\( \|\$\)" "$1" >/tmp/rest
	mv /tmp/rest "$1"
}

made() {
	for path; do
		for list in have gone lingers today; do
			without /tmp/$list "${path##*/}"
		done
		echo "${path##*/}" >>/tmp/today
	done
	nix-store --dump-db "$@" | registered | sort - /tmp/have >/tmp/rest
	mv /tmp/rest /tmp/have
}

# A derivation that is there already is none of today's.
build() {
	attributes=$(printf ' -A %s' "$@")
	drvs=$(nix-instantiate /tmp/days.nix $attributes 2>/tmp/build.log | sed 's/!.*//')
	outs=$(nix-build /tmp/days.nix $attributes --no-out-link 2>/tmp/build.log) || cat /tmp/build.log
	for out in $outs; do
		attribute=${out##*-days-}
		check "$attribute is built" grep -q "^building '/nix/store/[0-9a-z]*-days-$attribute.drv'" /tmp/build.log
		ln -s "$out" "$roots/$attribute"
	done
	check "all of them are built" test "$(echo "$outs" | grep -c .)" = $#
	made $outs $(echo "$drvs" | while read -r drv; do grep -q "^${drv##*/} " /tmp/have || echo "$drv"; done)
}

taken() {
	for base; do
		without /tmp/have "$base"
		echo "$base" >>/tmp/gone
		# Its files are in the kept layer, and Nix, which knows its session only, does not hide them.
		if [ "$mode" = attach ] && grep -qx "$base" /tmp/earlier && [ "$(grep -cx "$base" /tmp/today)" = 0 ]; then
			echo "$base" >>/tmp/lingers
		fi
	done
	sort -u -o /tmp/gone /tmp/gone
}

delete() {
	for attribute; do
		rm -f "$roots/$attribute"
		check "$attribute is deleted" nix-store --delete "/nix/store/$(name_of "$attribute")"
		say nix "$attribute $(tail -n 1 /tmp/check.log)"
		taken "$(name_of "$attribute")"
	done
}

# collect_all COMMAND ATTRIBUTE...: garbage is what nothing roots, just these, and their derivations.
collect_all() {
	command=$1
	shift
	for attribute; do
		rm -f "$roots/$attribute"
		taken $(name_of "$attribute") $(name_of "$attribute.drv")
	done
	check "$command ends well" $command
	say nix "$command: $(tail -n 1 /tmp/check.log)"
}

# ---- space ------------------------------------------------------------------------------------------

# KiB of the upper's filesystem that are taken, as df says.
used() {
	sync
	df -kP /nix/.rw | awk 'END {print $3}'
}

# space NAME: told, and kept in $space_NAME.
space() {
	eval "space_$1=$(used)"
	eval "say space $1 \$space_$1"
}

# fell NAME BEFORE AFTER KIB: by so much, give or take 1 MiB for Nix's database.
fell() {
	check "$1: df says that $4 KiB came back ($(($2 - $3)))" test $(($2 - $3 - $4)) -ge -1024 -a $(($2 - $3 - $4)) -le 1024
}

# ---- what must be so --------------------------------------------------------------------------------

# equal NAME WANTED GOT: lists in files. The wanted one may be empty where a path of the upper is none of its subject.
equal() {
	check "$1" diff "$2" "$3"
}

names() {
	cut -d ' ' -f 1 "$1" | sort -u
}

# The layers by themselves, one upon the other as overlayfs does it.
merged() {
	find "$session" -mindepth 1 -maxdepth 1 -type c | sed 's|.*/||' | sort >/tmp/whiteouts
	ls -A "$session" | sort | comm -23 - /tmp/whiteouts >/tmp/in-session
	ls -A /nix/.rw/kept | sort | comm -23 - /tmp/whiteouts | sort -u - /tmp/in-session | comm -23 - /tmp/sealed-names
}

agree_on_layers() {
	merged >/tmp/merged
	equal "$1: the layers hold what is seen" /tmp/merged /tmp/seen-names
	sort -u /tmp/gone | comm -12 - /tmp/earlier.sorted | comm -23 - /tmp/lingers.sorted >/tmp/hidden
	equal "$1: whiteouts hide what was deleted of earlier days, and nothing else" /tmp/hidden /tmp/whiteouts
	sort -u /tmp/today | comm -12 - /tmp/have-names | comm -23 - /tmp/in-session >/tmp/strays
	check "$1: what today built lies in the session" test ! -s /tmp/strays
	ls -A /nix/.rw/kept | sort >/tmp/kept
	sort -u /tmp/today | comm -23 /tmp/have-names - | comm -23 - /tmp/kept >/tmp/strays
	check "$1: what earlier days built lies in the kept layer" test ! -s /tmp/strays
	comm -12 /tmp/kept /tmp/sealed-names >/tmp/strays
	check "$1: the kept layer has no sealed name" test ! -s /tmp/strays -a -s /tmp/sealed-names
}

# agree STEP: Nix's view, the files that are seen and the layers are what was done, exactly.
agree() {
	names /tmp/have >/tmp/have-names
	sort -u /tmp/earlier >/tmp/earlier.sorted
	sort -u /tmp/lingers >/tmp/lingers.sorted
	paths=$(sed 's|^|/nix/store/|' /tmp/have-names)

	nix-store --dump-db | registered | awk 'FILENAME != "-" {sealed[$1]; next} !($1 in sealed)' /tmp/sealed-names - >/tmp/valid
	equal "$1: Nix calls valid what was built, as it was registered then, and nothing else" /tmp/have /tmp/valid
	check "$1: there is such a path" test -s /tmp/have
	nix-store --check-validity --print-invalid $(sed 's|^|/nix/store/|' /tmp/gone) $paths $(lower_paths) |
		sed 's|.*/||' | sort >/tmp/invalid
	equal "$1: asked for each, Nix has lost what was deleted, and no sealed path" /tmp/gone /tmp/invalid
	nix-store --query --requisites $paths | sed 's|.*/||' | sort -u | comm -23 - /tmp/sealed-names >/tmp/requisites
	equal "$1: what they need is among them, or sealed" /tmp/have-names /tmp/requisites

	ls -A /nix/store | sort >/tmp/all
	comm -23 /tmp/all /tmp/sealed-names | grep -v '^\.tmp-link-' >/tmp/seen-names
	sort -u /tmp/have-names /tmp/lingers >/tmp/wanted
	equal "$1: /nix/store shows what is valid, and nothing that was deleted" /tmp/wanted /tmp/seen-names
	comm -23 /tmp/sealed-names /tmp/all >/tmp/strays
	check "$1: it shows every sealed path" test ! -s /tmp/strays -a -s /tmp/sealed-names
	check "$1: the files have the hashes that Nix knows" nix-store --verify-path $paths
	agree_on_layers "$1"
}

# Before anything is done: the kept layer has what is valid, to a name, and nothing waits to be deleted.
begin_day() {
	space begin
	ls -A /nix/.rw/kept | sort >/tmp/kept
	names /tmp/have >/tmp/have-names
	equal "the day begins: what is kept is what is valid" /tmp/have-names /tmp/kept
	ls -A "$session" /nix/.rw/trash | grep -v : | grep . >/tmp/strays
	check "the day begins: the session and the trash are empty" test ! -s /tmp/strays -a -d "$session" -a -d /nix/.rw/trash
	agree "the day begins"
}

# Where Nix compares numbers of inodes (2.26), files of the image stop it, as underlay-init(8) says: every other error
# counts.
optimised() {
	nix-store --optimise >/tmp/optimise.log 2>&1
	optimise_status=$?
	cat /tmp/optimise.log
	[ $optimise_status = 0 ] && return
	stale=$(sed -n '/^error: .*Stale file handle/s|.*/nix/store/\([0-9a-z]\{32\}-[^]/"]*\).*|\1|p' /tmp/optimise.log)
	[ "$mode" = rebuild ] && grep -qxF "${stale:-none}" /tmp/sealed-names
}

optimise() {
	check "nix-store --optimise ends well, or stops at a sealed file" optimised
	say nix "optimise: $(tail -n 1 /tmp/check.log)"
	agree "optimised"
}

verify() {
	check "nix-store --verify --check-contents is clean" verify_all --check-contents
}

# Where Nix came so far: of a local-overlay store it links no files.
share() {
	[ "$mode" = attach ] || grep -q "Stale file handle" /tmp/optimise.log || check "$1: the twins share a file" test "$(stat -c %i "/nix/store/$(name_of twin1)/same")" = \
		"$(stat -c %i "/nix/store/$(name_of twin2)/same")"
}

end_day() {
	verify
	agree "the day ends"
	space end
	sealed_unchanged
	sort -u /tmp/have | block have
	sort -u /tmp/gone | block gone
	block state </run/underlay/state.json
	mark_clean
}
