/*
 * Reading JSON (RFC 8259, as I-JSON, RFC 7493) piece by piece.  The outer
 * levels of a document are walked here, one member or element at a time; only
 * such a piece is ever turned into a jansson value.  So memory follows the
 * largest piece, which is bounded, and not the document.
 *
 * A slice is a part of the document's text, so that every message can say the
 * line and column.  Private to journal/jmap*.
 *
 * Threads: one at a time per walk; nothing global.
 */
#ifndef MBJ_JMAP_JSON_H
#define MBJ_JMAP_JSON_H

#include <jansson.h>

#include <mbj/error.h>
#include <mbj/types.h>

#include "jmap_index.h"

/* Values in one piece: a JSON text of 16 MiB could hold eight million. */
enum { JSON_PIECE_VALUES_MAX = 100000 };

struct json_walk {
	struct mbj_bytes text;	 /* the document */
	size_t at;		 /* next byte to look at */
	struct jmap_index *keys; /* of an object; NULL: an array */
	const char *what;	 /* for messages: "create", "list" */
	uint32_t count;		 /* members seen */
	bool is_done;
};

struct json_piece {
	struct mbj_bytes key;	/* decoded, owned by the walk's index */
	struct mbj_bytes value; /* slice */
};

/* notJSON at a place in the document, with line and column. */
enum mbj_rc json_refuse_at(struct mbj_bytes text, size_t offset,
			   const char *why, struct mbj_error *err);

/* The document's only value, spaces around it cut off. */
enum mbj_rc json_document(struct mbj_bytes text, size_t input_max,
			  struct mbj_bytes *ret_slice,
			  struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Walk the members of an object (keys: an empty index, which collects them)
 * or the elements of an array (keys: NULL).
 * Requires: slice is one of text's that json_document or a walk handed out.
 * Returns: MBJ_EINVALID where slice is neither.
 */
enum mbj_rc json_walk_begin(struct json_walk *walk, struct mbj_bytes text,
			    struct mbj_bytes slice, struct jmap_index *keys,
			    const char *what,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/* MBJ_ENOTFOUND at the end (err untouched). */
enum mbj_rc json_walk_next(struct json_walk *walk, struct json_piece *ret_piece,
			   struct mbj_error *err) MBJ_MUST_CHECK;

/* Parse one slice.  Ownership: json_decref. */
enum mbj_rc json_piece_load(struct mbj_bytes text, struct mbj_bytes slice,
			    json_t **ret_value,
			    struct mbj_error *err) MBJ_MUST_CHECK;

/* The bytes of a string, borrowed. */
struct mbj_bytes json_bytes(const json_t *string);
/* What a value is, for messages: "a string". */
const char *json_kind(const json_t *value);

/* A role's number; NONE for null; false for an unknown word or a wrong type. */
bool json_to_role(const json_t *value, uint8_t *ret_role);

/* RFC 8620 section 1.2: 1 to 255 of A-Z a-z 0-9 - _. */
bool json_is_id(struct mbj_bytes text);

#endif
