/*
 * An account gathered record by record; see gather.h.
 *
 * Method: contents, sorted by series, beside the messages, which come sorted so
 * by their keys: one pass.
 *
 * Memory: the account's mailboxes and contents, none of its messages.
 *
 * Threads: one at a time per gathering.
 */
#include "gather.h"

#include <stdlib.h>

#include <mbj/check.h>
#include <mbj/codec.h>

#include "record.h"

enum mbj_rc gather_begin(struct gather *g, const struct mbj_sys *sys,
			 struct mbj_error *err)
{
	struct mbj_id seed;
	enum mbj_rc rc;

	*g = (struct gather){.tree = NULL};
	rc = mbj_id_generate(sys, &seed, err);
	if (rc == MBJ_OK)
		rc = mbj_tree_new(mbj_load_u64(seed.b), &g->tree, err);
	return rc;
}

void gather_done(struct gather *g)
{
	mbj_tree_free(&g->tree);
	mbj_free(g->parents);
	mbj_free(g->contents);
	*g = (struct gather){.tree = NULL};
}

/* ------------------------------------------------------------- mailboxes */

enum mbj_rc gather_mailbox(struct gather *g, const struct mbj_mailbox *m,
			   struct mbj_error *err)
{
	const struct mbj_node node = {
		.id = m->id,
		.parent = MBJ_NODE_ROOT,
		.uidvalidity = m->uidvalidity,
		.name = m->name,
		.rev = m->rev,
		.role = m->role,
		.is_selectable = m->is_selectable,
		.is_live = true,
	};
	void *parents = g->parents;
	uint32_t index;
	enum mbj_rc rc;

	rc = mbj_tree_add_loose(g->tree, &node, &index, err);
	if (rc < 0)
		return rc;
	rc = mbj_array_reserve(&parents, &g->parents_capacity,
			       (size_t)index + 1, sizeof(*g->parents),
			       MBJ_ACCOUNT_MAILBOXES_MAX + 1, err);
	g->parents = parents;
	if (rc == MBJ_OK)
		g->parents[index] = m->parent;
	return rc;
}

/* A list from a state that is no tree is damage, not bad input. */
static enum mbj_rc tree_damaged(struct mbj_error *err, enum mbj_rc rc)
{
	struct mbj_error why;

	if (rc != MBJ_EINVALID || !err)
		return rc == MBJ_EINVALID ? MBJ_ECORRUPT : rc;
	why = *err;
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "the mailboxes are no tree: %.400s", why.message);
}

enum mbj_rc gather_settle(struct gather *g, struct mbj_error *err)
{
	uint32_t parent;
	char text[MBJ_ID_TEXT_SIZE];

	for (uint32_t i = 0; i < mbj_tree_size(g->tree); i++) {
		if (mbj_id_is_root(g->parents[i]))
			parent = MBJ_NODE_ROOT;
		else if (mbj_id_is_temp(g->parents[i]))
			parent = MBJ_NODE_TEMP;
		else
			parent = mbj_tree_find(g->tree, g->parents[i]);
		if (parent == MBJ_NODE_NONE) {
			mbj_id_print(g->parents[i], text);
			return mbj_error_set(
				err, MBJ_ECORRUPT,
				"a mailbox's parent %s is not there", text);
		}
		mbj_tree_set_parent(g->tree, i, parent);
	}
	/* What comes along with a legal move may be deeper than policy has it.
	 */
	mbj_tree_accept(g->tree);
	return tree_damaged(err, mbj_tree_settle(g->tree, err));
}

/* -------------------------------------------------------------- contents */

static int gathered_compare(const void *a, const void *b)
{
	const struct gathered *x = a;
	const struct gathered *y = b;

	return series_compare(x->said.series, y->said.series);
}

enum mbj_rc gather_content(struct gather *g, struct mbj_id mailbox,
			   const struct mbj_content *content,
			   struct mbj_error *err)
{
	void *contents = g->contents;
	enum mbj_rc rc;

