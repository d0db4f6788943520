# hpc_connect submission, record protocol v1: docs/reference/record-protocol.md
#
#   bash -p submit.sh folder=DIR id=ID length=BYTES -- COMMAND [ARGUMENT]... <SCRIPT
#
# Runs the submit command with the script on its standard input, but only if the whole script arrived and this is the
# first time, and keeps what the command printed as a receipt: it tells the id of the job even to somebody who comes
# after this side was cut off. Names begin with hpc_connect_, since a submit command hands its environment to the job.

hpc_connect_main() {
    hpc_connect_folder='' hpc_connect_id='' hpc_connect_length=''
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        case $1 in
        folder=*) hpc_connect_folder=${1#*=} ;;
        id=*) hpc_connect_id=${1#*=} ;;
        length=*) hpc_connect_length=${1#*=} ;;
        *) hpc_connect_leave 64 "unknown argument '$1'" ;;
        esac
        shift
    done
    [ $# -gt 1 ] || hpc_connect_leave 64 "no command behind '--'"
    shift
    [ -n "$hpc_connect_folder" ] || hpc_connect_leave 64 "folder=DIR is missing"
    case $hpc_connect_id in '' | *[!A-Za-z0-9_-]*) hpc_connect_leave 64 "id='$hpc_connect_id' is no id" ;; esac
    case $hpc_connect_length in '' | *[!0-9]*) hpc_connect_leave 64 "length='$hpc_connect_length' is no number" ;; esac

    hpc_connect_script=$hpc_connect_folder/live/$hpc_connect_id.sh
    hpc_connect_receipt=$hpc_connect_folder/live/$hpc_connect_id.receipt
    hpc_connect_receive
    "$@" <"$hpc_connect_script" >>"$hpc_connect_receipt"
    hpc_connect_code=$?
    printf '\nhpc_connect v1 receipt id=%s code=%s END\n' "$hpc_connect_id" "$hpc_connect_code" >>"$hpc_connect_receipt"
    cat "$hpc_connect_receipt"
    rm -f -- "$hpc_connect_script"
    exit "$hpc_connect_code"
}

hpc_connect_leave() {
    echo "hpc_connect submission: $2; the submit command was not run" >&2
    exit "$1"
}

# Whoever creates the receipt may submit. The umask is set back, since a job gets that of its submit command.
hpc_connect_receive() {
    hpc_connect_umask=$(umask)
    umask 077
    set -C
    command : >"$hpc_connect_receipt" || {
        [ ! -e "$hpc_connect_receipt" ] || hpc_connect_leave 66 "job $hpc_connect_id has a receipt already"
        hpc_connect_leave 65 "cannot write to $hpc_connect_folder/live"
    }
    set +C
    cat >"$hpc_connect_script"
    hpc_connect_arrived=$(wc -c <"$hpc_connect_script")
    umask "$hpc_connect_umask"
    [ "$hpc_connect_arrived" -eq "$hpc_connect_length" ] && return
    rm -f -- "$hpc_connect_script" "$hpc_connect_receipt"
    hpc_connect_leave 65 "$hpc_connect_arrived of $hpc_connect_length bytes of job $hpc_connect_id arrived"
}

hpc_connect_main "$@"
