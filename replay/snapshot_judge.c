/*
 * Judging a snapshot of another store; see snapshot_judge.h.
 *
 *	one's own journal, and what is known of before it
 *	  -> for each account its last group, in the order of ids
 *	  -> merged with the accounts of the snapshot, which come in that order
 *
 * Method: a snapshot is the base of all accounts once it is in the replica's
 * own directory, whoever it was fetched for.  So all of them are judged, and
 * those that it lacks as well: a source may have lost one.
 *
 * Memory: what is known is one entry for each account, and as many again while
 * it is gathered: what came since the last time is sorted in when it is as much
 * as all before.
 *
 * Threads: the caller's.
 */
#include "snapshot_judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mbj/check.h>
#include <mbj/trim.h>

enum {
	KNOWN_MAX = 1 << 25,
	/* Entries that are sorted at once, at least. */
	KNOWN_TURN = 4096,
	/* Accounts that an error names. */
	NAMED_MAX = 3,
	/* Records, groups or accounts that are looked at in one bit. */
	STEP = 1 << 14,
};

/* In this order, but for bases that are no good. */
enum stage {
	STAGE_VERIFY,
	STAGE_JOURNAL,
	STAGE_BASE,
	STAGE_BASE_VERIFY,
	STAGE_BASE_NOTE,
	STAGE_ACCOUNTS,
};

/* What an account is to be. */
struct known {
	struct mbj_id id;
	struct mbj_lsn lsn;	  /* its last group so far */
	struct mbj_digest digest; /* behind that, zero: deleted */
};

struct judging {
	struct mbj_store *store;
	struct mbj_snapshot *snapshot;
	struct mbj_watermark at; /* of the snapshot */
	enum stage stage;
	bool is_begun; /* the stage */
	/* The journal. */
	struct mbj_log_reader *reader;
	struct mbj_lsn next;
	struct mbj_hash chain; /* before it */
	/* One's own snapshots, and one of them. */
	struct mbj_lsn *lsns;
	size_t lsn_count;
	size_t lsn_at;
	struct mbj_snapshot *base;
	/* What is known of accounts. */
	struct known *known;
	size_t count;
	size_t capacity;
	size_t sorted;	 /* so many are in order, one for each account */
	size_t compared; /* with the snapshot's */
	/* What is wrong. */
	size_t faults;
	char text[MBJ_ERROR_MESSAGE_MAX];
};

/* ------------------------------------------------------------ what is known */

static int known_order(const void *a, const void *b)
{
	const struct known *x = a;
	const struct known *y = b;
	int order = mbj_id_compare(x->id, y->id);

	return order != 0 ? order
			  : (x->lsn.v > y->lsn.v) - (x->lsn.v < y->lsn.v);
}

/* In order, and of each account the last. */
static void known_sort(struct judging *j)
{
	size_t kept = 0;

	if (j->count > 0)
		qsort(j->known, j->count, sizeof(*j->known), known_order);
	for (size_t i = 0; i < j->count; i++) {
		if (kept > 0 &&
		    mbj_id_equal(j->known[kept - 1].id, j->known[i].id))
			kept--;
		j->known[kept++] = j->known[i];
	}
	j->count = kept;
	j->sorted = kept;
}

static enum mbj_rc known_add(struct judging *j, const struct known *known,
			     struct mbj_error *err)
{
	void *entries = j->known;
	enum mbj_rc rc;

	if (j->count - j->sorted >= KNOWN_TURN &&
	    j->count - j->sorted >= j->sorted)
		known_sort(j);
	rc = mbj_array_reserve(&entries, &j->capacity, j->count + 1,
			       sizeof(*j->known), KNOWN_MAX, err);
	j->known = entries;
	if (rc == MBJ_OK)
		j->known[j->count++] = *known;
	return rc;
}

static enum mbj_rc group_note(struct judging *j, const struct mbj_group *group,
			      struct mbj_error *err)
{
	struct mbj_group_account account;
	enum mbj_rc rc = MBJ_OK;

