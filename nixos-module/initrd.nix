# Underlay's own initramfs: underlay-init, its libraries, the modules a boot needs, policy and certificates.
{
  pkgs,
  underlay,
  policy,
  certificates,
  modulesTree,
  modDirVersion,
}:
pkgs.runCommand "underlay-initrd"
  {
    nativeBuildInputs = [ underlay ];
    inherit policy;
    passAsFile = [ "policy" ];
  }
  ''
    mkdir $out
    underlay initrd build -o $out/initrd --config $policyPath \
      --init ${underlay}/lib/underlay/underlay-init \
      --modules-dir ${modulesTree}/lib/modules/${modDirVersion} \
      ${toString (map (file: "--cert ${file}") certificates)}
  ''
