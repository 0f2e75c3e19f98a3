/*
 * The checks of a play: the primary against the model, the plan against its
 * bound, replicas against the primary's past; see play.h.
 */
#include <stdlib.h>
#include <string.h>

#include <mbj/group.h>

#include "play_check.h"
#include "play_mail.h"
#include "play_records.h"

/* ------------------------------------------------------------- the tree */

static int path_compare(const void *a, const void *b)
{
	const struct model_box *one = a;
	const struct model_box *two = b;

	return strcmp(one->path, two->path);
}

/* Where a box is, as the library says it. */
struct spot {
	struct mbj_id parent;
	const char *name;
};

static struct spot spot_of(struct model *model, const struct model_box *box)
{
	const struct model_box *above = model_above(model, box->path);

	return (struct spot){above != NULL ? above->id : MBJ_ID_ROOT,
			     model_name(box->path)};
}

/* Each pair of name and UIDVALIDITY means one mailbox, for ever. */
static void seen_check(struct play *play, const struct model_box *box)
{
	struct play_seen *seen;

	if (box->uidvalidity == 0)
		return;
	for (size_t i = 0; i < play->seen_count; i++) {
		seen = &play->seen[i];
		if (seen->uidvalidity != box->uidvalidity ||
		    strcmp(seen->path, box->path) != 0)
			continue;
		play_check(play, mbj_id_equal(seen->id, box->id),
			   "%s had UIDVALIDITY %u before, as another mailbox",
			   box->path, box->uidvalidity);
		return;
	}
	if (play->seen_count == sizeof(play->seen) / sizeof(play->seen[0]))
		return;
	seen = &play->seen[play->seen_count++];
	memcpy(seen->path, box->path, sizeof(seen->path));
	seen->uidvalidity = box->uidvalidity;
	seen->id = box->id;
}

/* One mailbox is where the model has it; a new one's id is learnt. */
static void box_check(struct play *play, struct mbj_txn *txn,
		      struct model *model, struct model_box *box)
{
	struct spot spot = spot_of(model, box);
	struct mbj_mailbox found;
	struct mbj_error err;
	struct mbj_id id;

	play_check(play,
		   mbj_txn_slot_get(txn, play->account, spot.parent,
				    mbj_bytes_str(spot.name), &id,
				    &err) == MBJ_OK,
		   "%s is not there: %s", box->path, err.message);
	if (mbj_id_is_root(box->id)) {
		play_check(play, model_of(&play->model, id) == NULL,
			   "%s should be a new mailbox", box->path);
		box->id = id;
	}
	play_check(play, mbj_id_equal(id, box->id), "%s is another mailbox",
		   box->path);
	play_check(play,
		   mbj_txn_mailbox_get(txn, play->account, id, &found, &err) ==
			   MBJ_OK,
		   "%s: %s", box->path, err.message);
	play_check(play,
		   mbj_id_equal(found.parent, spot.parent) &&
			   mbj_bytes_equal(found.name.stored,
					   mbj_bytes_str(spot.name)),
		   "%s does not know its place", box->path);
	play_check(play, (found.uidvalidity != 0) == found.is_selectable,
		   "%s has UIDVALIDITY %u", box->path, found.uidvalidity);
	box->uidvalidity = found.uidvalidity;
	seen_check(play, box);
}

static bool is_sorted(const struct model *model)
{
	for (size_t i = 1; i < model->count; i++)
		if (path_compare(&model->boxes[i - 1], &model->boxes[i]) > 0)
			return false;
	return true;
}

/* Parents sort before children. */
static void tree_check(struct play *play, struct mbj_txn *txn,
		       struct model *model)
{
	struct mbj_account account;
	struct mbj_error err;

	play_check(play,
		   mbj_txn_account_get(txn, play->account, &account, &err) ==
			   MBJ_OK,
		   "the account: %s", err.message);
	play_check(play, account.mailbox_count == model->count,
		   "%llu mailboxes, the model has %zu",
		   (unsigned long long)account.mailbox_count, model->count);
	if (!is_sorted(model))
		qsort(model->boxes, model->count, sizeof(model->boxes[0]),
		      path_compare);
	for (size_t i = 0; i < model->count; i++)
		box_check(play, txn, model, &model->boxes[i]);
	play->digests[play->lsn] = account.digest;
}

/* ------------------------------------------------------------- the plan */

/* Mailboxes that an edit made, removed or put elsewhere. */
static size_t differing(struct model *before, struct model *after)
{
	size_t count = 0;

	for (size_t i = 0; i < before->count; i++)
		count += model_of(after, before->boxes[i].id) == NULL;
	for (size_t i = 0; i < after->count; i++) {
		const struct model_box *now = &after->boxes[i];
		const struct model_box *was = model_of(before, now->id);
		struct spot from;
		struct spot to;

		if (was == NULL) {
			count++;
			continue;
		}
		from = spot_of(before, was);
		to = spot_of(after, now);
		count += strcmp(from.name, to.name) != 0 ||
			 !mbj_id_equal(from.parent, to.parent);
	}
	return count;
}

static void plan_check(struct play *play, struct model *before,
		       struct model *after, const struct mbj_outcome *outcome)
{
	size_t bound = differing(before, after);
	struct mbj_group group;
	struct mbj_reader reader;
	struct mbj_error err;
	struct mbj_op op;
	size_t steps = 0;

