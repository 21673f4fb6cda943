# lib.sh - what contrib/start and contrib/test have in common; sourced by both.
#
# install_groups GROUP...   Debian packages of contrib/packages that are missing
# mirror_source             a copy of the sources in build/sources
# build_in NAME [OPTION...] configure (with these options) and make in build/NAME
#
# Everything is built from the copy: the source tree stays clean, and one that was
# configured in place is no hindrance.  `top` is the project's directory.

say() {
	printf '%s\n' "$*"
}

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# A package counts as there when dpkg says so, or when the one program that it is
# wanted for is there from elsewhere (Node.js from its makers, say).
have_package() {
	case $1 in
	nodejs) command -v node >/dev/null && return ;;
	npm | curl | gcc | make | strace | sqlite3 | chromium | firefox-esr | openssl | \
	    nginx | caddy | haproxy | python3)
		command -v "$1" >/dev/null && return ;;
	golang-go) command -v go >/dev/null && return ;;
	groff-base) command -v groff >/dev/null && return ;;
	php-cli) command -v php >/dev/null && return ;;
	php-curl) php -m 2>/dev/null | grep -qx curl && return ;;
	esac
	dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q '^install ok installed'
}

# Debian starts a server as it installs it, for everybody to reach, and at each boot.
# Of those missing, the tests want the program alone.  Where somebody has a policy, it
# stands.
policy=/usr/sbin/policy-rc.d

without_services() {
	servers=
	for package in $missing; do
		case $package in
		nginx | caddy | haproxy) servers="$servers $package" ;;
		esac
	done
	[ -n "$servers" ] || { "$@"; return; }
	(
		if [ ! -e "$policy" ] && [ ! -L "$policy" ]; then
			trap '$as_root rm -f "$policy"' EXIT
			trap 'exit 1' HUP INT TERM
			$as_root sh -c 'cat >"$1" && chmod 755 "$1"' sh "$policy" <<EOT
#!/bin/sh
# Of ${0##*/} of fanfare, while it installs them:$servers.  Remove it if it stays.
case \$1 in $(printf '%s* | ' $servers)-) exit 101 ;; esac
EOT
		fi
		"$@" || exit
		# shellcheck disable=SC2086 -- words are meant
		! command -v systemctl >/dev/null ||
		    $as_root systemctl disable $servers || true
	)
}

install_groups() {
	if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
		say "Not a Debian system: contrib/packages names what has to be there."
		return
	fi
	missing=
	for group in "$@"; do
		for package in $(awk -v g="$group" '$1 == g { print $2 }' \
		    "$top/contrib/packages"); do
			have_package "$package" || missing="$missing $package"
		done
	done
	[ -n "$missing" ] || return 0
	say "Installing Debian packages:$missing"
	as_root=
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null || die "these packages are missing and there" \
		    "is no sudo; as root: apt-get install$missing"
		as_root=sudo
	fi
	mkdir -p "$top/build"
	log=$top/build/packages.log
	# shellcheck disable=SC2086 -- words are meant
	{ $as_root apt-get update &&
	    without_services $as_root env DEBIAN_FRONTEND=noninteractive \
	    apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1 || {
		tail -n 20 "$log" >&2
		die "apt-get failed (all of it: $log)"
	}
}

# The project's own files, one a line: git's list, or in a tarball all that no build
# has made.
source_files() {
	if git -C "$top" rev-parse --is-inside-work-tree >/dev/null 2>&1; then
		(cd "$top" && git ls-files --cached --others --exclude-standard)
	else
		(cd "$top" && find . \( -name .git -o -path ./build -o -path ./data \
		    -o -name node_modules -o -name .deps -o -name autom4te.cache \) \
		    -prune -o -type f ! -name '*.o' ! -name '*.a' ! -name '*.log' \
		    ! -name '*.trs' ! -name config.h ! -name config.status \
		    ! -name stamp-h1 ! -name Makefile ! -name sql_text.[ch] ! -name page_text.[ch] \
		    ! -name page_gzip.h \
		    ! -path ./src/fanfare.conf.5 ! -path ./src/fanfare-recipes.7 \
		    ! -name '*.db*' ! -path ./fanfare \
		    ! \( -path './tests/check_*' ! -name '*.[ch]' \) -print |
		    sed 's|^\./||')
	fi | while IFS= read -r file; do
		[ ! -f "$top/$file" ] || printf '%s\n' "$file"
	done | sort
}

# Only what differs is copied, and is new then: its own time may be older than what
# was built from the copy before.
mirror_source() {
	mkdir -p "$top/build/sources"
	source_files >"$top/build/files.new"
	if [ -f "$top/build/files" ]; then
		comm -23 "$top/build/files" "$top/build/files.new" |
		    while IFS= read -r gone; do
			rm -f "$top/build/sources/$gone"
		done
	fi
	while IFS= read -r file; do
		copy=$top/build/sources/$file
		if ! cmp -s "$top/$file" "$copy"; then
			mkdir -p "${copy%/*}"
			cp "$top/$file" "$copy"
		fi
		[ ! -x "$top/$file" ] || [ -x "$copy" ] || chmod +x "$copy"
	done <"$top/build/files.new"
	mv "$top/build/files.new" "$top/build/files"
	if [ ! -x "$top/build/sources/configure" ]; then
		logged "$top/build/autoreconf.log" sh -c \
		    "cd '$top/build/sources' && autoreconf -i"
	fi
}

# Run a command with its output in a file, shown when it fails.
logged() {
	log=$1
	shift
	"$@" >"$log" 2>&1 </dev/null || {
		status=$?
		tail -n 40 "$log" >&2
		say "That failed: $* (all of it: $log)" >&2
		return $status
	}
}

jobs() {
	getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1
}

build_in() {
	dir=$top/build/$1
	shift
	mkdir -p "$dir"
	# Other options than last time: from the beginning.
	if [ ! -f "$dir/Makefile" ] || [ "$(cat "$dir/options" 2>/dev/null)" != "$*" ]; then
		rm -f "$dir/options"
		logged "$dir/configure.log" sh -c 'cd "$1" && shift && exec "$@"' sh \
		    "$dir" "$top/build/sources/configure" "$@" || return
		[ ! -f "$dir/fanfare" ] || logged "$dir/clean.log" make -C "$dir" clean || return
		echo "$*" >"$dir/options"
	fi
	logged "$dir/make.log" make -C "$dir" -j"$(jobs)" all
}
