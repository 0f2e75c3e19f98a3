/*
 * What a change of a mailbox in Dovecot means for an account's tree in the
 * store: one SET (mbj/edit.h), from the tree as it is and what is told.
 *
 * Mailboxes that can be selected have Dovecot's GUID as their id.  Places in a
 * path that hold none (\NonExistent) have no GUID there, and an id of the
 * store's here: where a mailbox takes such a place or leaves it to what is
 * below, one node replaces the other and its children go along.
 *
 * Threads: one at a time per object.
 */
#ifndef MBJ_DOVECOT_CHANGES_H
#define MBJ_DOVECOT_CHANGES_H

#include <mbj/edit.h>
#include <mbj/tree.h>

struct changes {
	const struct mbj_tree *tree; /* the account's, as it is */
	char delimiter;
	struct mbj_change *list;
	size_t count;
	size_t capacity;
};

void changes_init(struct changes *changes, const struct mbj_tree *tree,
		  char delimiter);
void changes_done(struct changes *changes);

/* The node at a path, MBJ_NODE_NONE: there is none. */
uint32_t changes_find(const struct changes *changes, struct mbj_bytes path);

/*
 * A mailbox comes to be at a path, which must be free or hold a place only;
 * names are borrowed from path.  Places that the path needs are made.
 */
enum mbj_rc changes_create(struct changes *changes, struct mbj_bytes path,
			   struct mbj_id id, bool is_selectable,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The same, and into a tree, which becomes the whole that is wanted:
 * changes->tree is it.  Names are those of paths: what is stored is judged by
 * the store.
 */
enum mbj_rc changes_whole_add(struct changes *changes, struct mbj_tree *wanted,
			      struct mbj_bytes path, struct mbj_id id,
			      bool is_selectable,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* A node goes to a path, with all that is below it. */
enum mbj_rc changes_move(struct changes *changes, uint32_t node,
			 struct mbj_bytes path,
			 struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * INBOX goes to a path under its id, with all that is below it, and a new
 * mailbox is INBOX.
 */
enum mbj_rc changes_inbox_move(struct changes *changes, uint32_t inbox,
			       struct mbj_bytes path, struct mbj_id new_inbox,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/* A mailbox goes; is_place_left: its name stays as a place in paths. */
enum mbj_rc changes_delete(struct changes *changes, uint32_t node,
			   bool is_place_left,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * A mailbox is another one from now on, where it is, or is the same with
 * another UIDVALIDITY (changes_uidvalidity).
 */
enum mbj_rc changes_replace(struct changes *changes, uint32_t node,
			    struct mbj_id id,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The place above node that nothing else keeps once it has left, asked from
 * the bottom up: node's parent, where that is a place, has no other child and
 * nothing of these changes comes below it.  MBJ_NODE_NONE: there is none.
 */
uint32_t changes_orphan(const struct changes *changes, uint32_t node);
/* Role of a mailbox that these changes create or move. */
void changes_role(struct changes *changes, struct mbj_id id,
		  enum mbj_role role);
/* UIDVALIDITY of a mailbox that these changes create or move. */
void changes_uidvalidity(struct changes *changes, struct mbj_id id,
			 uint32_t uidvalidity);

#endif
