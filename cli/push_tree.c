/*
 * Two trees: what the server has, and what it is to have.
 *
 * Mailboxes of ours have their MAILBOXIDs; what others made, and places that
 * only lead to mailboxes, have ids of their own for this run.  What is no
 * mailbox of ours stays: it goes where a mailbox above it goes, or stays at its
 * path.
 */
#include <stdlib.h>
#include <string.h>

#include <mbj/check.h>

#include "push.h"

static struct mbj_name name_of(struct mbj_bytes bytes)
{
	return (struct mbj_name){bytes, bytes};
}

static enum mbj_rc id_fresh(struct push *p, struct mbj_id *ret_id)
{
	return mbj_id_generate(mbj_sys_posix(), ret_id, &p->err);
}

/* -------------------------------------------------------- what there is */

/* The next component of a path. */
static struct mbj_bytes component(struct mbj_bytes *path, char delimiter)
{
	const uint8_t *end =
		delimiter == '\0'
			? NULL
			: memchr(path->p, (uint8_t)delimiter, path->n);
	size_t n = end == NULL ? path->n : (size_t)(end - path->p);
	struct mbj_bytes part = mbj_bytes_make(path->p, n);

	if (end != NULL)
		n++;
	path->p += n;
	path->n -= n;
	return part;
}

/* Names that no tree of ours can hold are others', and are let be. */
static bool is_holdable(struct mbj_bytes path, char delimiter)
{
	size_t depth = 0;

	if (path.n > 0 && delimiter != '\0' &&
	    path.p[path.n - 1] == (uint8_t)delimiter)
		return false;
	while (path.n > 0) {
		struct mbj_bytes part = component(&path, delimiter);

		if (!mbj_name_is_safe(part, part) || ++depth > MBJ_DEPTH_MAX)
			return false;
	}
	return depth > 0;
}

static enum mbj_rc before_add(struct push *p, uint32_t at,
			      struct mbj_bytes path)
{
	const struct push_seen *seen = &p->seen[at];
	uint32_t parent = MBJ_NODE_ROOT;
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK && path.n > 0) {
		struct mbj_bytes part = component(&path, p->delimiter);
		uint32_t node = mbj_tree_find_slot(p->before, parent, part);
		struct mbj_node fresh = {.parent = parent,
					 .name = name_of(part),
					 .is_live = true};

		if (node != MBJ_NODE_NONE) {
			parent = node;
			continue;
		}
		if (path.n == 0 && seen->is_selectable) {
			fresh.id = seen->id;
			fresh.is_selectable = true;
		}
		if (mbj_id_is_root(fresh.id))
			rc = id_fresh(p, &fresh.id);
		if (rc == MBJ_OK)
			rc = mbj_tree_add(p->before, &fresh, &parent, &p->err);
		if (rc == MBJ_OK && fresh.is_selectable)
			p->before_seen[parent] = at;
	}
	return rc;
}

struct sorted {
	struct mbj_bytes name;
	uint32_t at; /* in seen */
};

static int sorted_compare(const void *a, const void *b)
{
	const struct sorted *x = a, *y = b;

	return mbj_bytes_compare(x->name, y->name);
}

/* What is above a name comes before it. */
static enum mbj_rc seen_sort(struct push *p, struct sorted **ret_order)
{
	struct sorted *order = mbj_calloc(p->seen_count + 1, sizeof(*order));

	if (order == NULL)
		return mbj_error_nomem(&p->err);
	for (size_t i = 0; i < p->seen_count; i++)
		order[i] = (struct sorted){p->seen[i].name, (uint32_t)i};
	qsort(order, p->seen_count, sizeof(*order), sorted_compare);
	*ret_order = order;
	return MBJ_OK;
}

static enum mbj_rc before_make(struct push *p)
{
	struct sorted *order = NULL;
	size_t room = 0;
	enum mbj_rc rc;

