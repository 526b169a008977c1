{
  outputs = { self }: rec {
    packages.x86_64-linux = rec {
      inherit (import ./day.nix) hello leans;
      default = hello;
    };
    apps.x86_64-linux.default = { type = "app"; program = "${packages.x86_64-linux.hello}/bin/hello"; };
    checks.x86_64-linux.leans = packages.x86_64-linux.leans;
    answer = 42;
  };
}
