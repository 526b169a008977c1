# Two small store images for the attack, signed by one key, stored uncompressed so that every region can be found.
# To be sourced.
#
#   tamper_images DIR     make DIR/{image,other}.img and DIR/signer.{key,crt}

underlay=${underlay:-${BUILD:-build}/underlay}

# tamper_store DIR SEED: a store of 150 paths (a manifest of several blocks, a hash tree of two levels), and
# their registration. Its hashes are never looked at here.
tamper_store() {
	local dir=$1 seed=$2 name path i
	for ((i = 0; i < 150; i++)); do
		name=$(printf '%s%031d' "$seed" $i)-$([ $i -eq 0 ] && echo system || echo "data-$i")
		path=$dir/store/$name
		mkdir -p "$path/sub"
		seq "$seed" 3 $((60 * i)) >"$path/sub/numbers"
		printf '#!/bin/sh\nexit %d\n' "$seed" >"$path/init"
		chmod 755 "$path/init"
		printf '%s\n%s\n%d\n\n0\n' "/nix/store/$name" "$(sha256sum <"$path/init" | cut -c 1-56)$(
			printf %08x $i)" $((8 * i))
	done >"$dir/registration"
}

tamper_image() { # IMAGE SEED VERSION DIR
	local image=$1 seed=$2 version=$3 dir=$4
	mkdir -p "$dir/store.$seed"
	tamper_store "$dir/store.$seed" "$seed" &&
		"$underlay" image build -o "$image" --name demo --version "$version" --rollback-index "$seed" \
			--compression none --system "/nix/store/$(printf '%s%031d' "$seed" 0)-system" \
			--registration "$dir/store.$seed/registration" --store "$dir/store.$seed/store" \
			--key "$dir/signer.key" --cert "$dir/signer.crt"
}

tamper_images() {
	local dir=$1
	openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=tamper" -keyout "$dir/signer.key" \
		-out "$dir/signer.crt" 2>/dev/null &&
		tamper_image "$dir/image.img" 2 2.0 "$dir" && tamper_image "$dir/other.img" 3 3.0 "$dir"
}
