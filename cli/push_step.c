/*
 * Steps of the plan as commands, one after the other, each announced in the
 * file before it is sent and noted there when the server has said OK; see
 * push.h.
 */
#include <stdio.h>

#include <mbj/check.h>

#include "push.h"

/* --------------------------------------------------------------- commands */

enum mbj_rc push_do(struct push *p)
{
	if (!p->call->options.is_dry_run)
		return push_wire_run(&p->wire, &p->command, &p->err);
	if (!p->call->options.is_json) {
		mbj_name_escape(&p->out, mbj_buf_view(&p->command));
		mbj_buf_put_str(&p->out, "\n");
	}
	return mbj_buf_ok(&p->out, &p->err);
}

static void put_name(struct mbj_buf *command, struct mbj_bytes name)
{
	mbj_buf_put_str(command, " ");
	mbj_imap_quote_put(command, name);
}

enum mbj_rc push_step_do(struct push *p, const struct push_doubt *step,
			 bool *ret_is_done)
{
	enum mbj_rc rc, settled;

	rc = push_file_step(&p->file, step, &p->err);
	if (rc < 0)
		return rc;
	mbj_buf_clear(&p->command);
	switch (step->kind) {
	case PUSH_STEP_CREATE:
		mbj_buf_put_str(&p->command, "CREATE");
		put_name(&p->command, step->to);
		break;
	case PUSH_STEP_RENAME:
		mbj_buf_put_str(&p->command, "RENAME");
		put_name(&p->command, step->from);
		put_name(&p->command, step->to);
		break;
	case PUSH_STEP_DELETE:
	case PUSH_STEP_NONE:
		mbj_buf_put_str(&p->command, "DELETE");
		put_name(&p->command, step->from);
		break;
	}
	rc = push_do(p);
	*ret_is_done = rc == MBJ_OK;
	if (rc != MBJ_ECONFLICT)
		return rc;
	settled = push_file_settled(&p->file, NULL);
	return settled < 0
		       ? mbj_error_prefix(&p->err, rc,
					  "cannot note what the server said")
		       : push_out_refused(p, step);
}

static enum mbj_rc create_run(struct push *p, struct mbj_id id,
			      struct mbj_bytes name, bool *ret_is_done)
{
	struct push_doubt step = {.kind = PUSH_STEP_CREATE,
				  .id = id,
				  .to = name};
	struct push_record record = {.id = id, .name = name};
	struct push_seen seen;
	enum mbj_rc rc = push_step_do(p, &step, ret_is_done);

	if (rc < 0 || !*ret_is_done)
		return rc;
	if (!p->call->options.is_dry_run) {
		rc = push_status(p, name, &seen);
		if (rc == MBJ_OK && !seen.is_selectable)
			rc = mbj_error_set(&p->err, MBJ_ECONFLICT,
					   "the server does not show what it "
					   "has just created: %.*s",
					   (int)name.n, (const char *)name.p);
		record.uidvalidity = seen.uidvalidity;
		record.uidnext = seen.uidnext;
		record.object = seen.object;
	}
	if (rc == MBJ_OK)
		rc = push_file_mailbox(&p->file, &record, &p->err);
	if (rc == MBJ_OK)
		p->count.created++;
	return rc;
}

/* Evidence of one of ours; nothing of what others made. */
struct push_doubt push_step_of(const struct push *p, enum push_step_kind kind,
			       struct mbj_id id)
{
	const struct push_record *record = push_file_find(&p->file, id);
	struct push_doubt step = {.kind = kind, .id = id};

	if (record != NULL) {
		step.uidvalidity = record->uidvalidity;
		step.object = record->object;
	}
	return step;
}

/* A place that nothing needs any more: some servers go on listing it. */
enum mbj_rc push_place_tidy(struct push *p, struct mbj_bytes name)
{
	bool is_place = false;
	enum mbj_rc rc;

