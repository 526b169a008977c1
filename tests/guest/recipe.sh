# What is built into the upper under release 1, each with its reason.
#   kept           refers to a path that both releases have
#   needsGone      refers to a path that release 2 has not; needsNeedsGone to needsGone
#   needsChanged   refers to a path of the same name and other contents in release 2
#   big            many files
only=$(readlink -f "$system/share/only")
changed=$(readlink -f "$system/share/changed")
cat >/tmp/paths.nix <<END
let
  busybox = builtins.storePath "$busybox";
  only = builtins.storePath "$only";
  changed = builtins.storePath "$changed";
  build = name: script: derivation {
    inherit name;
    system = "x86_64-linux";
    builder = "\${busybox}/bin/busybox";
    args = [ "sh" "-c" script ];
  };
in rec {
  kept = build "kept" "echo \${busybox} >\$out";
  needsGone = build "needs-gone" "echo \${only} >\$out";
  needsNeedsGone = build "needs-needs-gone" "echo \${needsGone} >\$out";
  needsChanged = build "needs-changed" "echo \${changed} >\$out";
  big = build "big" ''
    \${busybox}/bin/busybox mkdir -p \$out/deep/er
    for i in 0 1 2 3 4 5 6 7 8 9; do
      \${busybox}/bin/busybox seq 1 3000 >\$out/deep/er/\$i
      \${busybox}/bin/busybox ln -s er/\$i \$out/deep/link\$i
    done
  '';
}
END
attributes="kept needsGone needsNeedsGone needsChanged big"