	for (uint32_t i = 0; rc == MBJ_OK && i < group->header.account_count;
	     i++) {
		mbj_group_account_get(group, i, &account);
		rc = known_add(j,
			       &(struct known){account.id, group->header.lsn,
					       account.digest},
			       err);
	}
	return rc;
}

/* The stage is over. */
static void stage_enter(struct judging *j, enum stage stage)
{
	j->stage = stage;
	j->is_begun = false;
}

static enum mbj_rc verify_step(struct judging *j, struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	if (!j->is_begun)
		rc = mbj_snapshot_verify_begin(j->snapshot, err);
	j->is_begun = true;
	if (rc == MBJ_OK)
		rc = mbj_snapshot_verify_some(j->snapshot, STEP, err);
	if (rc != MBJ_ENOTFOUND)
		return rc;
	stage_enter(j, STAGE_JOURNAL);
	return MBJ_OK;
}

static enum mbj_rc chain_compare(const struct judging *j, struct mbj_error *err)
{
	if (memcmp(j->chain.b, j->at.chain.b, MBJ_HASH_SIZE) == 0)
		return MBJ_OK;
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "the snapshot of group %llu and the journal are "
			     "different histories",
			     (unsigned long long)j->at.lsn.v);
}

/* What one's own journal lacks says nothing of the snapshot. */
static enum mbj_rc own_fault(const struct judging *j, enum mbj_rc rc,
			     struct mbj_error *err)
{
	if (rc != MBJ_ECORRUPT && rc != MBJ_EUNSUPPORTED && rc != MBJ_ENOTFOUND)
		return rc;
	if (err != NULL)
		err->rc = MBJ_EFENCED;
	return mbj_error_prefix(err, MBJ_EFENCED,
				"of the snapshot of group %llu nothing can be "
				"said; the replica's own journal",
				(unsigned long long)j->at.lsn.v);
}

static enum mbj_rc journal_begin(struct judging *j, struct mbj_error *err)
{
	struct mbj_anchor anchor = mbj_store_identity_copy(j->store).anchor;
	enum mbj_rc rc;

	j->is_begun = true;
	j->chain = anchor.chain;
	j->next = anchor.first;
	if (j->at.lsn.v < j->next.v)
		return MBJ_OK;
	rc = mbj_store_log_reader_own(j->store, &j->reader, err);
	return rc == MBJ_OK ? mbj_log_reader_seek(j->reader, j->next, err) : rc;
}

/* One's own journal up to the snapshot, whose chain value is its. */
static enum mbj_rc journal_step(struct judging *j, struct mbj_error *err)
{
	struct mbj_group group;
	enum mbj_rc rc = MBJ_OK;

	if (!j->is_begun)
		rc = journal_begin(j, err);
	for (int i = 0; rc == MBJ_OK && i < STEP && j->next.v <= j->at.lsn.v;
	     i++) {
		rc = mbj_log_reader_next(j->reader, &group, err);
		if (rc == MBJ_OK)
			rc = group_note(j, &group, err);
		if (rc < 0)
			break;
		j->chain = group.chain;
		j->next.v++;
	}
	if (rc < 0)
		return own_fault(j, rc, err);
	if (j->next.v <= j->at.lsn.v)
		return MBJ_OK;
	mbj_log_reader_close(&j->reader);
	stage_enter(j, STAGE_BASE);
	return chain_compare(j, err);
}

/* ------------------------------------------------ before the journal begins */

static enum mbj_rc nothing_known(const struct judging *j, struct mbj_error *err)
{
	struct mbj_lsn first = mbj_store_identity_copy(j->store).anchor.first;

	return mbj_error_set(err, MBJ_EFENCED,
			     "the replica's journal begins with group %llu and "
			     "it has no good snapshot of its own from there to "
			     "group %llu: of accounts that were last named "
			     "before nothing can be said",
			     (unsigned long long)first.v,
			     (unsigned long long)j->at.lsn.v);
}

