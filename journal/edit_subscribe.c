/*
 * Subscriptions are by name (RFC 9051 section 6.3.7), people mean mailboxes.
 * So by default names follow: of all subscribed names at or below a moved
 * mailbox's old name the part that led to it is replaced by its new name, all
 * at once, so that a swap swaps them.  Where moves are nested, the deepest
 * moved mailbox on the way decides.  The name of a deleted mailbox is dropped.
 * A name below it that leads nowhere is nobody's and stays; one below a moved
 * mailbox comes along.
 *
 * Cost: without subscriptions nothing is read; else the subscriptions below
 * what moves, or all of them where more moves than there are.
 *
 * Invariants:
 *   1. each name is entered once, so what is emitted is the net change;
 *   2. all unsubscribing comes before all subscribing.
 *
 * Threads: as the transaction.
 */
#include "edit_subscribe.h"

#include <mbj/check.h>

#include "edit_text.h"

enum {
	/* Bytes of all names that one edit touches. */
	NAMES_SIZE_MAX = 2 * MBJ_GROUP_MAX,
	/* Bytes of a path as it is put together: longer ones are nobody's. */
	STORED_MAX = MBJ_PATH_MAX,
	KEY_MAX = 3 * MBJ_PATH_MAX,
};

/* A subscribed name that follows a moved mailbox. */
struct follow_hit {
	struct mbj_path rest; /* behind the mailbox's name, NUL included */
	uint32_t item;	      /* of the diff */
};

struct follow {
	struct edit_subscriptions *subscriptions;
	const struct mbj_tree *before;
	const struct mbj_diff *diff;
	uint32_t *item_of; /* [before] diff item that moves or goes, or NONE */
	uint32_t *tops;	   /* such nodes with none above them */
	size_t top_count;
	struct follow_hit *hits;
	size_t hit_count;
	size_t hit_capacity;
};

/* ---------------------------------------------------------------- paths */

/* The path in the scratch buffers is one that can be subscribed. */
static bool path_is_fit(const struct edit_subscriptions *subscriptions)
{
	const struct mbj_buf *key = &subscriptions->key;
	size_t depth = 1;

	if (subscriptions->stored.failed != MBJ_OK || key->failed != MBJ_OK)
		return false;
	for (size_t i = 0; i < key->n; i++)
		depth += key->p[i] == 0;
	return depth <= MBJ_DEPTH_MAX;
}

/*
 * The path of a node into the scratch buffers; *ret_is_fit is false where it
 * is longer or deeper than any that could be subscribed.
 */
static enum mbj_rc path_build(struct edit_subscriptions *subscriptions,
			      const struct mbj_tree *tree, uint32_t node,
			      bool *ret_is_fit, struct mbj_error *err)
{
	struct mbj_buf *stored = &subscriptions->stored;
	struct mbj_buf *key = &subscriptions->key;
	uint32_t count = 0;

	mbj_buf_clear(stored);
	mbj_buf_clear(key);
	for (; node != MBJ_NODE_ROOT; node = mbj_tree_get(tree, node)->parent)
		subscriptions->chain[count++] = node;
	while (count > 0) {
		const struct mbj_name *name;

		name = &mbj_tree_get(tree, subscriptions->chain[--count])->name;
		mbj_buf_put_bytes(stored, name->stored);
		mbj_buf_put_bytes(key, name->key);
		if (count == 0)
			break;
		mbj_buf_put_u8(stored, 0);
		mbj_buf_put_u8(key, 0);
	}
	if (stored->failed == MBJ_ENOMEM || key->failed == MBJ_ENOMEM)
		return mbj_error_nomem(err);
	*ret_is_fit = path_is_fit(subscriptions);
	return MBJ_OK;
}

