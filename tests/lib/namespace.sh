# To be sourced first: the script runs again in a mount namespace of its own, where it has none yet. What it has mounted
# would else be copied into the namespace that another program makes just then, and keep its device in use. tests/run
# gives each program one.
[ -n "${OWN_NAMESPACE:-}" ] || OWN_NAMESPACE=1 exec unshare --mount --propagation private "$0" "$@"
