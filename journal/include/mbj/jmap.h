/*
 * JMAP documents (RFC 8620, RFC 8621) and ours on the one side, the library's
 * structures on the other: Mailbox/get lists, Mailbox/set arguments and
 * responses, plans as JSON, as lines for people and as Graphviz drawings,
 * groups, errors.  No store, no files, no terminal.
 *
 * Input is hostile.  A document is at most input_max bytes; it is taken apart
 * item by item, so that memory follows what it says, not how it says it.  All
 * strings are checked UTF-8, keys of one object are unique, nesting is
 * bounded.  A document that cannot be used yields MBJ_EINVALID with a refusal:
 * notJSON (line and column in the message), invalidArguments, tooLarge,
 * invalidProperties, alreadyExists, notFound, stateMismatch.
 *
 * Output goes to a bounded buffer, appended; every document ends with a
 * newline and is valid JSON whatever bytes a name holds: invalid UTF-8 comes
 * out as U+FFFD; control, bidirectional and invisible characters as \uXXXX.
 * The functions that print return mbj_buf_ok() of that buffer.
 *
 * Threads: one at a time per object; nothing global.
 */
#ifndef MBJ_JMAP_H
#define MBJ_JMAP_H

#include <mbj/diff.h>
#include <mbj/edit.h>
#include <mbj/error.h>
#include <mbj/group.h>
#include <mbj/memory.h>
#include <mbj/plan.h>
#include <mbj/sys.h>
#include <mbj/tree.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	MBJ_JMAP_ID_MAX = 255,	      /* bytes of an Id, RFC 8620 section 1.2 */
	MBJ_JMAP_NESTING_MAX = 64,    /* levels of JSON inside one item */
	MBJ_JMAP_ITEM_MAX = 16 << 20, /* bytes of one item of a list or map */
	MBJ_JMAP_INPUT_MAX = 512 << 20, /* bytes of one document */
};

/* ----------------------------------------------------------------- ids */

/*
 * Which JMAP id (as a document gives it) is which MAILBOXID here.  Two lists
 * parsed with one map give the same mailbox the same identity.
 */
struct mbj_jmap_map;

