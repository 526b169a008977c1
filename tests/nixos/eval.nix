# Evaluates the cases of cases.nix with the module system of `lib`: nix-instantiate --eval --json --strict eval.nix -A
# good
{
  # A folder with nixpkgs' lib, or our stand-in.
  lib ? import ./standin/lib.nix,
}:
let
  pkgs = import ./standin/pkgs.nix { inherit lib; };
  cases = import ./cases.nix;
  utils.escapeSystemdPath =
    path:
    builtins.replaceStrings [ "-" "/" ] [ "\\x2d" "-" ] (
      builtins.substring 1 (builtins.stringLength path) path
    );
  evaluate =
    modules:
    lib.evalModules {
      modules = [
        ../../nixos-module
        ./standin/options.nix
      ]
      ++ modules;
      specialArgs = { inherit pkgs utils; };
    };

  # Store paths of files of this tree change with it: their names are enough.
  plain =
    value:
    if builtins.isPath value then
      baseNameOf value
    else if builtins.isAttrs value && (value.type or "") == "derivation" then
      "<${value.name}>"
    else if builtins.isAttrs value then
      builtins.mapAttrs (_: plain) value
    else if builtins.isList value then
      map plain value
    else
      value;

  result =
    modules:
    let
      inherit (evaluate modules) config;
      inherit (config.system) build;
    in
    {
      failed = map (a: a.message) (builtins.filter (a: !a.assertion) config.assertions);
      inherit (config) warnings;
      nix = plain config.nix.settings;
      services = plain config.systemd.services;
      fileSystems = plain config.fileSystems;
      grub = config.boot.loader.grub.enable;
      initrd = plain {
        image = build.initialRamdisk;
        inherit (config.boot.initrd) availableKernelModules;
        inherit (config.boot.initrd.systemd) contents services storePaths units;
      };
      outputs =
        if config.boot.underlay.enable then
          {
            image = build.underlayImage.script;
            initrd = build.underlayInitrd.script or "<${build.underlayInitrd.name}>";
            policy = build.underlayInitrd.variables.policy or null;
            uki = build.underlayUki.script;
            sign = build.underlaySign.script;
          }
        else
          null;
    };
  failures = case: (result case.modules).failed;
in
{
  good = builtins.mapAttrs (_: result) cases.good;

  # True where exactly the one assertion fires, with its sentence.
  bad = builtins.mapAttrs (
    _: case:
    let
      got = failures case;
    in
    {
      inherit got;
      ok = builtins.length got == 1 && lib.hasPrefix case.says (builtins.head got);
    }
  ) cases.bad;

  refused = builtins.mapAttrs (
    _: modules: !(builtins.tryEval (builtins.deepSeq (result modules) true)).success
  ) cases.refused;

  # Every option that the module declares: name, default's kind, whether it is described.
  options =
    let
      walk =
        path: set:
        builtins.concatLists (
          map (
            name:
            let
              value = set.${name};
              here = path ++ [ name ];
            in
            if (value._type or "") == "option" then
              [
                {
                  name = builtins.concatStringsSep "." here;
                  described = value ? description;
                  typed = value ? type;
                }
              ]
            else
              walk here value
          ) (builtins.attrNames set)
        );
    in
    walk [ "boot" "underlay" ] (evaluate [ ]).options.boot.underlay;
}