	rc = mbj_tree_new(p->account.lsn.v, &p->before, &p->err);
	if (rc == MBJ_OK)
		rc = seen_sort(p, &order);
	/* Each component of each name, at most. */
	for (size_t i = 0; rc == MBJ_OK && i < p->seen_count; i++) {
		room++;
		for (size_t k = 0; k < p->seen[i].name.n; k++)
			room += p->seen[i].name.p[k] == (uint8_t)p->delimiter;
	}
	if (rc == MBJ_OK) {
		p->before_seen = mbj_calloc(room + 1, sizeof(uint32_t));
		if (p->before_seen == NULL)
			rc = mbj_error_nomem(&p->err);
		else
			memset(p->before_seen, 0xff,
			       (room + 1) * sizeof(uint32_t));
	}
	for (size_t i = 0; rc == MBJ_OK && i < p->seen_count; i++) {
		struct mbj_bytes path;

		rc = push_path(p, order[i].name, &path);
		/* A place that leads to nothing is not in the way. */
		if (rc == MBJ_OK && p->seen[order[i].at].is_selectable &&
		    is_holdable(path, p->delimiter))
			rc = before_add(p, order[i].at, path);
	}
	mbj_free(order);
	return rc;
}

/* ------------------------------------------------------- what is to be */

static enum mbj_rc after_add(struct push *p, const struct mbj_node *node,
			     struct push_aim aim, uint32_t *ret_node)
{
	void *aims = p->aims;
	enum mbj_rc rc;

	rc = mbj_tree_add(p->after, node, ret_node, &p->err);
	if (rc == MBJ_OK)
		rc = mbj_array_reserve(&aims, &p->aim_capacity, *ret_node + 1,
				       sizeof(*p->aims), MBJ_NODE_MAX, &p->err);
	p->aims = aims;
	if (rc == MBJ_OK) {
		MBJ_ASSERT(*ret_node == p->aim_count);
		p->aims[p->aim_count++] = aim;
	}
	return rc;
}

/* Ours, as far as the file knows. */
static bool is_ours(const struct push *p, const struct mbj_node *node)
{
	return push_file_find(&p->file, node->id) != NULL;
}

static bool is_wanted(const struct push *p, const struct mbj_node *node)
{
	return is_ours(p, node) &&
	       mbj_tree_find(p->wanted, node->id) != MBJ_NODE_NONE;
}

static bool can_go(const struct push *p, struct mbj_id id)
{
	return !push_out_find(p, id).is_staying;
}

/* Another one's mailbox has the name of one of ours that is not there yet. */
static enum mbj_rc adopt(struct push *p, const struct mbj_node *there,
			 struct push_aim *aim)
{
	uint32_t at = mbj_tree_find(p->before, there->id);
	const struct push_seen *seen = &p->seen[p->before_seen[at]];
	bool is_taken = push_is_empty(seen) || p->call->options.is_adopting;
	char mail[PUSH_MAIL_TEXT];

	push_say(p, seen->name,
		 is_taken ? "is at the server already (%s), and is "
			    "taken as ours"
			  : "is at the server already, with %s, and "
			    "is not ours",
		 push_mail_text(seen, mail));
	aim->is_adopted = is_taken;
	if (!is_taken)
		p->err.rc = MBJ_ECONFLICT;
	return MBJ_OK;
}

/* What has the node's slot at the server. */
static uint32_t slot_before(const struct push *p, const struct mbj_node *node)
{
	uint32_t parent = node->parent;

	if (parent != MBJ_NODE_ROOT)
		parent = mbj_tree_find(p->before,
				       mbj_tree_get(p->after, parent)->id);
	return parent == MBJ_NODE_NONE
		       ? MBJ_NODE_NONE
		       : mbj_tree_find_slot(p->before, parent, node->name.key);
}

/*
 * A node of the account: which node of the tree before it is, if it is any.
 */
static enum mbj_rc node_settle(struct push *p, const struct mbj_node *from,
			       struct mbj_node *node, struct push_aim *aim)
{
	const struct mbj_node *there = NULL;
	uint32_t known = mbj_tree_find(p->before, from->id), at;

