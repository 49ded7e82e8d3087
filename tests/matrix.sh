#!/usr/bin/env bash
# Run a command as it would run on other machines, one row after the other, and say what it does.
#   tests/matrix.sh                       README's two commands, on a clone of HEAD, in every row
#   tests/matrix.sh -r one-core,no-home   in these rows
#   tests/matrix.sh -r one-core+no-home   in one row that is both
#   tests/matrix.sh -r ffmpeg-4.2 .venv/bin/pytest -q tests/unit/media    another command, right here
#   tests/matrix.sh -l                    the rows
# Ends with 1 if a row failed, or one that was named could not be made; 0 otherwise.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
rows="plain no-ffmpeg ffmpeg-5.1 ffmpeg-4.2 bf16 no-bf16 no-home absent-home read-only-home
 odd-locale memory-3g one-core busy malloc-85 malloc-170 not-root"

named=
while getopts r:l option; do
  case $option in
    r) named=${OPTARG//,/ } ;;
    l) printf '%s\n' $rows && exit ;;
    *) sed -n '2,8s/^# //p' "$0" >&2 && exit 2 ;;
  esac
done
shift $((OPTIND - 1))
for row in ${named//+/ }; do
  [[ " ${rows//$'\n'/} " == *" $row "* ]] || { echo "$row: not one of: $rows" >&2 && exit 2; }
done

work=$(mktemp -d "${TMPDIR:-/tmp}/vsr-matrix.XXXXXX")
chmod 755 "$work" # for the row that is not root
trap 'rm -rf "$work"' EXIT
block() { sed -n "/<!-- $1 -->/,/^\`\`\`\$/p" README.md | sed '1,2d;$d'; }

# Each `make_ROW` sets `around`, the words before the command, or `cannot`, why there is no such row.
make_plain() { around=(env); }

make_no_ffmpeg() { # folders with an ffmpeg are left out, the other programs in them linked
  local folder program path=
  while read -r -d : folder; do
    if compgen -G "$folder/ff*" >/dev/null; then
      mkdir -p "$work/linked$folder"
      for program in "$folder"/*; do
        [[ ${program##*/} == ff@(mpeg|probe|play) ]] || ln -sf "$program" "$work/linked$folder/"
      done
      folder=$work/linked$folder
    fi
    path+=:$folder
  done <<<"$PATH:"
  around=(env PATH="${path:1}")
}

make_ffmpeg_5_1() { # VSR_MATRIX_FFMPEG names the folder of one, if it is not the system's
  local folder=${VSR_MATRIX_FFMPEG:-/usr/bin}
  around=(env PATH="$folder:$PATH")
  [[ $("$folder/ffmpeg" -version 2>/dev/null) == "ffmpeg version 5.1"* ]] ||
    cannot="no ffmpeg 5.1 in $folder; VSR_MATRIX_FFMPEG=FOLDER names another"
}

make_ffmpeg_4_2() {
  around=(env PATH="$work/old:$PATH")
  [[ -x $work/old/ffmpeg ]] && return
  mkdir -p "$work/old"
  python3 -m pip download -q --no-deps -d "$work/old" imageio-ffmpeg==0.4.9 &>"$work/old/log" &&
    (cd "$work/old" && python3 -m zipfile -e imageio_ffmpeg-*.whl . &&
      mv imageio_ffmpeg/binaries/ffmpeg-* ffmpeg && chmod 755 ffmpeg) &>>"$work/old/log" ||
    cannot="pip brings no imageio-ffmpeg 0.4.9: $(tail -n 1 "$work/old/log")"
}

make_bf16() {
  around=(env -u ATEN_CPU_CAPABILITY -u ONEDNN_MAX_CPU_ISA)
  grep -qE 'avx512_bf16|amx_bf16' /proc/cpuinfo || cannot="this processor has no bf16"
}
make_no_bf16() { around=(env ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2); }

make_no_home() { around=(env -u HOME -u XDG_CACHE_HOME -u XDG_STATE_HOME -u XDG_CONFIG_HOME); }
make_absent_home() { make_no_home && around+=(HOME="$work/absent"); }
make_read_only_home() {
  make_no_home && around+=(HOME="$work/home")
  mkdir -p -m 555 "$work/home"
  [[ $(id -u) != 0 ]] && return
  # What root may not write either: a file system that is read-only, seen by the command alone.
  local mount='mount -t tmpfs -o ro,size=4k none "$HOME" && exec "$@"'
  around+=(unshare --mount sh -c "$mount" sh)
  "${around[@]}" true 2>/dev/null || cannot="unshare or mount is not allowed"
}
make_odd_locale() { # ASCII in earnest, and a clock that is 12:45 or 13:45 ahead
  around=(env -u LC_CTYPE LANG=C LC_ALL=C PYTHONCOERCECLOCALE=0 PYTHONUTF8=0 TZ=Pacific/Chatham)
}

