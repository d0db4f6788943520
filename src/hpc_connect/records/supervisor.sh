# hpc_connect supervisor, record protocol v1: docs/reference/record-protocol.md
#
#   bash -p supervisor.sh folder=DIR id=ID [array_index=N] [native=ID] [attempt=N] [limit=S] [grace=S]
#                         [warn=SIGNAL:S] [clean=FILE] -- PROGRAM [ARGUMENT]...
#
# Runs PROGRAM once as its child and records how it ended, whatever the program does. dash and busybox can do it too,
# but bash alone hands on every variable as it was. Why it is as it is: docs/decisions/0006-record-protocol.md.
# Names begin with hpc_connect_, since a variable that came by the environment would hand its new value on.

# shellcheck disable=SC3028,SC3040,SC3045 # what POSIX has not stands where it is known to be bash
# shellcheck disable=SC2317 # traps are called by the shell

hpc_connect_main() {
    hpc_connect_folder='' hpc_connect_id='' hpc_connect_index=- hpc_connect_native='' hpc_connect_attempt=''
    hpc_connect_limit='' hpc_connect_grace=10 hpc_connect_warn='' hpc_connect_clean=''
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
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
        *) hpc_connect_refuse "unknown argument '$1'" ;;
        esac
        shift
    done
    [ $# -gt 1 ] || hpc_connect_refuse "no program behind '--'"
    shift
    hpc_connect_check_arguments
    hpc_connect_prepare
    hpc_connect_set_traps
    hpc_connect_claim || exit 125
    hpc_connect_run "$@"
    hpc_connect_write_end
    exit "$hpc_connect_code"
}

hpc_connect_refuse() {
    echo "hpc_connect supervisor: $1" >&2
    exit 64
}

# What goes into a record or a file name must not break it.
hpc_connect_check_arguments() {
    [ -n "$hpc_connect_folder" ] || hpc_connect_refuse "folder=DIR is missing"
    case $hpc_connect_id in '' | *[!A-Za-z0-9_-]*) hpc_connect_refuse "id='$hpc_connect_id' is no id" ;; esac
    case $hpc_connect_native in *[[:space:]]*) hpc_connect_refuse "native='$hpc_connect_native' has a blank" ;; esac
    [ "$hpc_connect_index" = - ] || hpc_connect_check_number array_index "$hpc_connect_index"
    hpc_connect_check_number attempt "${hpc_connect_attempt:-1}"
    hpc_connect_check_number limit "${hpc_connect_limit:-1}"
    hpc_connect_check_number grace "$hpc_connect_grace"
    [ -z "$hpc_connect_warn" ] || hpc_connect_check_number warn "${hpc_connect_warn#*:}"
}

hpc_connect_check_number() {
    case $2 in '' | *[!0-9]*) hpc_connect_refuse "$1='$2' is not a whole number" ;; esac
}

hpc_connect_prepare() {
    # The program gets descriptors, umask and PATH as they were. What this shell itself has to say goes nowhere.
    command exec 9>&2 || exec 9>/dev/null
    exec 2>/dev/null
    command exec 8<&0 || exec 8</dev/null
    exec </dev/null
    # A pipe with one line in it, held by this process alone: a note to itself, and a mark on a child that has not
    # begun yet.
    command exec 7<<.

.
    hpc_connect_umask=$(umask) hpc_connect_path=${PATH-} hpc_connect_had_path=${PATH+yes}
    umask 077
    PATH=/usr/bin:/bin:$hpc_connect_path

    hpc_connect_bash=''
    if [ -n "${BASH_VERSION-}" ] && command -v shopt >/dev/null; then
        hpc_connect_bash=yes
        set -o posix # here alone `wait` is interrupted by a child's end, before it forgets how that was
    fi
    hpc_connect_name=$hpc_connect_id
    [ "$hpc_connect_index" = - ] || hpc_connect_name=$hpc_connect_id.$hpc_connect_index
    hpc_connect_start=$hpc_connect_folder/live/$hpc_connect_name.start
    hpc_connect_end=$hpc_connect_folder/ended/$hpc_connect_name
    hpc_connect_look_at $$
    hpc_connect_own_ticks=$hpc_connect_ticks
    read -r hpc_connect_boot </proc/sys/kernel/random/boot_id || hpc_connect_boot=-
    read -r hpc_connect_host </proc/sys/kernel/hostname || hpc_connect_host=$(uname -n)
    [ -n "$hpc_connect_native" ] || hpc_connect_native=$$:$hpc_connect_own_ticks
    hpc_connect_now
    hpc_connect_started=$hpc_connect_time
}

