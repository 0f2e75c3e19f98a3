/*
 * Mailboxes and slots in the state: create, move, delete, set under expected
 * values.
 *
 * Each mutation checks everything before it changes anything; what fails
 * after that is the world (memory, Berkeley DB), and the caller rolls back.
 */
#include <string.h>

#include "state_priv.h"

/* Steps of a walk up that cost less than a look whether there is a child. */
enum { WALK_SHORT = 256 };

enum mbj_rc mbj_txn_mailbox_seek(struct mbj_txn *txn, struct mbj_id account,
				 struct mbj_id id,
				 struct mbj_mailbox *ret_mailbox,
				 bool *ret_is_found, struct mbj_error *err)
{
	struct mbj_bytes value;
	enum mbj_rc rc;

	key_pair(&txn->key, account, id.b, sizeof(id.b));
	rc = txn_get(txn, TABLE_MAILBOXES, &value, err);
	if (rc < 0 && rc != MBJ_ENOTFOUND)
		return rc;
	if (rc == MBJ_OK && !record_mailbox_decode(id, value, ret_mailbox))
		return record_damaged(TABLE_MAILBOXES, mbj_buf_view(&txn->key),
				      err);
	*ret_is_found = rc == MBJ_OK;
	return MBJ_OK;
}

enum mbj_rc mbj_txn_mailbox_get(struct mbj_txn *txn, struct mbj_id account,
				struct mbj_id id,
				struct mbj_mailbox *ret_mailbox,
				struct mbj_error *err)
{
	char text[MBJ_ID_TEXT_SIZE];
	bool is_found = false;
	enum mbj_rc rc;

	rc = mbj_txn_mailbox_seek(txn, account, id, ret_mailbox, &is_found,
				  err);
	if (rc < 0 || is_found)
		return rc;
	mbj_id_print(id, text);
	return mbj_error_set(err, MBJ_ENOTFOUND, "there is no mailbox %s",
			     text);
}

/* MBJ_ENOTFOUND leaves err alone. */
static enum mbj_rc slot_find(struct mbj_txn *txn, struct mbj_id account,
			     struct mbj_id parent, struct mbj_bytes key,
			     struct mbj_id *ret_id, struct mbj_error *err)
{
	struct mbj_bytes value;
	enum mbj_rc rc;

	key_slot(&txn->key, account, parent, key);
	rc = txn_get(txn, TABLE_SLOTS, &value, err);
	if (rc < 0)
		return rc;
	if (!record_id_decode(value, ret_id))
		return record_damaged(TABLE_SLOTS, mbj_buf_view(&txn->key),
				      err);
	return MBJ_OK;
}

enum mbj_rc mbj_txn_slot_get(struct mbj_txn *txn, struct mbj_id account,
			     struct mbj_id parent, struct mbj_bytes key,
			     struct mbj_id *ret_id, struct mbj_error *err)
{
	enum mbj_rc rc = slot_find(txn, account, parent, key, ret_id, err);

	if (rc == MBJ_ENOTFOUND)
		return mbj_error_set(err, rc, "the slot is free");
	return rc;
}

enum mbj_rc mbj_txn_path_find(struct mbj_txn *txn,
			      const struct mbj_account *account,
			      struct mbj_bytes path,
			      struct mbj_mailbox *ret_mailbox,
			      struct mbj_error *err)
{
	struct mbj_id id = MBJ_ID_ROOT;
	struct mbj_name *names;
	size_t count;
	enum mbj_rc rc;

	rc = mbj_path_split(&account->policy, path, txn->arena, &names, &count,
			    err);
	for (size_t i = 0; rc == MBJ_OK && i < count; i++)
		rc = slot_find(txn, account->id, id, names[i].key, &id, err);
	if (rc == MBJ_ENOTFOUND)
		return mbj_error_set(err, rc, "there is no such mailbox");
	if (rc < 0)
		return rc;
	return mbj_txn_mailbox_get(txn, account->id, id, ret_mailbox, err);
}

