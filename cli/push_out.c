/*
 * Mailboxes of ours that are left out of this run, each said once; see push.h.
 *
 * The server says no to a step, or cannot have a name.  What it is about stays
 * as it is there, and the others are planned anew around it: each no makes one
 * mailbox more such a one, or one less free, so that this comes to an end.
 */
#include <string.h>

#include "push.h"

static uint64_t id_hash(struct mbj_id id)
{
	uint64_t hash;

	memcpy(&hash, id.b, sizeof(hash));
	return hash;
}

static struct push_out *find(const struct push *p, struct mbj_id id)
{
	uint64_t hash = id_hash(id);

	for (uint32_t v, at = mbj_table_seek(&p->by_out, hash);
	     mbj_table_next(&p->by_out, hash, &at, &v);) {
		if (mbj_id_equal(p->outs[v].id, id))
			return &p->outs[v];
	}
	return NULL;
}

struct push_out push_out_find(const struct push *p, struct mbj_id id)
{
	const struct push_out *out = find(p, id);

	return out != NULL ? *out : (struct push_out){.id = id};
}

static enum mbj_rc out_get(struct push *p, struct mbj_id id,
			   struct push_out **ret_out)
{
	void *outs = p->outs;
	enum mbj_rc rc;

	*ret_out = find(p, id);
	if (*ret_out != NULL)
		return MBJ_OK;
	rc = mbj_array_reserve(&outs, &p->out_capacity, p->out_count + 1,
			       sizeof(*p->outs),
			       2 * (size_t)MBJ_ACCOUNT_MAILBOXES_MAX, &p->err);
	p->outs = outs;
	if (rc == MBJ_OK)
		rc = mbj_table_add(&p->by_out, id_hash(id),
				   (uint32_t)p->out_count, &p->err);
	if (rc < 0)
		return rc;
	*ret_out = &p->outs[p->out_count++];
	**ret_out = (struct push_out){.id = id};
	return MBJ_OK;
}

enum mbj_rc push_out_add(struct push *p, struct mbj_id id,
			 struct mbj_bytes name, const char *why)
{
	struct push_out *out;
	enum mbj_rc rc = out_get(p, id, &out);

	if (rc < 0 || out->is_placeless)
		return rc;
	out->is_placeless = true;
	push_say(p, name, "is left out%s", why);
	p->count.left_out++;
	return MBJ_OK;
}

enum mbj_rc push_out_refused(struct push *p, const struct push_doubt *step)
{
	bool is_create = step->kind == PUSH_STEP_CREATE;
	bool is_wanted = mbj_tree_find(p->wanted, step->id) != MBJ_NODE_NONE;
	struct mbj_error why = p->err;
	struct push_out *out;
	bool *what;
	enum mbj_rc rc;

	/* Somebody else's that went along: nobody knows it again. */
	if (!is_wanted && push_file_find(&p->file, step->id) == NULL)
		return why.rc;
	rc = out_get(p, step->id, &out);
	if (rc < 0)
		return rc;
	if (step->kind == PUSH_STEP_DELETE)
		what = &out->is_staying;
	else
		what = is_wanted && !out->is_placeless ? &out->is_placeless
						       : &out->is_stuck;
	if (*what)
		return why.rc;
	*what = true;
	p->stuck_count += what == &out->is_stuck;
	push_say(p, is_create ? step->to : step->from, "is left out: %s",
		 why.message);
	p->count.left_out++;
	p->is_refused = true;
	p->is_again |= !is_create;
	return MBJ_OK;
}
