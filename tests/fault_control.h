/*
 * fault_control.h - servers whose calls fail when a test says so: fault_preload.so from
 * the test's side.
 */
#ifndef FAULT_CONTROL_H
#define FAULT_CONTROL_H

#include <stdbool.h>

#include "fault_preload.h"

extern struct fault_control *faults;

/* Can it be loaded here?  Tells why not. */
bool	faults_possible(void);
/* Servers started from now on, to the end of the test, obey *faults. */
void	faults_begin(void);
/* Let the nth call of the class from now on fail, and the `times` - 1 behind it. */
void	faults_arm(enum fault_class class, int64_t nth, int64_t times);
/* Nothing fails any more; how many did since it was armed. */
int64_t	faults_disarm(void);
const char *fault_name(enum fault_class class);

#endif