static enum mbj_rc slot_put(struct mbj_txn *txn, struct mbj_id account,
			    struct mbj_id parent, struct mbj_bytes key,
			    struct mbj_id id, struct mbj_error *err)
{
	key_slot(&txn->key, account, parent, key);
	mbj_buf_clear(&txn->value);
	mbj_buf_put_u8(&txn->value, RECORD_VERSION);
	mbj_buf_put_id(&txn->value, id);
	return txn_put(txn, TABLE_SLOTS, err);
}

static enum mbj_rc slot_del(struct mbj_txn *txn, struct mbj_id account,
			    struct mbj_id parent, struct mbj_bytes key,
			    struct mbj_error *err)
{
	key_slot(&txn->key, account, parent, key);
	return txn_del(txn, TABLE_SLOTS, err);
}

/* Write a mailbox's record; the account's digest and counter follow. */
static enum mbj_rc mailbox_put(struct mbj_txn *txn, struct mbj_account *account,
			       const struct mbj_mailbox *mailbox,
			       struct mbj_error *err)
{
	struct mbj_account before = *account;
	enum mbj_rc rc;

	key_pair(&txn->key, account->id, mailbox->id.b, sizeof(mailbox->id.b));
	record_mailbox_encode(&txn->value, mailbox);
	rc = txn_put_summed(txn, TABLE_MAILBOXES, account, err);
	if (rc < 0)
		return rc;
	if (mailbox->uidvalidity > account->uidvalidity_last) {
		account->uidvalidity_last = mailbox->uidvalidity;
		rc = account_sum(txn, &before, false, &account->digest, err);
		if (rc == MBJ_OK)
			rc = account_sum(txn, account, true, &account->digest,
					 err);
		if (rc < 0)
			return rc;
	}
	return account_put(txn, account, err);
}

/* The parent of a slot can have children: live, ROOT or TEMP. */
static enum mbj_rc parent_check(struct mbj_txn *txn, struct mbj_id account,
				struct mbj_id parent, struct mbj_error *err)
{
	struct mbj_mailbox mailbox;
	char text[MBJ_ID_TEXT_SIZE];
	enum mbj_rc rc;

	if (mbj_id_is_reserved(parent))
		return MBJ_OK;
	rc = mbj_txn_mailbox_get(txn, account, parent, &mailbox, err);
	if (rc != MBJ_ENOTFOUND)
		return rc;
	mbj_id_print(parent, text);
	return conflict(err, "the parent %s does not exist", text);
}

/* The slot is free, or the mailbox's own. */
static enum mbj_rc target_check(struct mbj_txn *txn, struct mbj_id account,
				struct mbj_id id, const struct mbj_slot *to,
				struct mbj_error *err)
{
	struct mbj_id holder;
	char text[MBJ_ID_TEXT_SIZE];
	enum mbj_rc rc;

	rc = slot_find(txn, account, to->parent, to->name.key, &holder, err);
	if (rc == MBJ_ENOTFOUND)
		return MBJ_OK;
	if (rc < 0)
		return rc;
	if (mbj_id_equal(holder, id))
		return MBJ_OK;
	mbj_id_print(holder, text);
	return conflict(err, "the target slot is held by mailbox %s", text);
}

