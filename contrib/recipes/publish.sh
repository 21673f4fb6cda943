#!/bin/sh
# publish.sh TOPIC EVENT DATA [KEY]: publishes JSON once, however often it
# has to try.
topic=$1 event=$2 data=$3
key=${4-$(cat /proc/sys/kernel/random/uuid)}

# The API key comes from a pipe: every user can read a process's arguments.
publish() {
	echo "Authorization: Bearer $FANFARE_API_KEY" |
	curl -sS --max-time 5 -w '\n%{http_code}' -H @- \
		-H 'Content-Type: application/json' -H "Idempotency-Key: $key" \
		--url-query "topic=$topic" --url-query "event=$event" \
		--data-raw "$data" "$FANFARE_URL/publish"
}

for wait in 1 2 4 8 0; do
	answer=$(publish)
	case ${answer##*[!0-9]} in
	200) printf '%s\n' "${answer%?200}"; exit 0 ;;
	429 | 5?? | 000) printf '%s\n' "$answer" >&2; sleep $wait ;;
	*) break ;;	# it would be refused again
	esac
done
printf '%s\n' "$answer" >&2
exit 1
