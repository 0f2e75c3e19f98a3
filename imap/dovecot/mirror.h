/*
 * The messages of a mailbox as Dovecot has them now, told as content.h's steps.
 *
 * A mailbox is opened once more for it: what the session that changes it sees
 * is pinned to an earlier time, and may hold changes that are not made yet.
 * Where all that is to be told is in the index, and in memory, another view of
 * the session's own index will do (mirror_peek).
 */
#ifndef MBJ_DOVECOT_MIRROR_H
#define MBJ_DOVECOT_MIRROR_H

#include "others.h"

#include "content.h"

/* An end of the log of a mailbox's index, and the HIGHESTMODSEQ there. */
struct mirror_spot {
	const struct mail_index *index; /* or NULL */
	uint32_t file;
	uoff_t offset;
	uint64_t modseq;
};

struct mirror {
	struct content *content;
	struct mailbox *box;
	bool is_borrowed;	      /* of who has it open: mirror_peek */
	struct mail_index_view *view; /* of what there is now */
	struct mailbox_transaction_context *t;
	struct mail *mail; /* NULL where it is borrowed */
	char *list_end;	   /* uidlist_end, once it was asked; ours */
	/* As of mirror_open. */
	struct mbj_id guid;
	struct mailbox_status status;
	/*
	 * The owner may have seen messages in an index of his own (INDEXPVT),
	 * which others do not read, nor change: what the store has stays.
	 */
	bool keeps_seen;
	bool is_copied; /* bytes that come in may well be in the store */
	struct mirror_spot before; /* the change at hand */
	const struct kept *kept;   /* of some that came in; may be NULL */
	/*
	 * An earlier turn has stopped before what cannot be read: now it is
	 * passed where something behind it can.
	 */
	bool is_lenient;
	bool has_new;	     /* something came in */
	uint32_t last_uid;   /* of that */
	bool is_unread;	     /* what is last could not be read */
	int64_t deadline_ms; /* monotonic: what comes in may wait; 0: none */
	/* From this UID on there is time until then; 0: no such. */
	uint32_t late_uid;
	int64_t late_ms;
	bool is_cut;	 /* something waits */
	const char *why; /* Dovecot's failure, or NULL: err's */
	struct mbj_error *err;
};

/* What a mailbox is synchronised with as it is opened. */
enum mirror_look {
	/*
	 * The index, which has what a transaction of this process has just
	 * given UIDs and flags.  One that is behind a Maildir's list of
	 * messages is made anew by the storage.
	 */
	MIRROR_INDEX,
	/*
	 * The storage, too, so that expunges are real, and what came in behind
	 * Dovecot is there.
	 */
	MIRROR_STORAGE,
	/*
	 * And a Maildir's directory that may have changed twice in one tick of
	 * the file system's clock, which else is looked into a second later:
	 * where nobody looks again.
	 */
	MIRROR_WHOLE,
};

/* Open and synchronise.  Returns: -1 with why. */
int mirror_open(struct mirror *mirror, struct mailbox_list *list,
		const char *vname, enum mirror_look look);
void mirror_close(struct mirror *mirror);
/*
 * The same of a mailbox that is open, of whose index alone something is to be
 * told, and of messages that mirror->kept has; box is to stay open until
 * mirror_close.  Only mirror_is_even, mirror_has_lost, mirror_has_changed and
 * mirror_some.
 * Returns: false, it is to be opened once more: its index is not the one at its
 * name, or does not say all.
 */
bool mirror_peek(struct mirror *mirror, struct mailbox *box);

/* The store has what there is, as far as numbers show. */
bool mirror_is_even(const struct mirror *mirror);
/*
 * The last UID that both sides have is one message's, by size and INTERNALDATE:
 * UIDs are given upwards, so those below are, too.
 * Returns: 0, -1 (MBJ_ECONFLICT: it is another one's in the store).
 */
int mirror_is_same(struct mirror *mirror);
/*
 * Steps for messages that were there, by their UIDs, and for all that came in
 * since the store last heard of some.
 */
int mirror_some(struct mirror *mirror, const ARRAY_TYPE(uint32_t) * uids);
/*
 * The store has messages that Dovecot has no more, beside those: a Maildir's
 * file may be found missing by whoever synchronises it, in no transaction.
 */
bool mirror_has_lost(struct mirror *mirror, const ARRAY_TYPE(uint32_t) * uids);
/*
 * Or others beside those got flags or keywords since the store last heard of
 * some: by who works without the plugin, or by a look into the storage, which
 * is in no transaction.  Numbers do not show it any more once this is told.
 */
bool mirror_has_changed(struct mirror *mirror,
			const ARRAY_TYPE(uint32_t) * uids);
/* Of who has it open. */
struct mirror_spot mirror_spot(struct mailbox *box);
/* Steps for whatever differs: reads the whole list of messages. */
int mirror_all(struct mirror *mirror);
/*
 * Behind mirror_all, where nothing waits: UIDNEXT is Dovecot's, whatever came
 * and went that nobody told.
 */
int mirror_level(struct mirror *mirror);

#endif