/* Does a live mailbox have it as its parent? */
static enum mbj_rc child_look(struct mbj_txn *txn, struct mbj_id account,
			      struct mbj_id id, bool *ret_has_child,
			      struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_id child;
	enum mbj_rc rc;

	rc = mbj_scan_children(txn, account, id, &scan, err);
	if (rc == MBJ_OK)
		rc = mbj_scan_next_child(&scan, &child, err);
	mbj_scan_done(&scan);
	*ret_has_child = rc == MBJ_OK;
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/*
 * Walking up from parent does not meet id.  What comes along with its parent
 * may lie as deep as there are mailboxes; more steps than these are a cycle.
 * Whoever moves many below what is deep moves leaves, as a rule: nothing lies
 * below these.
 */
static enum mbj_rc cycle_check(struct mbj_txn *txn,
			       const struct mbj_account *account,
			       struct mbj_id id, struct mbj_id parent,
			       struct mbj_error *err)
{
	struct mbj_mailbox above;
	bool has_child = true;
	enum mbj_rc rc;

	for (uint64_t i = 0; i <= account->mailbox_count; i++) {
		if (mbj_id_equal(parent, id))
			return conflict(err, "the mailbox would be below "
					     "itself");
		if (i == WALK_SHORT) {
			rc = child_look(txn, account->id, id, &has_child, err);
			if (rc < 0)
				return rc;
		}
		if (mbj_id_is_reserved(parent) || !has_child)
			return MBJ_OK;
		rc = mbj_txn_mailbox_get(txn, account->id, parent, &above, err);
		if (rc < 0)
			return rc == MBJ_ENOTFOUND ? MBJ_ECORRUPT : rc;
		parent = above.parent;
	}
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "the state's tree has a cycle, or more mailboxes "
			     "than the account counts");
}

/* The mailbox as a primitive expects it. */
static enum mbj_rc mailbox_expect(struct mbj_txn *txn, struct mbj_id account,
				  struct mbj_id id, uint64_t rev,
				  struct mbj_mailbox *ret_mailbox,
				  struct mbj_error *err)
{
	char text[MBJ_ID_TEXT_SIZE];
	bool is_found = false;
	enum mbj_rc rc;

	rc = mbj_txn_mailbox_seek(txn, account, id, ret_mailbox, &is_found,
				  err);
	if (rc < 0 || (is_found && ret_mailbox->rev == rev))
		return rc;
	mbj_id_print(id, text);
	if (!is_found)
		return conflict(err, "mailbox %s does not exist", text);
	return conflict(err, "mailbox %s has revision %llu, not %llu", text,
			(unsigned long long)ret_mailbox->rev,
			(unsigned long long)rev);
}

static enum mbj_rc from_check(const struct mbj_mailbox *mailbox,
			      const struct mbj_slot *from,
			      struct mbj_error *err)
{
	char text[MBJ_ID_TEXT_SIZE];

	if (mbj_id_equal(mailbox->parent, from->parent) &&
	    mbj_bytes_equal(mailbox->name.key, from->name.key))
		return MBJ_OK;
	mbj_id_print(mailbox->id, text);
	return conflict(err, "mailbox %s is in another slot than expected",
			text);
}

/* The id was never used. */
static enum mbj_rc id_is_new(struct mbj_txn *txn, struct mbj_id account,
			     struct mbj_id id, struct mbj_error *err)
{
	struct mbj_tombstone tombstone;
	struct mbj_mailbox mailbox;
	char text[MBJ_ID_TEXT_SIZE];
	bool is_found = false;
	enum mbj_rc rc;

	mbj_id_print(id, text);
	if (mbj_id_is_reserved(id))
		return conflict(err, "the id %s is reserved", text);
	rc = mbj_txn_mailbox_seek(txn, account, id, &mailbox, &is_found, err);
	if (rc < 0)
		return rc;
	if (is_found)
		return conflict(err, "mailbox %s exists already", text);
	rc = mbj_txn_tombstone_seek(txn, account, id, &tombstone, &is_found,
				    err);
	if (rc == MBJ_OK && is_found)
		return conflict(err, "mailbox %s was deleted", text);
	return rc;
}

enum mbj_rc mbj_txn_mailbox_create(struct mbj_txn *txn, struct mbj_id account,
				   const struct mbj_mailbox *mailbox,
				   struct mbj_error *err)
{
	const struct mbj_slot to = {mailbox->parent, mailbox->name};
	struct mbj_mailbox made = *mailbox;
	struct mbj_account a;
	enum mbj_rc rc;