	if (known != MBJ_NODE_NONE) {
		/* It was a mailbox, and is to be none. */
		aim->is_left = !from->is_selectable && can_go(p, from->id);
		node->is_selectable = !aim->is_left;
		return MBJ_OK;
	}
	at = slot_before(p, node);
	if (at == MBJ_NODE_NONE)
		return MBJ_OK;
	there = mbj_tree_get(p->before, at);
	if (mbj_tree_find(p->after, there->id) != MBJ_NODE_NONE ||
	    is_wanted(p, there))
		return MBJ_OK;
	if (!there->is_selectable) {
		aim->is_filled = from->is_selectable;
	} else if (!from->is_selectable) {
		aim->is_left = is_ours(p, there) && can_go(p, there->id);
		/* Another one's mailbox leads there as well as a place. */
		node->is_selectable = !aim->is_left;
	} else if (is_ours(p, there)) {
		return MBJ_OK; /* it goes, and another one comes */
	} else {
		node->id = there->id;
		return adopt(p, there, aim);
	}
	node->id = there->id;
	return MBJ_OK;
}

/* Another one has its name, or is below that, and cannot be moved. */
static bool is_blocked(const struct push *p, const struct mbj_node *node)
{
	uint32_t at = slot_before(p, node);

	if (p->stuck_count == 0 || at == MBJ_NODE_NONE ||
	    mbj_id_equal(mbj_tree_get(p->before, at)->id, node->id))
		return false;
	for (size_t i = 0; i < p->out_count; i++) {
		uint32_t it = p->outs[i].is_stuck
				      ? mbj_tree_find(p->before, p->outs[i].id)
				      : MBJ_NODE_NONE;

		if (it != MBJ_NODE_NONE &&
		    mbj_tree_is_ancestor(p->before, at, it))
			return true;
	}
	return false;
}

/* Empty: the server cannot have it. */
static enum mbj_rc wanted_name(struct push *p, uint32_t wanted,
			       struct mbj_bytes *ret_name)
{
	struct mbj_buf components;
	enum mbj_rc rc;

	mbj_buf_init(&components, (size_t)MBJ_PATH_MAX * 4);
	mbj_tree_path(p->wanted, wanted, '\0', &components);
	rc = mbj_buf_ok(&components, &p->err);
	if (rc == MBJ_OK)
		rc = push_name_of(p, mbj_buf_view(&components), ret_name);
	mbj_buf_done(&components);
	return rc;
}

/* nodes[]: of the account's nodes, those of after. */
static enum mbj_rc wanted_add(struct push *p, uint32_t wanted, uint32_t *nodes)
{
	const struct mbj_node *from = mbj_tree_get(p->wanted, wanted);
	uint32_t size = mbj_tree_size(p->wanted);
	struct push_aim aim = {.wanted = wanted};
	struct mbj_node node = {.id = from->id,
				.parent = from->parent < size
						  ? nodes[from->parent]
						  : MBJ_NODE_ROOT,
				.name = name_of(from->name.stored),
				.is_selectable = from->is_selectable,
				.is_live = true};
	struct mbj_bytes name = {NULL, 0};
	enum mbj_rc rc = MBJ_OK;

	nodes[wanted] = MBJ_NODE_NONE;
	if (push_out_find(p, from->id).is_placeless)
		return MBJ_OK;
	if (node.parent == MBJ_NODE_NONE)
		return push_out_add(p, from->id, from->name.stored,
				    ", as what it is below is");
	rc = wanted_name(p, wanted, &name);
	if (rc < 0)
		return rc;
	if (name.n == 0)
		return push_out_add(p, from->id, from->name.stored,
				    ": the server cannot have its name there");
	if (is_blocked(p, &node))
		return push_out_add(p, from->id, from->name.stored,
				    ": what has its name at the server stays "
				    "there");
	rc = node_settle(p, from, &node, &aim);
	return rc == MBJ_OK ? after_add(p, &node, aim, &nodes[wanted]) : rc;
}

/* Places of the account that lead to no mailbox are nothing at a server. */
static enum mbj_rc wanted_take(struct push *p)
{
	uint32_t size = mbj_tree_size(p->wanted), *order = NULL;
	uint32_t *nodes = mbj_calloc((size_t)size + 1, sizeof(*nodes));
	bool *is_needed = mbj_calloc((size_t)size + 1, sizeof(*is_needed));
	size_t count = 0;
	enum mbj_rc rc;

