/*
 * Trying accounts that are aside without being asked: a first look at each,
 * and a pass over the journal only for those that it helps.
 *
 * What it may cost others is bounded: accounts that are looked at, groups that
 * are read for each, groups that are read and carried out on one occasion; and
 * between tries that were in vain the pace doubles.  Nobody can keep the others
 * waiting: each has its turn to lead, which is where in the journal a pass is.
 */
#include <mbj/apply.h>
#include <mbj/check.h>

#include "quarantine_run.h"
#include "stopper.h"

enum {
	LOOKS_MAX = 64,	     /* accounts looked at in one round */
	LOOK_READ_MAX = 256, /* groups read until one names the account */
	READ_MAX = 20000,    /* groups of the journal on one occasion */
	ROUNDS_MAX = 4,	     /* looks and passes on one occasion */
	GAP_MAX = 64,	     /* occasions that pass between two tries */
};

bool retry_pace_is_due(struct mbj_retry_pace *pace)
{
	if (pace->left == 0)
		return true;
	pace->left--;
	return false;
}

void retry_pace_note(struct mbj_retry_pace *pace, bool has_helped)
{
	if (has_helped || pace->gap == 0)
		pace->gap = 1;
	else if (pace->gap < GAP_MAX)
		pace->gap *= 2;
	pace->left = pace->gap - 1;
}

/* ------------------------------------------------------------------ looks */

struct look {
	struct mbj_store *store;
	struct mbj_log_reader *reader;
	uint64_t reach; /* groups between those of one pass */
};

/*
 * The first group that waits for it; *ret_is_far: not among so many.
 * Returns: MBJ_ENOTFOUND and MBJ_ECORRUPT where there is none or it cannot be
 * read, which is for those who ask to say.
 */
static enum mbj_rc first_find(const struct look *look, const struct waiting *w,
			      bool *ret_is_far, struct mbj_group *ret_group,
			      struct mbj_error *err)
{
	enum mbj_rc rc = mbj_log_reader_seek(look->reader, w->first, err);

	*ret_is_far = false;
	for (uint64_t i = 0; rc == MBJ_OK && i < LOOK_READ_MAX; i++) {
		if (w->first.v + i > w->last.v)
			return MBJ_ENOTFOUND;
		rc = mbj_log_reader_next(look->reader, ret_group, err);
		if (rc == MBJ_OK && mbj_group_names(ret_group, w->account))
			return MBJ_OK;
	}
	*ret_is_far = rc == MBJ_OK;
	return rc;
}

/* In a transaction of its own, which is given up. */
static enum mbj_rc group_look(const struct look *look,
			      const struct mbj_group *group, bool *ret_would,
			      struct mbj_error *err)
{
	struct mbj_batch *batch = NULL;
	struct mbj_apply_report report;
	enum mbj_rc rc;

	*ret_would = false;
	rc = mbj_batch_begin(look->store, &batch, err);
	if (rc < 0)
		return rc;
	rc = stopper_apply(look->store, mbj_batch_txn(batch), group, 1, false,
			   &report, err);
	mbj_batch_abort(&batch);
	/* That it goes well by itself does not say that it does in a pass. */
	mbj_applying_settle(look->store, false);
	if (rc == MBJ_OK)
		*ret_would = report.verdict <= MBJ_VERDICT_ALREADY;
	return rc;
}

/*
 * Would it take its first group?  Also where that was not found so far: a pass
 * reads on from there.
 */
static enum mbj_rc account_look(const struct look *look,
				const struct waiting *w, bool *ret_would,
				struct mbj_error *err)
{
	struct mbj_group group;
	enum mbj_rc rc;

	rc = first_find(look, w, ret_would, &group, err);
	/* Damage in what waits is no reason to keep the others. */
	if (rc == MBJ_ENOTFOUND || rc == MBJ_ECORRUPT)
		return MBJ_OK;
	if (rc == MBJ_OK && !*ret_would)
		rc = group_look(look, &group, ret_would, err);
	/* Nor is one that is too large for now. */
	return rc == MBJ_ENOMEM ? MBJ_OK : rc;
}

static bool is_near(const struct look *look, struct mbj_lsn a, struct mbj_lsn b)
{
	uint64_t between = a.v < b.v ? b.v - a.v : a.v - b.v;

	return between <= look->reach;
}

