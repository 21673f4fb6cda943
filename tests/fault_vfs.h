/*
 * fault_vfs.h - a disk that fails, lies and loses its power, under SQLite in a process.
 *
 * A VFS over the default one.  The files themselves stand for what the kernel's memory
 * holds; beside them the shim keeps what the platter would: content that an xSync
 * covered, and names whose folder was synced.  Where the power is cut, every call fails
 * from then on, and vfs_power_on() leaves on the disk what a crash could have left: of
 * each write since the last sync all, nothing, a piece, or garbage, in any combination.
 *
 * Calls are counted and faults injected under one lock; any thread.
 */
#ifndef FAULT_VFS_H
#define FAULT_VFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum vfs_call {
	VFS_OPEN, VFS_DELETE, VFS_ACCESS, VFS_READ, VFS_WRITE, VFS_TRUNCATE, VFS_SYNC,
	VFS_SIZE, VFS_LOCK, VFS_SHM_MAP, VFS_SHM_LOCK,
	VFS_CALLS
};
#define VFS_ANY		((1u << VFS_CALLS) - 1)
#define VFS_BIT(call)	(1u << (call))

/* What became of the writes that a failed sync was to cover.  A later sync that succeeds
 * does not cover them any more: the kernel thinks that they are written. */
enum vfs_loss {
	VFS_EITHER,		/* each by a throw of dice */
	VFS_REACHED,		/* they are on the platter after all */
	VFS_LOST,		/* they are not; the kernel's memory still shows them */
	VFS_FORGOTTEN,		/* nor does that: the file reads as on the platter */
};

struct vfs_fault {
	unsigned int	calls;		/* VFS_BIT()s */
	const char	*file;		/* how its name ends ("-wal", ".db"); "": any */
	uint64_t	nth;		/* of these calls, from 1 */
	bool		stays;		/* and all after it */
	int		rc;		/* 0: the I/O error of that call */
	enum vfs_loss	loss;		/* for syncs */
	const struct vfs_fault *then;	/* in its place once it has struck; or NULL */
};

/* Once, before the first database is opened. */
void	 vfs_install(void);
/* A new disk: what is there is durable, nothing fails. */
void	 vfs_reset(uint64_t seed);
void	 vfs_fail(const struct vfs_fault *f);	/* counts from now on */
void	 vfs_heal(void);
uint64_t vfs_seen(void);			/* so many of these calls */
uint64_t vfs_hits(void);			/* how often it struck, or `then` */
const char *vfs_struck(void);			/* the last: "write log.db-wal" */
void	 vfs_delay_syncs(int ms);

/* The nth call that changes the disk from now on does not happen any more; 0: now. */
void	 vfs_cut_power(uint64_t nth);
bool	 vfs_power_is_cut(void);
/* When every connection is closed: the disk as the crash left it. */
void	 vfs_power_on(void);

/* How many databases have been opened since the reset. */
uint64_t vfs_opened(void);
/* From how many open handles, and threads, files of that ending were written since. */
void	 vfs_watch_writers(void);
void	 vfs_writers(const char *file, size_t *handles, size_t *threads);

#endif
