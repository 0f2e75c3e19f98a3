/*
 * The walk over a document's outer levels, and the gate to jansson.
 *
 * It is not a second JSON parser: it finds where a value ends by counting
 * brackets outside strings, checks commas and colons of the levels it walks,
 * and leaves the inside of every piece to jansson.  Each byte handed out by a
 * walk has been through jansson before anybody relies on it.
 *
 * Invariants:
 *   1. nothing recurses here; jansson recurses at most MBJ_JMAP_NESTING_MAX
 *      deep, because deeper pieces are refused before;
 *   2. a piece given to jansson has at most MBJ_JMAP_ITEM_MAX bytes and
 *      JSON_PIECE_VALUES_MAX values;
 *   3. keys of a walked object are unique, those inside a piece too.
 *
 * Threads: one at a time per walk.
 */
#include "jmap_json.h"

#include <stdio.h>

#include <mbj/check.h>
#include <mbj/jmap.h>

/* Where text[offset] is, as an editor counts: from 1, in characters. */
static void place_find(struct mbj_bytes text, size_t offset, size_t *ret_line,
		       size_t *ret_column)
{
	size_t line = 1, column = 1;

	MBJ_ASSERT(offset <= text.n);
	for (size_t i = 0; i < offset; i++) {
		if (text.p[i] == '\n') {
			line++;
			column = 1;
		} else if ((text.p[i] & 0xc0) != 0x80) {
			column++;
		}
	}
	*ret_line = line;
	*ret_column = column;
}

enum mbj_rc json_refuse_at(struct mbj_bytes text, size_t offset,
			   const char *why, struct mbj_error *err)
{
	size_t line, column;
	char place[48];

	MBJ_ASSERT(why != NULL);
	if (offset > text.n)
		offset = text.n;
	place_find(text, offset, &line, &column);
	(void)snprintf(place, sizeof(place), "%zu:%zu", line, column);
	return mbj_error_refuse(err, MBJ_REFUSAL_NOT_JSON, "position", place,
				"not valid JSON at line %zu, column %zu: %s",
				line, column, why);
}

static enum mbj_rc refuse_end(struct mbj_bytes text, struct mbj_error *err)
{
	return json_refuse_at(text, text.n,
			      "the text ends here, but is not complete; was "
			      "it cut off?",
			      err);
}

/* The slices come from text, so pointers tell the place. */
static size_t offset_of(struct mbj_bytes text, struct mbj_bytes slice)
{
	MBJ_ASSERT(slice.p >= text.p);
	MBJ_ASSERT(slice.p + slice.n <= text.p + text.n);
	return (size_t)(slice.p - text.p);
}

static size_t skip_space(struct mbj_bytes text, size_t at)
{
	while (at < text.n && (text.p[at] == ' ' || text.p[at] == '\n' ||
			       text.p[at] == '\t' || text.p[at] == '\r'))
		at++;
	return at;
}

/* text[at] is the opening quote; the place behind the closing one. */
static enum mbj_rc skip_string(struct mbj_bytes text, size_t *at,
			       struct mbj_error *err)
{
	size_t i = *at + 1;

	MBJ_ASSERT(text.p[*at] == '"');
	while (i < text.n && text.p[i] != '"')
		i += text.p[i] == '\\' ? 2 : 1;
	if (i >= text.n)
		return refuse_end(text, err);
	*at = i + 1;
	return MBJ_OK;
}

static bool is_scalar_end(uint8_t c)
{
	return c == ',' || c == ']' || c == '}' || c == ':' || c == '"' ||
	       c == '[' || c == '{' || c == ' ' || c == '\n' || c == '\t' ||
	       c == '\r';
}

/* text[at] is an opening bracket; the place behind the one that closes it. */
static enum mbj_rc skip_nested(struct mbj_bytes text, size_t *at,
			       struct mbj_error *err)
{
	size_t i = *at, depth = 0;
	enum mbj_rc rc;

	while (i < text.n) {
		uint8_t c = text.p[i];

		if (c == '"') {
			rc = skip_string(text, &i, err);
			if (rc < 0)
				return rc;
			continue;
		}
		i++;
		if (c == '{' || c == '[')
			depth++;
		/* What is walked adds three levels to those of an item. */
		if (depth > MBJ_JMAP_NESTING_MAX + 3)
			return json_refuse_at(text, i - 1,
					      "nested deeper than any mailbox "
					      "document is",
					      err);
		if ((c == '}' || c == ']') && --depth == 0) {
			*at = i;
			return MBJ_OK;
		}
	}
	return refuse_end(text, err);
}

/* The place behind the value at *at; only its outline is judged. */
static enum mbj_rc skip_value(struct mbj_bytes text, size_t *at,
			      struct mbj_error *err)
{
	size_t i = *at;

	if (i >= text.n)
		return refuse_end(text, err);
	if (text.p[i] == '"')
		return skip_string(text, at, err);
	if (text.p[i] == '{' || text.p[i] == '[')
		return skip_nested(text, at, err);
	while (i < text.n && !is_scalar_end(text.p[i]))
		i++;
	if (i == *at)
		return json_refuse_at(text, i, "a value is missing", err);
	*at = i;
	return MBJ_OK;
}

