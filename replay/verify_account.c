/*
 * Differences of one account beside its tree, once the digests differ: name,
 * policy and limits, attributes, subscribed names without a
 * mailbox (the others are the tree's to tell).
 *
 * Both sides are in key order, and are merged.  A mailbox that only one side
 * has was named as a whole: its attributes are passed over.
 */
#include <inttypes.h>
#include <string.h>

#include <mbj/attribute.h>
#include <mbj/check.h>

#include "verify_priv.h"

/* What is quoted is escaped, and cut where it is long. */
enum { QUOTE_MAX = 160 };

static const char *side_word(int which)
{
	return which == 0 ? "first" : "second";
}

/* ------------------------------------------------------------- account */

static enum mbj_rc number_compare(const char *word, uint64_t a, uint64_t b,
				  struct verify_list *list,
				  struct mbj_error *err)
{
	if (a == b)
		return MBJ_OK;
	return verify_list_add(list, MBJ_DIFFERENCE_ACCOUNT_DIFFERS,
			       MBJ_ID_ROOT, err,
			       "%s %" PRIu64 " in the first store, %" PRIu64
			       " in the second",
			       word, a, b);
}

static enum mbj_rc record_compare(const struct mbj_account *a,
				  const struct mbj_account *b,
				  struct verify_list *list,
				  struct mbj_error *err)
{
	const struct {
		const char *word;
		uint64_t first;
		uint64_t second;
	} values[] = {
		{"folds case", a->policy.is_folding, b->policy.is_folding},
		{"last UIDVALIDITY", a->uidvalidity_last, b->uidvalidity_last},
		{"quota of messages", a->quota_messages, b->quota_messages},
		{"quota of bytes", a->quota_size, b->quota_size},
	};
	char name[QUOTE_MAX];
	enum mbj_rc rc = MBJ_OK;

	if (!mbj_bytes_equal(a->name, b->name)) {
		(void)mbj_text_escape(name, sizeof(name), b->name);
		rc = verify_list_add(list, MBJ_DIFFERENCE_ACCOUNT_DIFFERS,
				     MBJ_ID_ROOT, err,
				     "is called \"%s\" in the second store",
				     name);
	}
	for (size_t i = 0; rc == MBJ_OK && i < sizeof(values) / sizeof(*values);
	     i++)
		rc = number_compare(values[i].word, values[i].first,
				    values[i].second, list, err);
	return rc;
}

/* --------------------------------------------------------------- merging */

/* One side of a merge, at its next record while it has one. */
struct stream {
	struct mbj_scan scan;
	struct mbj_attr attr;
	struct mbj_path path;
	bool has_next;
};

static enum mbj_rc attr_next(struct stream *stream, struct mbj_error *err)
{
	enum mbj_rc rc = mbj_scan_next_attr(&stream->scan, &stream->attr, err);

	stream->has_next = rc == MBJ_OK;
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

static enum mbj_rc path_next(struct stream *stream, struct mbj_error *err)
{
	enum mbj_rc rc =
		mbj_scan_next_subscription(&stream->scan, &stream->path, err);

	stream->has_next = rc == MBJ_OK;
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* Which side comes next: below 0 the first, above 0 the second, 0 both. */
static int streams_order(const struct stream streams[2],
			 int (*compare)(const struct stream *a,
					const struct stream *b))
{
	if (!streams[0].has_next)
		return 1;
	if (!streams[1].has_next)
		return -1;
	return compare(&streams[0], &streams[1]);
}

/* ----------------------------------------------------------- attributes */

static int attr_compare(const struct stream *a, const struct stream *b)
{
	int order = mbj_id_compare(a->attr.mailbox, b->attr.mailbox);

	if (order == 0)
		order = (int)a->attr.kind - (int)b->attr.kind;
	return order != 0 ? order
			  : mbj_bytes_compare(a->attr.name, b->attr.name);
}

/* any is a or b, the one that there is; the other may be NULL. */
static enum mbj_rc attr_differs(const struct mbj_attr *any,
				const struct mbj_attr *a,
				const struct mbj_attr *b,
				struct verify_list *list, struct mbj_error *err)
{
	char name[QUOTE_MAX], first[QUOTE_MAX], second[QUOTE_MAX];
	const char *kind = mbj_attr_kind_name(any->kind);

	enum mbj_difference_kind differs =
		mbj_id_is_root(any->mailbox) ? MBJ_DIFFERENCE_ACCOUNT_DIFFERS
					     : MBJ_DIFFERENCE_MAILBOX_DIFFERS;

	(void)mbj_text_escape(name, sizeof(name), any->name);
	if (a == NULL || b == NULL)
		return verify_list_add(list, differs, any->mailbox, err,
				       "%s \"%s\" is only in the %s store",
				       kind, name, side_word(a == NULL));
	(void)mbj_text_escape(first, sizeof(first), a->value);
	(void)mbj_text_escape(second, sizeof(second), b->value);
	return verify_list_add(list, differs, any->mailbox, err,
			       "%s \"%s\" is \"%s\" in the first store, \"%s\" "
			       "in the second",
			       kind, name, first, second);
}

static enum mbj_rc attr_judge(const struct verify_pair *pair,
			      const struct stream streams[2], int order,
			      struct verify_list *list, struct mbj_error *err)
{
	const struct mbj_attr *a = &streams[0].attr, *b = &streams[1].attr;
	struct mbj_id mailbox = order <= 0 ? a->mailbox : b->mailbox;

