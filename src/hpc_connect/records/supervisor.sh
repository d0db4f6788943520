# hpc_connect supervisor, record protocol v1: docs/reference/record-protocol.md
#
#   sh supervisor.sh folder=DIR id=ID [array_index=N] [native=ID] [attempt=N] [limit=S] [grace=S] [warn=SIGNAL:S]
#                    [clean=FILE] -- PROGRAM [ARGUMENT]...
#
# Runs PROGRAM once as its child and records how it ended, whatever the program does. POSIX sh; bash can in addition
# tell `exit 143` from an end by SIGTERM, and leaves SIGINT and SIGQUIT as they were. Names begin with hpc_connect_
# because a variable that came by the environment would hand its new value on to the program.

hpc_connect_main() {
    hpc_connect_index=- hpc_connect_native='' hpc_connect_attempt=1
    hpc_connect_limit='' hpc_connect_grace=10 hpc_connect_warn='' hpc_connect_clean=''
    while [ "$1" != -- ]; do
        case $1 in
        folder=*) hpc_connect_folder=${1#*=} ;;
        id=*) hpc_connect_id=${1#*=} ;;
        array_index=*) hpc_connect_index=${1#*=} ;;
        native=*) hpc_connect_native=${1#*=} ;;
        attempt=*) hpc_connect_attempt=${1#*=} ;;
        limit=*) hpc_connect_limit=${1#*=} ;;
        grace=*) hpc_connect_grace=${1#*=} ;;
        warn=*) hpc_connect_warn=${1#*=} ;;
        clean=*) hpc_connect_clean=${1#*=} ;;
        *) echo "hpc_connect supervisor: unknown argument '$1'" >&2; exit 64 ;;
        esac
        shift
    done
    shift

    # The program gets the descriptors as they were; what this shell itself has to say goes nowhere.
    command exec 3<&0 || exec 3</dev/null
    command exec 4>&2 || exec 4>/dev/null
    exec </dev/null 2>/dev/null

    hpc_connect_know_thyself
    hpc_connect_claim || exit 125
    hpc_connect_run "$@"
    hpc_connect_write_end && rm -f -- "$hpc_connect_start" ${hpc_connect_clean:+"$hpc_connect_clean"}
    exit "$hpc_connect_code"
}

hpc_connect_know_thyself() {
    hpc_connect_name=$hpc_connect_id
    [ "$hpc_connect_index" = - ] || hpc_connect_name=$hpc_connect_id.$hpc_connect_index
    hpc_connect_start=$hpc_connect_folder/live/$hpc_connect_name.start
    hpc_connect_end=$hpc_connect_folder/ended/$hpc_connect_name
    hpc_connect_ticks_of $$
    read -r hpc_connect_boot </proc/sys/kernel/random/boot_id || hpc_connect_boot=-
    read -r hpc_connect_host </proc/sys/kernel/hostname || hpc_connect_host=$(uname -n)
    [ -n "$hpc_connect_native" ] || hpc_connect_native=$$:$hpc_connect_ticks
    hpc_connect_now
    hpc_connect_started=$hpc_connect_time
}

# Sets hpc_connect_ticks: when process $1 started, field 22 of proc(5) /proc/PID/stat; field 2 may hold blanks.
hpc_connect_ticks_of() {
    hpc_connect_ticks=-
    read -r hpc_connect_stat <"/proc/$1/stat" || return
    set -f
    # shellcheck disable=SC2086 # split on purpose
    set -- ${hpc_connect_stat##*) }
    set +f
    shift 19
    hpc_connect_ticks=$1
}

hpc_connect_now() {
    case ${EPOCHREALTIME-} in
    ?*) hpc_connect_time=${EPOCHREALTIME%[.,]*}.${EPOCHREALTIME#*[.,]} ;;
    *) hpc_connect_time=$(date +%s) ;;
    esac
}

