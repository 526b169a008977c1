# Builder of a package of libraries. $files: what is copied; $needs: packages whose libraries they need.
mkdir -p "$out/lib"
path=$out/lib
for package in ${needs:-}; do
	path=$path:$package/lib
done
for file in $files; do
	target=$out/lib/${file##*/}
	cp -L "$file" "$target"
	case ${file##*/} in
	# These carry no search path: the loader is none, and libc needs the loader only, which is loaded then.
	ld-linux* | libc.so.6) ;;
	*)
		chmod u+w "$target"
		patchelf --set-rpath "$path" "$target"
		;;
	esac
done
