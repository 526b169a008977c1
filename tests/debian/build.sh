# Builder of the system: /usr of the tree this runs in, or of the one at $root, without documentation and without
# dracut, and an /etc of our own.
mkdir "$out"
# No set-user-ID program in a store: Nix forbids it.
cp -r --preserve=timestamps,links --no-dereference "${root:-}/usr" "$out/usr"
rm -rf "$out"/usr/share/{doc,man,locale,info,zoneinfo} "$out"/usr/lib/{dracut,modules,underlay} "$out"/usr/src
rm -f "$out"/usr/lib/systemd/system/{,*/}dracut-*
# On a root in memory these run at every boot, for half of its time.
rm -f "$out"/usr/lib/systemd/system/{,*/}{systemd-hwdb-update,systemd-journal-catalog-update,ldconfig}.service
cp -a "$recipe/etc" "$out/etc"
chmod -R u+w "$out/etc" # in a store it is read-only
cp "${root:-}/etc/debian_version" "$out/etc/"
ln -sf ../usr/lib/os-release "$out/etc/os-release"
for script in init prepare-root; do
	sed "s|@out@|$out|g" "$recipe/$script" >"$out/$script"
done
sed "s|@busybox@|$BUSYBOX|g" "$recipe"/{say,scenario}.sh >"$out/usr/bin/scenario"
sed "s|@busybox@|$BUSYBOX|g" "$recipe/build.nix" >"$out/etc/build.nix"
chmod +x "$out/init" "$out/prepare-root" "$out/usr/bin/scenario"
chmod -R u+w "$out"