	if (p->call->options.is_dry_run)
		return MBJ_OK;
	rc = push_is_place(p, name, &is_place);
	if (rc < 0 || !is_place)
		return rc;
	mbj_buf_clear(&p->command);
	mbj_buf_put_str(&p->command, "DELETE");
	put_name(&p->command, name);
	rc = push_wire_run(&p->wire, &p->command, &p->err);
	return rc == MBJ_ECONFLICT ? MBJ_OK : rc;
}

static bool has_below(const struct push *p, struct mbj_bytes name)
{
	for (size_t i = 0; i < p->file.count; i++) {
		if (push_is_below(p->file.records[i].name, name, p->delimiter))
			return true;
	}
	return false;
}

/* Is the mailbox of the record where it was, although it was to go along? */
static enum mbj_rc is_left(struct push *p, const struct push_record *record,
			   const struct push_names *there, bool *ret_is_left)
{
	struct push_seen seen;
	enum mbj_rc rc;

	*ret_is_left = false;
	if (!push_names_has(there, record->name))
		return MBJ_OK;
	rc = push_status(p, record->name, &seen);
	if (rc == MBJ_OK)
		*ret_is_left = push_is_same(p, &seen, record->uidvalidity,
					    record->uidnext, record->object);
	return rc;
}

/*
 * Where a rename took the mailbox of a record, and what it is there.  Where the
 * server says nothing of it the step stays open, and the next run looks.
 */
static enum mbj_rc record_ask(struct push *p, const struct push_doubt *step,
			      struct push_record record)
{
	struct push_seen seen = {.is_selectable = false};
	enum mbj_rc rc;

	mbj_buf_clear(&p->name);
	mbj_buf_put_bytes(&p->name, step->to);
	mbj_buf_put(&p->name, record.name.p + step->from.n,
		    record.name.n - step->from.n);
	rc = mbj_buf_ok(&p->name, &p->err);
	if (rc == MBJ_OK)
		rc = push_text(&p->file, mbj_buf_view(&p->name), &record.name,
			       &p->err);
	if (rc == MBJ_OK)
		rc = push_status(p, record.name, &seen);
	if (rc == MBJ_OK && !seen.is_selectable)
		rc = mbj_error_set(&p->err, MBJ_ECONFLICT,
				   "the server renamed a mailbox to %.*s, and "
				   "tells nothing of it there; push again",
				   (int)record.name.n,
				   (const char *)record.name.p);
	if (rc < 0 ||
	    (push_can(p, MBJ_IMAP_CAPABILITY_OBJECTID) && record.object.n > 0 &&
	     !mbj_bytes_equal(seen.object, record.object)))
		return rc;
	record.uidvalidity = seen.uidvalidity;
	record.uidnext = seen.uidnext;
	record.object = seen.object;
	return push_file_mailbox(&p->file, &record, &p->err);
}

/*
 * Some servers give mailboxes another UIDVALIDITY with another name: what is
 * below is asked for, too, where the mailbox itself has one.  What is where it
 * was stays there in the file, and the next run plans from that: names of this
 * one's plan are wrong by now.
 */
static enum mbj_rc renamed_ask(struct push *p, const struct push_doubt *step,
			       const struct push_names *there)
{
	enum mbj_rc rc = MBJ_OK;
	uint64_t left = 0;

	for (size_t i = 0; rc == MBJ_OK && i < p->file.count; i++) {
		struct push_record record = p->file.records[i];
		bool is_behind = false;

		if (!mbj_bytes_equal(record.name, step->from) &&
		    !push_is_below(record.name, step->from, p->delimiter))
			continue;
		rc = is_left(p, &record, there, &is_behind);
		left += is_behind;
		if (rc == MBJ_OK && !is_behind)
			rc = record_ask(p, step, record);
	}
	if (rc == MBJ_OK)
		rc = push_file_settled(&p->file, &p->err);
	if (rc < 0 || left == 0)
		return rc;
	return mbj_error_set(&p->err, MBJ_ECONFLICT,
			     "the server renamed %.*s, and left %llu mailboxes "
			     "below it where they were; push again, which "
			     "brings them along",
			     (int)step->from.n, (const char *)step->from.p,
			     (unsigned long long)left);
}

