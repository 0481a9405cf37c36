#!/usr/bin/env bash
# Put edgecsp on a device: image, service, site file, token; start it, wait until it serves, print its address.
#
#   sudo docker/install.sh BOARD [options]      BOARD: cpu, rpi, tx2, jp5 (Xavier, Orin on JetPack 5), orin
#
#   --image FILE|NAME   a file that `docker save` wrote (.tar, .tar.gz), or an image that docker has
#                       [default: edgecsp:BOARD, with the names of docker/README.md]
#   --site FILE         the site file [default: one with the board's own camera]
#   --port PORT         where it answers on the device [default: 8080]
#   --env NAME=VALUE    what the site file names env:NAME, such as a camera's URL; may be given again
#   --wait SECONDS      how long the server may take to be ready [default: 1800; a Jetson builds a plan first]
#   --dry-run           print each step, change nothing
#   --root DIR          install below DIR instead of / (tests, images of disks)
#
# Run it again after an update: what is there stays (site file, token, settings), the service restarts only when the image,
# the unit, the settings or the site file are new. Exit codes: 0 ready, 1 a step failed, 2 wrong usage.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
board="" image="" site="" port="" wait_s=1800 dry=false root="" values=()
user=10001  # of the image

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }
fail() { echo "install.sh: $*" >&2; exit 1; }
wrong() { echo "install.sh: $*; see: install.sh --help" >&2; exit 2; }

while [ $# -gt 0 ]; do
    case "$1" in
        --image | --site | --port | --env | --wait | --root)
            [ $# -ge 2 ] || wrong "$1 wants a value"
            case "$1" in
                --image) image=$2 ;;
                --site) site=$2 ;;
                --port) port=$2 ;;
                --env)
                    [[ $2 =~ ^[A-Za-z_][A-Za-z0-9_]*=[^[:cntrl:]]*$ ]] || wrong "--env wants NAME=VALUE on one line"
                    case "$2" in IMAGE=* | PORT=*) wrong "--env ${2%%=*}: use --image or --port" ;; esac
                    values+=("$2") ;;
                --wait) wait_s=$2 ;;
                --root) root=${2%/} ;;
            esac
            shift 2 ;;
        --dry-run) dry=true; shift ;;
        -h | --help) usage; exit 0 ;;
        -*) wrong "unknown option $1" ;;
        *) [ -z "$board" ] || wrong "one board alone: $board or $1"; board=$1; shift ;;
    esac
done

# devices KIND...: docker's words for the devices that are there now
devices() {
    local each
    for each in "$@"; do
        [ ! -e "$root$each" ] || printf -- ' --device %s' "$each"
    done
}

nvidia="--runtime nvidia --group-add video --volume /tmp/argus_socket:/tmp/argus_socket"
# l4t: the release of the board's system that the image is for
case "$board" in
    cpu) name=edgecsp:cpu memory=2g args="--group-add video$(devices /dev/video0)" source=0 engine=auto l4t="" ;;
    rpi) name=edgecsp:rpi memory=2g engine=auto l4t=""
        args="--group-add video --volume /run/udev:/run/udev:ro"
        for each in "$root"/dev/{media,video,v4l-subdev,dma_heap/}*; do
            args+=$(devices "${each#"$root"}")
        done
        source='gst:libcamerasrc ! video/x-raw,width=1280,height=720,framerate=30/1 ! queue' ;;
    tx2) name=edgecsp:jetson-tx2 memory=6g args=$nvidia source=csi://0 engine=trt l4t=R32 ;;
    jp5) name=edgecsp:jetson-jp5 memory=6g args=$nvidia source=csi://0 engine=trt l4t=R35 ;;
    orin) name=edgecsp:jetson-orin memory=6g args=$nvidia source=csi://0 engine=trt l4t=R36 ;;
    "") wrong "which board: cpu, rpi, tx2, jp5 or orin" ;;
    *) wrong "no board is called '$board'; known: cpu, rpi, tx2, jp5, orin" ;;