static enum mbj_rc bytes_keep(struct edit_subscriptions *subscriptions,
			      struct mbj_bytes b, struct mbj_bytes *ret_copy,
			      struct mbj_error *err)
{
	if (b.n > NAMES_SIZE_MAX - mbj_arena_used(subscriptions->arena))
		return mbj_error_set(err, MBJ_ELIMIT,
				     "the subscribed names that change with "
				     "this edit have more than %d bytes",
				     (int)NAMES_SIZE_MAX);
	if (!mbj_arena_dup(subscriptions->arena, b, ret_copy))
		return mbj_error_nomem(err);
	return MBJ_OK;
}

/* ---------------------------------------------------------------- names */

static uint32_t name_find(const struct edit_subscriptions *subscriptions,
			  struct mbj_bytes key, uint64_t hash)
{
	uint32_t at = mbj_table_seek(&subscriptions->by_key, hash);
	uint32_t i;

	while (mbj_table_next(&subscriptions->by_key, hash, &at, &i)) {
		MBJ_ASSERT(i < subscriptions->count);
		if (mbj_bytes_equal(subscriptions->names[i].path.key, key))
			return i;
	}
	return MBJ_NODE_NONE;
}

/* Enter a name that is not there yet; its bytes are copied. */
static enum mbj_rc name_add(struct edit_subscriptions *subscriptions,
			    const struct mbj_path *path, bool was,
			    uint32_t *ret_name, struct mbj_error *err)
{
	struct edit_subscribed name = {.was = was, .will = was};
	uint64_t hash = mbj_siphash(subscriptions->work->sip, path->key);
	enum mbj_rc rc;

	rc = bytes_keep(subscriptions, path->stored, &name.path.stored, err);
	if (rc == MBJ_OK)
		rc = bytes_keep(subscriptions, path->key, &name.path.key, err);
	if (rc == MBJ_OK)
		rc = mbj_array_reserve((void **)&subscriptions->names,
				       &subscriptions->capacity,
				       (size_t)subscriptions->count + 1,
				       sizeof(*subscriptions->names),
				       MBJ_NODE_MAX, err);
	if (rc == MBJ_OK)
		rc = mbj_table_add(&subscriptions->by_key, hash,
				   subscriptions->count, err);
	if (rc < 0)
		return rc;
	subscriptions->names[subscriptions->count] = name;
	*ret_name = subscriptions->count++;
	return MBJ_OK;
}

/* The path in the scratch buffers is to be subscribed, or is not to be. */
static enum mbj_rc name_want(struct edit_subscriptions *subscriptions,
			     bool will, struct mbj_error *err)
{
	const struct edit_work *work = subscriptions->work;
	struct mbj_path path = {mbj_buf_view(&subscriptions->stored),
				mbj_buf_view(&subscriptions->key)};
	uint32_t name = name_find(subscriptions, path.key,
				  mbj_siphash(work->sip, path.key));
	bool was = false;
	enum mbj_rc rc = MBJ_OK;

	if (name == MBJ_NODE_NONE) {
		if (work->account.subscription_count > 0)
			rc = mbj_txn_subscribed(work->context->txn,
						work->account.id, path.key,
						&was, err);
		if (rc < 0 || was == will)
			return rc;
		rc = name_add(subscriptions, &path, was, &name, err);
	} else if (will) {
		rc = bytes_keep(subscriptions, path.stored,
				&subscriptions->names[name].path.stored, err);
	}
	if (rc == MBJ_OK)
		subscriptions->names[name].will = will;
	return rc;
}

/* --------------------------------------------------------------- follow */

/* Whose names change, and of those the highest. */
static enum mbj_rc follow_mark(struct follow *follow, struct mbj_error *err)
{
	const struct mbj_diff *diff = follow->diff;
	uint32_t size = mbj_tree_size(follow->before);
	uint32_t *order = NULL;
	bool *is_covered;
	size_t count;
	enum mbj_rc rc;

