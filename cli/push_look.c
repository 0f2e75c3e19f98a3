/*
 * What the server has: its capabilities, its namespace, its names, and of each
 * mailbox what tells it from others.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "push.h"

/* No name of ours is longer, whatever modified UTF-7 makes of it. */
enum { SEEN_MAX = 4000000, NAME_MAX_BYTES = 8 * MBJ_PATH_MAX };

#define STATUS_ITEMS "(MESSAGES UIDNEXT UIDVALIDITY)"

/* A server chooses the names: the key is the file's account, which it does not
 * know. */
static uint64_t name_hash(const struct push *p, struct mbj_bytes name)
{
	struct mbj_sip_key key;

	memcpy(&key, p->file.account.b, sizeof(key));
	return mbj_siphash(key, name);
}

static struct push_seen *find(const struct push *p,
			      const struct mbj_table *table,
			      struct mbj_bytes text, bool is_object)
{
	uint64_t hash = name_hash(p, text);

	for (uint32_t v, at = mbj_table_seek(table, hash);
	     mbj_table_next(table, hash, &at, &v);) {
		struct push_seen *seen = &p->seen[v];

		if (mbj_bytes_equal(is_object ? seen->object : seen->name,
				    text))
			return seen;
	}
	return NULL;
}

struct push_seen *push_seen_find(const struct push *p, struct mbj_bytes name)
{
	return find(p, &p->by_name, name, false);
}

struct push_seen *push_seen_find_object(const struct push *p,
					struct mbj_bytes object)
{
	return find(p, &p->by_object, object, true);
}

const char *push_mail_text(const struct push_seen *seen,
			   char text[PUSH_MAIL_TEXT])
{
	if (!seen->has_messages)
		return "messages, or none: the server does not tell";
	(void)snprintf(text, PUSH_MAIL_TEXT, "%" PRIu32 " messages",
		       seen->messages);
	return text;
}

/*
 * INBOX is in capitals, also where it is above others: "Inbox/x" is INBOX/x.
 * Borrowed from p->name, or what was given.
 */
static struct mbj_bytes canonical(struct push *p, struct mbj_bytes name)
{
	const struct mbj_bytes inbox = mbj_bytes_str("INBOX");
	struct mbj_bytes first = name;

	if (name.n > inbox.n && p->delimiter != '\0' &&
	    name.p[inbox.n] == (uint8_t)p->delimiter)
		first.n = inbox.n;
	if (!mbj_imap_is_inbox(first) || memcmp(name.p, inbox.p, inbox.n) == 0)
		return name;
	mbj_buf_clear(&p->name);
	mbj_buf_put_bytes(&p->name, inbox);
	mbj_buf_put(&p->name, name.p + inbox.n, name.n - inbox.n);
	return p->name.failed == MBJ_OK ? mbj_buf_view(&p->name) : name;
}

static enum mbj_rc dup(struct push *p, struct mbj_bytes text,
		       struct mbj_bytes *ret_copy)
{
	return mbj_arena_dup(p->arena, text, ret_copy)
		       ? MBJ_OK
		       : mbj_error_nomem(&p->err);
}

/* Of one of ours, or of one that ours could be in the way of. */
static bool is_name(struct mbj_bytes name)
{
	return name.n > 0 && name.n <= NAME_MAX_BYTES &&
	       mbj_imap_is_quotable(name);
}

/* Of a LIST: not a name only. */
static bool is_mailbox(const struct mbj_imap_response *response)
{
	const uint32_t NO_MAILBOX = UINT32_C(1) << MBJ_IMAP_LIST_NOSELECT |
				    UINT32_C(1) << MBJ_IMAP_LIST_NONEXISTENT;

	return (response->words & NO_MAILBOX) == 0;
}

/* Names that no quoted string can have are somebody else's, and let be. */
static enum mbj_rc seen_add(struct push *p,
			    const struct mbj_imap_response *response)
{
	struct push_seen seen = {.id = MBJ_ID_ROOT};
	void *array = p->seen;
	enum mbj_rc rc;

	if (!is_name(response->name) ||
	    push_seen_find(p, canonical(p, response->name)) != NULL)
		return MBJ_OK;
	seen.is_selectable = is_mailbox(response);
	rc = dup(p, canonical(p, response->name), &seen.name);
	if (rc == MBJ_OK)
		rc = mbj_array_reserve(&array, &p->seen_capacity,
				       p->seen_count + 1, sizeof(*p->seen),
				       SEEN_MAX, &p->err);
	p->seen = array;
	if (rc == MBJ_OK)
		rc = mbj_table_add(&p->by_name, name_hash(p, seen.name),
				   (uint32_t)p->seen_count, &p->err);
	if (rc == MBJ_OK)
		p->seen[p->seen_count++] = seen;
	return rc;
}