# Sets state, parent, group and ticks of process $1: fields 3, 4, 5 and 22 of proc(5) /proc/PID/stat, - if there is none.
hpc_connect_look_at() {
    hpc_connect_state=- hpc_connect_parent=- hpc_connect_group=- hpc_connect_ticks=-
    read -r hpc_connect_line <"/proc/$1/stat" || return
    set -f
    # shellcheck disable=SC2086 # split on purpose; field 2 may hold blanks and parentheses
    set -- ${hpc_connect_line##*) }
    set +f
    hpc_connect_state=$1 hpc_connect_parent=$2 hpc_connect_group=$3
    shift 19
    hpc_connect_ticks=$1
}

# Sets time: seconds since 1970.
hpc_connect_now() {
    case ${hpc_connect_bash:+${EPOCHREALTIME-}} in
    ?*) hpc_connect_time=${EPOCHREALTIME%[.,]*}.${EPOCHREALTIME#*[.,]} ;;
    *) hpc_connect_time=$(date +%s) ;;
    esac
}

# Sets uptime: whole seconds since boot, which nobody can set.
hpc_connect_look_at_clock() {
    read -r hpc_connect_uptime </proc/uptime
    hpc_connect_uptime=${hpc_connect_uptime%%.*}
}

# ---------------------------------------------------------------- records

# The first act of a job: whoever creates the start record runs. Another job of the scheduler leaves; this one runs
# again if it was requeued, as an attempt of its own.
hpc_connect_claim() {
    hpc_connect_created=''
    set -C
    command : >"$hpc_connect_start" && hpc_connect_created=yes
    set +C
    if hpc_connect_may_run; then
        hpc_connect_record start "$hpc_connect_start" "pid=$$ ticks=$hpc_connect_own_ticks boot=$hpc_connect_boot" \
            "host=$hpc_connect_host started=$hpc_connect_started"
        return 0
    fi
    echo "hpc_connect: job $hpc_connect_name, here as $hpc_connect_native: $hpc_connect_problem; leaving" >&9
    [ -z "$hpc_connect_created" ] || rm -f -- "$hpc_connect_start"
    return 1
}

# Sets attempt. The end is looked for last: the start record becomes it by one rename.
hpc_connect_may_run() {
    hpc_connect_owner=nobody hpc_connect_last=0 hpc_connect_found=yes
    [ -z "$hpc_connect_created" ] || hpc_connect_found=''
    for hpc_connect_file in "$hpc_connect_start" "$hpc_connect_end" "$hpc_connect_end"~v1~*; do
        [ -e "$hpc_connect_file" ] || continue
        [ "$hpc_connect_file" = "$hpc_connect_start" ] || hpc_connect_found=yes
        hpc_connect_read_owner "$hpc_connect_file"
    done
    : "${hpc_connect_attempt:=$((hpc_connect_last + 1))}"
    case $hpc_connect_owner-$hpc_connect_found in
    other-*) hpc_connect_problem="it was started by another submission" ;;
    nobody-) return 0 ;;
    nobody-*) hpc_connect_problem="its record in $hpc_connect_folder cannot be written, or not be read" ;;
    *)
        [ "$hpc_connect_attempt" -le "$hpc_connect_last" ] || return 0
        hpc_connect_problem="its attempt $hpc_connect_last was here before"
        ;;
    esac
    return 1
}

# Sets owner to who wrote the records in file $1, if there are any: me or other. Sets last to my highest attempt.
hpc_connect_read_owner() {
    while read -r hpc_connect_line; do
        case $hpc_connect_line in
        "hpc_connect v1 "*" native=$hpc_connect_native attempt="*" END")
            [ "$hpc_connect_owner" = other ] || hpc_connect_owner=me
            hpc_connect_word=${hpc_connect_line#*" attempt="}
            hpc_connect_word=${hpc_connect_word%%" "*}
            [ "$hpc_connect_word" -le "$hpc_connect_last" ] || hpc_connect_last=$hpc_connect_word
            ;;
        "hpc_connect v1 "*" END") hpc_connect_owner=other ;;
        esac
    done <"$1"
}

