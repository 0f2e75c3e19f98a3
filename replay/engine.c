/*
 * The replay engine; see mbj/engine.h for the conversation and the invariants.
 *
 * Not here: reading groups, hashing, applying, committing.  The driver does
 * these and tells; every decision is taken in this file, from plain values.
 *
 * A gap in an account's back-links cannot be filled by fetching when the
 * store's own LSNs are dense: the state has diverged, which is a conflict of
 * that account like any other.  A hole in the LSNs is fetched (ASK).
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <mbj/check.h>
#include <mbj/engine.h>
#include <mbj/hash.h>

#include "reason.h"

struct mbj_engine {
	struct mbj_id lineage;
	struct mbj_epoch epoch;
	struct mbj_id epoch_owner;
	struct mbj_lsn applied;
	struct mbj_hash chain;
	struct mbj_epoch applied_epoch;
	struct mbj_lsn in_hand; /* group being applied, 0: none */
	struct mbj_id *parked;
	size_t parked_count;
	size_t parked_capacity;
	struct mbj_table parked_index;
};

/* Accounts that can be parked at once: the store's accounts bound it. */
enum { ENGINE_PARKED_MAX = 1 << 24 };

static const char *const action_names[] = {
#define X(name, word) [MBJ_ACTION_##name] = (word),
	MBJ_ACTION_MAP(X)
#undef X
};

const char *mbj_action_name(enum mbj_action_kind kind)
{
	MBJ_ASSERT((size_t)kind < sizeof(action_names) / sizeof(*action_names));
	return action_names[kind];
}

enum mbj_rc mbj_engine_new(const struct mbj_engine_start *start,
			   struct mbj_engine **ret_engine,
			   struct mbj_error *err)
{
	struct mbj_engine *engine = mbj_calloc(1, sizeof(*engine));

	if (!engine)
		return mbj_error_nomem(err);
	engine->lineage = start->lineage;
	engine->epoch = start->epoch;
	engine->epoch_owner = start->epoch_owner;
	engine->applied = start->applied;
	engine->chain = start->chain;
	engine->applied_epoch = start->applied_epoch;
	mbj_table_init(&engine->parked_index);
	*ret_engine = engine;
	return MBJ_OK;
}

void mbj_engine_free(struct mbj_engine **engine)
{
	if (!*engine)
		return;
	mbj_table_done(&(*engine)->parked_index);
	mbj_free((*engine)->parked);
	mbj_free(*engine);
	*engine = NULL;
}

/* Account ids are random: their first bytes are hash enough. */
static uint64_t account_hash(struct mbj_id account)
{
	uint64_t hash;

	memcpy(&hash, account.b, sizeof(hash));
	return hash;
}

bool mbj_engine_is_parked(const struct mbj_engine *engine,
			  struct mbj_id account)
{
	uint64_t hash = account_hash(account);
	uint32_t at = mbj_table_seek(&engine->parked_index, hash);
	uint32_t index;

	while (mbj_table_next(&engine->parked_index, hash, &at, &index)) {
		MBJ_ASSERT(index < engine->parked_count);
		if (mbj_id_equal(engine->parked[index], account))
			return true;
	}
	return false;
}

size_t mbj_engine_parked_count(const struct mbj_engine *engine)
{
	return engine->parked_count;
}

struct mbj_lsn mbj_engine_applied(const struct mbj_engine *engine)
{
	return engine->applied;
}

enum mbj_rc mbj_engine_park(struct mbj_engine *engine, struct mbj_id account,
			    struct mbj_error *err)
{
	void *parked = engine->parked;
	enum mbj_rc rc;

	if (mbj_engine_is_parked(engine, account))
		return MBJ_OK;
	rc = mbj_array_reserve(&parked, &engine->parked_capacity,
			       engine->parked_count + 1,
			       sizeof(*engine->parked), ENGINE_PARKED_MAX, err);
	engine->parked = parked;
	if (rc < 0)
		return rc;
	rc = mbj_table_add(&engine->parked_index, account_hash(account),
			   (uint32_t)engine->parked_count, err);
	if (rc < 0)
		return rc;
	engine->parked[engine->parked_count++] = account;
	return MBJ_OK;
}

static void action_set(struct mbj_action *action, enum mbj_action_kind kind)
{
	action->kind = kind;
	action->from = (struct mbj_lsn){0};
	action->rc = MBJ_OK;
	action->reason[0] = '\0';
}

