/*
 * Subscriptions: what the account subscribes is subscribed at the server; what
 * a push subscribed and the account no longer does is not.  What others
 * subscribed there stays.
 *
 * Both commands may be given again, so that nothing is in doubt: a name is ours
 * in the file before it is subscribed, and until it is not.  Where the server
 * says no, that is said, and the others go on.
 */
#include <stdlib.h>
#include <string.h>

#include "push.h"

static int name_compare(const void *a, const void *b)
{
	const struct mbj_bytes *x = a, *y = b;

	return mbj_bytes_compare(*x, *y);
}

bool push_names_has(const struct push_names *names, struct mbj_bytes name)
{
	return names->count > 0 && bsearch(&name, names->list, names->count,
					   sizeof(name), name_compare) != NULL;
}

void push_names_sort(struct push_names *names)
{
	if (names->count > 1)
		qsort(names->list, names->count, sizeof(*names->list),
		      name_compare);
}

static enum mbj_rc wanted_names(struct push *p,
				const struct mbj_client_subscriptions *list,
				struct push_names *names)
{
	enum mbj_rc rc = MBJ_OK;

	names->list = mbj_calloc(list->count + 1, sizeof(*names->list));
	if (names->list == NULL)
		return mbj_error_nomem(&p->err);
	for (size_t i = 0; rc == MBJ_OK && i < list->count; i++) {
		struct mbj_bytes name;

		rc = push_name_of(p, list->paths[i].stored, &name);
		if (rc < 0)
			break;
		if (name.n > 0) {
			names->list[names->count++] = name;
			continue;
		}
		p->count.left_out++;
		cli_say(p->call,
			"a subscription is left out: the server cannot have "
			"that name");
	}
	return rc;
}

static enum mbj_rc command(struct push *p, const char *word,
			   struct mbj_bytes name, bool *ret_is_done)
{
	enum mbj_rc rc;

	mbj_buf_clear(&p->command);
	mbj_buf_put_str(&p->command, word);
	mbj_imap_quote_put(&p->command, name);
	rc = push_do(p);
	*ret_is_done = rc == MBJ_OK;
	if (rc != MBJ_ECONFLICT)
		return rc;
	cli_say(p->call, "a subscription is left out: %s", p->err.message);
	p->count.left_out++;
	return MBJ_OK;
}

static enum mbj_rc names_drop(struct push *p, const struct push_names *wanted,
			      const struct push_names *there)
{
	struct push_names *ours = &p->file.subscribed;
	enum mbj_rc rc = MBJ_OK;

	/* Whatever takes the place of one that goes has been looked at. */
	for (size_t i = ours->count; rc == MBJ_OK && i-- > 0;) {
		struct mbj_bytes name = ours->list[i];
		bool is_done = true;

		if (push_names_has(wanted, name))
			continue;
		if (push_names_has(there, name)) {
			rc = command(p, "UNSUBSCRIBE ", name, &is_done);
			p->count.unsubscribed += is_done;
		}
		if (rc == MBJ_OK && is_done)
			rc = push_file_subscribed(&p->file, name, false,
						  &p->err);
	}
	return rc;
}

/* ours: what the file had before; it may be of another order by now. */
static enum mbj_rc names_add(struct push *p, const struct push_names *wanted,
			     const struct push_names *there,
			     const struct push_names *ours)
{
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = 0; rc == MBJ_OK && i < wanted->count; i++) {
		struct mbj_bytes name = wanted->list[i];
		bool is_ours = push_names_has(ours, name), is_done;

		if (!is_ours)
			rc = push_file_subscribed(&p->file, name, true,
						  &p->err);
		if (rc < 0 || push_names_has(there, name))
			continue;
		if (is_ours)
			push_say(p, name,
				 "is not subscribed at the server any more, "
				 "and is subscribed again");
		rc = command(p, "SUBSCRIBE ", name, &is_done);
		p->count.subscribed += is_done;
		if (rc == MBJ_OK && !is_done)
			rc = push_file_subscribed(&p->file, name, false,
						  &p->err);
	}
	return rc;
}

static enum mbj_rc names_run(struct push *p, const struct push_names *wanted,
			     const struct push_names *there)
{
	struct push_names ours = {.count = 0};
	enum mbj_rc rc = names_drop(p, wanted, there);

	ours.count = p->file.subscribed.count;
	ours.list = mbj_calloc(ours.count + 1, sizeof(*ours.list));
	if (ours.list == NULL)
		return rc < 0 ? rc : mbj_error_nomem(&p->err);
	if (ours.count > 0)
		memcpy(ours.list, p->file.subscribed.list,
		       ours.count * sizeof(*ours.list));
	push_names_sort(&ours);
	if (rc == MBJ_OK)
		rc = names_add(p, wanted, there, &ours);
	mbj_free(ours.list);
	return rc;
}

enum mbj_rc push_subscribe(struct push *p)
{
	struct mbj_client_subscriptions list = {.count = 0};
	struct push_names wanted = {.count = 0}, there = {.count = 0};
	enum mbj_rc rc;

	rc = mbj_client_subscriptions(p->client,
				      mbj_bytes_str(p->call->operands[1]),
				      &list, &p->err);
	if (rc == MBJ_OK)
		rc = wanted_names(p, &list, &wanted);
	if (rc == MBJ_OK)
		rc = push_lsub(p, &there);
	push_names_sort(&wanted);
	push_names_sort(&there);
	if (rc == MBJ_OK)
		rc = names_run(p, &wanted, &there);
	mbj_free(wanted.list);
	mbj_free(there.list);
	mbj_client_subscriptions_done(&list);
	return rc;
}