/* Another one may be better. */
static enum mbj_rc base_leave(struct judging *j, enum mbj_rc rc,
			      const struct mbj_error *why,
			      struct mbj_error *err)
{
	mbj_snapshot_close(&j->base);
	stage_enter(j, STAGE_BASE);
	j->is_begun = true;
	if (rc == MBJ_ECORRUPT || rc == MBJ_EUNSUPPORTED || rc == MBJ_ENOTFOUND)
		return MBJ_OK;
	if (err != NULL)
		*err = *why;
	return rc;
}

/*
 * The oldest of one's own that is left, not newer than the snapshot: all say
 * the same of who was named before, unless the state had lost its way before
 * one was made of it.
 */
static enum mbj_rc base_step(struct judging *j, struct mbj_error *err)
{
	uint64_t first = mbj_store_identity_copy(j->store).anchor.first.v;
	struct mbj_error why;
	struct mbj_lsn lsn;
	enum mbj_rc rc = MBJ_OK;

	if (first <= 1) {
		stage_enter(j, STAGE_ACCOUNTS);
		return MBJ_OK;
	}
	if (!j->is_begun)
		rc = mbj_snapshots_list(mbj_store_sys(j->store),
					mbj_store_dir(j->store), &j->lsns,
					&j->lsn_count, err);
	j->is_begun = true;
	if (rc < 0)
		return rc;
	if (j->lsn_at == j->lsn_count)
		return nothing_known(j, err);
	lsn = j->lsns[j->lsn_count - ++j->lsn_at];
	if (lsn.v > j->at.lsn.v || lsn.v + 1 < first)
		return MBJ_OK;
	rc = mbj_store_snapshot_open(j->store, lsn, &j->base, &why);
	if (rc < 0)
		return base_leave(j, rc, &why, err);
	stage_enter(j, STAGE_BASE_VERIFY);
	return MBJ_OK;
}

static enum mbj_rc base_verify_step(struct judging *j, struct mbj_error *err)
{
	struct mbj_error why;
	enum mbj_rc rc = MBJ_OK;

	if (!j->is_begun)
		rc = mbj_snapshot_verify_begin(j->base, &why);
	j->is_begun = true;
	if (rc == MBJ_OK)
		rc = mbj_snapshot_verify_some(j->base, STEP, &why);
	if (rc == MBJ_OK)
		return MBJ_OK;
	if (rc != MBJ_ENOTFOUND)
		return base_leave(j, rc, &why, err);
	stage_enter(j, STAGE_BASE_NOTE);
	return MBJ_OK;
}

/* What it says of accounts that were named before. */
static enum mbj_rc base_note_step(struct judging *j, struct mbj_error *err)
{
	uint64_t first = mbj_store_identity_copy(j->store).anchor.first.v;
	struct mbj_snapshot_account account;
	struct mbj_error why;
	enum mbj_rc rc = MBJ_OK;

	if (!j->is_begun)
		rc = mbj_snapshot_accounts_begin(j->base, &why);
	j->is_begun = true;
	for (int i = 0; rc == MBJ_OK && i < STEP; i++) {
		rc = mbj_snapshot_accounts_next(j->base, &account, &why);
		/* The journal knows of the others, and better. */
		if (rc == MBJ_OK && account.recorded_lsn.v < first &&
		    !account.is_parked &&
		    (account.is_there || account.is_dead || account.is_skipped))
			rc = known_add(j,
				       &(struct known){account.id,
						       account.recorded_lsn,
						       account.recorded},
				       &why);
	}
	if (rc == MBJ_OK)
		return MBJ_OK;
	if (rc != MBJ_ENOTFOUND)
		return base_leave(j, rc, &why, err);
	mbj_snapshot_close(&j->base);
	stage_enter(j, STAGE_ACCOUNTS);
	return MBJ_OK;
}

/* --------------------------------------------------------------- comparing */