esac
[[ ${port:-8080} =~ ^[0-9]{1,5}$ ]] || wrong "--port $port is no port"
[[ $wait_s =~ ^[0-9]+$ ]] || wrong "--wait $wait_s is no number of seconds"

etc=$root/etc/edgecsp
changed=false

# -- what must be there before anything is touched

[ -z "$site" ] || [ -f "$site" ] || fail "$site: no such file"
[ -f "$here/edgecsp.service" ] || fail "$here/edgecsp.service is missing: install.sh wants it beside itself"
$dry || [ "$(id -u)" = 0 ] || fail "it wants root; type: sudo $0 $board"
for program in docker systemctl; do
    $dry || command -v $program >/dev/null || fail "there is no $program on this device"
done
release=$(sed -n 's/^# \(R[0-9]*\) .*/\1/p' "$root/etc/nv_tegra_release" 2>/dev/null | head -n 1) || true
if [ -n "$l4t" ] && [ -n "$release" ] && [ "$release" != "$l4t" ]; then
    fail "$board is for L4T $l4t, and this device has $release: R32 is tx2's, R35 jp5's, R36 orin's"
fi

# -- steps: printed, and done unless --dry-run

step() { echo "- $*"; }

run() {
    # A command, with its words as they would be typed.
    if $dry; then
        printf '    %s\n' "$(printf '%q ' "$@" | sed 's/ $//')"
    else
        "$@"
    fi
}

write() {
    # write PATH MODE OWNER: standard input becomes a file at once, never a half of one, never readable in between.
    local path=$1 mode=$2 owner=$3 new
    if $dry; then
        echo "    write $path, mode $mode, owner $owner"
        cat >/dev/null
        return
    fi
    new=$(mktemp "$path.XXXXXX")
    cat >"$new"
    chown "$owner:$owner" "$new" && chmod "$mode" "$new" && mv "$new" "$path"
    changed=true
}

if [ -f "$image" ]; then
    step "load the image from $image"
    if $dry; then
        run docker load --input "$image"
    else
        # The name that it was saved under, as docker says it.
        loaded=$(docker load --input "$image")
        image=$(sed -n 's/^Loaded image: //p' <<<"$loaded" | head -n 1)
        [ -n "$image" ] || fail "docker load named no image: $loaded"
    fi
