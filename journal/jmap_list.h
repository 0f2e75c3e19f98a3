/*
 * A parsed Mailbox/get list, as its reader and its printers see it.  Private
 * to journal/jmap*.
 */
#ifndef MBJ_JMAP_LIST_H
#define MBJ_JMAP_LIST_H

#include <mbj/jmap.h>

#include "jmap_json.h"

struct list_entry {
	struct mbj_bytes given;	 /* its id in the document; p NULL: none */
	struct mbj_bytes parent; /* parentId there; p NULL: the top */
};

struct mbj_jmap_list {
	enum mbj_jmap_mode mode;
	struct mbj_name_policy policy;
	struct mbj_arena *arena; /* texts of entries */
	struct mbj_tree *tree;	 /* node i is entry i */
	struct list_entry *entries;
	size_t entries_capacity;
	struct mbj_change *changes; /* change i is entry i */
	size_t changes_capacity;
	uint32_t count;
};

enum { LIST_PLACE_SIZE = 96 };

/* A list being read. */
struct list_parse {
	struct mbj_bytes text; /* the document */
	const struct mbj_jmap_list_options *options;
	struct mbj_jmap_map *map;
	struct mbj_jmap_list *list;
	struct mbj_arena *scratch; /* of one entry */
};

/*
 * Read the next entry; the name lives in the scratch arena.  The id is not in
 * the list's tree yet.
 */
enum mbj_rc list_entry_read(struct list_parse *parse, const json_t *object,
			    struct list_entry *ret_entry,
			    struct mbj_change *ret_change,
			    struct mbj_name *ret_name,
			    struct mbj_error *err) MBJ_MUST_CHECK;

/* "list[3] (id "a1")"; id.p is NULL where there is none. */
void list_place_print(uint32_t index, struct mbj_bytes id,
		      char place[LIST_PLACE_SIZE]);
/* Refuse an entry: "<place>: <why>", the subject is its id or its index. */
MBJ_PRINTF(5, 6)
enum mbj_rc list_entry_refuse(uint32_t index, struct mbj_bytes id,
			      enum mbj_refusal refusal, struct mbj_error *err,
			      const char *format, ...);
enum mbj_rc list_entry_refuse_type(uint32_t index, struct mbj_bytes id,
				   const char *property, const char *wanted,
				   const json_t *value, struct mbj_error *err);

#endif
