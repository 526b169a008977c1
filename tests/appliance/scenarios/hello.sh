# The system's init runs: that is all this tells.
say hello
