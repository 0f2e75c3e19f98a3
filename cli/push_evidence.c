/*
 * Which message at the server is the one that we appended, where nobody told:
 * the answer to an APPEND did not come, or has no UID; see push_mail.h.
 */
#include <inttypes.h>
#include <poll.h>

#include "push_mail.h"

enum {
	CANDIDATES_MAX = 1 << 20,
	SECTION =
		512 * 1024, /* bytes of a message that are asked for at once */
	PAUSE_MS = 100,
};

struct candidate {
	uint32_t uid, size;
};

struct candidates {
	struct candidate *list;
	size_t count, capacity;
};

static enum mbj_rc command_run(struct push *p, const char *command)
{
	mbj_buf_clear(&p->command);
	mbj_buf_put_str(&p->command, command);
	return push_wire_run(&p->wire, &p->command, &p->err);
}

static enum mbj_rc candidate_add(struct push *p, struct candidates *found,
				 const struct mbj_imap_response *response)
{
	void *list = found->list;
	enum mbj_rc rc;

	rc = mbj_array_reserve(&list, &found->capacity, found->count + 1,
			       sizeof(*found->list), CANDIDATES_MAX, &p->err);
	found->list = list;
	if (rc == MBJ_OK)
		found->list[found->count++] =
			(struct candidate){response->uid,
					   response->has_size ? response->size
							      : UINT32_MAX};
	return rc;
}

/* All that are there from a UID on. */
static enum mbj_rc candidates_ask(struct push *p, uint32_t uidnext,
				  struct candidates *found)
{
	struct mbj_imap_response response = {.kind = MBJ_IMAP_OTHER};
	/* What is new must be known to the server's session first. */
	enum mbj_rc rc = command_run(p, "NOOP");

	if (rc < 0)
		return rc;
	mbj_buf_clear(&p->command);
	mbj_buf_format(&p->command, "UID FETCH %" PRIu32 ":* (UID RFC822.SIZE)",
		       uidnext);
	rc = push_wire_send(&p->wire, &p->command, &p->err);
	while (rc == MBJ_OK && response.kind != MBJ_IMAP_TAGGED) {
		rc = push_wire_next(&p->wire, &response, &p->err);
		/* N:* is the last one also where that is below N. */
		if (rc == MBJ_OK && response.kind == MBJ_IMAP_FETCH &&
		    response.uid >= uidnext && response.uid < UINT32_MAX)
			rc = candidate_add(p, found, &response);
	}
	return rc == MBJ_OK ? push_wire_judge(&p->wire, &response, &p->err)
			    : rc;
}

/* The next bytes of a message; fewer than SECTION: these are the last. */
static enum mbj_rc section_ask(struct push *p, uint32_t uid, uint64_t at,
			       struct push_canon *canon, size_t *ret_got)
{
	struct mbj_imap_response response = {.kind = MBJ_IMAP_OTHER};
	enum mbj_rc rc;

	*ret_got = 0;
	mbj_buf_clear(&p->command);
	mbj_buf_format(&p->command,
		       "UID FETCH %" PRIu32 " BODY.PEEK[]<%" PRIu64 ".%d>", uid,
		       at, SECTION);
	rc = push_wire_send(&p->wire, &p->command, &p->err);
	while (rc == MBJ_OK && response.kind != MBJ_IMAP_TAGGED) {
		rc = push_wire_next(&p->wire, &response, &p->err);
		if (rc < 0 || response.kind != MBJ_IMAP_FETCH ||
		    response.uid != uid || !response.has_body)
			continue;
		*ret_got = response.body.n;
		rc = push_canon_update(canon, response.body, &p->err);
	}
	return rc == MBJ_OK ? push_wire_judge(&p->wire, &response, &p->err)
			    : rc;
}

static enum mbj_rc candidate_look(struct push *p, struct mbj_sha256 *sha,
				  uint32_t uid,
				  const struct push_attempt *attempt,
				  bool *ret_is_it)
{
	struct push_canon canon = {.sha = sha};
	struct mbj_hash hash;
	size_t got = SECTION;
	uint64_t at = 0;
	enum mbj_rc rc = push_canon_begin(&canon, &p->err);

	/* Some servers do not heed where it is to begin. */
	while (rc == MBJ_OK && got >= SECTION && at <= attempt->size) {
		rc = section_ask(p, uid, at, &canon, &got);
		at += got;
	}
	if (rc == MBJ_OK)
		rc = push_canon_end(&canon, &hash, &p->err);
	if (rc == MBJ_OK)
		*ret_is_it = canon.size == attempt->size &&
			     memcmp(&hash, &attempt->digest, sizeof(hash)) == 0;
	return rc;
}

enum mbj_rc push_evidence(struct push *p, struct mbj_sha256 *sha,
			  const struct push_attempt *attempt, uint32_t *uidnext,
			  uint32_t *ret_there)
{
	struct candidates found = {.count = 0};
	enum mbj_rc rc;

	*ret_there = 0;
	rc = candidates_ask(p, attempt->uidnext, &found);
	for (size_t i = 0; rc == MBJ_OK && i < found.count; i++) {
		const struct candidate *it = &found.list[i];
		bool is_it = false;

		if (it->uid >= *uidnext)
			*uidnext = it->uid + 1;
		if (*ret_there != 0)
			continue;
		/* Without its CRs it has half of the bytes at least. */
		if (it->size <= attempt->size && it->size >= attempt->size / 2)
			rc = candidate_look(p, sha, it->uid, attempt, &is_it);
		if (is_it)
			*ret_there = it->uid;
	}
	mbj_free(found.list);
	return rc;
}

enum mbj_rc push_settle(struct push_box *box)
{
	const struct push_attempt attempt = box->map.attempt;
	/* Not known which flags went along: they are set again. */
	struct push_entry entry = {.is_over = attempt.is_over,
				   .uid = attempt.uid,
				   .blob = attempt.blob,
				   .head = attempt.head,
				   .size = push_map_size(attempt.size)};
	/* When the last byte of it was sent nobody has noted. */
	int64_t end = box->p->begun_ms + (int64_t)box->p->settle_s * 1000;
	enum mbj_rc rc;

	if (attempt.uid == 0)
		return MBJ_OK;
	for (;;) {
		rc = push_evidence(box->p, box->body->sha, &attempt,
				   &box->uidnext, &entry.there);
		if (rc < 0 || entry.there != 0 || mbj_monotonic_ms() >= end)
			break;
		(void)poll(NULL, 0, PAUSE_MS);
	}
	if (rc < 0)
		return rc;
	if (entry.there == 0)
		return push_map_left(&box->map, &box->p->err);
	rc = push_map_message(&box->map, &entry, &box->p->err);
	/* No append says it once more. */
	return rc == MBJ_OK && entry.is_over
		       ? push_map_sync(&box->map, &box->p->err)
		       : rc;
}
