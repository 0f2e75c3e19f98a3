/*
 * A Mailbox/set request being read and answered.  Private to journal/jmap*.
 */
#ifndef MBJ_JMAP_SET_H
#define MBJ_JMAP_SET_H

#include <mbj/jmap.h>

#include "jmap_index.h"
#include "jmap_json.h"

#define SET_NONE UINT32_MAX

/* One create, update or destroy. */
struct set_item {
	struct mbj_bytes text;	  /* creation id, or id, as given */
	struct mbj_bytes parent;  /* k of a parentId "#k"; p NULL: none */
	struct mbj_change change; /* names live in the set's arena */
	uint32_t parent_item;	  /* the create that parentId means, or NONE */
	uint32_t create_item;  /* of an update of "#k": that create, or NONE */
	uint32_t change_index; /* in changes, or NONE where refused */
	enum mbj_refusal refusal;     /* while the request was read */
	const char *description;      /* one line, in the arena */
	struct mbj_bytes *properties; /* in the arena, as given */
	uint32_t property_count;
};

struct mbj_jmap_set {
	struct mbj_arena *arena;
	struct mbj_bytes account; /* p NULL: not given */
	struct mbj_lsn if_in_state;
	bool has_if_in_state;
	bool is_emptying;	   /* onDestroyRemoveEmails */
	struct jmap_index creates; /* creation ids; number n is items[n] */
	struct set_item *items;	   /* creates, updates, destroys */
	size_t items_capacity;
	uint32_t count;
	uint32_t create_count;
	uint32_t update_count;
	struct mbj_change *changes; /* of the items that stand */
	uint32_t change_count;
	uint32_t refused_count; /* items that do not */
};

/*
 * Refuse one item, for the response; the first description stays, properties
 * add up.  property.p may be NULL.
 */
enum mbj_rc set_item_blame(struct mbj_jmap_set *set, struct set_item *item,
			   enum mbj_refusal refusal, struct mbj_bytes property,
			   const char *description,
			   struct mbj_error *err) MBJ_MUST_CHECK;

/* Members notCreated, notUpdated, notDestroyed of an object that is open. */
struct jmap_out;
void jmap_set_refusals_put(struct jmap_out *out, const struct mbj_jmap_set *set,
			   const struct mbj_outcome *outcome);
/* The same for people, a line each. */
void jmap_set_refusals_text(struct mbj_buf *out, const struct mbj_jmap_set *set,
			    const struct mbj_outcome *outcome);

/* Read a create's object or an update's patch into item->change. */
enum mbj_rc set_item_read(struct mbj_jmap_set *set, struct set_item *item,
			  json_t *object, struct mbj_error *err) MBJ_MUST_CHECK;

/* What an update of a mailbox that the request creates makes of the create. */
void set_item_fold(struct mbj_change *create, const struct mbj_change *update);

/* A MAILBOXID as this server writes it; false for any other text. */
bool set_id_parse(struct mbj_bytes text, struct mbj_id *ret_id);

#endif
