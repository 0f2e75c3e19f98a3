/*
 * Mailbox names: one component of a path, as users type it, as it is stored
 * and as siblings are compared.  With mbj/utf7.h the only place that knows
 * Unicode; ICU stays behind it.
 *
 * A name is stored in NFC.  Its comparison key is the stored form, or, where
 * the account folds case, NFC(fold(NFC)) (26 code points need the second
 * normalisation).  Keys are recorded with every operation, so that a replica
 * never asks ICU, whose data changes between versions.
 *
 * This is producer POLICY.  Replicas run safety checks only
 * (mbj_name_is_safe): a name that the primary accepted must replicate.
 *
 * Threads: pure functions, safe everywhere.
 */
#ifndef MBJ_NAME_H
#define MBJ_NAME_H

#include <mbj/error.h>
#include <mbj/limits.h>
#include <mbj/memory.h>
#include <mbj/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Fixed for an account's life: changing either would re-key every name. */
struct mbj_name_policy {
	bool is_folding; /* siblings that differ in case only collide */
	char delimiter;	 /* hierarchy delimiter of paths: '/' or '.' */
};

#define MBJ_NAME_POLICY_DEFAULT ((struct mbj_name_policy){false, '/'})

/* Names beginning with this are ours (parked names on IMAP targets). */
#define MBJ_NAME_RESERVED_PREFIX ".mbj."

struct mbj_name {
	struct mbj_bytes stored; /* NFC, 1..MBJ_NAME_MAX bytes */
	struct mbj_bytes key;	 /* may alias stored */
};

/*
 * Judge and normalise one component.  is_top says whether its parent is the
 * root: there every case variant of INBOX becomes INBOX (RFC 9051 section
 * 5.1).  Refused, with the reason and the name in err: not UTF-8, empty, over
 * MBJ_NAME_MAX after NFC, a C0 or C1 control or DEL, the delimiter, U+FEFF,
 * line or paragraph separator, a noncharacter, an unassigned code point, the
 * reserved prefix.
 * Ownership: the result lives in arena (or aliases utf8 where unchanged; the
 * caller keeps utf8 alive as long as the arena).
 * Returns: MBJ_EINVALID (refusal invalidProperties, subject_kind "name"),
 * MBJ_ENOMEM.
 */
MBJ_API enum mbj_rc mbj_name_make(const struct mbj_name_policy *policy,
				  struct mbj_bytes utf8, bool is_top,
				  struct mbj_arena *arena,
				  struct mbj_name *ret_name,
				  struct mbj_error *err) MBJ_MUST_CHECK;

/* Safety only: lengths, no NUL; what a replica demands of a record. */
MBJ_API bool mbj_name_is_safe(struct mbj_bytes stored, struct mbj_bytes key);

/* True for the key of INBOX (the caller knows that its parent is the root). */
MBJ_API bool mbj_name_is_inbox(struct mbj_bytes key);

/*
 * Split a path at the policy's delimiter into components, judged and
 * normalised one by one; at most MBJ_DEPTH_MAX of them and MBJ_PATH_MAX bytes.
 * Ownership: *ret_names is an array in arena.
 */
MBJ_API enum mbj_rc
mbj_path_split(const struct mbj_name_policy *policy, struct mbj_bytes utf8,
	       struct mbj_arena *arena, struct mbj_name **ret_names,
	       size_t *ret_count, struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Append a name to buf so that it can be shown on a terminal or in a log
 * line: control, bidirectional-control, zero-width and invalid bytes become
 * \u{XXXX} or \xXX, a backslash becomes two.
 */
MBJ_API void mbj_name_escape(struct mbj_buf *buf, struct mbj_bytes utf8);

#ifdef __cplusplus
}
#endif

#endif
