# hpc_connect submission, record protocol v1: docs/reference/record-protocol.md
#
#   sh submit.sh folder=DIR id=ID length=BYTES -- COMMAND [ARGUMENT]... <SCRIPT
#
# Runs the submit command with the script on its standard input, but only if the whole script arrived, and keeps what
# the command printed as a receipt: it tells the id of the job even to somebody who comes after this side was cut off.

hpc_connect_submit() {
    while [ "$1" != -- ]; do
        case $1 in
        folder=*) folder=${1#*=} ;;
        id=*) id=${1#*=} ;;
        length=*) length=${1#*=} ;;
        *) echo "hpc_connect submission: unknown argument '$1'" >&2; exit 64 ;;
        esac
        shift
    done
    shift
    umask 077
    script=$folder/live/$id.sh receipt=$folder/live/$id.receipt
    cat >"$script" && arrived=$(wc -c <"$script") && [ "$arrived" -eq "$length" ] || {
        echo "hpc_connect: ${arrived:-0} of $length bytes of the script of job $id arrived; not submitted" >&2
        rm -f -- "$script"
        exit 65
    }
    "$@" <"$script" >"$receipt"
    code=$?
    printf '\nhpc_connect v1 receipt id=%s code=%s end\n' "$id" "$code" >>"$receipt"
    cat "$receipt"
    rm -f -- "$script"
    exit "$code"
}

hpc_connect_submit "$@"