	for (uint32_t i = 0; i < size; i++)
		follow->item_of[i] = MBJ_NODE_NONE;
	for (uint32_t i = 0; i < diff->count; i++)
		if (diff->kind[i] == MBJ_DIFF_MOVE ||
		    diff->kind[i] == MBJ_DIFF_DELETE)
			follow->item_of[diff->at[MBJ_BEFORE][i]] = i;
	is_covered = mbj_calloc((size_t)size + 1, sizeof(*is_covered));
	if (is_covered == NULL)
		return mbj_error_nomem(err);
	rc = mbj_tree_order(follow->before, &order, &count, err);
	for (size_t i = 0; rc == MBJ_OK && i < count; i++) {
		uint32_t node = order[i];
		uint32_t parent = mbj_tree_get(follow->before, node)->parent;
		bool is_below = parent != MBJ_NODE_ROOT && is_covered[parent];

		is_covered[node] =
			is_below || follow->item_of[node] != MBJ_NODE_NONE;
		if (is_covered[node] && !is_below)
			follow->tops[follow->top_count++] = node;
	}
	mbj_free(order);
	mbj_free(is_covered);
	return rc;
}

/* The first component of *rest, which then begins behind its NUL. */
static struct mbj_bytes component_cut(struct mbj_bytes *rest)
{
	const uint8_t *nul = memchr(rest->p, 0, rest->n);
	struct mbj_bytes first = *rest;

	if (nul == NULL) {
		*rest = mbj_bytes_make(rest->p + rest->n, 0);
		return first;
	}
	first.n = (size_t)(nul - rest->p);
	rest->n -= first.n + 1;
	rest->p = nul + 1;
	return first;
}

/*
 * The deepest mailbox on a name's way that moves or goes, and what of the
 * name is behind it.  Mailboxes outside the view neither move nor have
 * anything below them that does.
 */
static struct follow_hit follow_locate(const struct follow *follow,
				       const struct mbj_path *path)
{
	struct follow_hit hit = {.item = MBJ_NODE_NONE};
	struct mbj_path rest = *path;
	uint32_t node = MBJ_NODE_ROOT;

	while (rest.key.n > 0) {
		struct mbj_bytes key = component_cut(&rest.key);

		if (rest.stored.n > 0)
			(void)component_cut(&rest.stored);
		node = mbj_tree_find_slot(follow->before, node, key);
		if (node == MBJ_NODE_NONE)
			break;
		if (follow->item_of[node] == MBJ_NODE_NONE)
			continue;
		hit.item = follow->item_of[node];
		hit.rest = rest;
	}
	return hit;
}

/* One subscribed name: it goes, for now; a hit says what it becomes. */
static enum mbj_rc follow_take(struct follow *follow,
			       const struct mbj_path *path,
			       struct mbj_error *err)
{
	struct follow_hit hit = follow_locate(follow, path);
	struct edit_subscribed *name;
	uint32_t at;
	bool is_gone;
	enum mbj_rc rc;

	if (hit.item == MBJ_NODE_NONE)
		return MBJ_OK;
	is_gone = follow->diff->kind[hit.item] == MBJ_DIFF_DELETE;
	if (is_gone && hit.rest.key.n > 0)
		return MBJ_OK;
	rc = name_add(follow->subscriptions, path, true, &at, err);
	if (rc < 0)
		return rc;
	name = &follow->subscriptions->names[at];
	name->stored_before = name->path.stored;
	name->will = false;
	if (is_gone)
		return MBJ_OK;
	rc = mbj_array_reserve((void **)&follow->hits, &follow->hit_capacity,
			       follow->hit_count + 1, sizeof(*follow->hits),
			       MBJ_NODE_MAX, err);
	if (rc < 0)
		return rc;
	/* The scan's bytes are about to go: point into the copies. */
	hit.rest.stored.p =
		name->path.stored.p + name->path.stored.n - hit.rest.stored.n;
	hit.rest.key.p = name->path.key.p + name->path.key.n - hit.rest.key.n;
	follow->hits[follow->hit_count++] = hit;
	return MBJ_OK;
}

/* All subscribed names at or below a name; an empty one is every name. */
static enum mbj_rc follow_scan(struct follow *follow, struct mbj_bytes key,
			       struct mbj_error *err)
{
	struct edit_work *work = follow->subscriptions->work;
	struct mbj_scan scan = {0};
	struct mbj_path path;
	enum mbj_rc rc;