/* What a rename that was done came to. */
static enum mbj_rc renamed(struct push *p, const struct push_doubt *step)
{
	struct push_seen seen = {.uidvalidity = step->uidvalidity};
	struct push_names there = {.count = 0};
	enum mbj_rc rc = MBJ_OK;

	if (!p->call->options.is_dry_run && has_below(p, step->from))
		rc = push_list_below(p, step->from, &there);
	push_names_sort(&there);
	if (rc == MBJ_OK && !p->call->options.is_dry_run &&
	    !push_can(p, MBJ_IMAP_CAPABILITY_OBJECTID))
		rc = push_status(p, step->to, &seen);
	if (rc == MBJ_OK)
		rc = there.count > 0 || seen.uidvalidity != step->uidvalidity
			     ? renamed_ask(p, step, &there)
			     : push_file_moved(&p->file, step->from, step->to,
					       p->delimiter, &p->err);
	mbj_free(there.list);
	return rc;
}

/* A name that is listed, and leads to nothing, may keep others from it. */
static enum mbj_rc target_free(struct push *p, struct mbj_bytes name)
{
	const struct push_seen *seen = push_seen_find(p, name);

	return seen == NULL || seen->is_selectable ? MBJ_OK
						   : push_place_tidy(p, name);
}

static enum mbj_rc rename_run(struct push *p, struct mbj_id id,
			      struct mbj_bytes from, struct mbj_bytes to,
			      bool *ret_is_done)
{
	struct push_doubt step = push_step_of(p, PUSH_STEP_RENAME, id);
	enum mbj_rc rc;

	/* A killed run may have put it there. */
	*ret_is_done = true;
	if (mbj_bytes_equal(from, to))
		return MBJ_OK;
	step.from = from;
	step.to = to;
	rc = target_free(p, to);
	if (rc == MBJ_OK)
		rc = push_step_do(p, &step, ret_is_done);
	if (rc < 0 || !*ret_is_done)
		return rc;
	rc = renamed(p, &step);
	if (rc == MBJ_OK)
		p->count.renamed++;
	return rc;
}

/* ------------------------------------------------------------------ steps */

/* Where a step takes the node of that id: its place, or aside. */
static void target(struct push *p, const struct mbj_step *step, uint32_t after,
		   struct mbj_id id, char parked[PUSH_PARKED_SIZE],
		   struct mbj_name *ret_name, uint32_t *ret_parent)
{
	const struct mbj_node *node;

	if (step->is_to_temp) {
		push_parked(id, parked);
		*ret_name = (struct mbj_name){mbj_bytes_str(parked),
					      mbj_bytes_str(parked)};
		*ret_parent = MBJ_NODE_TEMP;
		return;
	}
	node = mbj_tree_get(p->after, after);
	*ret_name = node->name;
	*ret_parent = node->parent;
	if (node->parent < mbj_tree_size(p->after))
		*ret_parent =
			mbj_tree_find(p->now,
				      mbj_tree_get(p->after, node->parent)->id);
}

/*
 * Where a step was refused others behind it may have no place, or one that is
 * not free: they are not taken, and planned anew.
 */
static enum mbj_rc unfit(struct push *p, enum mbj_rc rc)
{
	if (!p->is_refused || rc == MBJ_ENOMEM)
		return rc;
	p->is_again = true;
	return MBJ_OK;
}

static enum mbj_rc step_create(struct push *p, const struct mbj_step *step)
{
	uint32_t at = p->diff.at[MBJ_AFTER][step->item], added;
	struct mbj_node node = *mbj_tree_get(p->after, at);
	struct mbj_bytes name;
	char parked[PUSH_PARKED_SIZE];
	bool is_done = true;
	enum mbj_rc rc;

