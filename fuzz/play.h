/*
 * Playing a script: compound edits on a primary, deliveries to replicas,
 * crashes of either, each followed by the checks that make it a test:
 *
 *   1. the primary's tree is the naive model's (ids, paths, nothing more);
 *   2. an edit is refused where the model says that no tree comes of it, and
 *      only there; a plan has as many steps as mailboxes differ, and parks;
 *   3. a pair of name and UIDVALIDITY never means two mailboxes;
 *   4. a replica is the primary of some earlier group, by digest;
 *   5. after everything was delivered all are one, record by record;
 *   6. messages, their UIDs, flags and content are the model's, UIDNEXT and
 *      HIGHESTMODSEQ only rise, what was expunged is told for ever.
 *
 * Where the records are kept is the site's: states alone (fuzz_sequence), or
 * whole stores on a disk that can be cut (fuzz_store).
 *
 * Threads: one.
 */
#ifndef FUZZ_PLAY_H
#define FUZZ_PLAY_H

#include <mbj/edit.h>
#include <mbj/state.h>

#include "model.h"
#include "script.h"

enum { PLAY_PRIMARY, PLAY_REPLICAS = 2, PLAY_SIDES = 1 + PLAY_REPLICAS };
enum { PLAY_LSN_MAX = 2 * SCRIPT_STEPS_MAX, PLAY_PENDING_MAX = 8 };

struct play;

struct play_site {
	/*
	 * Carry out edit.  *ret_is_lost: the primary crashed and forgot it,
	 * where that may be.
	 */
	enum mbj_rc (*submit)(struct play *play, const struct mbj_edit *edit,
			      bool *ret_is_lost, struct mbj_outcome *outcome,
			      struct mbj_error *err);
	void (*deliver)(struct play *play, const struct script_step *step);
	void (*crash)(struct play *play, const struct script_step *step);
	/* Bring a replica up to the primary's end. */
	void (*catch_up)(struct play *play, int side);
	/* A transaction to look through; NULL: this side has not begun. */
	struct mbj_txn *(*look)(struct play *play, int side);
	void (*looked)(struct play *play, int side, struct mbj_txn **txn);
	/* The last group that a side has applied. */
	uint64_t (*applied)(struct play *play, int side);
	/*
	 * Store content on the primary, before a group has it: false where
	 * the primary crashed instead, and forgot what was stored since its
	 * last group.  And see that a side can read it.  NULL: the site has no
	 * content.
	 */
	bool (*content_put)(struct play *play, struct mbj_bytes content);
	void (*content_check)(struct play *play, int side,
			      const struct mbj_hash *blob);
};

/* A name that once meant a mailbox. */
struct play_seen {
	char path[MODEL_PATH_SIZE];
	uint32_t uidvalidity;
	struct mbj_id id;
};

struct play {
	const struct play_site *site;
	void *context; /* the site's */
	bool is_verbose;
	size_t step; /* of the script, for messages */
	struct mbj_id account;
	uint64_t lsn;
	struct mbj_bytes record; /* the last group, set by the site's submit */
	struct mbj_digest digests[PLAY_LSN_MAX + 2]; /* by LSN */
	struct model model;
	struct model_rename renames[PLAY_PENDING_MAX];
	size_t rename_count;
	struct model_place places[PLAY_PENDING_MAX];
	size_t place_count;
	struct model_mail_step mails[PLAY_PENDING_MAX];
	size_t mail_count;
	struct mbj_hash contents[MODEL_CONTENTS]; /* made with the first run */
	uint32_t ids;				  /* given out */
	struct play_seen seen[256];
	size_t seen_count;
};

/* The account that every script begins with. */
#define PLAY_ACCOUNT "u"
size_t play_first_tree(struct mbj_change changes[16]);

/*
 * Play size bytes.  The site is up, with the account in all of it; lsn is
 * that of its import.
 */
void play_script(struct play *play, const uint8_t *data, size_t size);

/* Carry out what the account is to become; refusals have their reasons. */
enum mbj_rc play_submit(struct play *play, struct mbj_edit *edit,
			bool *ret_is_lost, struct mbj_outcome *outcome,
			struct mbj_error *err);

/*
 * One line about what happens, where somebody wants to see it; and the end of
 * the process, where a condition does not hold.  Macros, since what the line
 * would say is seldom wanted, and a script has a hundred of them.
 */
#define play_say(play, ...) \
	((play)->is_verbose ? play_show((play), __VA_ARGS__) : (void)0)
#define play_check(play, is_true, ...) \
	((is_true) ? (void)0 : play_fail((play), __VA_ARGS__))

MBJ_PRINTF(2, 3)
void play_show(const struct play *play, const char *format, ...);
MBJ_PRINTF(2, 3)
_Noreturn void play_fail(const struct play *play, const char *format, ...);

#endif
