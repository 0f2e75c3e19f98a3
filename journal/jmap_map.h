/*
 * The map of JMAP ids, as the parsers see it.  Private to journal/jmap*.
 */
#ifndef MBJ_JMAP_MAP_H
#define MBJ_JMAP_MAP_H

#include <mbj/jmap.h>

#include "jmap_index.h"
#include "jmap_out.h"

/* The MAILBOXID of a text; false where the map does not know it. */
bool jmap_map_seek(const struct mbj_jmap_map *map, struct mbj_bytes text,
		   struct mbj_id *ret_id);
/* Requires: neither text nor id is in the map. */
enum mbj_rc jmap_map_add(struct mbj_jmap_map *map, struct mbj_bytes text,
			 struct mbj_id id,
			 struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The id of a text in a plan without a store: a number of the map's, the next
 * one where the text is new.
 */
enum mbj_rc jmap_map_number(struct mbj_jmap_map *map, struct mbj_bytes text,
			    struct mbj_id *ret_id,
			    struct mbj_error *err) MBJ_MUST_CHECK;

/* An id as the reader of a document knows it; map may be NULL. */
void jmap_map_out(const struct mbj_jmap_map *map, struct jmap_out *out,
		  const char *key, struct mbj_id id);
/* The same as text in buf. */
void jmap_map_text(const struct mbj_jmap_map *map, struct mbj_id id,
		   struct mbj_buf *buf);

#endif
