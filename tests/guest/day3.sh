# The third day: all that the second deleted is free.
begin_day
# Nix's database, its log and the reserve for the next one are all that the upper has beside the paths.
valid_size=$(cd /nix/.rw/kept && du -ck $(names /tmp/have) | awk 'END {print $1}')
check "df says that the space of everything deleted came back ($space_begin KiB of $empty when it was empty, and $valid_size valid)" \
	test $((space_begin - empty - valid_size)) -le 2048 -a "$valid_size" -gt 8192
verify
build collected later returns twice
agree "built again"
optimise
delete later
collect_all "nix-store --gc" twice
taken $(name_of later.drv)
agree "collected again"
end_day