# The first act of a job: whoever creates the start record runs, under any id of the scheduler.
hpc_connect_claim() {
    for hpc_connect_file in "$hpc_connect_end" "$hpc_connect_end"~*; do
        hpc_connect_is_mine "$hpc_connect_file" || return 1
    done
    set -C
    if command : >"$hpc_connect_start"; then
        set +C
        printf 'hpc_connect v1 start id=%s array_index=%s native=%s attempt=%s pid=%s ticks=%s boot=%s host=%s started=%s end\n' \
            "$hpc_connect_id" "$hpc_connect_index" "$hpc_connect_native" "$hpc_connect_attempt" $$ \
            "$hpc_connect_ticks" "$hpc_connect_boot" "$hpc_connect_host" "$hpc_connect_started" >>"$hpc_connect_start"
        return 0
    fi
    set +C
    if [ ! -e "$hpc_connect_start" ]; then
        echo "hpc_connect: job $hpc_connect_id cannot write to $hpc_connect_folder/live; leaving" >&4
        return 1
    fi
    hpc_connect_is_mine "$hpc_connect_start"
}

# Whether file $1 is absent, or every whole record in it names this very job of the scheduler.
hpc_connect_is_mine() {
    [ -e "$1" ] || return 0
    hpc_connect_owner=
    while read -r hpc_connect_line; do
        case $hpc_connect_line in
        "hpc_connect v1 "*" native=$hpc_connect_native "*" end") hpc_connect_owner=me ;;
        "hpc_connect v1 "*" end") hpc_connect_owner=other; break ;;
        esac
    done <"$1"
    case $hpc_connect_owner in
    me) return 0 ;;
    other) echo "hpc_connect: job $hpc_connect_id was already started by another submission; leaving" >&4 ;;
    *) echo "hpc_connect: job $hpc_connect_id has an unreadable record, $1; leaving" >&4 ;;
    esac
    return 1
}

hpc_connect_run() {
    hpc_connect_reason=- hpc_connect_due='' hpc_connect_timer='' hpc_connect_child=''
    for hpc_connect_signal in HUP INT QUIT TERM USR1 USR2; do
        # shellcheck disable=SC2064 # expanded now on purpose
        trap "hpc_connect_forward $hpc_connect_signal" "$hpc_connect_signal"
    done
    # With job control on, bash gives the child default signals and a process group; only then. A later `set -m`
    # would make `wait` return whenever the child is stopped. The trap keeps the job table's word on how it ended.
    if [ -n "${BASH_VERSION-}" ]; then
        trap 'LC_ALL=C jobs -l >>"$hpc_connect_start"' CHLD
        set -m
    fi
    export HPC_CONNECT_JOB_ID="$hpc_connect_name" HPC_CONNECT_ATTEMPT="$hpc_connect_attempt"
    [ "$hpc_connect_index" = - ] || export HPC_CONNECT_ARRAY_INDEX="$hpc_connect_index"
    if [ -z "${BASH_VERSION-}" ] && env --default-signal=INT true; then
        set -- env --default-signal=INT,QUIT "$@"
    fi
    "$@" <&3 2>&4 3<&- 4>&- &
    hpc_connect_child=$!
    [ -z "${BASH_VERSION-}" ] || set +m
    exec 3<&- 4>&- >/dev/null
    [ -z "$hpc_connect_limit" ] || hpc_connect_start_timer
    [ -z "$hpc_connect_due" ] || kill -s "$hpc_connect_due" "$hpc_connect_child"
    hpc_connect_wait
    trap '' HUP INT QUIT TERM USR1 USR2 ALRM
    trap - CHLD
    hpc_connect_now
    [ -z "$hpc_connect_timer" ] || kill "$hpc_connect_timer"
}

# `wait` also returns, with 128 + n, when a trap was run. A child that is gone then has its status kept by the shell,
# unless it was this very status that told its end.
hpc_connect_wait() {
    while :; do
        wait "$hpc_connect_child"
        hpc_connect_code=$?
        [ "$hpc_connect_code" -gt 128 ] || return
        kill -0 "$hpc_connect_child" || break
    done
    wait "$hpc_connect_child"
    hpc_connect_status=$?
    [ "$hpc_connect_status" = 127 ] || hpc_connect_code=$hpc_connect_status
}

hpc_connect_forward() {
    if [ -n "$hpc_connect_child" ]; then
        kill -s "$1" "$hpc_connect_child"
    else
        hpc_connect_due=$1
    fi
}