	rc = mbj_scan_subscriptions(work->context->txn, work->account.id, key,
				    &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_subscription(&scan, &path, err);
		if (rc == MBJ_OK)
			rc = follow_take(follow, &path, err);
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

static enum mbj_rc follow_scan_all(struct follow *follow, struct mbj_error *err)
{
	struct edit_subscriptions *subscriptions = follow->subscriptions;
	uint64_t count = subscriptions->work->account.subscription_count;
	enum mbj_rc rc = MBJ_OK;

	if (follow->top_count > count)
		return follow_scan(follow, mbj_bytes_make(NULL, 0), err);
	for (size_t i = 0; rc == MBJ_OK && i < follow->top_count; i++) {
		bool is_fit;

		rc = path_build(subscriptions, follow->before, follow->tops[i],
				&is_fit, err);
		if (rc == MBJ_OK && is_fit)
			rc = follow_scan(follow,
					 mbj_buf_view(&subscriptions->key),
					 err);
	}
	return rc;
}

/* The new name: the mailbox's, and what was behind it. */
static enum mbj_rc follow_rename(struct follow *follow,
				 const struct follow_hit *hit,
				 struct mbj_error *err)
{
	struct edit_subscriptions *subscriptions = follow->subscriptions;
	struct mbj_buf *stored = &subscriptions->stored;
	struct mbj_buf *key = &subscriptions->key;
	bool is_fit;
	enum mbj_rc rc;

	rc = path_build(subscriptions, subscriptions->work->after,
			follow->diff->at[MBJ_AFTER][hit->item], &is_fit, err);
	if (rc < 0)
		return rc;
	if (hit->rest.key.n > 0) {
		mbj_buf_put_u8(stored, 0);
		mbj_buf_put_bytes(stored, hit->rest.stored);
		mbj_buf_put_u8(key, 0);
		mbj_buf_put_bytes(key, hit->rest.key);
	}
	if (stored->failed == MBJ_ENOMEM || key->failed == MBJ_ENOMEM)
		return mbj_error_nomem(err);
	if (!path_is_fit(subscriptions))
		return MBJ_OK; /* too long by now, or too deep */
	return name_want(subscriptions, true, err);
}

static enum mbj_rc follow_run(struct edit_subscriptions *subscriptions,
			      const struct mbj_diff *diff,
			      struct mbj_error *err)
{
	const struct mbj_tree *before = subscriptions->work->view.tree;
	size_t size = (size_t)mbj_tree_size(before) + 1;
	struct follow follow = {
		.subscriptions = subscriptions,
		.before = before,
		.diff = diff,
	};
	enum mbj_rc rc;

	follow.item_of = mbj_calloc(size, sizeof(*follow.item_of));
	follow.tops = mbj_calloc(size, sizeof(*follow.tops));
	if (follow.item_of == NULL || follow.tops == NULL)
		rc = mbj_error_nomem(err);
	else
		rc = follow_mark(&follow, err);
	if (rc == MBJ_OK)
		rc = follow_scan_all(&follow, err);
	for (size_t i = 0; rc == MBJ_OK && i < follow.hit_count; i++)
		rc = follow_rename(&follow, &follow.hits[i], err);
	mbj_free(follow.item_of);
	mbj_free(follow.tops);
	mbj_free(follow.hits);
	return rc;
}

/* --------------------------------------------------------------- wishes */

static enum mbj_rc wish_grant(struct edit_subscriptions *subscriptions,
			      const struct edit_wish *wish,
			      struct mbj_error *err)
{
	struct edit_work *work = subscriptions->work;
	struct mbj_id id = work->draft.items[wish->item].id;
	uint32_t node = mbj_tree_find(work->after, id);
	bool is_fit;
	enum mbj_rc rc;

	MBJ_ASSERT(node != MBJ_NODE_NONE);
	/* Where nothing is subscribed, nothing needs to be taken back. */
	if (!wish->is_subscribed && subscriptions->count == 0 &&
	    work->account.subscription_count == 0)
		return MBJ_OK;
	rc = path_build(subscriptions, work->after, node, &is_fit, err);
	if (rc < 0)
		return rc;
	if (is_fit)
		return name_want(subscriptions, wish->is_subscribed, err);
	if (!wish->is_subscribed)
		return MBJ_OK;
	return edit_refuse_id(err, MBJ_REFUSAL_TOO_LARGE, "id", id,
			      "has a whole name too long or too deep to be "
			      "subscribed");
}

static enum mbj_rc subscribe_init(struct edit_subscriptions *subscriptions,
				  struct edit_work *work, struct mbj_error *err)
{
	size_t before = mbj_tree_size(work->view.tree);
	size_t after = mbj_tree_size(work->after);

	*subscriptions = (struct edit_subscriptions){.work = work};
	mbj_buf_init(&subscriptions->stored, STORED_MAX);
	mbj_buf_init(&subscriptions->key, KEY_MAX);
	subscriptions->chain = mbj_calloc((before > after ? before : after) + 1,
					  sizeof(uint32_t));
	if (subscriptions->chain == NULL)
		return mbj_error_nomem(err);
	return mbj_arena_new(NAMES_SIZE_MAX, &subscriptions->arena, err);
}

enum mbj_rc edit_subscribe_plan(struct edit_subscriptions *subscriptions,
				struct edit_work *work,
				const struct mbj_diff *diff,
				struct mbj_error *err)
{
	enum mbj_rc rc;

	MBJ_ASSERT(work->emit.count == 0);
	rc = subscribe_init(subscriptions, work, err);
	if (rc == MBJ_OK && work->account.subscription_count > 0 &&
	    !work->edit->is_subscription_kept)
		rc = follow_run(subscriptions, diff, err);
	for (size_t i = 0; rc == MBJ_OK && i < work->wish_count; i++)
		rc = wish_grant(subscriptions, &work->wishes[i], err);
	return rc;
}

void edit_subscribe_done(struct edit_subscriptions *subscriptions)
{
	mbj_arena_free(&subscriptions->arena);
	mbj_free(subscriptions->names);
	mbj_table_done(&subscriptions->by_key);
	mbj_free(subscriptions->chain);
	mbj_buf_done(&subscriptions->stored);
	mbj_buf_done(&subscriptions->key);
	*subscriptions = (struct edit_subscriptions){.work = NULL};
}

/* The same name, spelled in another way, is subscribed anew. */
static bool name_is_respelled(const struct edit_subscribed *name)
{
	return name->was && name->will && name->stored_before.n > 0 &&
	       !mbj_bytes_equal(name->stored_before, name->path.stored);
}

enum mbj_rc edit_subscribe_emit(const struct edit_subscriptions *subscriptions,
				struct mbj_error *err)
{
	struct edit_work *work = subscriptions->work;
	enum mbj_rc rc = MBJ_OK;

	for (uint32_t i = 0; rc == MBJ_OK && i < subscriptions->count; i++) {
		const struct edit_subscribed *name = &subscriptions->names[i];
		struct mbj_op op = {.kind = MBJ_OP_UNSUBSCRIBE,
				    .path = name->path};

		if (name->stored_before.n > 0)
			op.path.stored = name->stored_before;
		if (name->was && (!name->will || name_is_respelled(name)))
			rc = edit_emit_op(&work->emit, &op, err);
	}
	for (uint32_t i = 0; rc == MBJ_OK && i < subscriptions->count; i++) {
		const struct edit_subscribed *name = &subscriptions->names[i];
		struct mbj_op op = {.kind = MBJ_OP_SUBSCRIBE,
				    .path = name->path};

		if (name->will && (!name->was || name_is_respelled(name)))
			rc = edit_emit_op(&work->emit, &op, err);
	}
	return rc;
}
