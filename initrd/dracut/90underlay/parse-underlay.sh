#!/bin/sh
# The root is what underlay.service makes: dracut need not look for one.
root=underlay
# shellcheck disable=SC2034 # dracut reads it
rootok=1
