# The first day: all of it in one session.
space begin
build stays leans twin1 twin2 soon later collected back twice returns
mkdir /tmp/days-source
cp -R "$(readlink -f "$system/scenarios")" /tmp/days-source/
source=$(nix-store --add /tmp/days-source) && ln -s "$source" "$roots/"
made "$source"
agree "built"
optimise
share "optimised"

space before
delete soon
space after
fell "deleted in the session that built it" $space_before $space_after 8192
agree "deleted"
build soon
agree "built again"
space before
collect_all "nix-store --gc" soon
space after
fell "collected in the session that built it" $space_before $space_after 8192
agree "collected"
end_day
