/*
 * Differences between two trees of one account, named mailbox by mailbox.
 * Pure; called by verify.c once the digests differ.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <mbj/check.h>

#include "verify_priv.h"

/* Longest text of a difference: two paths are cut to fit. */
enum { VERIFY_TEXT_MAX = 1024, VERIFY_PATH_MAX = 300 };

enum mbj_rc verify_list_add(struct verify_list *list,
			    enum mbj_difference_kind kind,
			    struct mbj_id mailbox, struct mbj_error *err,
			    const char *format, ...)
{
	char text[VERIFY_TEXT_MAX];
	void *items = list->items;
	struct mbj_bytes copy;
	va_list args;
	enum mbj_rc rc;

	list->total++;
	if (list->count >= VERIFY_ACCOUNT_MAX)
		return MBJ_OK;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	rc = mbj_array_reserve(&items, &list->capacity, list->count + 1,
			       sizeof(*list->items), VERIFY_ACCOUNT_MAX, err);
	list->items = items;
	if (rc < 0)
		return rc;
	if (!mbj_arena_dup(list->arena, mbj_bytes_make(text, strlen(text) + 1),
			   &copy))
		return mbj_error_nomem(err);
	list->items[list->count++] = (struct mbj_difference){
		.kind = kind,
		.mailbox = mailbox,
		.text = (const char *)copy.p,
	};
	return MBJ_OK;
}

/* The escaped path of a node, cut to what a line can hold. */
static void path_text(const struct mbj_tree *tree, uint32_t index,
		      char delimiter, char text[VERIFY_PATH_MAX])
{
	struct mbj_buf path;
	struct mbj_buf escaped;

	mbj_buf_init(&path, MBJ_PATH_MAX * 4);
	mbj_buf_init(&escaped, MBJ_PATH_MAX * 32);
	mbj_tree_path(tree, index, delimiter, &path);
	mbj_name_escape(&escaped, mbj_buf_view(&path));
	if (mbj_buf_ok(&escaped, NULL) < 0 || mbj_buf_ok(&path, NULL) < 0)
		(void)snprintf(text, VERIFY_PATH_MAX, "(a very long path)");
	else
		(void)snprintf(text, VERIFY_PATH_MAX, "%.*s", (int)escaped.n,
			       (const char *)escaped.p);
	mbj_buf_done(&path);
	mbj_buf_done(&escaped);
}

static struct mbj_id parent_id(const struct mbj_tree *tree,
			       const struct mbj_node *node)
{
	if (node->parent == MBJ_NODE_ROOT)
		return MBJ_ID_ROOT;
	if (node->parent == MBJ_NODE_TEMP)
		return MBJ_ID_TEMP;
	return mbj_tree_get(tree, node->parent)->id;
}

/* Numbers that differ, as "word first/second"; empty where none does. */
static void attributes_text(const struct mbj_node *a, const struct mbj_node *b,
			    char *text, size_t size)
{
	const struct {
		const char *word;
		uint64_t first;
		uint64_t second;
	} values[] = {
		{"revision", a->rev, b->rev},
		{"UIDVALIDITY", a->uidvalidity, b->uidvalidity},
		{"role", a->role, b->role},
		{"selectable", a->is_selectable, b->is_selectable},
		{"subscribed", a->is_subscribed, b->is_subscribed},
	};
	size_t at = 0;

	text[0] = '\0';
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		if (values[i].first == values[i].second)
			continue;
		at += (size_t)snprintf(text + at, size - at,
				       ", %s %" PRIu64 "/%" PRIu64,
				       values[i].word, values[i].first,
				       values[i].second);
		MBJ_ASSERT(at < size);
	}
}

static enum mbj_rc compare_pair(const struct mbj_tree *first, uint32_t i,
				const struct mbj_tree *second, uint32_t j,
				char delimiter, struct verify_list *list,
				struct mbj_error *err)
{
	const struct mbj_node *a = mbj_tree_get(first, i);
	const struct mbj_node *b = mbj_tree_get(second, j);
	char path_a[VERIFY_PATH_MAX];
	char path_b[VERIFY_PATH_MAX];
	char attributes[256];
	bool is_placed;

	is_placed = mbj_id_equal(parent_id(first, a), parent_id(second, b)) &&
		    mbj_bytes_equal(a->name.stored, b->name.stored) &&
		    mbj_bytes_equal(a->name.key, b->name.key);
	attributes_text(a, b, attributes, sizeof(attributes));
	if (is_placed && attributes[0] == '\0')
		return MBJ_OK;
	path_text(first, i, delimiter, path_a);
	path_text(second, j, delimiter, path_b);
	if (is_placed)
		return verify_list_add(list, MBJ_DIFFERENCE_MAILBOX_DIFFERS,
				       a->id, err, "%s: %s", path_a,
				       attributes + 2);
	return verify_list_add(list, MBJ_DIFFERENCE_MAILBOX_DIFFERS, a->id, err,
			       "%s in the first, %s in the second%s", path_a,
			       path_b, attributes);
}

/* Mailboxes of `of` that `in` does not have. */
static enum mbj_rc list_lacking(const struct mbj_tree *of,
				const struct mbj_tree *in,
				enum mbj_difference_kind kind, char delimiter,
				struct verify_list *list, struct mbj_error *err)
{
	char path[VERIFY_PATH_MAX];
	enum mbj_rc rc;

	for (uint32_t i = 0; i < mbj_tree_size(of); i++) {
		const struct mbj_node *node = mbj_tree_get(of, i);

		if (!node->is_live ||
		    mbj_tree_find(in, node->id) != MBJ_NODE_NONE)
			continue;
		path_text(of, i, delimiter, path);
		rc = verify_list_add(list, kind, node->id, err, "%s", path);
		if (rc < 0)
			return rc;
	}
	return MBJ_OK;
}

enum mbj_rc verify_trees(const struct mbj_tree *first,
			 const struct mbj_tree *second, char delimiter,
			 struct verify_list *list, struct mbj_error *err)
{
	enum mbj_rc rc;

	for (uint32_t i = 0; i < mbj_tree_size(first); i++) {
		const struct mbj_node *node = mbj_tree_get(first, i);
		uint32_t j;

		if (!node->is_live)
			continue;
		j = mbj_tree_find(second, node->id);
		if (j == MBJ_NODE_NONE)
			continue;
		rc = compare_pair(first, i, second, j, delimiter, list, err);
		if (rc < 0)
			return rc;
	}
	rc = list_lacking(first, second, MBJ_DIFFERENCE_MAILBOX_MISSING,
			  delimiter, list, err);
	if (rc < 0)
		return rc;
	return list_lacking(second, first, MBJ_DIFFERENCE_MAILBOX_EXTRA,
			    delimiter, list, err);
}
