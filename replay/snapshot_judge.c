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
	struct known *known;
	size_t count;
	size_t capacity;
	size_t sorted; /* so many are in order, one for each account */
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

static enum mbj_rc chain_compare(const struct judging *j,
				 const struct mbj_hash *chain,
				 struct mbj_error *err)
{
	if (memcmp(chain->b, j->at.chain.b, MBJ_HASH_SIZE) == 0)
		return MBJ_OK;
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "the snapshot of group %llu and the journal are "
			     "different histories",
			     (unsigned long long)j->at.lsn.v);
}

/* One's own journal up to the snapshot, whose chain value is its. */
static enum mbj_rc journal_note(struct judging *j, struct mbj_error *err)
{
	const struct mbj_anchor *anchor = &mbj_store_identity(j->store)->anchor;
	struct mbj_log_reader *reader = NULL;
	struct mbj_hash chain = anchor->chain;
	struct mbj_group group;
	enum mbj_rc rc;

	if (j->at.lsn.v < anchor->first.v)
		return chain_compare(j, &chain, err);
	rc = mbj_store_log_reader_own(j->store, &reader, err);
	if (rc == MBJ_OK)
		rc = mbj_log_reader_seek(reader, anchor->first, err);
	for (uint64_t lsn = anchor->first.v; rc == MBJ_OK && lsn <= j->at.lsn.v;
	     lsn++) {
		rc = mbj_log_reader_next(reader, &group, err);
		if (rc == MBJ_OK)
			rc = group_note(j, &group, err);
		if (rc == MBJ_OK)
			chain = group.chain;
	}
	mbj_log_reader_close(&reader);
	return rc == MBJ_OK ? chain_compare(j, &chain, err) : rc;
}

/* ------------------------------------------------ before the journal begins */

/* What a snapshot of one's own says of accounts that were named before. */
static enum mbj_rc base_note(struct judging *j, struct mbj_snapshot *base,
			     struct mbj_error *err)
{
	const struct mbj_anchor *anchor = &mbj_store_identity(j->store)->anchor;
	struct mbj_snapshot_account account;
	enum mbj_rc rc;

	rc = mbj_snapshot_accounts_begin(base, err);
	while (rc == MBJ_OK) {
		rc = mbj_snapshot_accounts_next(base, &account, err);
		/* The journal knows of the others, and better. */
		if (rc == MBJ_OK && account.lsn.v < anchor->first.v &&
		    !account.is_parked && (account.is_there || account.is_dead))
			rc = known_add(j,
				       &(struct known){account.id, account.lsn,
						       account.digest},
				       err);
	}
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

static enum mbj_rc base_try(struct judging *j, struct mbj_lsn lsn,
			    struct mbj_error *err)
{
	struct mbj_snapshot_info info;
	struct mbj_snapshot *base = NULL;
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = mbj_store_snapshot_judge(j->store, lsn, &info, err);
	if (rc == MBJ_OK)
		rc = mbj_snapshot_path(path, mbj_store_dir(j->store), lsn, err);
	if (rc == MBJ_OK)
		rc = mbj_snapshot_open(mbj_store_sys(j->store), path, &base,
				       err);
	if (rc == MBJ_OK)
		rc = base_note(j, base, err);
	mbj_snapshot_close(&base);
	return rc;
}

/* The newest good one of one's own, not newer than the snapshot. */
static enum mbj_rc before_note(struct judging *j, struct mbj_error *err)
{
	uint64_t first = mbj_store_identity(j->store)->anchor.first.v;
	struct mbj_lsn *lsns = NULL;
	struct mbj_error why;
	size_t count = 0;
	enum mbj_rc rc;

	if (first <= 1)
		return MBJ_OK;
	rc = mbj_snapshots_list(mbj_store_sys(j->store),
				mbj_store_dir(j->store), &lsns, &count, err);
	if (rc < 0)
		return rc;
	rc = MBJ_ENOTFOUND;
	for (size_t i = 0; rc == MBJ_ENOTFOUND && i < count; i++) {
		if (lsns[i].v > j->at.lsn.v || lsns[i].v + 1 < first)
			continue;
		rc = base_try(j, lsns[i], &why);
		if (rc == MBJ_ECORRUPT || rc == MBJ_EUNSUPPORTED)
			rc = MBJ_ENOTFOUND;
		else if (rc < 0 && rc != MBJ_ENOTFOUND && err != NULL)
			*err = why;
	}
	mbj_free(lsns);
	if (rc != MBJ_ENOTFOUND)
		return rc;
	return mbj_error_set(err, MBJ_EFENCED,
			     "the replica's journal begins with group %llu and "
			     "it has no good snapshot of its own from there to "
			     "group %llu: of accounts that were last named "
			     "before nothing can be said",
			     (unsigned long long)first,
			     (unsigned long long)j->at.lsn.v);
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
static void lacking_judge(struct judging *j, size_t *at,
			  const struct mbj_id *before)
{
	for (;
	     *at < j->count &&
	     (before == NULL || mbj_id_compare(j->known[*at].id, *before) < 0);
	     (*at)++)
		fault_note(j, j->known[*at].id, "not, named by group",
			   j->known[*at].lsn);
}

static enum mbj_rc accounts_judge(struct judging *j, struct mbj_error *err)
{
	struct mbj_snapshot_account account;
	const struct known *known;
	size_t at = 0;
	enum mbj_rc rc;

	known_sort(j);
	rc = mbj_snapshot_accounts_begin(j->snapshot, err);
	while (rc == MBJ_OK) {
		rc = mbj_snapshot_accounts_next(j->snapshot, &account, err);
		if (rc < 0)
			break;
		lacking_judge(j, &at, &account.id);
		known = at < j->count && mbj_id_equal(j->known[at].id,
						      account.id)
				? &j->known[at++]
				: NULL;
		account_judge(j, known, &account);
	}
	if (rc != MBJ_ENOTFOUND)
		return rc;
	lacking_judge(j, &at, NULL);
	if (j->faults == 0)
		return MBJ_OK;
	mbj_error_set(err, MBJ_ECORRUPT,
		      "the snapshot of group %llu has %s%s, and so it is no "
		      "base for anybody",
		      (unsigned long long)j->at.lsn.v, j->text,
		      j->faults > NAMED_MAX ? ", and others" : "");
	return MBJ_ECORRUPT;
}

static enum mbj_rc all_judge(struct judging *j, struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = journal_note(j, err);
	if (rc == MBJ_OK)
		rc = before_note(j, err);
	return rc == MBJ_OK ? accounts_judge(j, err) : rc;
}

enum mbj_rc snapshot_judge_by_journal(struct mbj_store *store, const char *path,
				      struct mbj_error *err)
{
	const struct mbj_snapshot_info *info;
	struct judging j = {.store = store};
	enum mbj_rc rc;

	rc = mbj_snapshot_open(mbj_store_sys(store), path, &j.snapshot, err);
	if (rc < 0)
		return rc;
	info = mbj_snapshot_info_get(j.snapshot);
	j.at = info->watermark;
	if (!mbj_id_equal(info->lineage, mbj_store_identity(store)->lineage))
		rc = mbj_error_set(err, MBJ_ECORRUPT,
				   "the snapshot of group %llu is another "
				   "store's",
				   (unsigned long long)j.at.lsn.v);
	else
		rc = all_judge(&j, err);
	mbj_snapshot_close(&j.snapshot);
	mbj_free(j.known);
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
