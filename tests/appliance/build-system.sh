# Builder of the system path: what the boot hands over to.
mkdir -p "$out/bin" "$out/etc" "$out/share"
fill() {
	sed -e "s|@busybox@|$busybox|g" -e "s|@system@|$out|g" "$1" >"$2"
	chmod +x "$2"
}
fill "$init" "$out/init"
for package in $programs; do
	for program in "$package"/bin/*; do
		ln -s "$program" "$out/bin/"
	done
done
for applet in $("$busybox/bin/busybox" --list); do
	[ -e "$out/bin/$applet" ] || ln -s "$busybox/bin/busybox" "$out/bin/$applet"
done
# Nix asks this, itself under another name, whether another machine should build; 2.8 looks for it in /usr.
ln -s "$(readlink "$out/bin/nix")" "$out/bin/build-remote"
[ -z "${kernel:-}" ] || ln -s "$kernel" "$out/kernel"
ln -s "$scenarios" "$out/scenarios"
ln -s "$seed" "$out/share/seed"
ln -s "$seedDoc" "$out/share/seed-doc"
ln -s "$seedDerivation" "$out/share/seed.drv"
ln -s "$fixedOutput" "$out/share/motto"
ln -s "$text" "$out/share/notes"
printf '%s\n' $units >"$out/share/units"
# What differs between releases, where this is one.
if [ -n "${only:-}" ]; then
	ln -s "$changed" "$out/share/changed"
	ln -s "$builtLater" "$out/share/built-later"
	ln -s "$only" "$out/share/only"
fi