	rc = account_expect(txn, account, &a, err);
	if (rc == MBJ_OK && !mbj_name_is_safe(to.name.stored, to.name.key))
		rc = conflict(err, "the mailbox's name is not safe");
	if (rc == MBJ_OK && a.mailbox_count >= MBJ_ACCOUNT_MAILBOXES_MAX)
		rc = mbj_error_set(err, MBJ_ELIMIT,
				   "the account has the most mailboxes it can "
				   "have, %d",
				   MBJ_ACCOUNT_MAILBOXES_MAX);
	if (rc == MBJ_OK)
		rc = id_is_new(txn, account, made.id, err);
	if (rc == MBJ_OK)
		rc = parent_check(txn, account, made.parent, err);
	if (rc == MBJ_OK)
		rc = target_check(txn, account, made.id, &to, err);
	if (rc < 0)
		return rc;
	made.rev = 1;
	a.mailbox_count++;
	rc = slot_put(txn, account, made.parent, made.name.key, made.id, err);
	if (rc < 0)
		return rc;
	return mailbox_put(txn, &a, &made, err);
}

enum mbj_rc mbj_txn_mailbox_move(struct mbj_txn *txn, struct mbj_id account,
				 struct mbj_id id, uint64_t rev,
				 const struct mbj_slot *from,
				 const struct mbj_slot *to,
				 uint32_t uidvalidity, struct mbj_error *err)
{
	struct mbj_mailbox mailbox = {.parent = to->parent};
	struct mbj_account a;
	enum mbj_rc rc;

	rc = account_expect(txn, account, &a, err);
	if (rc == MBJ_OK && !mbj_name_is_safe(to->name.stored, to->name.key))
		rc = conflict(err, "the mailbox's name is not safe");
	if (rc == MBJ_OK)
		rc = mailbox_expect(txn, account, id, rev, &mailbox, err);
	if (rc == MBJ_OK)
		rc = from_check(&mailbox, from, err);
	if (rc == MBJ_OK)
		rc = parent_check(txn, account, to->parent, err);
	if (rc == MBJ_OK)
		rc = target_check(txn, account, id, to, err);
	/* A new name alone puts nothing below anything. */
	if (rc == MBJ_OK && !mbj_id_equal(to->parent, mailbox.parent))
		rc = cycle_check(txn, &a, id, to->parent, err);
	if (rc == MBJ_OK)
		rc = slot_del(txn, account, mailbox.parent, mailbox.name.key,
			      err);
	if (rc == MBJ_OK)
		rc = slot_put(txn, account, to->parent, to->name.key, id, err);
	if (rc != MBJ_OK)
		return rc;
	mailbox.parent = to->parent;
	mailbox.name = to->name;
	mailbox.rev++;
	if (uidvalidity != 0)
		mailbox.uidvalidity = uidvalidity;
	return mailbox_put(txn, &a, &mailbox, err);
}

static enum mbj_rc childless_check(struct mbj_txn *txn, struct mbj_id account,
				   struct mbj_id id, struct mbj_error *err)
{
	char text[MBJ_ID_TEXT_SIZE];
	bool has_child = false;
	enum mbj_rc rc = child_look(txn, account, id, &has_child, err);

	if (rc < 0 || !has_child)
		return rc;
	mbj_id_print(id, text);
	return conflict(err, "mailbox %s has children", text);
}

/* ACL and METADATA entries go with their mailbox. */
static enum mbj_rc attributes_clear(struct mbj_txn *txn,
				    struct mbj_account *account,
				    struct mbj_id id, struct mbj_error *err)
{
	struct db_cursor *cursor = NULL;
	struct mbj_bytes key;
	struct mbj_bytes value;
	struct mbj_buf prefix;
	enum mbj_rc rc;

