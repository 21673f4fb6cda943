/*
 * lines.h - what the tests of import and export feed to it.
 */
#ifndef LINES_H
#define LINES_H

/* For the program in a shell line: it refuses variables of ours. */
#define CLEAN_ENV	"env -i PATH=\"$PATH\" ASAN_OPTIONS=\"$ASAN_OPTIONS\" "

/* A file of `n` lines to import: 7 topics, text and JSON. */
char	*lines_file(int n);

#endif