/* One more account that is not what it is to be. */
static void fault_note(struct judging *j, struct mbj_id id, const char *how,
		       struct mbj_lsn lsn)
{
	char text[MBJ_ID_TEXT_SIZE];
	size_t at = strlen(j->text);

	if (++j->faults > NAMED_MAX)
		return;
	mbj_id_print(id, text);
	(void)snprintf(j->text + at, sizeof(j->text) - at, "%saccount %s %s",
		       j->faults > 1 ? ", " : "", text, how);
	at = strlen(j->text);
	if (lsn.v > 0)
		(void)snprintf(j->text + at, sizeof(j->text) - at, " %llu",
			       (unsigned long long)lsn.v);
}

static bool known_is_there(const struct known *known)
{
	static const struct mbj_digest nothing = {{0}};

	return known != NULL && !mbj_digest_equal(&known->digest, &nothing);
}

/* known NULL: nobody has named it. */
static void account_judge(struct judging *j, const struct known *known,
			  const struct mbj_snapshot_account *account)
{
	if (account->is_parked)
		fault_note(j, account->id, "set aside", (struct mbj_lsn){0});
	else if (account->is_skipped)
		fault_note(j, account->id, "of which groups were given up",
			   (struct mbj_lsn){0});
	else if (known == NULL) {
		if (account->is_there || account->is_dead)
			fault_note(j, account->id,
				   "of which the replica knows nothing",
				   (struct mbj_lsn){0});
	} else if (account->is_there != known_is_there(known) ||
		   (account->is_there && account->lsn.v != known->lsn.v) ||
		   !mbj_digest_equal(&account->digest, &known->digest))
		fault_note(j, account->id, "otherwise than group", known->lsn);
	else if (!account->is_there && !account->is_dead)
		fault_note(j, account->id, "not as deleted by group",
			   known->lsn);
}

/* Those that the snapshot lacks, up to one that it has. */
static void lacking_judge(struct judging *j, const struct mbj_id *before)
{
	while (j->compared < j->count) {
		const struct known *known = &j->known[j->compared];

		if (before != NULL && mbj_id_compare(known->id, *before) >= 0)
			return;
		fault_note(j, known->id, "not, named by group", known->lsn);
		j->compared++;
	}
}

static enum mbj_rc verdict(const struct judging *j, struct mbj_error *err)
{
	if (j->faults == 0)
		return MBJ_OK;
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "the snapshot of group %llu has %s%s, and so it "
			     "is no base for anybody",
			     (unsigned long long)j->at.lsn.v, j->text,
			     j->faults > NAMED_MAX ? ", and others" : "");
}

static enum mbj_rc accounts_step(struct judging *j, bool *ret_is_over,
				 struct mbj_error *err)
{
	struct mbj_snapshot_account account;
	const struct known *known;
	enum mbj_rc rc = MBJ_OK;

	if (!j->is_begun) {
		known_sort(j);
		rc = mbj_snapshot_accounts_begin(j->snapshot, err);
	}
	j->is_begun = true;
	for (int i = 0; rc == MBJ_OK && i < STEP; i++) {
		rc = mbj_snapshot_accounts_next(j->snapshot, &account, err);
		if (rc < 0)
			break;
		lacking_judge(j, &account.id);
		known = j->compared < j->count &&
					mbj_id_equal(j->known[j->compared].id,
						     account.id)
				? &j->known[j->compared++]
				: NULL;
		account_judge(j, known, &account);
	}
	if (rc != MBJ_ENOTFOUND)
		return rc;
	lacking_judge(j, NULL);
	*ret_is_over = true;
	return verdict(j, err);
}

/* ------------------------------------------------------------------- calls */

enum mbj_rc snapshot_judging_begin(struct mbj_store *store, const char *path,
				   struct judging **ret_judging,
				   struct mbj_error *err)
{
	struct judging *j = mbj_calloc(1, sizeof(*j));
	const struct mbj_snapshot_info *info;
	enum mbj_rc rc;