make_memory_3g() { # with two cores at most, since pytest starts as many processes as there are
  local two=(taskset -c "$(cores 2)") bytes=$((3 << 30)) group limit
  for group in /sys/fs/cgroup/memory /sys/fs/cgroup; do
    limit=$group/vsr-matrix/memory.limit_in_bytes
    [[ $group == */memory ]] || limit=$group/vsr-matrix/memory.max
    if mkdir "$group/vsr-matrix" 2>/dev/null && echo $bytes 2>/dev/null >"$limit"; then
      around=(in_group "$group/vsr-matrix" "${two[@]}") && return
    fi
    rmdir "$group/vsr-matrix" 2>/dev/null
  done
  local user=(--user) && [[ $(id -u) == 0 ]] && user=()
  around=(systemd-run "${user[@]}" --quiet --scope -p MemoryMax=3G -p MemorySwapMax=0 "${two[@]}")
  "${around[@]}" true &>/dev/null || cannot="neither cgroups nor systemd-run let memory be limited"
}
in_group() {
  local group=$1 code && shift
  (echo $BASHPID >"$group/cgroup.procs" && exec "$@")
  code=$?
  sleep 1 # its last process is counted out a little later
  rmdir "$group"
  return $code
}

cores() { # the first of those that we may use, as many as are asked for
  python3 -c 'import os, sys; print(*sorted(os.sched_getaffinity(0))[:int(sys.argv[1])], sep=",")' "$1"
}
make_one_core() { around=(taskset -c "$(cores 1)"); }
make_busy() { around=(beside_busy); }
beside_busy() {
  local busy=() code
  for _ in 1 2 3 4; do (while :; do :; done) & busy+=($!); done
  "$@"
  code=$?
  kill "${busy[@]}" && wait "${busy[@]}" 2>/dev/null
  return $code
}

make_malloc_85() { around=(env MALLOC_PERTURB_=85); }
make_malloc_170() { around=(env MALLOC_PERTURB_=170); }

make_not_root() {
  [[ $(id -u) != 0 ]] && make_plain && return
  mkdir -p "$work/nobody" && chown 65534:65534 "$work/nobody"
  around=(setpriv --reuid 65534 --regid 65534 --clear-groups
    env HOME="$work/nobody" TMPDIR="$work/nobody" PATH="$(readable_path)")
  local needed=python3 && [[ -n ${own[*]:-} ]] && needed=${own[0]}
  "${around[@]}" "$needed" --version &>/dev/null || cannot="another user may not run $needed"
}
readable_path() { # a user's own Python in root's home is nobody else's
  local folder
  while read -r -d : folder; do
    setpriv --reuid 65534 --regid 65534 --clear-groups test -x "$folder" && printf '%s:' "$folder"
  done <<<"$PATH:"
}

run_row() {
  local log=$work/log began=$SECONDS words=("${own[@]}") place=.
  rm -f "vsr-matrix-$row.log" # of an earlier run
  if [[ ${#own[@]} == 0 ]]; then
    place=$work/clone
    rm -rf "$place" && git clone -q . "$place" || return
    [[ +$row+ == *+not-root+* ]] && chown -R 65534:65534 "$place"
    words=(bash -c "$(block "the sample command") && $(block "the test command")")
  fi
  if (cd "$place" && "${around[@]}" "${words[@]}") &>"$log" </dev/null; then
    echo "ok     $row ($((SECONDS - began)) s): $(tail -n 1 "$log" | cut -c 1-120)"
  else
    mv "$log" "vsr-matrix-$row.log"
    echo "FAILS  $row ($((SECONDS - began)) s): $(tail -n 1 "vsr-matrix-$row.log" | cut -c 1-120)" \
      "[vsr-matrix-$row.log]"
    failed=1
  fi
}

own=("$@")
failed=0
for row in ${named:-$rows}; do
  all=() cannot=
  for one in ${row//+/ }; do
    around=()
    "make_${one//[-.]/_}"
    all+=("${around[@]}")
  done
  around=("${all[@]}")
  if [[ -n $cannot ]]; then
    echo "cannot be made here: $row: $cannot"
    [[ -z $named ]] || failed=1
  else
    run_row
  fi
done
exit $failed
