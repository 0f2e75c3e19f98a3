/*
 * One create's object or one update's patch (RFC 8620 section 5.3, RFC 8621
 * section 2) as a change: name, parentId, role, isSubscribed; sortOrder is
 * taken where it changes nothing.
 *
 * What is wrong with a property refuses this item and names the property; the
 * request goes on.  Values are judged by type only, mailboxes not at all:
 * that needs the account.
 *
 * A patch's keys are JSON pointers without the first slash; mailboxes have no
 * property that a pointer could lead into, so only whole properties can be
 * patched, and null gives one its default.
 *
 * Threads: one at a time per set.
 */
#include "jmap_set.h"

#include <mbj/check.h>

/* Properties that RFC 8621 section 2 leaves to the server. */
static const char *const server_set[] = {
	"id",		"totalEmails",	 "unreadEmails",
	"totalThreads", "unreadThreads", "myRights",
	"isSelectable", "uidValidity",
};

bool set_id_parse(struct mbj_bytes text, struct mbj_id *ret_id)
{
	char canonical[MBJ_ID_TEXT_SIZE];
	struct mbj_id id;

	/* Ids are opaque and case counts (RFC 8620 section 1.2). */
	if (!mbj_id_parse(text, &id) || mbj_id_is_reserved(id))
		return false;
	mbj_id_print(id, canonical);
	if (!mbj_bytes_equal(text, mbj_bytes_str(canonical)))
		return false;
	*ret_id = id;
	return true;
}

enum mbj_rc set_item_blame(struct mbj_jmap_set *set, struct set_item *item,
			   enum mbj_refusal refusal, struct mbj_bytes property,
			   const char *description, struct mbj_error *err)
{
	struct mbj_bytes *grown;
	uint32_t n = item->property_count;

	MBJ_ASSERT(refusal != MBJ_REFUSAL_NONE);
	MBJ_ASSERT(description != NULL);
	if (item->refusal == MBJ_REFUSAL_NONE) {
		item->refusal = refusal;
		item->description = description;
	}
	if (property.p == NULL)
		return MBJ_OK;
	/* Powers of two: room doubles when it is used up. */
	if ((n & (n - 1)) == 0) {
		grown = mbj_arena_alloc(set->arena,
					(n == 0 ? 1 : 2 * n) * sizeof(*grown));
		if (grown == NULL)
			return mbj_error_nomem(err);
		if (n > 0)
			memcpy(grown, item->properties, n * sizeof(*grown));
		item->properties = grown;
	}
	if (!mbj_arena_dup(set->arena, property, &item->properties[n]))
		return mbj_error_nomem(err);
	item->property_count++;
	return MBJ_OK;
}

static enum mbj_rc item_blame_property(struct mbj_jmap_set *set,
				       struct set_item *item,
				       const char *property,
				       const char *description,
				       struct mbj_error *err)
{
	return set_item_blame(set, item, MBJ_REFUSAL_INVALID_PROPERTIES,
			      mbj_bytes_str(property), description, err);
}

static enum mbj_rc item_read_name(struct mbj_jmap_set *set,
				  struct set_item *item, const json_t *value,
				  struct mbj_error *err)
{
	if (!json_is_string(value))
		return item_blame_property(set, item, "name",
					   "name must be a string", err);
	item->change.has |= MBJ_CHANGE_HAS_NAME;
	if (!mbj_arena_dup(set->arena, json_bytes(value), &item->change.name))
		return mbj_error_nomem(err);
	return MBJ_OK;
}

static enum mbj_rc item_read_parent(struct mbj_jmap_set *set,
				    struct set_item *item, const json_t *value,
				    struct mbj_error *err)
{
	struct mbj_bytes text;

	item->change.has |= MBJ_CHANGE_HAS_PARENT;
	item->change.parent = MBJ_ID_ROOT;
	if (json_is_null(value))
		return MBJ_OK;
	if (!json_is_string(value))
		return item_blame_property(set, item, "parentId",
					   "parentId must be an id, or null "
					   "at the top",
					   err);
	text = json_bytes(value);
	if (text.n > 1 && text.p[0] == '#') {
		/* Known once all creates are. */
		text = mbj_bytes_make(text.p + 1, text.n - 1);
		if (!mbj_arena_dup(set->arena, text, &item->parent))
			return mbj_error_nomem(err);
		return MBJ_OK;
	}
	if (set_id_parse(text, &item->change.parent))
		return MBJ_OK;
	return item_blame_property(set, item, "parentId",
				   "parentId is not the id of a mailbox", err);
}

static enum mbj_rc item_read_role(struct mbj_jmap_set *set,
				  struct set_item *item, const json_t *value,
				  struct mbj_error *err)
{
	item->change.has |= MBJ_CHANGE_HAS_ROLE;
	if (json_to_role(value, &item->change.role))
		return MBJ_OK;
	return item_blame_property(set, item, "role",
				   "role must be null or a role of RFC 8621 "
				   "that is known here",
				   err);
}

