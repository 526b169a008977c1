# The third day: all that the second deleted is free.
begin_day
# Nix's database, its log and the reserve for the next one are all that the upper has beside the paths.
check "df says that the space of everything deleted came back ($space_begin KiB of $empty when it was empty, and $(du -sk /nix/.rw/kept | cut -f 1) kept)" \
	test $((space_begin - empty - $(du -sk /nix/.rw/kept | cut -f 1))) -le 2048
verify
build collected later returns twice
agree "built again"
optimise
delete later
collect_all "nix-store --gc" twice
taken $(name_of later.drv)
agree "collected again"
end_day
