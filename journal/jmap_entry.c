/*
 * Reading one entry of a Mailbox/get list: its id by the list's mode, its
 * properties by their types, and every refusal with the entry's place.
 *
 * Not here: whether the entries together are a tree (jmap_list.c).
 *
 * Invariants:
 *   1. "temp" and the reserved MAILBOXIDs never get through;
 *   2. an id is in a list once, whatever the case of its digits.
 *
 * Threads: one at a time per list.
 */
#include "jmap_list.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include <mbj/check.h>

#include "jmap_map.h"

/* ------------------------------------------------------------ refusals */

/* "list[3] (id "a1")". */
void list_place_print(uint32_t index, struct mbj_bytes id,
		      char place[LIST_PLACE_SIZE])
{
	char shown[LIST_PLACE_SIZE - 32];

	if (id.p == NULL) {
		(void)snprintf(place, LIST_PLACE_SIZE, "list[%" PRIu32 "]",
			       index);
		return;
	}
	(void)mbj_text_escape(shown, sizeof(shown), id);
	(void)snprintf(place, LIST_PLACE_SIZE, "list[%" PRIu32 "] (id \"%s\")",
		       index, shown);
}

enum mbj_rc list_entry_refuse(uint32_t index, struct mbj_bytes id,
			      enum mbj_refusal refusal, struct mbj_error *err,
			      const char *format, ...)
{
	char place[LIST_PLACE_SIZE], why[MBJ_ERROR_MESSAGE_MAX];
	char subject[MBJ_ERROR_SUBJECT_MAX];
	va_list args;

	MBJ_ASSERT(refusal != MBJ_REFUSAL_NONE);
	list_place_print(index, id, place);
	va_start(args, format);
	(void)vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	if (id.p == NULL)
		(void)snprintf(subject, sizeof(subject), "%" PRIu32, index);
	else
		(void)mbj_text_escape(subject, sizeof(subject), id);
	return mbj_error_refuse(err, refusal, id.p == NULL ? "entry" : "id",
				subject, "%s: %s", place, why);
}

enum mbj_rc list_entry_refuse_type(uint32_t index, struct mbj_bytes id,
				   const char *property, const char *wanted,
				   const json_t *value, struct mbj_error *err)
{
	return list_entry_refuse(index, id, MBJ_REFUSAL_INVALID_PROPERTIES, err,
				 "%s must be %s, not %s", property, wanted,
				 value == NULL ? "missing" : json_kind(value));
}

/* ----------------------------------------------------------------- ids */

static const struct mbj_bytes no_text = {NULL, 0};

static enum mbj_rc id_refuse(uint32_t index, struct mbj_bytes text,
			     const char *why, struct mbj_error *err)
{
	return list_entry_refuse(index, text, MBJ_REFUSAL_INVALID_PROPERTIES,
				 err, "id %s", why);
}

static enum mbj_rc id_import(struct list_parse *parse, struct mbj_bytes text,
			     struct mbj_id *ret_id, struct mbj_error *err)
{
	struct mbj_id id;
	enum mbj_rc rc;

	/* A foreign id that was there before: the tree finds it again. */
	if (text.p != NULL && (mbj_id_parse(text, ret_id) ||
			       jmap_map_seek(parse->map, text, ret_id)))
		return MBJ_OK;
	rc = mbj_id_generate(parse->options->sys, &id, err);
	if (rc == MBJ_OK && text.p != NULL)
		rc = jmap_map_add(parse->map, text, id, err);
	if (rc == MBJ_OK)
		*ret_id = id;
	return rc;
}

static enum mbj_rc id_resolve(struct list_parse *parse, uint32_t index,
			      struct mbj_bytes text, struct mbj_id *ret_id,
			      struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	switch (parse->options->mode) {
	case MBJ_JMAP_IMPORT:
		rc = id_import(parse, text, ret_id, err);
		break;
	case MBJ_JMAP_RECONCILE:
		if (!mbj_id_parse(text, ret_id))
			return id_refuse(index, text,
					 "must be 32 hexadecimal digits, as "
					 "mbj tree --json shows them",
					 err);
		break;
	case MBJ_JMAP_PLAN:
		return jmap_map_number(parse->map, text, ret_id, err);
	}
	if (rc == MBJ_OK && mbj_id_is_reserved(*ret_id))
		return id_refuse(index, text, "is reserved", err);
	return rc;
}