static enum mbj_rc item_read_subscribed(struct mbj_jmap_set *set,
					struct set_item *item,
					const json_t *value,
					struct mbj_error *err)
{
	item->change.has |= MBJ_CHANGE_HAS_SUBSCRIBED;
	item->change.is_subscribed = json_is_true(value);
	if (json_is_boolean(value) || json_is_null(value))
		return MBJ_OK;
	return item_blame_property(set, item, "isSubscribed",
				   "isSubscribed must be true or false", err);
}

static bool is_server_set(struct mbj_bytes key)
{
	for (size_t i = 0; i < sizeof(server_set) / sizeof(server_set[0]); i++)
		if (mbj_bytes_equal(key, mbj_bytes_str(server_set[i])))
			return true;
	return false;
}

/* No order is kept: the default, which null is too, is all there is. */
static enum mbj_rc item_read_sort_order(struct mbj_jmap_set *set,
					struct set_item *item,
					const json_t *value,
					struct mbj_error *err)
{
	if (json_is_null(value) ||
	    (json_is_integer(value) && json_integer_value(value) == 0))
		return MBJ_OK;
	return item_blame_property(set, item, "sortOrder",
				   "no sort order is kept here: sortOrder is 0 "
				   "for every mailbox",
				   err);
}

/* Any property that cannot be set here. */
static enum mbj_rc item_read_other(struct mbj_jmap_set *set,
				   struct set_item *item, struct mbj_bytes key,
				   const json_t *value, struct mbj_error *err)
{
	const char *why = "no such property can be set here";

	/* A client may send back what it was given (RFC 8620 section 5.3). */
	if (item->change.kind == MBJ_CHANGE_UPDATE &&
	    mbj_bytes_equal(key, mbj_bytes_str("id")) &&
	    json_is_string(value) &&
	    mbj_bytes_equal(json_bytes(value), item->text))
		return MBJ_OK;
	if (is_server_set(key))
		why = "the server alone sets this property";
	else if (memchr(key.p, '/', key.n) != NULL)
		why = "a mailbox has no property for a pointer to lead into";
	return set_item_blame(set, item, MBJ_REFUSAL_INVALID_PROPERTIES, key,
			      why, err);
}

static enum mbj_rc item_read_property(struct mbj_jmap_set *set,
				      struct set_item *item, const char *key,
				      const json_t *value,
				      struct mbj_error *err)
{
	if (strcmp(key, "name") == 0)
		return item_read_name(set, item, value, err);
	if (strcmp(key, "parentId") == 0)
		return item_read_parent(set, item, value, err);
	if (strcmp(key, "role") == 0)
		return item_read_role(set, item, value, err);
	if (strcmp(key, "isSubscribed") == 0)
		return item_read_subscribed(set, item, value, err);
	if (strcmp(key, "sortOrder") == 0)
		return item_read_sort_order(set, item, value, err);
	return item_read_other(set, item, mbj_bytes_str(key), value, err);
}

enum mbj_rc set_item_read(struct mbj_jmap_set *set, struct set_item *item,
			  json_t *object, struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;
	void *at;

	MBJ_ASSERT(json_is_object(object));
	MBJ_ASSERT(item->change.kind != MBJ_CHANGE_DESTROY);
	for (at = json_object_iter(object); at != NULL && rc == MBJ_OK;
	     at = json_object_iter_next(object, at))
		rc = item_read_property(set, item, json_object_iter_key(at),
					json_object_iter_value(at), err);
	if (rc < 0 || item->change.kind != MBJ_CHANGE_CREATE)
		return rc;
	/* RFC 8621 section 2: name alone has no default. */
	if (json_object_get(object, "name") == NULL)
		rc = item_blame_property(set, item, "name",
					 "a new mailbox needs a name", err);
	item->change.has |= MBJ_CHANGE_HAS_PARENT;
	return rc;
}

void set_item_fold(struct mbj_change *create, const struct mbj_change *update)
{
	MBJ_ASSERT(create->kind == MBJ_CHANGE_CREATE);
	MBJ_ASSERT(update->kind == MBJ_CHANGE_UPDATE);
	create->has |= update->has;
	if (update->has & MBJ_CHANGE_HAS_NAME)
		create->name = update->name;
	if (update->has & MBJ_CHANGE_HAS_PARENT)
		create->parent = update->parent;
	if (update->has & MBJ_CHANGE_HAS_ROLE)
		create->role = update->role;
	if (update->has & MBJ_CHANGE_HAS_SUBSCRIBED)
		create->is_subscribed = update->is_subscribed;
}
