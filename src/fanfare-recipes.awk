# fanfare-recipes.awk - puts each file of contrib/recipes (dir) into the manual page
# where its name stands as @NAME@, so that it shows there as it is.
function shown(line,    tabs) {
	tabs = ""
	while (substr(line, 1, 1) == "\t") {
		tabs = tabs "    "
		line = substr(line, 2)
	}
	gsub(/\t+/, "  ", line)
	gsub(/\\/, "\\e", line)
	gsub(/-/, "\\-", line)
	gsub(/'/, "\\(aq", line)
	gsub(/`/, "\\(ga", line)
	gsub(/\^/, "\\(ha", line)
	gsub(/~/, "\\(ti", line)
	# What begins with a dot would be a request.
	return (tabs == "" && substr(line, 1, 1) == "." ? "\\&" : "") tabs line
}

/^@.*@$/ {
	file = dir "/" substr($0, 2, length($0) - 2)
	lines = 0
	print ".Bd -literal"
	while ((getline line < file) > 0) {
		print shown(line)
		lines++
	}
	close(file)
	print ".Ed"
	if (lines == 0) {
		print "fanfare-recipes.awk: cannot read " file > "/dev/stderr"
		failed = 1
		exit 1
	}
	next
}

{ print }
END { exit failed }