	target(p, step, at, node.id, parked, &node.name, &node.parent);
	if (node.parent == MBJ_NODE_NONE)
		return node.is_selectable
			       ? push_out_add(p, node.id, node.name.stored,
					      ", as what it is below is")
			       : MBJ_OK;
	rc = mbj_tree_add(p->now, &node, &added, &p->err);
	if (rc < 0)
		return unfit(p, rc);
	/* Places come along with what is below them. */
	if (!node.is_selectable)
		return MBJ_OK;
	rc = push_name(p, p->now, added, &name);
	if (rc == MBJ_OK)
		rc = create_run(p, node.id, name, &is_done);
	return rc == MBJ_OK && !is_done
		       ? mbj_tree_remove(p->now, added, &p->err)
		       : rc;
}

/* Is it the topmost mailbox below a place? */
static bool is_topmost(const struct push *p, uint32_t place, uint32_t node)
{
	uint32_t up = node, size = mbj_tree_size(p->now);

	do {
		up = mbj_tree_get(p->now, up)->parent;
		if (up >= size)
			return false;
		if (up == place)
			return true;
	} while (!mbj_tree_get(p->now, up)->is_selectable);
	return false;
}

/* A place is nothing that could be renamed: what is below it is, one by one. */
static enum mbj_rc place_move(struct push *p, uint32_t at, uint32_t parent,
			      const struct mbj_name *name)
{
	uint32_t size = mbj_tree_size(p->now);
	struct mbj_bytes *from = mbj_calloc((size_t)size + 1, sizeof(*from));
	struct mbj_bytes place, to;
	bool is_done = true;
	enum mbj_rc rc;

	rc = from == NULL ? mbj_error_nomem(&p->err)
			  : push_name(p, p->now, at, &place);
	for (uint32_t i = 0; rc == MBJ_OK && i < size; i++) {
		const struct mbj_node *node = mbj_tree_get(p->now, i);

		if (node->is_live && node->is_selectable &&
		    is_topmost(p, at, i))
			rc = push_name(p, p->now, i, &from[i]);
	}
	if (rc == MBJ_OK)
		rc = mbj_tree_move(p->now, at, parent, name, &p->err);
	/* Half of a place is at both: no other step knows where it is. */
	for (uint32_t i = 0; rc == MBJ_OK && is_done && i < size; i++) {
		if (from[i].n == 0)
			continue;
		rc = push_name(p, p->now, i, &to);
		if (rc == MBJ_OK)
			rc = rename_run(p, mbj_tree_get(p->now, i)->id, from[i],
					to, &is_done);
	}
	mbj_free(from);
	p->is_halved |= !is_done;
	return rc == MBJ_OK && is_done ? push_place_tidy(p, place) : rc;
}

static enum mbj_rc step_move(struct push *p, const struct mbj_step *step)
{
	uint32_t before = p->diff.at[MBJ_BEFORE][step->item];
	uint32_t after = p->diff.at[MBJ_AFTER][step->item], at, parent;
	struct mbj_node was;
	struct mbj_bytes from, to;
	struct mbj_name name;
	char parked[PUSH_PARKED_SIZE];
	struct mbj_id id;
	bool is_done = true;
	enum mbj_rc rc;

	id = before != MBJ_NODE_NONE ? mbj_tree_get(p->before, before)->id
				     : mbj_tree_get(p->after, after)->id;
	at = mbj_tree_find(p->now, id);
	target(p, step, after, id, parked, &name, &parent);
	if (at == MBJ_NODE_NONE || parent == MBJ_NODE_NONE)
		return unfit(p, MBJ_ECONFLICT);
	was = *mbj_tree_get(p->now, at);
	if (!was.is_selectable)
		return place_move(p, at, parent, &name);
	rc = push_name(p, p->now, at, &from);
	if (rc == MBJ_OK)
		rc = mbj_tree_move(p->now, at, parent, &name, &p->err);
	if (rc < 0)
		return unfit(p, rc);
	rc = push_name(p, p->now, at, &to);
	if (rc == MBJ_OK)
		rc = rename_run(p, id, from, to, &is_done);
	return rc == MBJ_OK && !is_done ? mbj_tree_move(p->now, at, was.parent,
							&was.name, &p->err)
					: rc;
}