enum mbj_rc json_document(struct mbj_bytes text, size_t input_max,
			  struct mbj_bytes *ret_slice, struct mbj_error *err)
{
	size_t begin, end;
	enum mbj_rc rc;

	MBJ_ASSERT(text.p != NULL || text.n == 0);
	if (text.n > input_max)
		return mbj_error_refuse(err, MBJ_REFUSAL_TOO_LARGE, NULL, NULL,
					"the document has %zu bytes, at most "
					"%zu are read",
					text.n, input_max);
	if (text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0)
		return json_refuse_at(text, 0,
				      "a byte order mark, which JSON must not "
				      "have (RFC 8259 section 8.1)",
				      err);
	begin = skip_space(text, 0);
	if (begin == text.n)
		return json_refuse_at(text, begin, "the document is empty",
				      err);
	end = begin;
	rc = skip_value(text, &end, err);
	if (rc < 0)
		return rc;
	if (skip_space(text, end) != text.n)
		return json_refuse_at(text, skip_space(text, end),
				      "something follows the document's value",
				      err);
	*ret_slice = mbj_bytes_make(text.p + begin, end - begin);
	return MBJ_OK;
}

enum mbj_rc json_walk_begin(struct json_walk *walk, struct mbj_bytes text,
			    struct mbj_bytes slice, struct jmap_index *keys,
			    const char *what, struct mbj_error *err)
{
	uint8_t open = keys != NULL ? '{' : '[';

	MBJ_ASSERT(walk != NULL && what != NULL);
	MBJ_ASSERT(slice.n > 0);
	if (slice.p[0] != open)
		return mbj_error_refuse(err, MBJ_REFUSAL_INVALID_ARGUMENTS,
					"property", what, "%s must be an %s",
					what,
					keys != NULL ? "object" : "array");
	*walk = (struct json_walk){
		.text = text,
		.at = offset_of(text, slice) + 1,
		.keys = keys,
		.what = what,
	};
	return MBJ_OK;
}

/* The comma before a piece, or the closing bracket. */
static enum mbj_rc walk_separator(struct json_walk *walk, struct mbj_error *err)
{
	uint8_t close = walk->keys != NULL ? '}' : ']';
	uint8_t c;

	walk->at = skip_space(walk->text, walk->at);
	if (walk->at >= walk->text.n)
		return refuse_end(walk->text, err);
	c = walk->text.p[walk->at];
	if (c == close) {
		walk->is_done = true;
		walk->at++;
		return MBJ_ENOTFOUND;
	}
	if (walk->count == 0)
		return MBJ_OK;
	if (c != ',')
		return json_refuse_at(walk->text, walk->at,
				      "a comma or the end of the list is "
				      "missing",
				      err);
	walk->at = skip_space(walk->text, walk->at + 1);
	return MBJ_OK;
}

static enum mbj_rc walk_key(struct json_walk *walk, struct mbj_bytes *ret_key,
			    struct mbj_error *err)
{
	size_t begin = walk->at;
	json_t *string = NULL;
	struct mbj_bytes key;
	uint32_t number;
	enum mbj_rc rc;

	if (begin >= walk->text.n)
		return refuse_end(walk->text, err);
	if (walk->text.p[begin] != '"')
		return json_refuse_at(walk->text, begin,
				      "a key in quotes is missing", err);
	rc = skip_string(walk->text, &walk->at, err);
	if (rc < 0)
		return rc;
	rc = json_piece_load(walk->text,
			     mbj_bytes_make(walk->text.p + begin,
					    walk->at - begin),
			     &string, err);
	if (rc < 0)
		return rc;
	key = json_bytes(string);
	/* Inside a piece jansson says so. */
	if (memchr(key.p, 0, key.n) != NULL)
		rc = json_refuse_at(walk->text, begin, "a key holds a NUL",
				    err);
	else if (jmap_index_find(walk->keys, key, &number))
		rc = json_refuse_at(walk->text, begin,
				    "the key was there before; keys of one "
				    "object must differ",
				    err);
	else
		rc = jmap_index_add(walk->keys, key, err);
	json_decref(string);
	if (rc < 0)
		return rc;
	*ret_key = walk->keys->texts[walk->keys->count - 1];
	walk->at = skip_space(walk->text, walk->at);
	if (walk->at >= walk->text.n)
		return refuse_end(walk->text, err);
	if (walk->text.p[walk->at] != ':')
		return json_refuse_at(walk->text, walk->at,
				      "a colon is missing", err);
	walk->at = skip_space(walk->text, walk->at + 1);
	return MBJ_OK;
}

enum mbj_rc json_walk_next(struct json_walk *walk, struct json_piece *ret_piece,
			   struct mbj_error *err)
{
	struct json_piece piece = {.key = {NULL, 0}};
	size_t begin;
	enum mbj_rc rc;

