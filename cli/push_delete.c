/*
 * Mailboxes that go; see push.h.
 *
 * What was moved out of them may be nowhere else at the server until it is
 * appended there: they go behind that, wherever their names are not needed
 * before, and not while anything that they have could not be appended.
 */
#include <string.h>

#include "push_mail.h"

/* Mail may have come, and mailboxes may be others', since the first look. */
static enum mbj_rc delete_check(struct push *p, const struct push_doubt *step)
{
	char mail[PUSH_MAIL_TEXT];
	struct push_seen seen;
	bool is_owned = false;
	enum mbj_rc rc = push_status(p, step->from, &seen);

	if (rc < 0)
		return rc;
	if (!push_is_same(p, &seen, step->uidvalidity, 0, step->object))
		return mbj_error_set(&p->err, MBJ_ECONFLICT,
				     "mailbox %.*s was to be deleted, but "
				     "another one has its name by now",
				     (int)step->from.n,
				     (const char *)step->from.p);
	if (!push_is_empty(&seen) && !p->call->options.is_emptying)
		rc = push_is_owned(p, step->id, step->from, true, &is_owned);
	if (rc < 0)
		return rc;
	if (!push_is_empty(&seen) && !p->call->options.is_emptying && !is_owned)
		return mbj_error_set(&p->err, MBJ_ECONFLICT,
				     "mailbox %.*s was to be deleted, but by "
				     "now it has %s",
				     (int)step->from.n,
				     (const char *)step->from.p,
				     push_mail_text(&seen, mail));
	return MBJ_OK;
}

static enum mbj_rc delete_run(struct push *p, struct mbj_id id,
			      struct mbj_bytes name, bool *ret_is_gone)
{
	struct push_doubt step = push_step_of(p, PUSH_STEP_DELETE, id);
	enum mbj_rc rc = MBJ_OK;

	step.from = name;
	if (!p->call->options.is_dry_run)
		rc = delete_check(p, &step);
	*ret_is_gone = false;
	if (rc == MBJ_OK)
		rc = push_step_do(p, &step, ret_is_gone);
	if (rc < 0 || !*ret_is_gone)
		return rc;
	p->count.deleted++;
	return push_gone(p, id);
}

/* ------------------------------------------------------------- behind mail */

bool push_can_wait(const struct push *p, uint32_t node)
{
	uint32_t size = mbj_tree_size(p->before);

	for (uint32_t at = node; at < size;) {
		const struct mbj_node *it = mbj_tree_get(p->before, at);
		uint32_t after = mbj_tree_find(p->after, it->id);
		uint32_t parent = it->parent;

		at = it->parent;
		if (parent < size)
			parent = mbj_tree_find(
				p->after, mbj_tree_get(p->before, parent)->id);
		if (parent != MBJ_NODE_NONE &&
		    mbj_tree_find_slot(p->after, parent, it->name.key) != after)
			return false;
		if (parent == MBJ_NODE_NONE && after != MBJ_NODE_NONE)
			return false;
	}
	return true;
}

static enum mbj_rc going_add(struct push *p, const struct push_going *going)
{
	void *list = p->going;
	enum mbj_rc rc;

	rc = mbj_array_reserve(&list, &p->going_capacity, p->going_count + 1,
			       sizeof(*p->going), UINT32_MAX, &p->err);
	p->going = list;
	if (rc == MBJ_OK)
		p->going[p->going_count++] = *going;
	return rc;
}

enum mbj_rc push_delete(struct push *p, uint32_t before, bool is_mailbox,
			struct mbj_bytes name, bool *ret_is_gone)
{
	struct push_going going = {.id = mbj_tree_get(p->before, before)->id,
				   .is_mailbox = is_mailbox,
				   .name = name};

	*ret_is_gone = true;
	if (push_can_wait(p, before))
		return going_add(p, &going);
	return is_mailbox ? delete_run(p, going.id, name, ret_is_gone)
			  : push_place_tidy(p, name);
}

static bool is_missing(const struct push *p, uint64_t blob)
{
	return p->is_changing || push_is_lost(p, blob);
}

/* What a cut APPEND may have brought is there as well. */
static bool has_needed(const struct push *p, const struct push_map *map)
{
	for (size_t i = 0; i < map->count; i++) {
		if (map->entries[i].uid != 0 &&
		    is_missing(p, map->entries[i].blob))
			return true;
	}
	return map->attempt.uid != 0 && is_missing(p, map->attempt.blob);
}

/* Has it anything that is not where it is to be by now? */
static enum mbj_rc is_needed(struct push *p, struct mbj_id id,
			     bool *ret_is_needed)
{
	const struct push_record *record = push_file_find(&p->file, id);
	struct push_map map;
	enum mbj_rc rc;

	*ret_is_needed = false;
	if (record == NULL || !record->has_map ||
	    (p->lost_count == 0 && !p->is_changing))
		return MBJ_OK;
	*ret_is_needed = true;
	rc = push_map_read(p, record, &map);
	if (rc == MBJ_OK)
		*ret_is_needed = has_needed(p, &map);
	push_map_close(&map);
	/* What has no map that can be read may have anything. */
	return rc == MBJ_ENOMEM || rc == MBJ_EIO ? rc : MBJ_OK;
}

static enum mbj_rc going_run(struct push *p, const struct push_going *going)
{
	bool is_kept = false, is_gone;
	enum mbj_rc rc;

	if (!going->is_mailbox)
		return push_place_tidy(p, going->name);
	rc = is_needed(p, going->id, &is_kept);
	if (rc < 0 || !is_kept)
		return rc < 0 ? rc
			      : delete_run(p, going->id, going->name, &is_gone);
	push_say(p, going->name,
		 "is kept, although it is gone: messages that it has are not "
		 "yet where they are by now");
	p->count.left_out++;
	return MBJ_OK;
}

enum mbj_rc push_delete_rest(struct push *p)
{
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = 0; rc == MBJ_OK && i < p->going_count; i++)
		rc = going_run(p, &p->going[i]);
	/* What is below another one is behind it. */
	for (uint32_t i = (uint32_t)p->aim_count; rc == MBJ_OK && i-- > 0;) {
		struct push_going going = {.is_mailbox = true};
		const struct push_record *record;

		if (!p->aims[i].is_going)
			continue;
		going.id = mbj_tree_get(p->after, i)->id;
		record = push_file_find(&p->file, going.id);
		if (record == NULL)
			continue;
		going.name = record->name;
		rc = going_run(p, &going);
	}
	return rc;
}
