/*
 * mailbox.c - a list under a mutex and an eventfd beside it.
 *
 * `signalled` says that the eventfd was written since the last take: further posts
 * then need no system call.
 */
#include "config.h"

#include "mailbox.h"

#include <sys/eventfd.h>

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "log.h"

struct mailbox {
	pthread_mutex_t	 lock;		/* innermost: nothing is taken under it */
	struct msg	*head, **tail;	/* by lock */
	bool		 signalled;	/* by lock */
	_Atomic(size_t)	 bytes;
	int		 fd;
};

struct mailbox *
mailbox_new(void)
{
	struct mailbox *b;

	if ((b = calloc(1, sizeof(*b))) == NULL) {
		log_warn("mailbox");
		return NULL;
	}
	if ((b->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) == -1) {
		log_warn("mailbox: eventfd");
		free(b);
		return NULL;
	}
	(void)pthread_mutex_init(&b->lock, NULL);	/* cannot fail on Linux */
	b->tail = &b->head;
	return b;
}

void
mailbox_free(struct mailbox *b)
{
	if (b == NULL)
		return;
	assert(b->head == NULL);
	close(b->fd);
	(void)pthread_mutex_destroy(&b->lock);
	free(b);
}

int
mailbox_fd(const struct mailbox *b)
{
	return b->fd;
}

void
mailbox_post(struct mailbox *b, struct msg *m, bool wake)
{
	const uint64_t one = 1;
	bool signal = false;

	m->next = NULL;
	atomic_fetch_add_explicit(&b->bytes, m->bytes, memory_order_relaxed);
	pthread_mutex_lock(&b->lock);
	*b->tail = m;
	b->tail = &m->next;
	if (wake && !b->signalled)
		b->signalled = signal = true;
	pthread_mutex_unlock(&b->lock);
	/* The counter cannot overflow: it is read before it is written twice. */
	if (signal && write(b->fd, &one, sizeof(one)) != sizeof(one))
		log_warn("mailbox: eventfd write");
}

struct msg *
mailbox_take(struct mailbox *b)
{
	struct msg *head, *m;
	uint64_t count;
	size_t bytes = 0;
	bool signalled;

	pthread_mutex_lock(&b->lock);
	head = b->head;
	signalled = b->signalled;
	b->head = NULL;
	b->tail = &b->head;
	if (signalled) {
		/*
		 * Read under the lock: cleared before a later post can set the flag
		 * and write again.  EAGAIN: the poster has set the flag and not yet
		 * written; then the owner wakes once more for nothing.
		 */
		if (read(b->fd, &count, sizeof(count)) == -1 && errno != EAGAIN)
			log_warn("mailbox: eventfd read");
		b->signalled = false;
	}
	pthread_mutex_unlock(&b->lock);
	for (m = head; m != NULL; m = m->next)
		bytes += m->bytes;
	atomic_fetch_sub_explicit(&b->bytes, bytes, memory_order_relaxed);
	return head;
}

size_t
mailbox_bytes(const struct mailbox *b)
{
	return atomic_load_explicit(&b->bytes, memory_order_relaxed);
}