# Writes a record of kind $1 to file $2, with the further words $3...: one line by one printf.
hpc_connect_record() {
    hpc_connect_kind=$1 hpc_connect_file=$2
    shift 2
    printf '\nhpc_connect v1 %s id=%s array_index=%s native=%s attempt=%s %s END\n' "$hpc_connect_kind" \
        "$hpc_connect_id" "$hpc_connect_index" "$hpc_connect_native" "$hpc_connect_attempt" "$*" \
        >>"$hpc_connect_file"
}

hpc_connect_write_end() {
    # Where the disk is full: a name needs no room on it.
    hpc_connect_record exit "$hpc_connect_start" "how=$hpc_connect_how number=$hpc_connect_number" \
        "reason=$hpc_connect_reason host=$hpc_connect_host started=$hpc_connect_started ended=$hpc_connect_time" ||
        hpc_connect_end=$hpc_connect_end~v1~$hpc_connect_attempt~$hpc_connect_how~$hpc_connect_number~$hpc_connect_reason
    mv -f -- "$hpc_connect_start" "$hpc_connect_end" && rm -f -- ${hpc_connect_clean:+"$hpc_connect_clean"}
}

# ---------------------------------------------------------------- run

hpc_connect_signals='HUP INT QUIT ABRT ALRM TERM USR1 USR2 XCPU VTALRM PROF'

# Before the claim: whatever arrives from then on reaches the program, and its end is recorded.
hpc_connect_set_traps() {
    hpc_connect_child='' hpc_connect_early=''
    for hpc_connect_signal in $hpc_connect_signals; do
        # shellcheck disable=SC2064 # expanded now on purpose
        trap "hpc_connect_forward $hpc_connect_signal" "$hpc_connect_signal"
    done
    trap : XFSZ # our own, where no file may grow: that the write fails is enough
}

hpc_connect_run() {
    hpc_connect_reason=- hpc_connect_timer=''
    [ -z "$hpc_connect_bash" ] || trap hpc_connect_on_child CHLD
    # Job control gives the child default signals and a process group. Only for the start: under it `wait` would
    # also return when the child is stopped. The other shells want a terminal for it.
    [ -z "$hpc_connect_bash" ] || set -m
    (
        exec 7<&- # the traps above are gone in here: from now on no signal is lost
        hpc_connect_become "$@"
    ) &
    hpc_connect_child=$!
    [ -z "$hpc_connect_bash" ] || set +m
    exec 8<&- 9>&- >/dev/null
    for hpc_connect_signal in $hpc_connect_early; do hpc_connect_forward "$hpc_connect_signal"; done
    if [ -n "$hpc_connect_limit" ]; then
        (hpc_connect_keep_time) &
        hpc_connect_timer=$!
    fi
    hpc_connect_wait
    hpc_connect_now
    hpc_connect_find_how
    [ -z "$hpc_connect_timer" ] || hpc_connect_stop_timer
}

# In the child: turns into the program.
hpc_connect_become() {
    umask "$hpc_connect_umask"
    PATH=$hpc_connect_path
    [ -n "$hpc_connect_had_path" ] || unset PATH
    unset HPC_CONNECT_ARRAY_INDEX
    export HPC_CONNECT_JOB_ID="$hpc_connect_name" HPC_CONNECT_ATTEMPT="$hpc_connect_attempt"
    [ "$hpc_connect_index" = - ] || export HPC_CONNECT_ARRAY_INDEX="$hpc_connect_index"
    if [ -n "$hpc_connect_bash" ]; then
        hpc_connect_become_under_bash "$@"
    elif [ "$1" = "${1%%=*}" ] && env --default-signal=INT,QUIT true; then
        # A child without job control ignores these two.
        set -- env --default-signal=INT,QUIT "$@"
    fi
    exec "$@" <&8 2>&9 8<&- 9>&-
}

