/*
 * What runs of apply note of an account.  See applied.h.
 */
#include "applied.h"

#include <buffer.h>
#include <hex-binary.h>

#include <mbj/hash.h>

#define FORMER_HEAD "mbj-apply 3"

enum { WORDS = 9, FORMER_WORDS = 3 };

static bool hex_parse(const char *word, uint8_t *bytes, size_t size)
{
	buffer_t *buf = t_buffer_create(size);

	if (strlen(word) != 2 * size || hex_to_binary(word, buf) < 0)
		return false;
	memcpy(bytes, buf->data, size);
	return true;
}

static bool state_parse(const char *word, bool *ret_is_done)
{
	*ret_is_done = strcmp(word, "done") == 0;
	return *ret_is_done || strcmp(word, "begun") == 0;
}

static bool former_parse(const char *line, struct applied *a)
{
	const char *const *words =
		t_strsplit(line + strlen(FORMER_HEAD " "), " ");

	memset(a, 0, sizeof(*a));
	if (str_array_length(words) != FORMER_WORDS ||
	    !mbj_id_parse(mbj_bytes_str(words[0]), &a->lineage) ||
	    !mbj_id_parse(mbj_bytes_str(words[1]), &a->account) ||
	    str_to_uint64(words[2], &a->lsn.v) < 0)
		return false;
	a->end.lsn = a->lsn;
	return true;
}

bool applied_parse(const char *line, struct applied *ret_applied)
{
	struct applied *a = ret_applied;
	uint8_t digest[MBJ_DIGEST_SIZE];
	const char *const *words;

	if (line != NULL && str_begins(line, FORMER_HEAD " "))
		return former_parse(line, a);
	if (line == NULL || !str_begins(line, APPLIED_HEAD " "))
		return false;
	words = t_strsplit(line + strlen(APPLIED_HEAD " "), " ");
	if (str_array_length(words) != WORDS ||
	    !hex_parse(words[3], digest, sizeof(digest)))
		return false;
	mbj_digest_decode(digest, &a->digest);
	return mbj_id_parse(mbj_bytes_str(words[0]), &a->lineage) &&
	       mbj_id_parse(mbj_bytes_str(words[1]), &a->account) &&
	       str_to_uint64(words[2], &a->lsn.v) == 0 &&
	       state_parse(words[4], &a->is_done) &&
	       str_to_uint64(words[5], &a->end.lsn.v) == 0 &&
	       hex_parse(words[6], a->end.chain.b, sizeof(a->end.chain.b)) &&
	       str_to_uint64(words[7], &a->epoch.v) == 0 &&
	       mbj_id_parse(mbj_bytes_str(words[8]), &a->owner);
}

void applied_print(string_t *text, const struct applied *applied)
{
	char lineage[MBJ_ID_TEXT_SIZE], account[MBJ_ID_TEXT_SIZE],
		owner[MBJ_ID_TEXT_SIZE];
	uint8_t digest[MBJ_DIGEST_SIZE];

	mbj_id_print(applied->lineage, lineage);
	mbj_id_print(applied->account, account);
	mbj_id_print(applied->owner, owner);
	mbj_digest_encode(&applied->digest, digest);
	str_printfa(text, APPLIED_HEAD " %s %s %" PRIu64 " %s %s ", lineage,
		    account, applied->lsn.v,
		    binary_to_hex(digest, sizeof(digest)),
		    applied->is_done ? "done" : "begun");
	str_printfa(text, "%" PRIu64 " %s %" PRIu64 " %s\n", applied->end.lsn.v,
		    binary_to_hex(applied->end.chain.b,
				  sizeof(applied->end.chain.b)),
		    applied->epoch.v, owner);
}

bool applied_is_mute(const struct applied *applied)
{
	const struct mbj_hash none = {.b = {0}};

	return memcmp(applied->end.chain.b, none.b, sizeof(none.b)) == 0;
}

bool applied_is_at(const struct applied *applied,
		   const struct mbj_account *account)
{
	return mbj_id_equal(applied->account, account->id) &&
	       applied->lsn.v == account->lsn.v &&
	       mbj_digest_equal(&applied->digest, &account->digest);
}

bool applied_is_of_reign(const struct applied *applied, struct mbj_epoch epoch,
			 struct mbj_id owner)
{
	return applied->epoch.v == epoch.v &&
	       mbj_id_equal(applied->owner, owner);
}