	if (outcome->lsn.v == 0) {
		play_check(play, bound == 0, "%zu changes, but no group",
			   bound);
		return;
	}
	play_check(play, outcome->lsn.v == play->lsn + 1,
		   "group %llu follows group %llu",
		   (unsigned long long)outcome->lsn.v,
		   (unsigned long long)play->lsn);
	play_check(play, mbj_group_parse(play->record, &group, &err) == MBJ_OK,
		   "the group: %s", err.message);
	play_check(play, mbj_group_check(&group, &err) == MBJ_OK,
		   "the group: %s", err.message);
	mbj_reader_init(&reader, group.body);
	while (mbj_group_op_next(&group, &reader, &op, NULL) == MBJ_OK)
		steps += op.kind == MBJ_OP_MAILBOX_CREATE ||
			 op.kind == MBJ_OP_MAILBOX_MOVE ||
			 op.kind == MBJ_OP_MAILBOX_DELETE;
	play_check(play, outcome->lower_bound == bound,
		   "the plan's bound is %zu, %zu mailboxes differ",
		   outcome->lower_bound, bound);
	play_check(play, steps == bound + outcome->parks,
		   "%zu steps for %zu changes and %zu parks", steps, bound,
		   outcome->parks);
	/* Leaving the tree twice on the way helps nobody. */
	play_check(play, outcome->parks * 2 <= bound,
		   "%zu parks for %zu changes", outcome->parks, bound);
}

/* ---------------------------------------------------------------- sides */

void play_begin_check(struct play *play)
{
	struct mbj_change changes[16];
	size_t n = play_first_tree(changes);
	struct mbj_txn *txn = play->site->look(play, PLAY_PRIMARY);

	play->model.count = 0;
	memset(&play->model.mail, 0, sizeof(play->model.mail));
	for (size_t i = 0; i < n; i++) {
		struct model_box *box = &play->model.boxes[i];
		const struct model_box *above;
		size_t at = 0;

		memset(box, 0, sizeof(*box));
		above = model_of(&play->model, changes[i].parent);
		if (above != NULL && !mbj_id_is_root(changes[i].parent)) {
			at = strlen(above->path);
			memcpy(box->path, above->path, at);
			box->path[at++] = '/';
		}
		memcpy(box->path + at, changes[i].name.p, changes[i].name.n);
		box->id = changes[i].id;
		play->model.count++;
	}
	tree_check(play, txn, &play->model);
	play->site->looked(play, PLAY_PRIMARY, &txn);
}

void play_primary_check(struct play *play, struct model *after,
			const struct mbj_outcome *outcome)
{
	struct mbj_txn *txn = play->site->look(play, PLAY_PRIMARY);

	if (outcome->lsn.v > 0)
		play->lsn = outcome->lsn.v;
	tree_check(play, txn, after);
	play->site->looked(play, PLAY_PRIMARY, &txn);
	play->lsn -= outcome->lsn.v > 0;
	plan_check(play, &play->model, after, outcome);
	play->lsn += outcome->lsn.v > 0;
	model_copy(&play->model, after);
}

void play_replica_check(struct play *play, int side)
{
	struct mbj_txn *txn = play->site->look(play, side);
	struct mbj_account account;
	struct mbj_error err;
	uint64_t applied;

	if (txn == NULL)
		return;
	applied = play->site->applied(play, side);
	play_check(play, applied <= play->lsn, "replica %d is ahead", side);
	if (mbj_txn_account_get(txn, play->account, &account, &err) < 0) {
		play_check(play, applied == 0, "replica %d: %s", side,
			   err.message);
	} else {
		play_check(play,
			   mbj_digest_equal(&account.digest,
					    &play->digests[applied]),
			   "replica %d differs from the primary's group %llu",
			   side, (unsigned long long)applied);
	}
	play->site->looked(play, side, &txn);
}

/* The primary's records are what they sum to, and make sense together. */
static void primary_sum_check(struct play *play)
{
	struct mbj_txn *txn = play->site->look(play, PLAY_PRIMARY);
	struct mbj_digest digest = {{0}};
	struct mbj_error err;

	play_check(play,
		   mbj_txn_account_check(txn, play->account, &digest, &err) ==
			   MBJ_OK,
		   "the primary: %s", err.message);
	play_check(play, mbj_digest_equal(&digest, &play->digests[play->lsn]),
		   "the primary's records deny its digest");
	play->site->looked(play, PLAY_PRIMARY, &txn);
}

static void replica_end_check(struct play *play, int side)
{
	struct mbj_txn *primary;
	struct mbj_txn *replica;

	play->site->catch_up(play, side);
	play_check(play, play->site->applied(play, side) == play->lsn,
		   "replica %d stays at group %llu of %llu", side,
		   (unsigned long long)play->site->applied(play, side),
		   (unsigned long long)play->lsn);
	primary = play->site->look(play, PLAY_PRIMARY);
	replica = play->site->look(play, side);
	play_records_compare(play, primary, replica, side);
	play->site->looked(play, side, &replica);
	play->site->looked(play, PLAY_PRIMARY, &primary);
	play_mail_end_check(play, side);
}

void play_end_check(struct play *play)
{
	primary_sum_check(play);
	play_mail_end_check(play, PLAY_PRIMARY);
	for (int side = 1; side < PLAY_SIDES; side++) {
		struct mbj_txn *txn = play->site->look(play, side);
		bool is_begun = txn != NULL;

		if (is_begun)
			play->site->looked(play, side, &txn);
		if (is_begun || side == 1)
			replica_end_check(play, side);
	}
}
