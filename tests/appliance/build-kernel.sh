# Builder of the kernel's package: the image, and the modules uncompressed.
mkdir -p "$out/lib/modules"
cp "$image" "$out/vmlinuz"
cp -R "$modules" "$out/lib/modules/"
find "$out/lib/modules" -name '*.ko.xz' -exec xz -d {} +
