# Keeps one PostgreSQL server for a test. Takes commands, one a line; when the test is gone, however it went, its end of
# the pipe is closed, and the server and its folder go too.
#
# usage: keeper.sh FOLDER COMMAND...
folder=$1
shift
trap '' INT TERM HUP
begin() {
    "$@" >>"$folder/log" 2>&1 &
    server=$!
}
# INT ends sessions and writes a checkpoint; QUIT ends at once, as a crash of the server does.
end() {
    kill -"$1" "$server" 2>/dev/null
    wait "$server"
}
# All of its processes at once, none of which can do anything about it. The first is stopped before, or it would make new
# ones. As long as one of them is not gone, it has the shared memory, and no server starts on these files.
murder() {
    kill -STOP "$server" || return
    others=$(cat "/proc/$server/task/$server/children")
    kill -KILL $others "$server"
    wait "$server" 2>/dev/null
    for other in $others; do
        while grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$other/status"; do sleep 0.01; done
    done
}
begin "$@"
while read -r order; do
    case $order in
    stop) end INT ;;
    crash) end QUIT ;;
    kill) murder ;;
    start) begin "$@" ;;
    look) kill -0 "$server" 2>/dev/null || begin "$@" ;;
    esac
    echo "$order"
done
end QUIT
rm -rf "$folder"