static enum mbj_rc status_take(struct push *p,
			       const struct mbj_imap_response *response,
			       struct push_seen *seen)
{
	seen->has_messages = response->has_messages;
	seen->messages = response->messages;
	seen->uidnext = response->uidnext;
	seen->uidvalidity = response->uidvalidity;
	/* A mailbox has one: others are not kept. */
	return seen->object.n == 0 ? dup(p, response->object, &seen->object)
				   : MBJ_OK;
}

/*
 * RFC 8474 has MAILBOXID for STATUS as well, but Cyrus 3.6 answers that with
 * whatever is where the id was, in memory that it has given back.
 */
static enum mbj_rc evidence_ask(struct push *p, struct push_seen *seen)
{
	struct mbj_imap_response response = {.kind = MBJ_IMAP_OTHER};
	struct push_seen now = {.name = seen->name, .id = seen->id};
	bool is_selecting = push_can(p, MBJ_IMAP_CAPABILITY_OBJECTID);
	enum mbj_rc rc;

	mbj_buf_clear(&p->command);
	mbj_buf_put_str(&p->command, is_selecting ? "EXAMINE " : "STATUS ");
	mbj_imap_quote_put(&p->command, now.name);
	if (!is_selecting)
		mbj_buf_put_str(&p->command, " " STATUS_ITEMS);
	rc = push_wire_send(&p->wire, &p->command, &p->err);
	while (rc == MBJ_OK && response.kind != MBJ_IMAP_TAGGED) {
		rc = push_wire_next(&p->wire, &response, &p->err);
		if (rc < 0)
			return rc;
		if (response.kind == MBJ_IMAP_EXISTS) {
			now.has_messages = true;
			now.messages = response.messages;
		}
		if (response.kind == MBJ_IMAP_CONDITION && response.uidnext > 0)
			now.uidnext = response.uidnext;
		if (response.kind == MBJ_IMAP_CONDITION &&
		    response.uidvalidity > 0)
			now.uidvalidity = response.uidvalidity;
		if (response.kind == MBJ_IMAP_CONDITION &&
		    response.object.n > 0 && now.object.n == 0)
			rc = dup(p, response.object, &now.object);
		if (response.kind == MBJ_IMAP_STATUS &&
		    mbj_bytes_equal(canonical(p, response.name), now.name))
			rc = status_take(p, &response, &now);
	}
	if (rc < 0)
		return rc;
	now.is_selectable =
		response.verdict == MBJ_IMAP_OK && now.uidvalidity != 0;
	now.is_silent = !now.is_selectable;
	if (now.is_silent && p->silence.rc == MBJ_OK &&
	    push_wire_judge(&p->wire, &response, &p->silence) == MBJ_OK)
		(void)mbj_error_set(&p->silence, MBJ_ECONFLICT,
				    "the server does not tell the UIDVALIDITY "
				    "of mailbox %.*s",
				    (int)now.name.n, (const char *)now.name.p);
	*seen = now;
	return MBJ_OK;
}

/* A mailbox that is selected is not to be renamed; read-only, nothing goes. */
static enum mbj_rc unselect(struct push *p)
{
	if (!push_can(p, MBJ_IMAP_CAPABILITY_OBJECTID))
		return MBJ_OK;
	mbj_buf_clear(&p->command);
	mbj_buf_put_str(&p->command, "CLOSE");
	return push_wire_run(&p->wire, &p->command, &p->err);
}

enum mbj_rc push_status(struct push *p, struct mbj_bytes name,
			struct push_seen *ret_seen)
{
	struct push_seen seen = {.name = name, .id = MBJ_ID_ROOT};
	enum mbj_rc rc = evidence_ask(p, &seen);