MBJ_PRINTF(3, 4)
static void action_refuse(struct mbj_action *action, enum mbj_rc rc,
			  const char *format, ...)
{
	va_list args;

	MBJ_ASSERT(rc < 0);
	action_set(action, MBJ_ACTION_REFUSE);
	action->rc = rc;
	va_start(args, format);
	(void)vsnprintf(action->reason, sizeof(action->reason), format, args);
	va_end(args);
}

/* Equal numbers under another owner are rivals: both were promoted. */
static bool hello_is_fenced(const struct mbj_engine *engine,
			    const struct mbj_hello *hello,
			    struct mbj_action *ret_action)
{
	if (hello->epoch.v < engine->epoch.v) {
		action_refuse(ret_action, MBJ_EFENCED,
			      "the source is at epoch %llu, this replica has "
			      "seen epoch %llu: the source was replaced",
			      (unsigned long long)hello->epoch.v,
			      (unsigned long long)engine->epoch.v);
		return true;
	}
	if (hello->epoch.v == engine->epoch.v &&
	    !mbj_id_equal(hello->epoch_owner, engine->epoch_owner)) {
		action_refuse(ret_action, MBJ_EFENCED,
			      "two stores claim epoch %llu: the source is a "
			      "rival of this replica's primary",
			      (unsigned long long)hello->epoch.v);
		return true;
	}
	return false;
}

void mbj_engine_hello(struct mbj_engine *engine, const struct mbj_hello *hello,
		      struct mbj_action *ret_action)
{
	unsigned long long here = engine->applied.v;

	if (!mbj_id_equal(hello->lineage, engine->lineage)) {
		action_refuse(ret_action, MBJ_EFENCED,
			      "the source is of another lineage: this replica "
			      "belongs to a different store");
		return;
	}
	if (hello_is_fenced(engine, hello, ret_action))
		return;
	if (hello->end.v < here) {
		action_refuse(ret_action, MBJ_EFENCED,
			      "this replica is ahead: it has group %llu, the "
			      "source ends at %llu",
			      here, (unsigned long long)hello->end.v);
		return;
	}
	if (hello->has_chain && memcmp(hello->chain_there.b, engine->chain.b,
				       sizeof(engine->chain.b)) != 0) {
		action_refuse(ret_action, MBJ_EFENCED,
			      "the journals have forked at or before group "
			      "%llu: the chain values differ",
			      here);
		return;
	}
	engine->epoch = hello->epoch;
	engine->epoch_owner = hello->epoch_owner;
	action_set(ret_action, MBJ_ACTION_DONE);
}

/* The first account of the group that is parked; false where none is. */
static bool group_parked_account(const struct mbj_engine *engine,
				 const struct mbj_group *group,
				 struct mbj_id *ret_account)
{
	struct mbj_group_account account;

	if (engine->parked_count == 0)
		return false;
	for (uint32_t i = 0; i < group->header.account_count; i++) {
		mbj_group_account_get(group, i, &account);
		if (mbj_engine_is_parked(engine, account.id)) {
			*ret_account = account.id;
			return true;
		}
	}
	return false;
}

static enum mbj_rc group_park(struct mbj_engine *engine,
			      const struct mbj_group *group,
			      struct mbj_error *err)
{
	struct mbj_group_account account;
	enum mbj_rc rc;

	for (uint32_t i = 0; i < group->header.account_count; i++) {
		mbj_group_account_get(group, i, &account);
		rc = mbj_engine_park(engine, account.id, err);
		if (rc < 0)
			return rc;
	}
	return MBJ_OK;
}

static void engine_advance(struct mbj_engine *engine,
			   const struct mbj_group *group)
{
	MBJ_ASSERT(group->header.lsn.v == engine->applied.v + 1);
	engine->applied = group->header.lsn;
	engine->chain = group->chain;
	engine->applied_epoch = group->header.epoch;
	engine->in_hand.v = 0;
}

/*
 * A group of an epoch that its source has not reached, or that had ended
 * before the group in front of it: no primary writes these.
 */
static bool group_is_fenced(const struct mbj_engine *engine,
			    const struct mbj_group *group,
			    struct mbj_action *ret_action)
{
	unsigned long long lsn = group->header.lsn.v;
	unsigned long long epoch = group->header.epoch.v;