static enum mbj_rc entry_read_id(struct list_parse *parse, uint32_t index,
				 const json_t *value,
				 struct mbj_bytes *ret_text,
				 struct mbj_id *ret_id, struct mbj_error *err)
{
	struct mbj_bytes text = no_text;
	enum mbj_rc rc;

	if (value == NULL && parse->options->mode == MBJ_JMAP_IMPORT) {
		*ret_text = no_text;
		return id_resolve(parse, index, text, ret_id, err);
	}
	if (!json_is_string(value))
		return list_entry_refuse_type(index, no_text, "id", "a string",
					      value, err);
	text = json_bytes(value);
	if (!json_is_id(text))
		return id_refuse(index, text,
				 "must be 1 to 255 of A-Z, a-z, 0-9, - and _ "
				 "(RFC 8620 section 1.2)",
				 err);
	if (mbj_bytes_equal(text, mbj_bytes_str("temp")))
		return id_refuse(index, text,
				 "is reserved for mailboxes parked by a plan",
				 err);
	rc = id_resolve(parse, index, text, ret_id, err);
	if (rc == MBJ_OK &&
	    mbj_tree_find(parse->list->tree, *ret_id) != MBJ_NODE_NONE)
		return id_refuse(index, text, "was in the list before", err);
	if (rc == MBJ_OK && !mbj_arena_dup(parse->list->arena, text, ret_text))
		return mbj_error_nomem(err);
	return rc;
}

/* ---------------------------------------------------------- properties */

static enum mbj_rc entry_read_parent(struct list_parse *parse, uint32_t index,
				     struct mbj_bytes id, const json_t *value,
				     struct mbj_bytes *ret_parent,
				     struct mbj_error *err)
{
	struct mbj_bytes text;

	/* One left out is not one at the top: too much would move there. */
	if (json_is_null(value)) {
		*ret_parent = no_text;
		return MBJ_OK;
	}
	if (!json_is_string(value))
		return list_entry_refuse_type(index, id, "parentId",
					      "an id, or null at the top",
					      value, err);
	text = json_bytes(value);
	if (!json_is_id(text) || mbj_bytes_equal(text, mbj_bytes_str("temp")))
		return list_entry_refuse(index, id,
					 MBJ_REFUSAL_INVALID_PROPERTIES, err,
					 "parentId is not the id of a mailbox");
	if (!mbj_arena_dup(parse->list->arena, text, ret_parent))
		return mbj_error_nomem(err);
	return MBJ_OK;
}

static enum mbj_rc entry_read_name(struct list_parse *parse, uint32_t index,
				   struct mbj_bytes id, const json_t *value,
				   bool is_top, struct mbj_name *ret_name,
				   struct mbj_error *err)
{
	char place[LIST_PLACE_SIZE];
	enum mbj_rc rc;

	if (!json_is_string(value))
		return list_entry_refuse_type(index, id, "name", "a string",
					      value, err);
	rc = mbj_name_make(&parse->options->policy, json_bytes(value), is_top,
			   parse->scratch, ret_name, err);
	if (rc == MBJ_OK)
		return rc;
	list_place_print(index, id, place);
	/* By what the caller knows it by, where it has said. */
	if (err != NULL && err->refusal != MBJ_REFUSAL_NONE && id.p != NULL) {
		err->subject_kind = "id";
		(void)mbj_text_escape(err->subject, sizeof(err->subject), id);
	}
	return mbj_error_prefix(err, rc, "%s", place);
}

static enum mbj_rc entry_read_bool(uint32_t index, struct mbj_bytes id,
				   const char *property, const json_t *value,
				   bool *ret_value, struct mbj_error *err)
{
	if (!json_is_boolean(value))
		return list_entry_refuse_type(index, id, property,
					      "true or false", value, err);
	*ret_value = json_is_true(value);
	return MBJ_OK;
}

static enum mbj_rc entry_read_role(uint32_t index, struct mbj_bytes id,
				   const json_t *value, uint8_t *ret_role,
				   struct mbj_error *err)
{
	char shown[64];

