# Builds one path after the other, and says of each that it is there for good: built, registered, synced.
for n in 1 2 3 4 5 6; do
	cat >/tmp/cut.nix <<-END
		derivation {
		  name = "cut-$n";
		  system = "x86_64-linux";
		  builder = (builtins.storePath "$busybox") + "/bin/busybox";
		  args = [ "sh" "-c" "$busybox/bin/busybox mkdir -p \$out/a/b; for i in 1 2 3 4 5 6; do $busybox/bin/busybox seq $n 900 >\$out/a/b/\$i; done" ];
		}
	END
	path=$(nix-build /tmp/cut.nix -o "$roots/cut-$n") && sync && say complete "${path##*/}"
done
mark_clean
