# A stand-in for the part of nixpkgs' `lib` that nixos-module/ uses, so that the module is evaluated where nixpkgs
# cannot be had. It has the module system's rules that matter here: imports, mkIf, mkMerge, priorities, types that
# check, and no definition without a declaration. `make check-nixos NIXPKGS=DIR` runs the same cases on the real one.
let
  inherit (builtins)
    all
    any
    attrNames
    concatLists
    concatMap
    elem
    filter
    foldl'
    genList
    head
    isAttrs
    isBool
    isFunction
    isInt
    isList
    isPath
    isString
    length
    listToAttrs
    map
    match
    replaceStrings
    stringLength
    substring
    tail
    throw
    ;

  lib = rec {
    inherit (builtins) head elem;
    last = list: builtins.elemAt list (length list - 1);
    optional = condition: value: if condition then [ value ] else [ ];
    optionals = condition: list: if condition then list else [ ];
    optionalAttrs = condition: set: if condition then set else { };
    concatStrings = builtins.concatStringsSep "";
    concatStringsSep = builtins.concatStringsSep;
    hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
    removePrefix =
      prefix: text:
      if hasPrefix prefix text then substring (stringLength prefix) (stringLength text) text else text;
    nameValuePair = name: value: { inherit name value; };
    listToAttrs = builtins.listToAttrs;
    imap1 = f: list: genList (n: f (n + 1) (builtins.elemAt list n)) (length list);
    mapAttrs = builtins.mapAttrs;
    genAttrs = names: f: builtins.listToAttrs (map (name: nameValuePair name (f name)) names);
    mapAttrsToList = f: set: map (name: f name set.${name}) (attrNames set);
    filterAttrs =
      keep: set:
      builtins.listToAttrs (
        map (name: nameValuePair name set.${name}) (filter (name: keep name set.${name}) (attrNames set))
      );
    boolToString = value: if value then "true" else "false";
    cleanSource = src: src;
    cleanSourceWith = { src, filter }: builtins.path { name = "source"; path = src; inherit filter; };
    licenses.mit = "MIT";
    platforms.linux = [ "x86_64-linux" ];
    getVersion = package: package.version;
    getBin = package: package;
    makeBinPath = packages: concatStringsSep ":" (map (package: "${package}/bin") packages);
    versionAtLeast = a: b: builtins.compareVersions a b >= 0;
    escapeShellArg = text: "'${replaceStrings [ "'" ] [ "'\\''" ] (toString text)}'";

    mkOption = attributes: attributes // { _type = "option"; };
    mkEnableOption =
      what:
      mkOption {
        type = types.bool;
        default = false;
        description = "Whether to enable ${what}.";
      };
    literalExpression = text: {
      _type = "literalExpression";
      inherit text;
    };
    mkIf = condition: content: {
      _type = "if";
      inherit condition content;
    };
    mkMerge = contents: {
      _type = "merge";
      inherit contents;
    };
    mkOverride = priority: content: {
      _type = "override";
      inherit priority content;
    };
    mkDefault = mkOverride 1000;
    mkForce = mkOverride 50;

    # Every definition in a value, as { priority, value }.
    definitions =
      priority: value:
      if !(isAttrs value && value ? _type) then
        [ { inherit priority value; } ]
      else if value._type == "if" then
        if value.condition then definitions priority value.content else [ ]
      else if value._type == "merge" then
        concatMap (definitions priority) value.contents
      else if value._type == "override" then
        definitions value.priority value.content
      else
        [ { inherit priority value; } ];

    strongest =
      defs:
      let
        best = foldl' (p: d: if d.priority < p then d.priority else p) 100000 defs;
      in
      map (d: d.value) (filter (d: d.priority == best) defs);

    mergeOption =
      path: type: defs:
      let
        values = strongest defs;
        bad = filter (value: !type.check value) values;
      in
      if bad == [ ] then
        type.merge path values
      else
        throw "A definition for option `${path}' is not of type `${type.description}'.";

    one =
      path: values:
      if all (value: value == head values) values then
        head values
      else
        throw "The option `${path}' has conflicting definition values.";

    types = rec {
      simple = description: check: {
        inherit description check;
        merge = one;
      };
      bool = simple "boolean" isBool;
      int = simple "signed integer" isInt;
      str = simple "string" isString;
      path = simple "path" (value: isPath value || (isString value && hasPrefix "/" value));
      package = simple "package" (value: isAttrs value || (isString value && hasPrefix "/" value));
      raw = simple "raw value" (_: true);
      strMatching =
        pattern:
        simple "string matching the pattern ${pattern}" (
          value: isString value && match pattern value != null
        );
      enum = choices: simple "one of ${builtins.toJSON choices}" (value: elem value choices);
      ints.unsigned = simple "unsigned integer, meaning >=0" (value: isInt value && value >= 0);
      ints.between =
        low: high:
        simple "integer between ${toString low} and ${toString high} (both inclusive)" (
          value: isInt value && value >= low && value <= high
        );
      nullOr = type: {
        description = "null or ${type.description}";
        check = value: value == null || type.check value;
        merge = path: values: if all (v: v == null) values then null else type.merge path values;
      };
      oneOf = list: {
        description = concatStringsSep " or " (map (type: type.description) list);
        check = value: any (type: type.check value) list;
        merge = one;
      };
      listOf = type: {
        description = "list of ${type.description}";
        check = value: isList value && all type.check value;
        merge = _path: concatLists;
      };
      attrsOf = type: {
        description = "attribute set of ${type.description}";
        check = isAttrs;
        merge =
          path: sets:
          let
            names = attrNames (foldl' (a: b: a // b) { } sets);
            of =
              name: concatMap (set: if set ? ${name} then definitions 100 set.${name} else [ ]) sets;
          in
          builtins.listToAttrs (
            map (name: nameValuePair name (mergeOption "${path}.${name}" type (of name))) (
              filter (name: of name != [ ]) names
            )
          );
      };
      # No attribute is looked at before it is asked for.
      lazyAttrsOf = type: {
        description = "lazy attribute set of ${type.description}";
        check = isAttrs;
        merge =
          path: sets:
          builtins.mapAttrs (
            name: _:
            mergeOption "${path}.${name}" type (
              concatMap (set: if set ? ${name} then definitions 100 set.${name} else [ ]) sets
            )
          ) (foldl' (a: b: a // b) { } sets);
      };
      anything = {
        description = "anything";
        check = _: true;
        merge =
          path: values:
          if all (v: isAttrs v && !(v ? type && v.type == "derivation")) values then
            (attrsOf anything).merge path values
          else if all isList values then
            concatLists values
          else
            one path values;
      };
    };

    # The attribute sets in a value, with the conditions and priorities around it moved to their attributes: whether a
    # definition holds may depend on an option that another attribute of the same set defines.
    pushDown =
      value:
      if !(isAttrs value && value ? _type) then
        [ value ]
      else if value._type == "merge" then
        concatMap pushDown value.contents
      else
        map (builtins.mapAttrs (_: inner: value // { content = inner; })) (pushDown value.content);

    isOption = value: isAttrs value && (value._type or "") == "option";

    evalModules =
      {
        modules,
        specialArgs ? { },
      }:
      let
        load =
          module:
          let
            file = if isPath module || isString module then import module else module;
            value = if isFunction file then file arguments else file;
            whole =
              if value ? config || value ? options || value ? imports then value else { config = value; };
          in
          concatMap load (whole.imports or [ ])
          ++ [
            {
              options = whole.options or { };
              config = whole.config or { };
            }
          ];
        loaded = concatMap load modules;
        mergeDeclarations =
          a: b:
          a
          // builtins.mapAttrs (
            name: value: if a ? ${name} && !isOption value then mergeDeclarations a.${name} value else value
          ) b;
        options = foldl' mergeDeclarations { } (map (module: module.options) loaded);

        evaluate =
          path: declared: defs:
          let
            sets = concatMap pushDown defs;
            unknown = filter (name: !(declared ? ${name})) (concatMap attrNames sets);
            below = name: map (set: set.${name}) (filter (set: set ? ${name}) sets);
            given = concatMap (definitions 100) defs;
          in
          if isOption declared then
            if given == [ ] then
              declared.default or (throw "The option `${path}' is used but not defined.")
            else
              mergeOption path declared.type given
          else if unknown != [ ] then
            throw "The option `${path}.${head unknown}' does not exist."
          else
            builtins.mapAttrs (
              name: inner: evaluate (if path == "" then name else "${path}.${name}") inner (below name)
            ) declared;
        config = evaluate "" options (map (module: module.config) loaded);
        arguments = specialArgs // {
          inherit lib config options;
        };
      in
      {
        inherit config options;
      };
  };
in
lib
