/*
 * lines.h - what the tests of import and export feed to it.
 */
#ifndef LINES_H
#define LINES_H

/* A file of `n` lines to import: 7 topics, text and JSON. */
char	*lines_file(int n);

#endif