	if (rc == MBJ_OK && seen.is_selectable)
		rc = unselect(p);
	if (rc == MBJ_OK)
		*ret_seen = seen;
	return rc;
}

enum mbj_rc push_is_place(struct push *p, struct mbj_bytes name,
			  bool *ret_is_place)
{
	struct mbj_imap_response response = {.kind = MBJ_IMAP_OTHER};
	enum mbj_rc rc;

	*ret_is_place = false;
	mbj_buf_clear(&p->command);
	mbj_buf_put_str(&p->command, "LIST \"\" ");
	mbj_imap_quote_put(&p->command, name);
	rc = push_wire_send(&p->wire, &p->command, &p->err);
	while (rc == MBJ_OK && response.kind != MBJ_IMAP_TAGGED) {
		rc = push_wire_next(&p->wire, &response, &p->err);
		if (rc == MBJ_OK && response.kind == MBJ_IMAP_LIST &&
		    mbj_bytes_equal(canonical(p, response.name), name))
			*ret_is_place = !is_mailbox(&response);
	}
	return rc;
}

/* p->command, and the names that it answers, mailboxes or not for LSUB. */
static enum mbj_rc names_ask(struct push *p, enum mbj_imap_kind kind,
			     struct push_names *names)
{
	struct mbj_imap_response response = {.kind = MBJ_IMAP_OTHER};
	void *array = names->list;
	enum mbj_rc rc = push_wire_send(&p->wire, &p->command, &p->err);

	while (rc == MBJ_OK && response.kind != MBJ_IMAP_TAGGED) {
		rc = push_wire_next(&p->wire, &response, &p->err);
		if (rc < 0 || response.kind != kind ||
		    !is_name(response.name) ||
		    (kind == MBJ_IMAP_LIST && !is_mailbox(&response)))
			continue;
		rc = mbj_array_reserve(&array, &names->capacity,
				       names->count + 1, sizeof(*names->list),
				       SEEN_MAX, &p->err);
		names->list = array;
		if (rc == MBJ_OK)
			rc = dup(p, canonical(p, response.name),
				 &names->list[names->count]);
		if (rc == MBJ_OK)
			names->count++;
	}
	return rc == MBJ_OK ? push_wire_judge(&p->wire, &response, &p->err)
			    : rc;
}

enum mbj_rc push_list_below(struct push *p, struct mbj_bytes name,
			    struct push_names *names)
{
	struct mbj_buf pattern;
	enum mbj_rc rc;

	mbj_buf_init(&pattern, name.n + 3);
	mbj_buf_put_bytes(&pattern, name);
	mbj_buf_put(&pattern, &p->delimiter, 1);
	mbj_buf_put_str(&pattern, "*");
	mbj_buf_clear(&p->command);
	mbj_buf_put_str(&p->command, "LIST \"\" ");
	mbj_imap_quote_put(&p->command, mbj_buf_view(&pattern));
	rc = mbj_buf_ok(&pattern, &p->err);
	mbj_buf_done(&pattern);
	return rc == MBJ_OK ? names_ask(p, MBJ_IMAP_LIST, names) : rc;
}

enum mbj_rc push_lsub(struct push *p, struct push_names *names)
{
	mbj_buf_clear(&p->command);
	mbj_buf_put_str(&p->command, "LSUB \"\" \"*\"");
	return names_ask(p, MBJ_IMAP_LSUB, names);
}

/* ------------------------------------------------------------- a first look */

static enum mbj_rc ask(struct push *p, const char *command)
{
	struct mbj_imap_response response = {.kind = MBJ_IMAP_OTHER};
	enum mbj_rc rc;

	mbj_buf_clear(&p->command);
	mbj_buf_put_str(&p->command, command);
	rc = push_wire_send(&p->wire, &p->command, &p->err);
	while (rc == MBJ_OK && response.kind != MBJ_IMAP_TAGGED) {
		rc = push_wire_next(&p->wire, &response, &p->err);
		if (rc < 0)
			return rc;
		if (response.kind == MBJ_IMAP_CAPABILITY) {
			p->words = response.words;
			p->has_append_max = response.has_append_max;
			p->append_max = response.append_max;
		}
		if (response.kind == MBJ_IMAP_NAMESPACE) {
			mbj_buf_clear(&p->prefix);
			mbj_buf_put_bytes(&p->prefix, response.name);
		}
		if (response.kind == MBJ_IMAP_NAMESPACE ||
		    response.kind == MBJ_IMAP_LIST)
			p->delimiter = response.delimiter;
	}
	return rc == MBJ_OK ? push_wire_judge(&p->wire, &response, &p->err)
			    : rc;
}

