/*
 * mbj tree: an account's mailboxes, as a drawing on a terminal and as a
 * Mailbox/get list anywhere else.
 */
#include <string.h>

#include <mbj/jmap.h>
#include <mbj/open.h>
#include <mbj/utf7.h>

#include "cli.h"

enum { TREE_OUTPUT_MAX = 1 << 30 };

/* While drawing: for each node its next sibling, for each depth a line. */
struct drawing {
	const struct mbj_tree *tree;
	bool *is_last;	       /* [size] the last of its siblings */
	bool *has_line;	       /* [depth] a line runs down at this level */
	struct mbj_utf7 *utf7; /* NULL: UTF-8 */
	struct mbj_buf wire;
	struct mbj_buf *out;
};

/* In an order with parents first, the last child seen is the last one. */
static enum mbj_rc drawing_init(struct drawing *d, const uint32_t *order,
				size_t count, struct mbj_error *err)
{
	uint32_t size = mbj_tree_size(d->tree);
	uint32_t *last = mbj_calloc((size_t)size + 1, sizeof(*last));

	d->is_last = mbj_calloc(size, sizeof(*d->is_last));
	d->has_line = mbj_calloc(MBJ_DEPTH_MAX + 2, sizeof(*d->has_line));
	if (!last || !d->is_last || !d->has_line) {
		mbj_free(last);
		return mbj_error_nomem(err);
	}
	/* last[parent + 1], with the root at 0, holds index + 1. */
	for (size_t i = 0; i < count; i++) {
		uint32_t parent = mbj_tree_get(d->tree, order[i])->parent;

		last[parent == MBJ_NODE_ROOT ? 0 : parent + 1] = order[i] + 1;
	}
	for (uint32_t i = 0; i <= size; i++) {
		if (last[i])
			d->is_last[last[i] - 1] = true;
	}
	mbj_free(last);
	return MBJ_OK;
}

static enum mbj_rc draw_name(struct drawing *d, const struct mbj_node *node,
			     struct mbj_error *err)
{
	enum mbj_rc rc;

	if (!d->utf7) {
		mbj_name_escape(d->out, node->name.stored);
		return MBJ_OK;
	}
	mbj_buf_clear(&d->wire);
	rc = mbj_utf7_encode(d->utf7, node->name.stored, &d->wire, err);
	if (rc == MBJ_OK)
		mbj_buf_put_bytes(d->out, mbj_buf_view(&d->wire));
	return rc;
}

static enum mbj_rc draw_node(struct drawing *d, uint32_t index,
			     struct mbj_error *err)
{
	const struct mbj_node *node = mbj_tree_get(d->tree, index);
	uint32_t depth = mbj_tree_depth(d->tree, index);
	enum mbj_rc rc;

	for (uint32_t i = 2; i < depth; i++)
		mbj_buf_put_str(d->out, d->has_line[i] ? "│   " : "    ");
	if (depth > 1)
		mbj_buf_put_str(d->out, d->is_last[index] ? "└── " : "├── ");
	d->has_line[depth] = !d->is_last[index];
	rc = draw_name(d, node, err);
	if (node->role != MBJ_ROLE_NONE)
		mbj_buf_format(d->out, "  [%s]",
			       mbj_role_name((enum mbj_role)node->role));
	if (!node->is_selectable)
		mbj_buf_put_str(d->out, "  (no mailbox here)");
	mbj_buf_put_str(d->out, "\n");
	return rc;
}

static enum mbj_rc draw(const struct cli_call *call,
			const struct mbj_tree *tree, struct mbj_buf *out,
			struct mbj_error *err)
{
	struct drawing d = {.tree = tree, .out = out};
	uint32_t *order = NULL;
	size_t count;
	enum mbj_rc rc;

	mbj_buf_init(&d.wire, 16 * MBJ_NAME_MAX);
	rc = mbj_tree_order(tree, &order, &count, err);
	if (rc == MBJ_OK && call->options.is_utf7)
		rc = mbj_utf7_new(&d.utf7, err);
	if (rc == MBJ_OK)
		rc = drawing_init(&d, order, count, err);
	for (size_t i = 0; rc == MBJ_OK && i < count; i++)
		rc = draw_node(&d, order[i], err);
	mbj_utf7_free(&d.utf7);
	mbj_buf_done(&d.wire);
	mbj_free(d.is_last);
	mbj_free(d.has_line);
	mbj_free(order);
	return rc;
}

static enum mbj_rc tree_load(const struct cli_call *call,
			     struct mbj_tree **ret_tree, struct mbj_id *ret_id,
			     struct mbj_lsn *ret_state, struct mbj_error *err)
{
	struct mbj_client *client = NULL;
	struct mbj_account account;
	enum mbj_rc rc;

	rc = mbj_client_open(call->operands[0], &client, err);
	if (rc < 0)
		return rc;
	rc = mbj_client_tree(client, mbj_bytes_str(call->operands[1]), &account,
			     ret_tree, err);
	if (rc == MBJ_ENOTFOUND)
		rc = MBJ_FAILURE(cli_no_account(call, err));
	if (rc == MBJ_OK) {
		*ret_id = account.id;
		*ret_state = account.lsn;
	}
	mbj_client_close(&client);
	return rc;
}

int verb_tree(const struct cli_call *call)
{
	bool is_drawing = call->options.is_terminal && !call->options.is_json;
	struct mbj_tree *tree = NULL;
	struct mbj_error err;
	char text[MBJ_ID_TEXT_SIZE];
	struct mbj_lsn state;
	struct mbj_buf out;
	struct mbj_id id;
	enum mbj_rc rc;

	mbj_buf_init(&out, TREE_OUTPUT_MAX);
	rc = tree_load(call, &tree, &id, &state, &err);
	if (rc == MBJ_OK && (is_drawing || call->options.is_utf7))
		rc = draw(call, tree, &out, &err);
	else if (rc == MBJ_OK) {
		mbj_id_print(id, text);
		rc = mbj_jmap_tree_print(tree, mbj_bytes_str(text), state, NULL,
					 &out, &err);
	}
	mbj_tree_free(&tree);
	if (rc == MBJ_OK)
		return cli_write_done(call, &out);
	mbj_buf_done(&out);
	return cli_fail(call, &err);
}
