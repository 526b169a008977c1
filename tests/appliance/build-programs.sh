# Builder of a package of programs. $files: programs, and links to them; $needs: packages of libraries.
mkdir -p "$out/bin"
path=
for package in ${needs:-}; do
	path=${path:+$path:}$package/lib
done
for file in $files; do
	target=$out/bin/${file##*/}
	if [ -L "$file" ]; then
		link=$(readlink "$file")
		ln -s "${link##*/}" "$target"
		continue
	fi
	cp "$file" "$target"
	[ -n "$path" ] || continue # a static program
	chmod u+w "$target"
	patchelf --set-interpreter "$interpreter" --set-rpath "$path" "$target"
done
