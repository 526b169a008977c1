# A small store made by Nix, sealed, and damaged. To be sourced after tap.sh, by a script whose folder is $dir and
# whose command is $underlay.

identity() { # NAME
	openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=$1" \
		-keyout "$dir/$1.key" -out "$dir/$1.crt" 2>/dev/null
}

# A store of real Nix: text, an executable, a directory tree, something of several blocks.
make_store() {
	mkdir -p "$dir/src/system" "$dir/src/data/sub"
	printf '#!/bin/sh\n' >"$dir/src/system/init"
	chmod 755 "$dir/src/system/init"
	seq 200000 >"$dir/src/data/numbers"
	head -c 3000000 /dev/urandom >"$dir/src/data/sub/random"
	system=$(nix-store --store "$dir/root" --add "$dir/src/system") &&
		data=$(nix-store --store "$dir/root" --add "$dir/src/data") &&
		nix-store --store "$dir/root" --dump-db >"$dir/registration" && [ -s "$dir/registration" ]
}

build() { # IMAGE VERSION ARGUMENT...
	local image=$1 version=$2
	shift 2
	"$underlay" image build -o "$image" --name demo --version "$version" --system "$system" \
		--registration "$dir/registration" --store "$dir/root/nix/store" "$@" >"$dir/out" 2>&1
}

# Where a partition starts, in bytes: data, verity or verity-sig.
start_of() { # IMAGE WHICH
	local types=([0]=data [1]=verity [2]=verity-sig) i
	for i in 0 1 2; do
		[ "${types[$i]}" != "$2" ] || "$underlay" image inspect --json "$1" | jq ".partitions[$i].offset"
	done
}

flip() { # IMAGE OFFSET: change one bit
	local byte
	byte=$(od -An -tu1 -j "$2" -N 1 "$1")
	printf "\\x$(printf %x $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

zero() { # IMAGE OFFSET LENGTH
	head -c "$3" /dev/zero | dd of="$1" bs=4096 seek="$2" oflag=seek_bytes conv=notrunc status=none
}
