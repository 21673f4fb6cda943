#!/bin/sh
# subscribe.sh TOPIC FILE: every event as a line of JSON.  FILE remembers
# where it is, so that it also goes on after a restart of its own.
topic=$1 file=$2

# The headers come from a pipe: every user can read a process's arguments.
headers() {
	echo 'Accept: text/event-stream'
	[ ! -s "$file" ] || echo "Last-Event-ID: $(cat "$file")"
	[ -z "${FANFARE_API_KEY-}" ] ||
		echo "Authorization: Bearer $FANFARE_API_KEY"
}

# Visible heartbeats are fast enough for --speed-time, which ends a
# connection that is dead.
listen() {
	headers | curl -sSN --fail-with-body --speed-time 45 --speed-limit 1 \
		-H @- --url-query "topic=$1" --url-query format=envelope \
		--url-query heartbeat=event "$FANFARE_URL/events"
}

remember() {
	echo "$1" >"$file.new" && mv "$file.new" "$file"
}

receive() {
	id='' name='' data=''
	while IFS= read -r line || [ -n "$line" ]; do
		case $line in
		'id: '*) id=${line#id: } ;;
		'event: '*) name=${line#event: } ;;
		'data: '*) data=${line#data: } ;;	# envelopes are one line
		'')	case $name in
			'') printf '%s\n' "$data" ;;
			fanfare.gap | fanfare.close) printf '%s\n' "$name $data" >&2 ;;
			esac
			[ -z "$id" ] || remember "$id"
			name='' data='' ;;
		'{"status":429'* | '{"status":5'*) printf '%s\n' "$line" >&2 ;;
		'{"status":'*) printf '%s\n' "$line" >&2; return 1 ;;
		esac
	done
}

while listen "$topic" | receive; do
	sleep 3
done
exit 1
