# The second day: what the first built is in the kept layer.
begin_day
verify
build leansLater brief
agree "built over what is kept"

space before
delete brief
space after
fell "deleted in the session that built it" $space_before $space_after 8192
delete later returns
space kept
agree "deleted of what is kept"
# The files of the old one go, or are hidden, for the new one's sake.
delete back
build back
agree "deleted and built again"
delete twice
build twice
delete twice
agree "deleted, built again, and deleted again"
collect_all "nix-collect-garbage" collected
taken $(name_of later.drv) $(name_of returns.drv) $(name_of twice.drv) $(name_of brief.drv)
agree "collected"
optimise
end_day
