/*
 * The first line of the file in which runs of apply note what came from the
 * journal: what of it may be in Dovecot, and of which history that is.
 *
 *	mbj-apply 4 LINEAGE ACCOUNT LSN DIGEST begun|done LSN CHAIN EPOCH OWNER
 *	mbj-apply 3 LINEAGE ACCOUNT LSN
 *
 * The second is of a version before, and read as the first: begun, of a chain
 * value that nobody knows, which is zero.
 *
 * Written before a run changes anything, and again once it has left nothing
 * out.  See apply_known.c, reign.h.
 */
#ifndef MBJ_DOVECOT_APPLIED_H
#define MBJ_DOVECOT_APPLIED_H

/* What <config.h> of Dovecot says of its own compiler is not ours. */
#include <lib.h>

#include <str.h>

#include <mbj/client.h>

#define APPLIED_NAME "mbj-apply"
#define APPLIED_HEAD "mbj-apply 4"

enum { APPLIED_LINE_MAX = 512 };

struct applied {
	struct mbj_id lineage; /* of the store, ROOT: no run yet */
	struct mbj_id account;
	/*
	 * The account's last group of which a run may have brought something,
	 * and what the account is there.
	 */
	struct mbj_lsn lsn;
	struct mbj_digest digest;
	/* A run has brought all that was there then. */
	bool is_done;
	/*
	 * That group, or a later one, with its chain value, and whose reign; of
	 * the version before the chain value is zero, and so is the reign.
	 */
	struct mbj_log_end end;
	struct mbj_epoch epoch;
	struct mbj_id owner;
};

/* Returns: false, it is no such line; *ret_applied may be changed. */
bool applied_parse(const char *line, struct applied *ret_applied);
/* With its end of line. */
void applied_print(string_t *text, const struct applied *applied);
/* Nobody can be asked whether his journal has that group. */
bool applied_is_mute(const struct applied *applied);
/* What the account is now is what it was then. */
bool applied_is_at(const struct applied *applied,
		   const struct mbj_account *account);
bool applied_is_of_reign(const struct applied *applied, struct mbj_epoch epoch,
			 struct mbj_id owner);

#endif
