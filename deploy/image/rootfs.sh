#!/bin/sh
# Assembles what the image has on top of its base: the programs, and the files that they can be given. The Dockerfile
# calls it, and so does a test where no container engine runs.
#
#   deploy/image/rootfs.sh target/release /tmp/rootfs
#
# The programs have names that can stand on a PATH, and the names that the documentation uses as links to them:
# warmpath-router (router), warmpath-worker-sim (worker-sim), warmpath-pool (pool), warmpath-loadgen (loadgen).
set -eu

binaries=${1:?"expected the folder of the programs, such as target/release"}
root=${2:?"expected the folder to assemble"}
deploy=$(cd "$(dirname "$0")/.." && pwd)

for name in router worker-sim pool loadgen; do
    install -D -m 755 "$binaries/$name" "$root/usr/local/bin/warmpath-$name"
    ln -sfn "warmpath-$name" "$root/usr/local/bin/$name"
done
mkdir -p "$root/etc/warmpath"
for files in profiles workloads scenarios economics.toml; do
    cp -R "$deploy/$files" "$root/etc/warmpath/"
done
# Readable for every user of the image, whatever the umask was.
chmod -R u=rwX,go=rX "$root/etc/warmpath"
