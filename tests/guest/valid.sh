# Nix's view of the sealed paths, and what its collector would do to them.
tell_boot
judge
collect
mark_clean