/* The one that has this id, or the next one. */
static size_t place_find(const struct waiting_list *list, struct mbj_id id)
{
	for (size_t i = 0; i < list->count; i++) {
		if (mbj_id_compare(list->items[i].account, id) >= 0)
			return i;
	}
	return 0;
}

/*
 * The first that would go on leads; of the others those go with it that are
 * near.  The next look begins behind who led.
 */
static enum mbj_rc accounts_look(const struct look *look,
				 struct waiting_list *list, struct mbj_id *next,
				 bool *ret_is_any, struct mbj_error *err)
{
	size_t begin = place_find(list, *next);
	const struct waiting *leader = NULL;
	size_t count = list->count;
	enum mbj_rc rc = MBJ_OK;

	if (count > LOOKS_MAX)
		count = LOOKS_MAX;
	for (size_t i = 0; rc == MBJ_OK && i < count; i++) {
		struct waiting *w = &list->items[(begin + i) % list->count];

		if (leader != NULL && !is_near(look, leader->first, w->first))
			continue;
		rc = account_look(look, w, &w->is_active, err);
		if (leader != NULL)
			continue;
		*next = list->items[(begin + i + 1) % list->count].account;
		leader = w->is_active ? w : NULL;
	}
	*ret_is_any = leader != NULL;
	return rc;
}

static enum mbj_rc list_look(struct mbj_store *store, struct waiting_list *list,
			     struct mbj_retry_pace *pace, uint64_t read_max,
			     bool *ret_is_any, struct mbj_error *err)
{
	/* So that whoever leads is reached with as much again to go. */
	struct look look = {store, NULL, read_max / 2};
	enum mbj_rc rc;

	rc = mbj_store_log_reader_own(store, &look.reader, err);
	if (rc == MBJ_OK)
		rc = accounts_look(&look, list, &pace->next, ret_is_any, err);
	mbj_log_reader_close(&look.reader);
	return rc;
}

/* ------------------------------------------------------------------ tries */

/* Look, and carry out what waits for those that it helps. */
static enum mbj_rc round_try(struct mbj_store *store,
			     struct mbj_retry_pace *pace, uint64_t read_max,
			     struct waiting_outcome *ret_outcome,
			     struct mbj_error *err)
{
	struct mbj_retry_options options = MBJ_RETRY_OPTIONS_INIT;
	struct waiting_list list = {.count = 0};
	bool is_any = false;
	enum mbj_rc rc;

	*ret_outcome = (struct waiting_outcome){.stop = {.rc = MBJ_OK}};
	options.read_max = read_max;
	rc = waiting_load(store, &list, err);
	if (rc == MBJ_OK && list.count > 0)
		rc = list_look(store, &list, pace, read_max, &is_any, err);
	if (rc == MBJ_OK && is_any)
		rc = waiting_run(store, &list, &options, ret_outcome, err);
	waiting_done(&list);
	return rc;
}

/* Where nobody has begun yet: anywhere, as many processes come and go. */
static void pace_begin(const struct mbj_store *store,
		       struct mbj_retry_pace *pace)
{
	const struct mbj_sys *sys = mbj_store_sys(store);

	if (pace->read_max == 0)
		pace->read_max = READ_MAX;
	/* Where nothing can be drawn, from the first one on. */
	if (mbj_id_is_root(pace->next))
		(void)sys->random(sys->ctx, pace->next.b, sizeof(pace->next.b));
}

enum mbj_rc retry_by_itself(struct mbj_store *store,
			    struct mbj_retry_pace *pace,
			    struct mbj_retry_result *ret_result,
			    struct mbj_error *err)
{
	struct waiting_outcome outcome = {.has_moved = true};
	bool has_helped = false;
	uint64_t read = 0;
	enum mbj_rc rc = MBJ_OK;

	*ret_result = (struct mbj_retry_result){.groups = 0};
	pace_begin(store, pace);
	/* Who goes on may have been what another one waited for. */
	for (unsigned i = 0; rc == MBJ_OK && i < ROUNDS_MAX &&
			     outcome.has_moved && read < pace->read_max;
	     i++) {
		rc = round_try(store, pace, pace->read_max - read, &outcome,
			       err);
		read += outcome.read;
		has_helped = has_helped || outcome.has_moved;
		ret_result->groups += outcome.result.groups;
		ret_result->accounts_healed += outcome.result.accounts_healed;
	}
	retry_pace_note(pace, has_helped);
	return rc == MBJ_ENOMEM || rc == MBJ_ENOSPC ? MBJ_OK : rc;
}
