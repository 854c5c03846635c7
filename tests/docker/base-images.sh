#!/usr/bin/env bash
# Makes the Dockerfile's two base images from Debian's packages and this machine's own Rust toolchain, under the names that
# the Dockerfile uses. For machines that reach no registry of images; where one is reached, nothing of this is needed.
set -euo pipefail
cd "$(dirname "$0")/../.."

runtime_image=debian:bookworm-slim
build_image=rust:1-slim-bookworm
# What the build image is good for: this lock file's crates, with this compiler. `base-images.sh stamp` prints it.
stamp=$({ cat Cargo.lock; rustc --version; } | sha256sum | cut -c1-16)
if [ "${1:-}" = stamp ]; then echo "$stamp"; exit 0; fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Where this machine gets its own packages.
mirror=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/*.sources 2>/dev/null | head -n 1)

echo "making $runtime_image with debootstrap"
debootstrap --variant=minbase --cache-dir="$(mkdir -p /var/cache/debootstrap && echo /var/cache/debootstrap)" \
  --include=ca-certificates bookworm "$work/root" ${mirror:+"$mirror"} > "$work/log" 2>&1 || { tail -n 20 "$work/log"; exit 1; }
# The machine's own way to its packages: certificates and apt's settings.
cp -a /etc/ssl/certs/. "$work/root/etc/ssl/certs/"
find /etc/apt/apt.conf.d -name '*proxy*' -o -name '*registry*' | xargs -r -I{} cp {} "$work/root/etc/apt/apt.conf.d/"
rm -rf "$work/root/var/cache/apt/archives/"*.deb "$work/root/usr/share/doc" "$work/root/usr/share/locale"
tar -C "$work/root" -c . | docker import - "$runtime_image" > /dev/null

echo "making $build_image: the same with gcc, protoc and this machine's $(rustc --version)"
cp /etc/resolv.conf "$work/root/etc/resolv.conf"
chroot "$work/root" sh -c 'apt-get update -q && apt-get install -qy --no-install-recommends gcc libc6-dev \
    protobuf-compiler libprotobuf-dev' > "$work/log" 2>&1 \
  || { tail -n 20 "$work/log"; exit 1; }
mkdir -p "$work/root/usr/local/cargo"
cp -a "$(rustc --print sysroot)" "$work/root/usr/local/toolchain"
rm -rf "$work/root/usr/local/toolchain/share"
# The crates that this machine has fetched, so that the build asks nobody.
cargo fetch --locked > /dev/null 2>&1
cp -a "${CARGO_HOME:-$HOME/.cargo}/registry" "$work/root/usr/local/cargo/"
tar -C "$work/root" -c . | docker import \
  -c 'ENV PATH=/usr/local/toolchain/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
  -c "LABEL made-for=$stamp" -c 'ENV CARGO_HOME=/usr/local/cargo' -c 'ENV CARGO_NET_OFFLINE=true' - "$build_image" > /dev/null