	MBJ_ASSERT(!g->is_sorted);
	rc = mbj_array_reserve(&contents, &g->capacity, g->count + 1,
			       sizeof(*g->contents),
			       MBJ_ACCOUNT_MAILBOXES_MAX + 1, err);
	g->contents = contents;
	if (rc == MBJ_OK)
		g->contents[g->count++] =
			(struct gathered){.mailbox = mailbox, .said = *content};
	return rc;
}

static void contents_sort(struct gather *g)
{
	if (!g->is_sorted && g->count > 0)
		qsort(g->contents, g->count, sizeof(*g->contents),
		      gathered_compare);
	g->is_sorted = true;
}

struct gathered *gather_seek(struct gather *g, struct mbj_series series)
{
	contents_sort(g);
	while (g->at < g->count &&
	       series_compare(g->contents[g->at].said.series, series) < 0)
		g->at++;
	if (g->at == g->count ||
	    series_compare(g->contents[g->at].said.series, series) != 0)
		return NULL;
	return &g->contents[g->at];
}

bool gather_has(struct gather *g, struct mbj_series series)
{
	const struct gathered wanted = {.said.series = series};

	contents_sort(g);
	return g->count > 0 &&
	       bsearch(&wanted, g->contents, g->count, sizeof(*g->contents),
		       gathered_compare) != NULL;
}

enum mbj_rc gather_message(struct gathered *gathered,
			   const struct mbj_message *message,
			   struct mbj_error *err)
{
	if (message->uid >= gathered->said.uidnext ||
	    message->modseq > gathered->said.modseq)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "message %lu is above its mailbox's "
				     "UIDNEXT or HIGHESTMODSEQ",
				     (unsigned long)message->uid);
	gathered->found.message_count++;
	gathered->found.message_size += message->size;
	return MBJ_OK;
}

static enum mbj_rc content_judge(const struct gathered *gathered,
				 const struct mbj_tree *tree,
				 struct mbj_error *err)
{
	uint32_t index = mbj_tree_find(tree, gathered->mailbox);
	char text[MBJ_ID_TEXT_SIZE];

	mbj_id_print(gathered->mailbox, text);
	if (index == MBJ_NODE_NONE || !mbj_tree_get(tree, index)->is_live)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "there is a content of mailbox %s, which "
				     "there is not",
				     text);
	if (gathered->said.message_count != gathered->found.message_count ||
	    gathered->said.message_size != gathered->found.message_size)
		return mbj_error_set(
			err, MBJ_ECORRUPT,
			"mailbox %s counts %llu messages of %llu bytes, but "
			"has %llu of %llu",
			text, (unsigned long long)gathered->said.message_count,
			(unsigned long long)gathered->said.message_size,
			(unsigned long long)gathered->found.message_count,
			(unsigned long long)gathered->found.message_size);
	if (!mbj_digest_equal(&gathered->said.digest, &gathered->found.digest))
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "the messages of mailbox %s do not sum to "
				     "its digest",
				     text);
	return MBJ_OK;
}

enum mbj_rc gather_judge(struct gather *g, const struct mbj_account *account,
			 struct mbj_error *err)
{
	uint64_t count = 0;
	uint64_t size = 0;
	enum mbj_rc rc = MBJ_OK;

	contents_sort(g);
	for (size_t i = 0; rc == MBJ_OK && i < g->count; i++) {
		const struct gathered *gathered = &g->contents[i];

		if (i > 0 && gathered_compare(gathered - 1, gathered) == 0)
			return mbj_error_set(err, MBJ_ECORRUPT,
					     "two mailboxes have the same "
					     "messages");
		rc = content_judge(gathered, g->tree, err);
		count += gathered->found.message_count;
		size += gathered->found.message_size;
	}
	if (rc == MBJ_OK &&
	    (count != account->message_count || size != account->message_size))
		rc = mbj_error_set(
			err, MBJ_ECORRUPT,
			"the account counts %llu messages of %llu bytes, but "
			"has %llu of %llu",
			(unsigned long long)account->message_count,
			(unsigned long long)account->message_size,
			(unsigned long long)count, (unsigned long long)size);
	return rc;
}
