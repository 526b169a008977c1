# What an earlier boot left, and that it is taken away.
say efi-variables "$(ls /sys/firmware/efi/efivars 2>/dev/null | wc -l)"
say efi-reports "$(ls /sys/firmware/efi/efivars 2>/dev/null | grep -c '^UnderlayLastFailure')"
say pstore-files "$(ls /sys/fs/pstore 2>/dev/null | wc -l)"
echo "begin state" >&3
cat /run/underlay/state.json >&3
echo "end state" >&3