	if (order == 0 && mbj_bytes_equal(a->value, b->value))
		return MBJ_OK;
	for (int i = 0; !mbj_id_is_root(mailbox) && i < 2; i++)
		if (mbj_tree_find(pair->trees[i], mailbox) == MBJ_NODE_NONE)
			return MBJ_OK;
	return attr_differs(order <= 0 ? a : b, order <= 0 ? a : NULL,
			    order >= 0 ? b : NULL, list, err);
}

static enum mbj_rc attrs_compare(const struct verify_pair *pair,
				 struct verify_list *list,
				 struct mbj_error *err)
{
	struct stream streams[2] = {{.has_next = false}, {.has_next = false}};
	enum mbj_rc rc = MBJ_OK;

	for (int i = 0; rc == MBJ_OK && i < 2; i++) {
		rc = mbj_scan_account_attrs(pair->txns[i], pair->accounts[i].id,
					    &streams[i].scan, err);
		if (rc == MBJ_OK)
			rc = attr_next(&streams[i], err);
	}
	while (rc == MBJ_OK && (streams[0].has_next || streams[1].has_next)) {
		int order = streams_order(streams, attr_compare);

		rc = attr_judge(pair, streams, order, list, err);
		if (rc == MBJ_OK && order <= 0)
			rc = attr_next(&streams[0], err);
		if (rc == MBJ_OK && order >= 0)
			rc = attr_next(&streams[1], err);
	}
	for (int i = 0; i < 2; i++)
		mbj_scan_done(&streams[i].scan);
	return rc;
}

/* --------------------------------------------------------- subscriptions */

static int path_compare(const struct stream *a, const struct stream *b)
{
	return mbj_bytes_compare(a->path.key, b->path.key);
}

/* A mailbox has this name. */
static bool path_leads(const struct mbj_tree *tree, struct mbj_bytes path)
{
	uint32_t at = MBJ_NODE_ROOT;
	size_t begin = 0;

	for (size_t i = 0; i <= path.n && at != MBJ_NODE_NONE; i++) {
		if (i < path.n && path.p[i] != '\0')
			continue;
		at = mbj_tree_find_slot(tree, at,
					mbj_bytes_make(path.p + begin,
						       i - begin));
		begin = i + 1;
	}
	return at != MBJ_NODE_NONE;
}

static enum mbj_rc path_differs(const struct verify_pair *pair,
				const struct stream *stream, int which,
				struct verify_list *list, struct mbj_error *err)
{
	struct mbj_bytes stored = stream->path.stored;
	char name[QUOTE_MAX];
	uint8_t shown[QUOTE_MAX];

	if (path_leads(pair->trees[which], stream->path.key))
		return MBJ_OK;
	if (stored.n > sizeof(shown))
		stored.n = sizeof(shown);
	for (size_t i = 0; i < stored.n; i++)
		shown[i] = stored.p[i] == '\0'
				   ? (uint8_t)pair->accounts[0].policy.delimiter
				   : stored.p[i];
	(void)mbj_text_escape(name, sizeof(name),
			      mbj_bytes_make(shown, stored.n));
	return verify_list_add(list, MBJ_DIFFERENCE_ACCOUNT_DIFFERS,
			       MBJ_ID_ROOT, err,
			       "\"%s\" is subscribed only in the %s store",
			       name, side_word(which));
}

static enum mbj_rc paths_compare(const struct verify_pair *pair,
				 struct verify_list *list,
				 struct mbj_error *err)
{
	struct stream streams[2] = {{.has_next = false}, {.has_next = false}};
	enum mbj_rc rc = MBJ_OK;

	for (int i = 0; rc == MBJ_OK && i < 2; i++) {
		rc = mbj_scan_subscriptions(pair->txns[i], pair->accounts[i].id,
					    mbj_bytes_make(NULL, 0),
					    &streams[i].scan, err);
		if (rc == MBJ_OK)
			rc = path_next(&streams[i], err);
	}
	while (rc == MBJ_OK && (streams[0].has_next || streams[1].has_next)) {
		int order = streams_order(streams, path_compare);
		int which = order > 0;

		if (order != 0)
			rc = path_differs(pair, &streams[which], which, list,
					  err);
		if (rc == MBJ_OK && order <= 0)
			rc = path_next(&streams[0], err);
		if (rc == MBJ_OK && order >= 0)
			rc = path_next(&streams[1], err);
	}
	for (int i = 0; i < 2; i++)
		mbj_scan_done(&streams[i].scan);
	return rc;
}

enum mbj_rc verify_account(const struct verify_pair *pair,
			   struct verify_list *list, struct mbj_error *err)
{
	enum mbj_rc rc;

	MBJ_ASSERT(mbj_id_equal(pair->accounts[0].id, pair->accounts[1].id));
	rc = record_compare(&pair->accounts[0], &pair->accounts[1], list, err);
	if (rc == MBJ_OK)
		rc = attrs_compare(pair, list, err);
	if (rc == MBJ_OK)
		rc = paths_compare(pair, list, err);
	return rc;
}