static enum mbj_rc step_delete(struct push *p, const struct mbj_step *step)
{
	uint32_t before = p->diff.at[MBJ_BEFORE][step->item], at;
	struct mbj_bytes name;
	bool is_mailbox, is_gone = false;
	struct mbj_id id;
	enum mbj_rc rc;

	id = mbj_tree_get(p->before, before)->id;
	at = mbj_tree_find(p->now, id);
	if (mbj_tree_child_count(p->now, at) > 0)
		return unfit(p, MBJ_ECONFLICT);
	is_mailbox = mbj_tree_get(p->now, at)->is_selectable;
	rc = push_name(p, p->now, at, &name);
	if (rc == MBJ_OK)
		rc = push_delete(p, before, is_mailbox, name, &is_gone);
	return rc == MBJ_OK && is_gone ? mbj_tree_remove(p->now, at, &p->err)
				       : rc;
}

static enum mbj_rc plan_run(struct push *p)
{
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = 0; rc == MBJ_OK && !p->is_halved && i < p->plan.count;
	     i++) {
		const struct mbj_step *step = &p->plan.steps[i];

		if (step->kind == MBJ_STEP_CREATE)
			rc = step_create(p, step);
		else if (step->kind == MBJ_STEP_MOVE)
			rc = step_move(p, step);
		else
			rc = step_delete(p, step);
	}
	return rc;
}

/* Before all steps: mailboxes whose name stays for what is below. */
static enum mbj_rc aim_before(struct push *p, uint32_t at)
{
	const struct push_aim *aim = &p->aims[at];
	struct mbj_id id = mbj_tree_get(p->after, at)->id;
	const struct push_seen *seen;
	struct push_record record;
	struct mbj_bytes name;
	bool is_gone = false;
	enum mbj_rc rc;

	if (aim->is_adopted) {
		seen = &p->seen[p->before_seen[mbj_tree_find(p->before, id)]];
		record = (struct push_record){
			.id = mbj_tree_get(p->wanted, aim->wanted)->id,
			.uidvalidity = seen->uidvalidity,
			.uidnext = seen->uidnext,
			.object = seen->object,
			.name = seen->name};
		p->count.adopted++;
		return push_file_mailbox(&p->file, &record, &p->err);
	}
	if (!aim->is_left)
		return MBJ_OK;
	at = mbj_tree_find(p->now, id);
	rc = push_name(p, p->now, at, &name);
	if (rc == MBJ_OK)
		rc = push_delete(p, mbj_tree_find(p->before, id), true, name,
				 &is_gone);
	if (rc == MBJ_OK && is_gone)
		mbj_tree_edit(p->now, at)->is_selectable = false;
	return rc;
}

/* Behind all steps: mailboxes in the places of names that are there. */
static enum mbj_rc aim_behind(struct push *p, uint32_t at)
{
	const struct push_aim *aim = &p->aims[at];
	struct mbj_bytes name;
	bool is_done;
	enum mbj_rc rc;

	if (!aim->is_filled)
		return MBJ_OK;
	rc = push_name(p, p->after, at, &name);
	return rc == MBJ_OK
		       ? create_run(p, mbj_tree_get(p->wanted, aim->wanted)->id,
				    name, &is_done)
		       : rc;
}

enum mbj_rc push_steps(struct push *p)
{
	struct mbj_plan_options options = MBJ_PLAN_OPTIONS_DEFAULT;
	enum mbj_rc rc;

	rc = mbj_diff_make(p->before, p->after, &p->diff, &p->err);
	if (rc == MBJ_OK)
		rc = mbj_plan_make(&p->diff, &options, &p->plan, &p->err);
	if (rc == MBJ_OK)
		rc = mbj_tree_dup(p->before, &p->now, &p->err);
	for (uint32_t i = 0; rc == MBJ_OK && i < p->aim_count; i++)
		rc = aim_before(p, i);
	if (rc == MBJ_OK)
		rc = plan_run(p);
	/* What is above them may not be where it is to be. */
	for (uint32_t i = 0; rc == MBJ_OK && !p->is_again && i < p->aim_count;
	     i++)
		rc = aim_behind(p, i);
	return rc;
}