	rc = nodes == NULL || is_needed == NULL
		     ? mbj_error_nomem(&p->err)
		     : mbj_tree_order(p->wanted, &order, &count, &p->err);
	for (size_t i = count; rc == MBJ_OK && i-- > 0;) {
		const struct mbj_node *node = mbj_tree_get(p->wanted, order[i]);

		is_needed[order[i]] |= node->is_selectable;
		if (is_needed[order[i]] && node->parent < size)
			is_needed[node->parent] = true;
	}
	for (size_t i = 0; rc == MBJ_OK && i < count; i++) {
		if (is_needed[order[i]])
			rc = wanted_add(p, order[i], nodes);
	}
	mbj_free(order);
	mbj_free(nodes);
	mbj_free(is_needed);
	return rc;
}

/* ------------------------------------------------------ what is others' */

/* It stays although the account's tree has no place for it. */
static bool is_kept(const struct push *p, const struct mbj_node *node)
{
	uint32_t at;

	if (!node->is_selectable ||
	    mbj_tree_find(p->after, node->id) != MBJ_NODE_NONE)
		return false;
	/* One of ours whose name the server cannot have any more. */
	at = mbj_tree_find(p->wanted, node->id);
	return !is_ours(p, node) || !can_go(p, node->id) ||
	       (at != MBJ_NODE_NONE &&
		mbj_tree_get(p->wanted, at)->is_selectable);
}

/*
 * It goes, and cannot where it is, as what is above it moves: what was moved
 * out of it may be nowhere else there until all mail is done.  It goes along
 * until then.  is_above: as what it is below does.
 */
static bool is_along(const struct push *p, uint32_t at, bool is_above)
{
	const struct mbj_node *node = mbj_tree_get(p->before, at);
	const struct push_record *record = push_file_find(&p->file, node->id);
	uint32_t parent = node->parent;

	if (!node->is_selectable || record == NULL || !record->has_map ||
	    is_wanted(p, node) || parent >= mbj_tree_size(p->before) ||
	    push_can_wait(p, at))
		return false;
	parent = mbj_tree_find(p->after, mbj_tree_get(p->before, parent)->id);
	return parent == MBJ_NODE_NONE
		       ? is_above
		       : mbj_tree_find_slot(p->after, parent, node->name.key) ==
				 MBJ_NODE_NONE;
}

/* Has it no name in the tree to be, as others of ours need it? */
static bool is_in_way(const struct push *p, const struct mbj_node *node)
{
	return node->parent == MBJ_NODE_NONE ||
	       mbj_tree_find_slot(p->after, node->parent, node->name.key) !=
		       MBJ_NODE_NONE;
}

/* One of ours gets a name of the push's own, until it can have one. */
static enum mbj_rc aside_add(struct push *p, uint32_t at)
{
	struct mbj_node node = *mbj_tree_get(p->before, at);
	struct push_aim aim = {.wanted = MBJ_NODE_NONE};
	char parked[PUSH_PARKED_SIZE];
	uint32_t there;

	push_parked(node.id, parked);
	node.parent = MBJ_NODE_ROOT;
	node.name = name_of(mbj_bytes_str(parked));
	if (is_in_way(p, &node))
		return mbj_error_set(&p->err, MBJ_ECONFLICT,
				     "the server has two mailboxes named %s",
				     parked);
	push_say(p, p->seen[p->before_seen[at]].name,
		 "gives way to a mailbox that needs its name: it is %s at the "
		 "server until it can have its own",
		 parked);
	return after_add(p, &node, aim, &there);
}

enum kept {
	KEPT_NOT,
	KEPT_BELOW, /* what is below it stays */
	KEPT_IT,
	KEPT_ALONG
};

/* One that stays, or a name that is needed above it. */
static enum mbj_rc kept_add(struct push *p, uint32_t at, enum kept kept)
{
	struct mbj_node node = *mbj_tree_get(p->before, at);
	struct push_aim aim = {.wanted = MBJ_NODE_NONE,
			       .is_going = kept == KEPT_ALONG};
	bool is_place = kept == KEPT_BELOW;
	uint32_t size = mbj_tree_size(p->before), there;