# One helper process for all that is due: it wakes the supervisor with SIGALRM, which takes the next step of the list.
hpc_connect_start_timer() {
    hpc_connect_steps="end kill" hpc_connect_delays="$hpc_connect_limit $hpc_connect_grace"
    if [ -n "$hpc_connect_warn" ]; then
        hpc_connect_steps="warn $hpc_connect_steps"
        hpc_connect_delays="$((hpc_connect_limit - ${hpc_connect_warn#*:})) ${hpc_connect_warn#*:} $hpc_connect_grace"
    fi
    trap hpc_connect_step ALRM
    (
        trap - CHLD HUP INT QUIT USR1 USR2 ALRM
        hpc_connect_sleep='' hpc_connect_over=''
        trap 'hpc_connect_over=yes; [ -z "$hpc_connect_sleep" ] || kill "$hpc_connect_sleep"' TERM
        hpc_connect_supervisor=$hpc_connect_ticks
        for hpc_connect_delay in $hpc_connect_delays; do
            sleep "$hpc_connect_delay" &
            hpc_connect_sleep=$!
            [ -z "$hpc_connect_over" ] || kill "$hpc_connect_sleep"
            wait "$hpc_connect_sleep"
            hpc_connect_ticks_of $$
            [ -z "$hpc_connect_over" ] && [ "$hpc_connect_ticks" = "$hpc_connect_supervisor" ] || exit
            kill -s ALRM $$
        done
    ) &
    hpc_connect_timer=$!
}

hpc_connect_step() {
    case $hpc_connect_steps in
    warn*) hpc_connect_signal_job "${hpc_connect_warn%:*}" ;;
    end*) hpc_connect_reason=timeout; hpc_connect_signal_job TERM; hpc_connect_signal_job CONT ;;
    kill*) hpc_connect_signal_job KILL ;;
    esac
    hpc_connect_steps=${hpc_connect_steps#* }
}

# Sends signal $1 to every process of the job: each has the job's id in the environment it was started with, wherever
# it has forked to. Without /proc it is the child's process group, or the child.
hpc_connect_signal_job() {
    kill -s "$1" -- "-$hpc_connect_child" || kill -s "$1" "$hpc_connect_child"
    # shellcheck disable=SC2013 # these paths have no blanks
    for hpc_connect_file in $(grep -lszFx "HPC_CONNECT_JOB_ID=$hpc_connect_name" /proc/[0-9]*/environ); do
        hpc_connect_file=${hpc_connect_file#/proc/}
        kill -s "$1" "${hpc_connect_file%/environ}"
    done
}

# Sets hpc_connect_how and its number: exit CODE, signal NUMBER, or unclear CODE (a shell gives 128+n for an end by
# signal n as well, and this shell cannot tell).
hpc_connect_find_how() {
    hpc_connect_how='exit' hpc_connect_number=$hpc_connect_code
    [ "$hpc_connect_code" -gt 128 ] || return 0
    hpc_connect_how='unclear'
    while read -r hpc_connect_line; do
        case $hpc_connect_line in
        "["*"]"*" $hpc_connect_child Exit $hpc_connect_code "*) hpc_connect_how='exit' ;;
        "["*"]"*" $hpc_connect_child Running "* | "["*"]"*" $hpc_connect_child Stopped"*) ;;
        "["*"]"*" $hpc_connect_child "*) hpc_connect_how=signal ;;
        esac
    done <"$hpc_connect_start"
    [ "$hpc_connect_how" != signal ] || hpc_connect_number=$((hpc_connect_code - 128))
}

hpc_connect_write_end() {
    hpc_connect_find_how
    printf '\nhpc_connect v1 exit id=%s array_index=%s native=%s attempt=%s how=%s number=%s reason=%s host=%s started=%s ended=%s end\n' \
        "$hpc_connect_id" "$hpc_connect_index" "$hpc_connect_native" "$hpc_connect_attempt" \
        "$hpc_connect_how" "$hpc_connect_number" "$hpc_connect_reason" "$hpc_connect_host" \
        "$hpc_connect_started" "$hpc_connect_time" >>"$hpc_connect_end" && return
    # The disk is full, but a name needs no room on it.
    : >"$hpc_connect_end~v1~$hpc_connect_attempt~$hpc_connect_how~$hpc_connect_number~$hpc_connect_reason"
}

hpc_connect_main "$@"