	if (!json_is_null(value) && !json_is_string(value))
		return list_entry_refuse_type(index, id, "role",
					      "a string or null", value, err);
	if (json_to_role(value, ret_role))
		return MBJ_OK;
	(void)mbj_text_escape(shown, sizeof(shown), json_bytes(value));
	return list_entry_refuse(
		index, id, MBJ_REFUSAL_INVALID_PROPERTIES, err,
		"role \"%s\" is not known here; null keeps the "
		"mailbox without one",
		shown);
}

/* UIDVALIDITY, or UIDNEXT: word is its name. */
static enum mbj_rc entry_read_number(uint32_t index, struct mbj_bytes id,
				     const char *word, const json_t *value,
				     uint32_t *ret_value, struct mbj_error *err)
{
	json_int_t number;

	if (!json_is_integer(value))
		return list_entry_refuse_type(index, id, word, "a whole number",
					      value, err);
	number = json_integer_value(value);
	if (number < 1 || number > (json_int_t)UINT32_MAX)
		return list_entry_refuse(index, id,
					 MBJ_REFUSAL_INVALID_PROPERTIES, err,
					 "%s must be from 1 to 4294967295",
					 word);
	*ret_value = (uint32_t)number;
	return MBJ_OK;
}

/* What an entry may leave out. */
static enum mbj_rc entry_read_optional(uint32_t index, struct mbj_bytes id,
				       const json_t *object,
				       bool is_server_state,
				       struct mbj_change *change,
				       struct mbj_error *err)
{
	const json_t *value;
	enum mbj_rc rc = MBJ_OK;

	value = json_object_get(object, "role");
	if (value != NULL) {
		change->has |= MBJ_CHANGE_HAS_ROLE;
		rc = entry_read_role(index, id, value, &change->role, err);
	}
	value = json_object_get(object, "isSubscribed");
	if (rc == MBJ_OK && value != NULL) {
		change->has |= MBJ_CHANGE_HAS_SUBSCRIBED;
		rc = entry_read_bool(index, id, "isSubscribed", value,
				     &change->is_subscribed, err);
	}
	value = json_object_get(object, "isSelectable");
	if (rc == MBJ_OK && value != NULL) {
		change->has |= MBJ_CHANGE_HAS_SELECTABLE;
		rc = entry_read_bool(index, id, "isSelectable", value,
				     &change->is_selectable, err);
	}
	value = json_object_get(object, "uidValidity");
	if (rc == MBJ_OK && value != NULL && !json_is_null(value)) {
		change->has |= MBJ_CHANGE_HAS_UIDVALIDITY;
		rc = entry_read_number(index, id, "uidValidity", value,
				       &change->uidvalidity, err);
	}
	value = is_server_state ? json_object_get(object, "uidNext") : NULL;
	if (rc == MBJ_OK && value != NULL && !json_is_null(value)) {
		change->has |= MBJ_CHANGE_HAS_UIDNEXT;
		rc = entry_read_number(index, id, "uidNext", value,
				       &change->uidnext, err);
	}
	return rc;
}

enum mbj_rc list_entry_read(struct list_parse *parse, const json_t *object,
			    struct list_entry *ret_entry,
			    struct mbj_change *ret_change,
			    struct mbj_name *ret_name, struct mbj_error *err)
{
	struct mbj_change change = {
		.kind = MBJ_CHANGE_CREATE,
		.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT,
		.is_selectable = true,
	};
	struct list_entry entry = {no_text, no_text};
	uint32_t index = parse->list->count;
	enum mbj_rc rc;

	rc = entry_read_id(parse, index, json_object_get(object, "id"),
			   &entry.given, &change.id, err);
	if (rc < 0)
		return rc;
	rc = entry_read_parent(parse, index, entry.given,
			       json_object_get(object, "parentId"),
			       &entry.parent, err);
	if (rc < 0)
		return rc;
	rc = entry_read_name(parse, index, entry.given,
			     json_object_get(object, "name"),
			     entry.parent.p == NULL, ret_name, err);
	if (rc < 0)
		return rc;
	rc = entry_read_optional(index, entry.given, object,
				 parse->options->is_server_state, &change, err);
	/* What mbj tree prints can be reconciled with; values stay theirs. */
	if (parse->options->mode == MBJ_JMAP_RECONCILE &&
	    !parse->options->is_server_state)
		change.has &= ~(unsigned)MBJ_CHANGE_HAS_UIDVALIDITY;
	if (rc < 0)
		return rc;
	*ret_entry = entry;
	*ret_change = change;
	return MBJ_OK;
}
