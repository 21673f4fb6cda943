/*
 * model_engine.h - one round: a real engine, some clients, and what befalls them.
 */
#ifndef MODEL_ENGINE_H
#define MODEL_ENGINE_H

#include <stdbool.h>

/* Random steps by that seed; what is waited for must come within patience_ms. */
void	engine_round(unsigned int seed, int steps, int patience_ms);
/* What the rounds of this process came to; with `all` nothing may be missing. */
void	engine_report(bool all);
/* For a fixture: whatever a round that failed has left. */
void	engine_clean(void);

#endif
