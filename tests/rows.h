/*
 * rows.h - the tables in tests/data: a line is a row, " | " parts its cells.
 *
 * Empty lines and those that begin with # are left out.
 */
#ifndef ROWS_H
#define ROWS_H

#include <stddef.h>

#define ROW_CELLS	8

struct row {
	unsigned int	 line;			/* of the file, for messages */
	size_t		 n;
	char		*cell[ROW_CELLS];	/* without the blanks around it */
};

/* All rows of tests/data/NAME, each with `cells` cells, or the test fails. */
struct row	*rows_read(const char *name, size_t cells, size_t *rows);

#endif