	MBJ_ASSERT(walk != NULL && !walk->is_done);
	MBJ_ASSERT(ret_piece != NULL);
	rc = walk_separator(walk, err);
	if (rc < 0)
		return rc;
	if (walk->keys != NULL) {
		rc = walk_key(walk, &piece.key, err);
		if (rc < 0)
			return rc;
	}
	begin = walk->at;
	rc = skip_value(walk->text, &walk->at, err);
	if (rc < 0)
		return rc;
	piece.value = mbj_bytes_make(walk->text.p + begin, walk->at - begin);
	walk->count++;
	*ret_piece = piece;
	return MBJ_OK;
}

/* Bounds on what jansson is going to allocate and how deep it recurses. */
static enum mbj_rc piece_check(struct mbj_bytes text, struct mbj_bytes slice,
			       struct mbj_error *err)
{
	size_t depth = 0, values = 1;
	size_t base = offset_of(text, slice);
	enum mbj_rc rc;

	if (slice.n > MBJ_JMAP_ITEM_MAX)
		return mbj_error_refuse(err, MBJ_REFUSAL_TOO_LARGE, NULL, NULL,
					"one item of the document has %zu "
					"bytes, at most %d are read",
					slice.n, (int)MBJ_JMAP_ITEM_MAX);
	for (size_t i = base; i < base + slice.n;) {
		uint8_t c = text.p[i];

		if (c == '"') {
			rc = skip_string(text, &i, err);
			if (rc < 0)
				return rc;
			continue;
		}
		if (c == '{' || c == '[')
			depth++;
		else if ((c == '}' || c == ']') && depth > 0)
			depth--;
		values += c == ',' || c == '{' || c == '[';
		if (depth > MBJ_JMAP_NESTING_MAX)
			return json_refuse_at(text, i,
					      "nested deeper than any mailbox "
					      "document is",
					      err);
		if (values > JSON_PIECE_VALUES_MAX)
			return mbj_error_refuse(
				err, MBJ_REFUSAL_TOO_LARGE, NULL, NULL,
				"one item of the document holds more than %d "
				"values",
				(int)JSON_PIECE_VALUES_MAX);
		i++;
	}
	return MBJ_OK;
}

static enum mbj_rc piece_refuse(struct mbj_bytes text, struct mbj_bytes slice,
				const json_error_t *error,
				struct mbj_error *err)
{
	size_t at = offset_of(text, slice);
	size_t past = error->position > 0 ? (size_t)error->position : 0;
	const char *why = error->text;

	at += past < slice.n ? past : slice.n;
	switch ((int)json_error_code(error)) {
	case json_error_out_of_memory:
		return mbj_error_nomem(err);
	case json_error_invalid_utf8:
		why = "the text is not UTF-8";
		break;
	case json_error_premature_end_of_input:
		why = "a value is not complete";
		break;
	case json_error_duplicate_key:
		why = "the key was there before; keys of one object must "
		      "differ";
		break;
	case json_error_null_byte_in_key:
		why = "a key holds a NUL";
		break;
	case json_error_numeric_overflow:
		why = "a number is out of range";
		break;
	case json_error_stack_overflow:
		why = "nested deeper than any mailbox document is";
		break;
	default:
		break;
	}
	return json_refuse_at(text, at, why, err);
}

enum mbj_rc json_piece_load(struct mbj_bytes text, struct mbj_bytes slice,
			    json_t **ret_value, struct mbj_error *err)
{
	json_error_t error;
	json_t *value;
	enum mbj_rc rc;

	MBJ_ASSERT(ret_value != NULL);
	rc = piece_check(text, slice, err);
	if (rc < 0)
		return rc;
	/* A NUL in a name is for the rules of names to refuse. */
	value = json_loadb((const char *)slice.p, slice.n,
			   JSON_REJECT_DUPLICATES | JSON_DECODE_ANY |
				   JSON_ALLOW_NUL,
			   &error);
	if (value == NULL)
		return piece_refuse(text, slice, &error, err);
	*ret_value = value;
	return MBJ_OK;
}

struct mbj_bytes json_bytes(const json_t *string)
{
	MBJ_ASSERT(json_is_string(string));
	return mbj_bytes_make(json_string_value(string),
			      json_string_length(string));
}

const char *json_kind(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		return "null";
	}
	return "something else";
}

bool json_to_role(const json_t *value, uint8_t *ret_role)
{
	enum mbj_role role = MBJ_ROLE_NONE;

	MBJ_ASSERT(ret_role != NULL);
	/* The empty word is ours for "none", JMAP has null for that. */
	if (!json_is_null(value) &&
	    (!json_is_string(value) || json_string_length(value) == 0 ||
	     !mbj_role_parse(json_bytes(value), &role)))
		return false;
	*ret_role = (uint8_t)role;
	return true;
}

bool json_is_id(struct mbj_bytes text)
{
	if (text.n == 0 || text.n > MBJ_JMAP_ID_MAX)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = text.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      (c >= '0' && c <= '9') || c == '-' || c == '_'))
			return false;
	}
	return true;
}