	if (node.parent < size)
		node.parent =
			mbj_tree_find(p->after,
				      mbj_tree_get(p->before, node.parent)->id);
	if (is_in_way(p, &node)) {
		/* What is below it is, too. */
		if (is_place)
			return MBJ_OK;
		if (is_ours(p, &node))
			return aside_add(p, at);
		push_say(p, node.name.stored,
			 "is at the server and is not ours, and a mailbox of "
			 "ours needs its name: rename it there");
		p->err.rc = MBJ_ECONFLICT;
		return MBJ_OK;
	}
	if (is_place && node.is_selectable) {
		node.is_selectable = false;
		aim.is_left = true;
	}
	return after_add(p, &node, aim, &there);
}

static enum mbj_rc kept_take(struct push *p)
{
	uint32_t size = mbj_tree_size(p->before);
	uint8_t *kept = mbj_calloc((size_t)size + 1, 1);
	enum mbj_rc rc = kept == NULL ? mbj_error_nomem(&p->err) : MBJ_OK;

	/* What is above a node is before it. */
	for (uint32_t i = 0; rc == MBJ_OK && i < size; i++) {
		const struct mbj_node *node = mbj_tree_get(p->before, i);

		if (is_kept(p, node))
			kept[i] = KEPT_IT;
		else if (is_along(p, i,
				  node->parent < size &&
					  kept[node->parent] == KEPT_ALONG))
			kept[i] = KEPT_ALONG;
		if (kept[i] != KEPT_IT)
			continue;
		for (uint32_t up = node->parent;
		     up < size && kept[up] == KEPT_NOT &&
		     mbj_tree_find(p->after, mbj_tree_get(p->before, up)->id) ==
			     MBJ_NODE_NONE;
		     up = mbj_tree_get(p->before, up)->parent)
			kept[up] = KEPT_BELOW;
	}
	/* Each was added behind what it is below. */
	for (uint32_t i = 0; rc == MBJ_OK && i < size; i++) {
		if (kept[i] != KEPT_NOT)
			rc = kept_add(p, i, (enum kept)kept[i]);
	}
	mbj_free(kept);
	return rc;
}

/* What would go although somebody may still want it. */
static enum mbj_rc losses_check(struct push *p)
{
	uint32_t size = mbj_tree_size(p->before);

	for (uint32_t i = 0; i < size; i++) {
		const struct mbj_node *node = mbj_tree_get(p->before, i);
		uint32_t at = mbj_tree_find(p->after, node->id);
		const struct push_seen *seen;
		char mail[PUSH_MAIL_TEXT];
		bool is_owned = false;
		struct mbj_error said;
		enum mbj_rc rc;

		if (!node->is_selectable ||
		    (at != MBJ_NODE_NONE && !p->aims[at].is_left &&
		     !p->aims[at].is_going))
			continue;
		/* Another one's that is in the way: that was said. */
		if (at == MBJ_NODE_NONE && p->err.rc < 0 && !is_ours(p, node))
			continue;
		seen = &p->seen[p->before_seen[i]];
		if (push_is_empty(seen) || p->call->options.is_emptying)
			continue;
		said = p->err;
		rc = push_is_owned(p, node->id, seen->name, false, &is_owned);
		if (rc < 0)
			return rc;
		p->err = said;
		if (is_owned)
			continue;
		push_say(p, seen->name,
			 "is to go, but has %s at the server, and not all of "
			 "them are ours",
			 push_mail_text(seen, mail));
		p->err.rc = MBJ_ECONFLICT;
	}
	return MBJ_OK;
}

enum mbj_rc push_trees(struct push *p)
{
	enum mbj_rc rc = before_make(p);

	p->err.rc = MBJ_OK;
	if (rc == MBJ_OK)
		rc = mbj_tree_new(p->account.lsn.v, &p->after, &p->err);
	if (rc == MBJ_OK)
		rc = wanted_take(p);
	if (rc == MBJ_OK)
		rc = kept_take(p);
	if (rc == MBJ_OK)
		rc = losses_check(p);
	if (rc == MBJ_OK && p->err.rc < 0)
		return mbj_error_set(
			&p->err, MBJ_ECONFLICT,
			"mailboxes of the server are in the way, and nothing "
			"was done: --adopt takes those with our names as "
			"ours, --remove-messages lets those that are to go "
			"go with their messages");
	return rc;
}