	mbj_buf_init(&prefix, 2 * MBJ_ID_SIZE);
	key_pair(&prefix, account->id, id.b, sizeof(id.b));
	rc = mbj_buf_ok(&prefix, err);
	if (rc == MBJ_OK)
		rc = mbj_txn_flush(txn, err);
	if (rc == MBJ_OK)
		rc = db_cursor_open(txn->txn, TABLE_ATTRIBUTES,
				    mbj_buf_view(&prefix), &cursor, err);
	while (rc == MBJ_OK) {
		rc = db_cursor_next(cursor, &key, &value, err);
		if (rc < 0 || key.n < prefix.n ||
		    memcmp(key.p, prefix.p, prefix.n) != 0)
			break;
		mbj_buf_clear(&txn->key);
		mbj_buf_put_bytes(&txn->key, key);
		rc = txn_del_summed(txn, TABLE_ATTRIBUTES, account, err);
	}
	db_cursor_close(&cursor);
	mbj_buf_done(&prefix);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

enum mbj_rc mbj_txn_mailbox_delete(struct mbj_txn *txn, struct mbj_id account,
				   struct mbj_id id, uint64_t rev,
				   const struct mbj_slot *from,
				   struct mbj_lsn lsn, struct mbj_error *err)
{
	struct mbj_tombstone tombstone = {.id = id, .rev = rev + 1, .lsn = lsn};
	struct mbj_mailbox mailbox;
	struct mbj_account a;
	enum mbj_rc rc;

	rc = account_expect(txn, account, &a, err);
	if (rc == MBJ_OK)
		rc = mailbox_expect(txn, account, id, rev, &mailbox, err);
	if (rc == MBJ_OK)
		rc = from_check(&mailbox, from, err);
	if (rc == MBJ_OK)
		rc = childless_check(txn, account, id, err);
	if (rc == MBJ_OK)
		rc = attributes_clear(txn, &a, id, err);
	if (rc == MBJ_OK)
		rc = content_drop(txn, &a, id, err);
	if (rc == MBJ_OK)
		rc = slot_del(txn, account, mailbox.parent, mailbox.name.key,
			      err);
	if (rc != MBJ_OK)
		return rc;
	if (a.mailbox_count == 0)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "the account counts fewer mailboxes than "
				     "it has");
	a.mailbox_count--;
	tombstone.uidvalidity = mailbox.uidvalidity;
	key_pair(&txn->key, account, id.b, sizeof(id.b));
	rc = txn_del_summed(txn, TABLE_MAILBOXES, &a, err);
	if (rc < 0)
		return rc;
	record_tombstone_encode(&txn->value, &tombstone);
	rc = txn_put(txn, TABLE_TOMBSTONES, err);
	if (rc < 0)
		return rc;
	return account_put(txn, &a, err);
}

enum mbj_rc mbj_txn_mailbox_set(struct mbj_txn *txn, struct mbj_id account,
				struct mbj_id id, uint64_t rev, uint8_t role,
				bool is_selectable, uint32_t uidvalidity,
				struct mbj_error *err)
{
	struct mbj_mailbox mailbox;
	struct mbj_account a;
	enum mbj_rc rc;

	rc = account_expect(txn, account, &a, err);
	if (rc == MBJ_OK)
		rc = mailbox_expect(txn, account, id, rev, &mailbox, err);
	if (rc != MBJ_OK)
		return rc;
	mailbox.role = role;
	mailbox.is_selectable = is_selectable;
	if (uidvalidity != 0)
		mailbox.uidvalidity = uidvalidity;
	mailbox.rev++;
	return mailbox_put(txn, &a, &mailbox, err);
}

enum mbj_rc mbj_txn_mailbox_set_attr(struct mbj_txn *txn, struct mbj_id account,
				     struct mbj_id id, uint64_t rev,
				     uint8_t kind, struct mbj_bytes name,
				     struct mbj_bytes value,
				     struct mbj_error *err)
{
	struct mbj_mailbox mailbox;
	struct mbj_account a;
	enum mbj_rc rc;

	rc = account_expect(txn, account, &a, err);
	if (rc == MBJ_OK)
		rc = mailbox_expect(txn, account, id, rev, &mailbox, err);
	if (rc == MBJ_OK)
		rc = attribute_put(txn, &a, id, kind, name, value, err);
	if (rc != MBJ_OK)
		return rc;
	mailbox.rev++;
	return mailbox_put(txn, &a, &mailbox, err);
}