MBJ_API enum mbj_rc mbj_jmap_map_new(const struct mbj_sys *sys,
				     struct mbj_jmap_map **ret_map,
				     struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API void mbj_jmap_map_free(struct mbj_jmap_map **map);
MBJ_API size_t mbj_jmap_map_count(const struct mbj_jmap_map *map);
/*
 * Pairs in the order in which a document first named them.
 * Requires: index < count.  Ownership: *ret_text lives as long as the map.
 */
MBJ_API void mbj_jmap_map_get(const struct mbj_jmap_map *map, size_t index,
			      struct mbj_id *ret_id,
			      struct mbj_bytes *ret_text);
/* The id as it was given; false where the map does not know it. */
MBJ_API bool mbj_jmap_map_find(const struct mbj_jmap_map *map, struct mbj_id id,
			       struct mbj_bytes *ret_text);

/* --------------------------------------------------- Mailbox/get lists */

/* What the ids of a list are. */
enum mbj_jmap_mode {
	/*
	 * For a new account: an id of 32 hexadecimal digits stays, any other
	 * or none gets a fresh MAILBOXID.
	 */
	MBJ_JMAP_IMPORT = 1,
	/* For an account that exists: 32 hexadecimal digits each. */
	MBJ_JMAP_RECONCILE = 2,
	/*
	 * For a plan without a store: any JMAP id but "temp"; the MAILBOXID
	 * is a number of the map's, never shown.
	 */
	MBJ_JMAP_PLAN = 3,
};

struct mbj_jmap_list_options {
	size_t size; /* sizeof(struct mbj_jmap_list_options) */
	enum mbj_jmap_mode mode;
	const struct mbj_sys *sys;     /* fresh ids, seeds of tables */
	struct mbj_name_policy policy; /* the account's */
	/*
	 * The tree before, or NULL: role, isSubscribed, isSelectable and
	 * uidValidity that an entry leaves out are those of its mailbox there.
	 * Only the list's own tree is completed, never the changes.
	 */
	const struct mbj_tree *base;
	size_t input_max;
	/*
	 * RECONCILE: what a server's own storage has (MBJ_STAGE_RESOLVE):
	 * uidValidity and the extension uidNext are taken where given.
	 */
	bool is_server_state;
};

#define MBJ_JMAP_LIST_OPTIONS_INIT                                             \
	((struct mbj_jmap_list_options){.size = sizeof(                        \
						struct mbj_jmap_list_options), \
					.policy = MBJ_NAME_POLICY_DEFAULT,     \
					.input_max = MBJ_JMAP_INPUT_MAX})

struct mbj_jmap_list;

/*
 * Parse {"list": [{"id", "name", "parentId"}, ...]}: a Mailbox/get
 * response, all or part of it, such as mbj.tree/1.  name and parentId (null at
 * the top) are required; role, isSubscribed and the extensions isSelectable and
 * uidValidity are taken where given, uidValidity for reconciling with a
 * server's state only; all else is ignored. The list must be a valid tree by
 * itself: unique ids, parents that are in it, no cycle, siblings with different
 * names, at most MBJ_DEPTH_MAX levels; names by mbj_name_make.
 *
 * Ownership: the list borrows nothing; the caller frees it.
 *
 * Returns: MBJ_EINVALID with a refusal; subject is the entry's id as given
 * (kind "id"), its index in the list where it has none (kind "entry"), or
 * its name (kind "name") where that is at fault; the message names all.
 */
MBJ_API enum mbj_rc
mbj_jmap_list_parse(struct mbj_bytes json,
		    const struct mbj_jmap_list_options *options,
		    struct mbj_jmap_map *map, struct mbj_jmap_list **ret_list,
		    struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API void mbj_jmap_list_free(struct mbj_jmap_list **list);
/* Settled; node i is entry i of the list.  Borrowed from the list. */
MBJ_API const struct mbj_tree *
mbj_jmap_list_tree(const struct mbj_jmap_list *list);
/*
 * The list as changes of kind CREATE, borrowed from it: sets changes,
 * change_count, policy, and kind (IMPORT or RECONCILE by the list's mode).
 * Requires: not a list of mode PLAN.
 */
MBJ_API void mbj_jmap_list_fill(const struct mbj_jmap_list *list,
				struct mbj_edit *edit);

/*
 * mbj.import/1: what an import became.  {"schema", "accountId", "newState",
 * "lsn", "inbox": id or null (an INBOX that was made), "ids": [{"given": id
 * or null, "id", "name"}, ...] for the entries whose id is a fresh one}.
 */
MBJ_API enum mbj_rc mbj_jmap_import_print(const struct mbj_jmap_list *list,
					  const struct mbj_outcome *outcome,
					  struct mbj_buf *ret_json,
					  struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * mbj.tree/1: a Mailbox/get response, parents before children, one mailbox
 * per line, fit for mbj_jmap_list_parse.  map may be NULL: ids are printed as
 * MAILBOXIDs.
 */
MBJ_API enum mbj_rc mbj_jmap_tree_print(const struct mbj_tree *tree,
					struct mbj_bytes account_id,
					struct mbj_lsn state,
					const struct mbj_jmap_map *map,
					struct mbj_buf *ret_json,
					struct mbj_error *err) MBJ_MUST_CHECK;

/* --------------------------------------------------------- Mailbox/set */

struct mbj_jmap_set;

/*
 * Parse Mailbox/set arguments {accountId, ifInState, create, update, destroy,
 * onDestroyRemoveEmails} (RFC 8620 section 5.3).  Creates get fresh ids from
 * sys; "#k" stands for the id of create "k" as a parentId and as a key of
 * update, which then is done or refused with the create.  What the request
 * creates it cannot destroy (notFound).  A change that cannot be read (an
 * unknown property, a property that the server sets, a wrong type, an unknown
 * id) is kept for the response and not for the edit; the rest goes on.
 * Ownership: the set borrows nothing; the caller frees it.
 * Returns: MBJ_EINVALID with a refusal for the request as a whole.
 */
MBJ_API enum mbj_rc mbj_jmap_set_parse(struct mbj_bytes json, size_t input_max,
				       const struct mbj_sys *sys,
				       struct mbj_jmap_set **ret_set,
				       struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API void mbj_jmap_set_free(struct mbj_jmap_set **set);
/*
 * Is the request's accountId, where it has one, this account's name or id?
 * Returns: MBJ_EINVALID with refusal accountNotFound.
 */
MBJ_API enum mbj_rc
mbj_jmap_set_account_check(const struct mbj_jmap_set *set,
			   struct mbj_bytes name, struct mbj_id id,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The request as an edit, borrowed from the set: sets kind, changes,
 * change_count, has_if_in_state, if_in_state and is_emptying, nothing else.
 */
MBJ_API void mbj_jmap_set_fill(const struct mbj_jmap_set *set,
			       struct mbj_edit *edit);
/* Changes refused when the request was read; see also refused_count. */
MBJ_API size_t mbj_jmap_set_refused_count(const struct mbj_jmap_set *set);

/*
 * mbj.set/1: the Mailbox/set response, members in the request's order, plus
 * "lsn" (null where no group was needed).
 * Requires: outcome belongs to the edit that the set filled.
 */
MBJ_API enum mbj_rc mbj_jmap_set_print(const struct mbj_jmap_set *set,
				       struct mbj_bytes account_id,
				       const struct mbj_outcome *outcome,
				       struct mbj_buf *ret_json,
				       struct mbj_error *err) MBJ_MUST_CHECK;

/* ------------------------------------------------------------ messages */

/*
 * mbj.messages/1: a mailbox's UIDVALIDITY, UIDNEXT, HIGHESTMODSEQ and its
 * messages, or a table of them for people; in pieces: begin, the messages,
 * end.  Ownership: borrows ret_text until it is freed.
 * Returns: MBJ_ELIMIT where ret_text's maximum is reached.
 */
struct mbj_jmap_messages;

MBJ_API enum mbj_rc
mbj_jmap_messages_begin(const struct mbj_mailbox *mailbox,
			const struct mbj_content *content, bool is_json,
			struct mbj_buf *ret_text,
			struct mbj_jmap_messages **ret_messages,
			struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API void mbj_jmap_messages_put(struct mbj_jmap_messages *messages,
				   const struct mbj_message *message);
MBJ_API enum mbj_rc mbj_jmap_messages_end(struct mbj_jmap_messages *messages,
					  struct mbj_error *err) MBJ_MUST_CHECK;
/* Accepts NULL. */
MBJ_API void mbj_jmap_messages_free(struct mbj_jmap_messages **messages);

/* --------------------------------------------------------------- plans */

/* A plan with what is needed to show it; for all three ways of showing. */
struct mbj_jmap_plan;

/*
 * INBOX in a plan without a store: where one of the trees has one, it keeps
 * its slot; where only the tree after has one, it is a new mailbox.  With a
 * store, the edit sees to it.
 * Returns: MBJ_EINVALID with refusal forbidden, naming the id.
 */
MBJ_API enum mbj_rc mbj_jmap_inbox_check(const struct mbj_tree *before,
					 const struct mbj_tree *after,
					 const struct mbj_jmap_map *map,
					 struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * From two trees, their diff and its plan.  map may be NULL.
 * Ownership: borrows all of it until mbj_jmap_plan_free.
 */
MBJ_API enum mbj_rc
mbj_jmap_plan_make(const struct mbj_tree *before, const struct mbj_tree *after,
		   const struct mbj_diff *diff, const struct mbj_plan *plan,
		   const struct mbj_jmap_map *map, char delimiter,
		   struct mbj_jmap_plan **ret_plan,
		   struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * From an edit's outcome: its group (outcome->record, also of a dry run; an
 * empty record is a plan without steps) and numbers.  before is the account's
 * whole tree before the edit, or NULL; with it, lines show paths and a
 * drawing is possible.
 * Ownership: borrows before and the outcome until mbj_jmap_plan_free.
 * Returns: MBJ_ECORRUPT where record is no group or does not fit before.
 */
MBJ_API enum mbj_rc mbj_jmap_plan_load(const struct mbj_outcome *outcome,
				       const struct mbj_tree *before,
				       char delimiter,
				       struct mbj_jmap_plan **ret_plan,
				       struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API void mbj_jmap_plan_free(struct mbj_jmap_plan **plan);
MBJ_API size_t mbj_jmap_plan_step_count(const struct mbj_jmap_plan *plan);
/* The tree after, or NULL where the plan was loaded without trees. */
MBJ_API const struct mbj_tree *
mbj_jmap_plan_after(const struct mbj_jmap_plan *plan);

/*
 * What the request's changes came to that were refused, which the plan is
 * without: notCreated, notUpdated and notDestroyed are printed with it, as the
 * response has them.  Borrowed.  Requires: what mbj_jmap_set_print does.
 */
MBJ_API void mbj_jmap_plan_refusals(struct mbj_jmap_plan *plan,
				    const struct mbj_jmap_set *set,
				    const struct mbj_outcome *outcome);

/* mbj.plan/1. */
MBJ_API enum mbj_rc mbj_jmap_plan_print(const struct mbj_jmap_plan *plan,
					struct mbj_buf *ret_json,
					struct mbj_error *err) MBJ_MUST_CHECK;
/* Lines for people, names escaped for a terminal. */
MBJ_API enum mbj_rc mbj_jmap_plan_text(const struct mbj_jmap_plan *plan,
				       struct mbj_buf *ret_text,
				       struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * A Graphviz digraph: the tree before, the tree after, and the waits-for
 * graph with its cycles coloured and parked mailboxes marked.  In large trees
 * only what changes and its ancestors are drawn.
 * Returns: MBJ_EINVALID for a plan loaded without trees.
 */
MBJ_API enum mbj_rc mbj_jmap_plan_dot(const struct mbj_jmap_plan *plan,
				      struct mbj_buf *ret_dot,
				      struct mbj_error *err) MBJ_MUST_CHECK;

/* -------------------------------------------------------------- groups */

/*
 * mbj.log/1 in pieces, so that a log of any size can be streamed: begin, the
 * groups, end.  {"schema", "groups": [{"lsn", "epoch", "time", "origin",
 * "request", "accounts": [{"id", "previous", "digest"}], "operations":
 * [{"op", "account", fields of mbj/op.def...}], "chain"}]}.  A damaged body
 * yields "operations": null and "damaged": true.
 */
MBJ_API enum mbj_rc mbj_jmap_log_begin(struct mbj_buf *ret_json,
				       struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API enum mbj_rc mbj_jmap_log_group(const struct mbj_group *group,
				       bool is_first, struct mbj_buf *ret_json,
				       struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API enum mbj_rc mbj_jmap_log_end(struct mbj_buf *ret_json,
				     struct mbj_error *err) MBJ_MUST_CHECK;

/* ------------------------------------------------------- small pieces */

/*
 * mbj.error/1: {"schema", "type", "description", and the subject under its
 * kind}.  Without a refusal "code" names the code, and type is accountReadOnly
 * for an edit on a replica (MBJ_EFENCED, about an account), else serverFail.
 */
MBJ_API enum mbj_rc mbj_jmap_error_print(const struct mbj_error *error,
					 struct mbj_buf *ret_json,
					 struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Bytes that are mostly text, as mbj.log/1 has values of METADATA: a string
 * where they are UTF-8, else {"hex": "..."}.
 */
MBJ_API void mbj_jmap_value_print(struct mbj_bytes value,
				  struct mbj_buf *ret_json);

/* One JSON string with its quotes. */
MBJ_API void mbj_jmap_string_print(struct mbj_bytes utf8,
				   struct mbj_buf *ret_json);
/*
 * RFC 3339 in UTC with microseconds, no quotes: 2024-02-29T12:34:56.789012Z;
 * false, and nothing printed, outside the years 0 to 9999.
 */
MBJ_API bool mbj_jmap_time_print(int64_t time_us, struct mbj_buf *ret_text);

#ifdef __cplusplus
}
#endif

#endif
