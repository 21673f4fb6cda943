/*
 * admission.h - how many streams are in: of all, from each address, of each token.
 *
 * Any thread.  Who is let in has a place in each count, and gives all of them back with
 * one admission_leave() for the same guest.
 */
#ifndef ADMISSION_H
#define ADMISSION_H

#include <stddef.h>
#include <stdint.h>

struct admission_limits {
	size_t	 streams;		/* of all; 0 = no limit, as below */
	size_t	 per_address, per_token;
};

/* Whose limits a stream counts against. */
struct guest {
	char		 address[48];	/* NUL-terminated; "": nobody's */
	uint64_t	 principal;	/* 0: no token */
};

enum admitted {
	ADMITTED,
	ADMITTED_NOT,			/* there is no room, or no memory */
	ADMITTED_NOT_ADDRESS,		/* this address has all it may have */
	ADMITTED_NOT_TOKEN,		/* the same of a token */
};

struct admission;

struct admission *admission_new(const struct admission_limits *l);	/* or NULL */
void		 admission_free(struct admission *a);
enum admitted	 admission_enter(struct admission *a, const struct guest *g);
void		 admission_leave(struct admission *a, const struct guest *g);
size_t		 admission_count(const struct admission *a);	/* of all */
/* How many addresses and tokens are remembered: for tests. */
size_t		 admission_names(struct admission *a);

#endif
