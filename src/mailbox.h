/*
 * mailbox.h - how threads talk: many may post, one takes everything at once.
 *
 * A message is any struct that begins with a struct msg; `kind` is the owner's enum.
 * The owner keeps mailbox_fd() in its epoll set (readable when something woke it)
 * and calls mailbox_take() in each pass.  Order of posting is kept.
 */
#ifndef MAILBOX_H
#define MAILBOX_H

#include <stdbool.h>
#include <stddef.h>

struct msg {
	struct msg	*next;
	int		 kind;
	size_t		 bytes;		/* what it pins, for mailbox_bytes() */
};

struct mailbox;

struct mailbox	*mailbox_new(void);	/* NULL: logged */
void		 mailbox_free(struct mailbox *b);	/* must be empty */
int		 mailbox_fd(const struct mailbox *b);
/* Any thread.  With `wake` the owner is woken unless it is being woken already;
 * without, the message waits for the next reason to wake. */
void		 mailbox_post(struct mailbox *b, struct msg *m, bool wake);
/* Owner.  All messages, oldest first, linked by next; or NULL. */
struct msg	*mailbox_take(struct mailbox *b);
/* Bytes posted and not yet taken.  Any thread. */
size_t		 mailbox_bytes(const struct mailbox *b);

#endif