	if (j == NULL)
		return mbj_error_nomem(err);
	j->store = store;
	rc = mbj_snapshot_open(mbj_store_sys(store), path, &j->snapshot, err);
	if (rc == MBJ_OK) {
		info = mbj_snapshot_info_get(j->snapshot);
		j->at = info->watermark;
		if (!mbj_id_equal(info->lineage,
				  mbj_store_identity(store)->lineage))
			rc = mbj_error_set(err, MBJ_ECORRUPT,
					   "the snapshot of group %llu is "
					   "another store's",
					   (unsigned long long)j->at.lsn.v);
	}
	if (rc < 0)
		snapshot_judging_end(&j);
	*ret_judging = j;
	return rc;
}

enum mbj_rc snapshot_judging_step(struct judging *j, bool *ret_is_over,
				  struct mbj_error *err)
{
	*ret_is_over = false;
	switch (j->stage) {
	case STAGE_VERIFY:
		return verify_step(j, err);
	case STAGE_JOURNAL:
		return journal_step(j, err);
	case STAGE_BASE:
		return base_step(j, err);
	case STAGE_BASE_VERIFY:
		return base_verify_step(j, err);
	case STAGE_BASE_NOTE:
		return base_note_step(j, err);
	case STAGE_ACCOUNTS:
		return accounts_step(j, ret_is_over, err);
	}
	MBJ_UNREACHABLE();
}

const struct mbj_snapshot_info *
snapshot_judging_info(const struct judging *judging)
{
	return mbj_snapshot_info_get(judging->snapshot);
}

void snapshot_judging_end(struct judging **judging)
{
	struct judging *j = *judging;

	if (j == NULL)
		return;
	mbj_log_reader_close(&j->reader);
	mbj_snapshot_close(&j->base);
	mbj_snapshot_close(&j->snapshot);
	mbj_free(j->lsns);
	mbj_free(j->known);
	mbj_free(j);
	*judging = NULL;
}

enum mbj_rc snapshot_judge_can(struct mbj_store *store, struct mbj_lsn lsn,
			       struct mbj_error *err)
{
	struct judging j = {.store = store, .at.lsn = lsn, .stage = STAGE_BASE};
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK &&
	       (j.stage == STAGE_BASE || j.stage == STAGE_BASE_VERIFY))
		rc = j.stage == STAGE_BASE ? base_step(&j, err)
					   : base_verify_step(&j, err);
	mbj_snapshot_close(&j.base);
	mbj_free(j.lsns);
	return rc;
}

enum mbj_rc snapshot_judge_by_journal(struct mbj_store *store, const char *path,
				      struct mbj_error *err)
{
	struct judging *judging = NULL;
	bool is_over = false;
	enum mbj_rc rc;

	rc = snapshot_judging_begin(store, path, &judging, err);
	if (rc < 0)
		return rc;
	stage_enter(judging, STAGE_JOURNAL);
	while (rc == MBJ_OK && !is_over)
		rc = snapshot_judging_step(judging, &is_over, err);
	snapshot_judging_end(&judging);
	return rc;
}

enum mbj_rc snapshot_account_find(const struct mbj_sys *sys, const char *path,
				  struct mbj_snapshot_account *account,
				  struct mbj_error *err)
{
	struct mbj_snapshot_account found;
	struct mbj_snapshot *snapshot = NULL;
	int order = -1;
	enum mbj_rc rc;

	rc = mbj_snapshot_open(sys, path, &snapshot, err);
	if (rc == MBJ_OK)
		rc = mbj_snapshot_accounts_begin(snapshot, err);
	while (rc == MBJ_OK && order < 0) {
		rc = mbj_snapshot_accounts_next(snapshot, &found, err);
		if (rc == MBJ_OK)
			order = mbj_id_compare(found.id, account->id);
	}
	if (rc == MBJ_OK && order == 0)
		*account = found;
	mbj_snapshot_close(&snapshot);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}