# In the child: the variables that bash changes by itself, as this process got them. Two of them are read-only, so
# `env` sets them, which would take a program with = in its name for a variable.
hpc_connect_become_under_bash() {
    export -n BASHOPTS SHELLOPTS
    unset IFS OLDPWD OPTERR OPTIND POSIXLY_CORRECT PS1 PS2 PS4 PWD SHLVL
    while IFS= read -r -d '' hpc_connect_line; do
        case $hpc_connect_line in
        BASHOPTS=* | SHELLOPTS=*) [ "$1" != "${1%%=*}" ] || set -- env "$hpc_connect_line" "$@" ;;
        IFS=* | OLDPWD=* | OPTERR=* | OPTIND=* | POSIXLY_CORRECT=* | PS[124]=* | PWD=* | SHLVL=*)
            # shellcheck disable=SC2163 # a name with its value
            export "$hpc_connect_line"
            ;;
        esac
    done </proc/$$/environ
    exec "$@" <&8 2>&9 8<&- 9>&-
}

# Sets code. `wait` also returns when a trap was run, so it is asked again until the child is gone, and then once more
# with nothing left that interrupts it.
hpc_connect_wait() {
    hpc_connect_code=''
    hpc_connect_ask
    while [ "${hpc_connect_code:-129}" -gt 128 ] && kill -0 "$hpc_connect_child"; do hpc_connect_ask; done
    # shellcheck disable=SC2086 # split on purpose
    trap '' $hpc_connect_signals
    if [ -n "$hpc_connect_bash" ]; then
        hpc_connect_take_note
        trap - CHLD
        set +o posix
        hpc_connect_ask
    else
        hpc_connect_ask
        hpc_connect_take_note
    fi
}

# An interruption is 128 + n too; 127 is what `wait` says once it has told a code.
hpc_connect_ask() {
    wait "$hpc_connect_child"
    hpc_connect_status=$?
    [ "$hpc_connect_status" = 127 ] && [ -n "$hpc_connect_code" ] || hpc_connect_code=$hpc_connect_status
}

# These two run inside of `wait` and must start no process: under bash it would be interrupted ever after.
hpc_connect_forward() {
    if [ -z "$hpc_connect_child" ]; then
        hpc_connect_early="$hpc_connect_early $1"
        return
    fi
    hpc_connect_await "$hpc_connect_child"
    kill -s "$1" "$hpc_connect_child"
}

hpc_connect_on_child() {
    kill -0 "$hpc_connect_child" || hpc_connect_take_note
}

# A child $1 that still has the traps of this shell would take a signal and forget it.
hpc_connect_await() {
    # shellcheck disable=SC3013 # all these shells know -ef
    while [ "/proc/$1/fd/7" -ef /proc/$$/fd/7 ]; do :; done
}

# How its children ended, in the shell's own words. bash has them until `wait` tells the code; the others from then
# until they start another child.
hpc_connect_take_note() {
    LC_ALL=C jobs -l >>/proc/$$/fd/7
}

# Sets how and its number: exit CODE, signal NUMBER, or unclear CODE where the shell's words are missing: code 128 + n
# is what a shell has for an end by signal n too.
hpc_connect_find_how() {
    hpc_connect_how=unclear
    while read -r hpc_connect_line <&7; do
        case $hpc_connect_line in
        "["*"]"*" $hpc_connect_child Running"* | "["*"]"*" $hpc_connect_child Stopped"*) continue ;;
        "["*"]"*" $hpc_connect_child Exit "*) hpc_connect_word=${hpc_connect_line#*" $hpc_connect_child Exit "} ;;
        "["*"]"*" $hpc_connect_child Done("*) hpc_connect_word=${hpc_connect_line#*" $hpc_connect_child Done("} ;;
        "["*"]"*" $hpc_connect_child Done"*) hpc_connect_word=0 ;;
        "["*"]"*" $hpc_connect_child "*) hpc_connect_how=signal; continue ;;
        *) continue ;;
        esac
        hpc_connect_how='exit' hpc_connect_code=${hpc_connect_word%%[!0-9]*}
    done
    hpc_connect_number=$hpc_connect_code
    if [ "$hpc_connect_code" -le 128 ]; then
        hpc_connect_how='exit'
    elif [ "$hpc_connect_how" = signal ]; then
        hpc_connect_number=$((hpc_connect_code - 128))
    fi
}

# ---------------------------------------------------------------- time limit

