# What the guest's nix-build builds, through the daemon: from sealed paths alone.
derivation {
  name = "built-by-the-daemon";
  system = builtins.currentSystem;
  builder = "@busybox@/bin/sh";
  args = [ "-c" "echo built >$out" ];
}
