# A unified kernel image: kernel, initramfs, command line and os-release on systemd's stub.
{
  pkgs,
  underlay,
  name,
  kernel, # the kernel's file
  initrd, # the initramfs' file
  osRelease, # a file
  uname, # version of the kernel
  kernelParams, # list of words
  stub,
  # The directory that image.nix makes, whose root hash the command line is to name; null: none.
  pinned ? null,
  # Paths outside of the store; null: unsigned.
  key ? null,
  certificate ? null,
}:
pkgs.runCommand name { nativeBuildInputs = [ underlay ]; } ''
  mkdir $out
  cmdline=${pkgs.lib.escapeShellArg (toString kernelParams)}
  ${if pinned == null then "" else ''cmdline="$cmdline usrhash=$(cat ${pinned}/root-hash)"''}
  underlay uki build -o $out/${name} --kernel ${kernel} --initrd ${initrd} --cmdline "$cmdline" \
    --os-release ${osRelease} --uname ${uname} --stub ${stub} \
    ${if key == null then "" else "--key ${key} --cert ${certificate}"}
''