# In a process of its own. Returns 1 if the limit was reached, when everything has ended; 0 if the child ended before.
# SIGTERM makes it look again.
hpc_connect_keep_time() {
    hpc_connect_sleeper='' hpc_connect_woken=''
    # shellcheck disable=SC2086 # split on purpose
    trap '' $hpc_connect_signals
    trap 'hpc_connect_woken=yes; [ -z "$hpc_connect_sleeper" ] || kill -s KILL "$hpc_connect_sleeper"' TERM
    hpc_connect_await "$hpc_connect_child"
    exec 7<&-
    hpc_connect_look_at_clock
    hpc_connect_end_at=$((hpc_connect_uptime + hpc_connect_limit))
    if [ -n "$hpc_connect_warn" ]; then
        hpc_connect_sleep_until $((hpc_connect_end_at - ${hpc_connect_warn#*:})) || return 0
        hpc_connect_signal_job "${hpc_connect_warn%:*}"
    fi
    hpc_connect_sleep_until "$hpc_connect_end_at" || return 0
    hpc_connect_signal_job TERM
    hpc_connect_signal_job CONT
    hpc_connect_kill_at=$((hpc_connect_end_at + hpc_connect_grace))
    while hpc_connect_runs || [ -n "$(hpc_connect_members)" ]; do
        hpc_connect_look_at_clock
        [ "$hpc_connect_uptime" -lt "$hpc_connect_kill_at" ] || hpc_connect_signal_job KILL
        [ "$hpc_connect_uptime" -lt $((hpc_connect_kill_at + 30)) ] || break # the kernel does not let go of it
        hpc_connect_pause 1
    done
    return 1
}

hpc_connect_stop_timer() {
    hpc_connect_await "$hpc_connect_timer"
    kill -s TERM "$hpc_connect_timer"
    wait "$hpc_connect_timer"
    [ $? -ne 1 ] || hpc_connect_reason=timeout
}

# Returns 1 if the child ends before $1, in seconds since boot. Half a minute at a time, so that nothing stays for long
# where the supervisor is killed.
hpc_connect_sleep_until() {
    while hpc_connect_runs; do
        hpc_connect_look_at_clock
        hpc_connect_left=$(($1 - hpc_connect_uptime))
        [ "$hpc_connect_left" -gt 0 ] || return 0
        [ "$hpc_connect_left" -le 30 ] || hpc_connect_left=30
        hpc_connect_pause "$hpc_connect_left"
    done
    return 1
}

# Sleeps for $1 seconds, or until woken: since the last pause, or now.
hpc_connect_pause() {
    sleep "$1" &
    hpc_connect_sleeper=$!
    [ -z "$hpc_connect_woken" ] || kill -s KILL "$hpc_connect_sleeper"
    while kill -0 "$hpc_connect_sleeper"; do wait "$hpc_connect_sleeper"; done
    hpc_connect_sleeper='' hpc_connect_woken=''
}

hpc_connect_runs() {
    hpc_connect_look_at "$hpc_connect_child"
    [ "$hpc_connect_parent" = $$ ] && [ "$hpc_connect_state" != Z ]
}

# Sends signal $1 once to every process of the job: those of the child's process group, and those that were started
# with the job's id in the environment, wherever they have forked to.
hpc_connect_signal_job() {
    hpc_connect_leader=''
    if [ -n "$hpc_connect_bash" ] && kill -s "$1" -- "-$hpc_connect_child"; then
        hpc_connect_leader=$hpc_connect_child
    else
        kill -s "$1" "$hpc_connect_child"
    fi
    for hpc_connect_file in $(hpc_connect_members); do
        hpc_connect_pid=${hpc_connect_file#/proc/}
        hpc_connect_pid=${hpc_connect_pid%/environ}
        hpc_connect_look_at "$hpc_connect_pid"
        [ "$hpc_connect_pid" = "$hpc_connect_child" ] || [ "$hpc_connect_group" = "$hpc_connect_leader" ] ||
            kill -s "$1" "$hpc_connect_pid"
    done
}

hpc_connect_members() {
    grep -lszFx "HPC_CONNECT_JOB_ID=$hpc_connect_name" /proc/[0-9]*/environ
}

hpc_connect_main "$@"
