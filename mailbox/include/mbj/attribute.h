/*
 * Attributes of a mailbox: entries of its access control list (RFC 4314) and
 * of its METADATA (RFC 5464), by kind and name.  They hang on the MAILBOXID: a
 * rename keeps them, a delete drops them; they are in the account's digest
 * (mbj/state.h inv 2).  An account has METADATA of its own, what IMAP has under
 * the empty name of a mailbox: here the mailbox is ROOT.
 *
 * Here is what was recorded, byte for byte.  Which names and values a producer
 * may write is the edit's word (mbj/edit.h); writing is
 * mbj_txn_mailbox_set_attr, or mbj_txn_account_set_attr.
 *
 * Threads: as the transaction.
 */
#ifndef MBJ_ATTRIBUTE_H
#define MBJ_ATTRIBUTE_H

#include <mbj/state.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Numbers are those of primitives and of keys of the state. */
enum mbj_attr_kind {
	MBJ_ATTR_ANY = 0, /* of scans */
	MBJ_ATTR_ACL = 1,
	MBJ_ATTR_METADATA = 2,
};

struct mbj_attr {
	struct mbj_id mailbox;
	uint8_t kind;	       /* enum mbj_attr_kind */
	struct mbj_bytes name; /* an identifier, or an entry's name */
	struct mbj_bytes value;
};

/* "acl", "metadata"; NULL for another number. */
MBJ_API const char *mbj_attr_kind_name(uint8_t kind);

/* One value; a miss is an answer.  Borrowed as of mbj_txn_*_get. */
enum mbj_rc mbj_txn_attr_seek(struct mbj_txn *txn, struct mbj_id account,
			      struct mbj_id mailbox, uint8_t kind,
			      struct mbj_bytes name,
			      struct mbj_bytes *ret_value, bool *ret_is_found,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* Those of a mailbox or of ROOT, of one kind or of any, by kind and name. */
enum mbj_rc mbj_scan_attrs(struct mbj_txn *txn, struct mbj_id account,
			   struct mbj_id mailbox, uint8_t kind,
			   struct mbj_scan *ret_scan,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Those of an account, of its own and of all its mailboxes, by mailbox, kind
 * and name.
 */
enum mbj_rc mbj_scan_account_attrs(struct mbj_txn *txn, struct mbj_id account,
				   struct mbj_scan *ret_scan,
				   struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_scan_next_attr(struct mbj_scan *scan, struct mbj_attr *ret_attr,
			       struct mbj_error *err) MBJ_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