static enum mbj_rc list(struct push *p, struct mbj_bytes prefix,
			const char *pattern)
{
	struct mbj_imap_response response = {.kind = MBJ_IMAP_OTHER};
	struct mbj_buf text;
	enum mbj_rc rc;

	mbj_buf_init(&text, prefix.n + strlen(pattern) + 1);
	mbj_buf_put_bytes(&text, prefix);
	mbj_buf_put_str(&text, pattern);
	mbj_buf_clear(&p->command);
	mbj_buf_put_str(&p->command, "LIST \"\" ");
	mbj_imap_quote_put(&p->command, mbj_buf_view(&text));
	mbj_buf_done(&text);
	if (push_can(p, MBJ_IMAP_CAPABILITY_LIST_STATUS) &&
	    !push_can(p, MBJ_IMAP_CAPABILITY_OBJECTID))
		mbj_buf_put_str(&p->command,
				" RETURN (STATUS " STATUS_ITEMS ")");
	rc = push_wire_send(&p->wire, &p->command, &p->err);
	while (rc == MBJ_OK && response.kind != MBJ_IMAP_TAGGED) {
		struct push_seen *seen;

		rc = push_wire_next(&p->wire, &response, &p->err);
		if (rc == MBJ_OK && response.kind == MBJ_IMAP_LIST)
			rc = seen_add(p, &response);
		if (rc < 0 || response.kind != MBJ_IMAP_STATUS)
			continue;
		seen = push_seen_find(p, canonical(p, response.name));
		if (seen != NULL)
			rc = status_take(p, &response, seen);
	}
	return rc == MBJ_OK ? push_wire_judge(&p->wire, &response, &p->err)
			    : rc;
}

/* What the list did not say, and the table of MAILBOXIDs. */
static enum mbj_rc seen_complete(struct push *p)
{
	bool is_selected = false;
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = 0; rc == MBJ_OK && i < p->seen_count; i++) {
		struct push_seen *seen = &p->seen[i];

		if (seen->is_selectable && seen->uidvalidity == 0) {
			rc = evidence_ask(p, seen);
			is_selected = seen->is_selectable;
		}
		if (rc == MBJ_OK && seen->object.n > 0)
			rc = mbj_table_add(&p->by_object,
					   name_hash(p, seen->object),
					   (uint32_t)i, &p->err);
	}
	/* After one that cannot be selected none is. */
	return rc == MBJ_OK && is_selected ? unselect(p) : rc;
}

/* As all names that begin with it are. */
static enum mbj_rc prefix_fold(struct push *p)
{
	struct mbj_bytes prefix = canonical(p, mbj_buf_view(&p->prefix));

	if (prefix.p != p->prefix.p)
		memcpy(p->prefix.p, prefix.p, prefix.n);
	return mbj_buf_ok(&p->prefix, &p->err);
}

enum mbj_rc push_look(struct push *p)
{
	struct mbj_bytes none = {NULL, 0};
	enum mbj_rc rc = ask(p, "CAPABILITY");

	if (rc == MBJ_OK && push_can(p, MBJ_IMAP_CAPABILITY_NAMESPACE))
		rc = ask(p, "NAMESPACE");
	if (rc == MBJ_OK && p->delimiter == '\0')
		rc = ask(p, "LIST \"\" \"\"");
	if (rc == MBJ_OK && (p->prefix.failed < 0 ||
			     !mbj_imap_is_quotable(mbj_buf_view(&p->prefix))))
		rc = mbj_error_set(&p->err, MBJ_EUNSUPPORTED,
				   "the server's namespace has a prefix that "
				   "is not ASCII");
	if (rc == MBJ_OK)
		rc = prefix_fold(p);
	if (rc == MBJ_OK && p->prefix.n > 0)
		rc = list(p, none, "INBOX");
	if (rc == MBJ_OK)
		rc = list(p, mbj_buf_view(&p->prefix), "*");
	return rc == MBJ_OK ? seen_complete(p) : rc;
}
