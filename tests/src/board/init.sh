#!/bin/busybox sh
# The first process of an emulated board: mounts what every program expects, brings the network up,
# then runs what the test says, line by line, and answers with exit status, length and output.
bb=/bin/busybox
$bb --install -s /bin
export PATH=/bin HOME=/
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
for folder in /modules /disk-modules; do
    [ -d $folder ] || continue
    while read -r module; do insmod "$folder/$module.ko" || echo "no module $module"; done < $folder/order
done
[ ! -b /dev/vda ] || mount -t ext4 -o noatime /dev/vda /disk

ip link set lo up
ip address add 10.0.2.15/24 dev eth0
ip link set eth0 up
ip route add default via 10.0.2.2

for port in /dev/vport*; do exec 3<>"$port"; done
echo ready >&3
while read -r command <&3; do
    sh -c "$command" >/run/answer 2>&1 </dev/null 3<&-
    status=$?
    { echo "$status $(wc -c < /run/answer)"; cat /run/answer; } >&3
    # A program in the background may hold the old file for as long as it likes.
    rm /run/answer
done
poweroff -f