else
    case "$image" in *.tar | *.tar.gz | *.tgz | */*.tar*) fail "$image: no such file" ;; esac
    image=${image:-$name}
    step "take the image $image"
    if ! $dry; then
        docker image inspect "$image" >/dev/null 2>&1 ||
            fail "docker has no image $image; build it (docker/README.md), or give --image FILE of docker save"
    fi
fi

step "make the folders $etc and $root/var/local/edgecsp"
run install -d -m 755 "$etc" "$root/etc/systemd/system"
run install -d -m 750 -o $user -g $user "$root/var/local/edgecsp"

if [ -e "$etc/token" ]; then
    step "keep the token in $etc/token"
else
    step "make a token in $etc/token"
    od -An -N16 -tx1 /dev/urandom | tr -d ' \n' | write "$etc/token" 600 $user
fi

if [ -e "$etc/site.toml" ]; then
    step "keep the site file $etc/site.toml"
    if [ -n "$site" ] && ! cmp -s "$site" "$etc/site.toml"; then
        echo "    it differs from $site; to take that one: sudo install -m 644 $site $etc/site.toml"
    fi
elif [ -n "$site" ]; then
    step "take $site as the site file $etc/site.toml"
    write "$etc/site.toml" 644 0 <"$site"
else
    step "write a site file with the board's camera to $etc/site.toml"
    write "$etc/site.toml" 644 0 <<END
# What edgecsp serves; every key: docs/reference/site-file.md
model = "codes"
engine = "$engine"
listen = "0.0.0.0:8080"         # inside the container; PORT in edgecsp.env is the device's
token = "file:token"

[[streams]]
name = "camera"
source = "$source"
END
fi

# with_value NAME=VALUE: standard input with that line in the place of NAME's, or added.
with_value() {
    line=$1 awk 'BEGIN { line = ENVIRON["line"]; name = substr(line, 1, index(line, "=")) }
        index($0, name) == 1 { if (!done++) print line; next } { print } END { if (!done) print line }'
}

# with_values: standard input with all that was asked for.
with_values() {
    local text each
    text=$(cat)
    for each in "IMAGE=$image" ${port:+"PORT=$port"} ${values[@]+"${values[@]}"}; do
        text=$(with_value "$each" <<<"$text")
    done
    printf '%s\n' "$text"
}

names=${port:+, PORT=$port}
for each in ${values[@]+"${values[@]}"}; do names+=", ${each%%=*}"; done
if [ -e "$etc/edgecsp.env" ]; then
    step "keep the settings in $etc/edgecsp.env, with IMAGE=$image$names"
    $dry || [ ! -L "$etc/edgecsp.env" ] || fail "$etc/edgecsp.env is a link"
    if $dry; then
        :
    elif [ ! -s "$etc/edgecsp.env" ] || [ ! -r "$etc/edgecsp.env" ]; then
        fail "$etc/edgecsp.env cannot be read"
    else
        wanted=$(with_values <"$etc/edgecsp.env")
        [ "$wanted" = "$(cat "$etc/edgecsp.env")" ] || write "$etc/edgecsp.env" 600 0 <<<"$wanted"
    fi
else
    step "write the settings to $etc/edgecsp.env, with IMAGE=$image$names"
    wanted=$(with_values <<END
# The service's settings and the site file's env:NAME values, a NAME=VALUE each, without quotes.
IMAGE=$image
PORT=${port:-8080}
MEMORY=$memory
DOCKER_ARGS=$args
END
    )
    write "$etc/edgecsp.env" 600 0 <<<"$wanted"
fi
port=${port:-$(sed -n 's/^PORT=//p' "$etc/edgecsp.env" 2>/dev/null || true)}

step "check the site file with the image"
run docker run --rm --read-only --tmpfs /tmp --env-file "$etc/edgecsp.env" --volume edgecsp:/var/lib/edgecsp \
    --volume "$etc:/etc/edgecsp:ro" "$image" up check /etc/edgecsp/site.toml

unit=$root/etc/systemd/system/edgecsp.service
if cmp -s "$here/edgecsp.service" "$unit"; then
    step "keep the unit $unit"
else
    step "install the unit $unit"
    write "$unit" 644 0 <"$here/edgecsp.service"
fi

# What the service would be started from; as long as it stays the same, a server that runs is left alone.
made_from() {
    cat "$etc/edgecsp.env" "$etc/site.toml" "$unit"
    docker image inspect --format '{{.Id}}' "$image"
}
step "start the service"
run systemctl daemon-reload
run systemctl enable edgecsp.service
if $dry; then
    run systemctl restart edgecsp.service
else
    mark=$(made_from | sha256sum)
    if $changed || [ "$mark" != "$(cat "$etc/.started" 2>/dev/null || true)" ]; then
        systemctl restart edgecsp.service
        write "$etc/.started" 600 0 <<<"$mark"
    else
        systemctl start edgecsp.service
    fi
fi

step "wait until the server is ready, $wait_s s at most"
if $dry; then
    run docker exec edgecsp edgecsp-health
else
    end=$((SECONDS + wait_s))
    until health=$(docker exec edgecsp edgecsp-health 2>&1); do
        [ $SECONDS -lt $end ] || fail "not ready within $wait_s s ($health); look: journalctl -u edgecsp -n 50"
        sleep "${EDGECSP_INSTALL_PAUSE:-2}"
    done
fi

address=$(hostname -I 2>/dev/null | awk '{print $1}') || true
echo "edgecsp serves http://${address:-localhost}:${port:-8080}/ ; the token: sudo cat $etc/token"