	if (epoch > engine->epoch.v) {
		action_refuse(ret_action, MBJ_EFENCED,
			      "group %llu is of epoch %llu, which its source "
			      "(epoch %llu) cannot have",
			      lsn, epoch, (unsigned long long)engine->epoch.v);
		return true;
	}
	if (epoch < engine->applied_epoch.v) {
		action_refuse(ret_action, MBJ_EFENCED,
			      "group %llu is of epoch %llu, which had ended: "
			      "the group before is of epoch %llu",
			      lsn, epoch,
			      (unsigned long long)engine->applied_epoch.v);
		return true;
	}
	return false;
}

enum mbj_rc mbj_engine_group(struct mbj_engine *engine,
			     const struct mbj_group *group, bool is_chained,
			     struct mbj_action *ret_action,
			     struct mbj_error *err)
{
	unsigned long long lsn = group->header.lsn.v;
	char text[MBJ_ID_TEXT_SIZE];
	struct mbj_id account;
	enum mbj_rc rc;

	MBJ_ASSERT(engine->in_hand.v == 0);
	if (lsn <= engine->applied.v) {
		action_set(ret_action, MBJ_ACTION_SKIP);
		return MBJ_OK;
	}
	if (lsn > engine->applied.v + 1) {
		action_set(ret_action, MBJ_ACTION_ASK);
		ret_action->from.v = engine->applied.v + 1;
		return MBJ_OK;
	}
	if (group_is_fenced(engine, group, ret_action))
		return MBJ_OK;
	if (!group->is_body_good || !is_chained) {
		action_refuse(ret_action, MBJ_ECORRUPT, "group %llu: %s", lsn,
			      group->is_body_good
				      ? "its chain value does not follow"
				      : "its body is damaged");
		return MBJ_OK;
	}
	if (!group_parked_account(engine, group, &account)) {
		action_set(ret_action, MBJ_ACTION_APPLY);
		engine->in_hand = group->header.lsn;
		return MBJ_OK;
	}
	rc = group_park(engine, group, err);
	if (rc < 0)
		return rc;
	action_set(ret_action, MBJ_ACTION_KEEP);
	mbj_id_print(account, text);
	(void)snprintf(ret_action->reason, sizeof(ret_action->reason),
		       "account %s is parked", text);
	engine_advance(engine, group);
	return MBJ_OK;
}

enum mbj_rc mbj_engine_applied_group(struct mbj_engine *engine,
				     const struct mbj_group *group,
				     const struct mbj_apply_report *report,
				     struct mbj_action *ret_action,
				     struct mbj_error *err)
{
	enum mbj_rc rc;

	MBJ_ASSERT(engine->in_hand.v != 0);
	MBJ_ASSERT(engine->in_hand.v == group->header.lsn.v);
	if (report->verdict == MBJ_VERDICT_APPLY ||
	    report->verdict == MBJ_VERDICT_ALREADY) {
		action_set(ret_action, MBJ_ACTION_DONE);
		engine_advance(engine, group);
		return MBJ_OK;
	}
	if (report->why.rc == MBJ_EUNSUPPORTED) {
		action_refuse(ret_action, MBJ_EUNSUPPORTED,
			      "group %llu: %s: upgrade this replica",
			      (unsigned long long)group->header.lsn.v,
			      report->why.message);
		engine->in_hand.v = 0;
		return MBJ_OK;
	}
	rc = group_park(engine, group, err);
	if (rc < 0)
		return rc;
	action_set(ret_action, MBJ_ACTION_PARK);
	replay_reason_print(group, report, ret_action->reason);
	engine_advance(engine, group);
	return MBJ_OK;
}

struct mbj_engine_mark mbj_engine_mark(const struct mbj_engine *engine)
{
	return (struct mbj_engine_mark){engine->applied, engine->chain,
					engine->applied_epoch,
					engine->parked_count};
}

void mbj_engine_back(struct mbj_engine *engine,
		     const struct mbj_engine_mark *mark)
{
	MBJ_ASSERT(mark->applied.v <= engine->applied.v);
	MBJ_ASSERT(mark->parked_count <= engine->parked_count);
	while (engine->parked_count > mark->parked_count) {
		size_t last = --engine->parked_count;
		bool was_there;

		was_there = mbj_table_remove(&engine->parked_index,
					     account_hash(engine->parked[last]),
					     (uint32_t)last);
		MBJ_ASSERT(was_there);
	}
	engine->applied = mark->applied;
	engine->chain = mark->chain;
	engine->applied_epoch = mark->applied_epoch;
	engine->in_hand.v = 0;
}
