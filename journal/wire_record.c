/*
 * Records over the wire: accounts, mailboxes, contents, messages, nodes of
 * trees, attributes, subscribed names, identities.
 *
 * Threads: pure functions.
 */
#include <mbj/check.h>

#include "wire.h"

/* Beside the flags of a message: its GUID comes last. */
enum { MESSAGE_HAS_GUID = 1 << 7 };

_Static_assert((MESSAGE_HAS_GUID & MBJ_FLAGS_ALL) == 0, "a bit of its own");

static void digest_encode(struct mbj_buf *buf, const struct mbj_digest *digest)
{
	uint8_t bytes[MBJ_DIGEST_SIZE];

	mbj_digest_encode(digest, bytes);
	mbj_buf_put(buf, bytes, sizeof(bytes));
}

static struct mbj_digest digest_decode(struct mbj_reader *reader)
{
	struct mbj_bytes bytes = mbj_read_bytes(reader, MBJ_DIGEST_SIZE);
	struct mbj_digest digest = {{0}};

	if (bytes.n == MBJ_DIGEST_SIZE)
		mbj_digest_decode(bytes.p, &digest);
	return digest;
}

/* A name or path, and its key only where it is another one. */
static void keyed_encode(struct mbj_buf *buf, struct mbj_bytes stored,
			 struct mbj_bytes key, size_t max)
{
	bool has_key = !mbj_bytes_equal(stored, key);

	wire_text_encode(buf, stored, max);
	mbj_buf_put_u8(buf, has_key);
	if (has_key)
		wire_text_encode(buf, key, max);
}

static void keyed_decode(struct mbj_reader *reader, size_t max,
			 struct mbj_bytes *ret_stored,
			 struct mbj_bytes *ret_key)
{
	*ret_stored = mbj_read_block(reader, max);
	*ret_key = *ret_stored;
	if (!wire_read_bool(reader))
		return;
	*ret_key = mbj_read_block(reader, max);
	/* One form only. */
	if (mbj_bytes_equal(*ret_key, *ret_stored))
		reader->failed = true;
}

static void name_encode(struct mbj_buf *buf, const struct mbj_name *name)
{
	keyed_encode(buf, name->stored, name->key, MBJ_KEY_MAX);
}

static struct mbj_name name_decode(struct mbj_reader *reader)
{
	struct mbj_name name;

	keyed_decode(reader, MBJ_KEY_MAX, &name.stored, &name.key);
	return name;
}

/* --------------------------------------------------------------- records */

void wire_account_encode(struct mbj_buf *buf, const struct mbj_account *account)
{
	mbj_buf_put_id(buf, account->id);
	wire_text_encode(buf, account->name, MBJ_ACCOUNT_NAME_MAX);
	mbj_buf_put_u8(buf, account->policy.is_folding);
	mbj_buf_put_u8(buf, (uint8_t)account->policy.delimiter);
	mbj_buf_put_u32(buf, account->uidvalidity_last);
	mbj_buf_put_u64(buf, account->quota_messages);
	mbj_buf_put_u64(buf, account->quota_size);
	mbj_buf_put_u64(buf, account->lsn.v);
	digest_encode(buf, &account->digest);
	mbj_buf_put_u64(buf, account->mailbox_count);
	mbj_buf_put_u64(buf, account->subscription_count);
	mbj_buf_put_u64(buf, account->message_count);
	mbj_buf_put_u64(buf, account->message_size);
}

enum mbj_rc wire_account_decode(struct mbj_reader *reader,
				struct mbj_account *ret_account,
				struct mbj_error *err)
{
	struct mbj_account a = {0};

	a.id = mbj_read_id(reader);
	a.name = mbj_read_block(reader, MBJ_ACCOUNT_NAME_MAX);
	a.policy.is_folding = wire_read_bool(reader);
	a.policy.delimiter = (char)mbj_read_u8(reader);
	a.uidvalidity_last = mbj_read_u32(reader);
	a.quota_messages = mbj_read_u64(reader);
	a.quota_size = mbj_read_u64(reader);
	a.lsn.v = mbj_read_u64(reader);
	a.digest = digest_decode(reader);
	a.mailbox_count = mbj_read_u64(reader);
	a.subscription_count = mbj_read_u64(reader);
	a.message_count = mbj_read_u64(reader);
	a.message_size = mbj_read_u64(reader);
	if (!mbj_reader_ok(reader))
		return wire_bad(err, "account");
	*ret_account = a;
	return MBJ_OK;
}

void wire_mailbox_encode(struct mbj_buf *buf, const struct mbj_mailbox *mailbox)
{
	mbj_buf_put_id(buf, mailbox->id);
	mbj_buf_put_id(buf, mailbox->parent);
	name_encode(buf, &mailbox->name);
	mbj_buf_put_u32(buf, mailbox->uidvalidity);
	mbj_buf_put_u64(buf, mailbox->rev);
	mbj_buf_put_u8(buf, mailbox->role);
	mbj_buf_put_u8(buf, mailbox->is_selectable);
}

enum mbj_rc wire_mailbox_decode(struct mbj_reader *reader,
				struct mbj_mailbox *ret_mailbox,
				struct mbj_error *err)
{
	struct mbj_mailbox m = {0};

	m.id = mbj_read_id(reader);
	m.parent = mbj_read_id(reader);
	m.name = name_decode(reader);
	m.uidvalidity = mbj_read_u32(reader);
	m.rev = mbj_read_u64(reader);
	m.role = mbj_read_u8(reader);
	m.is_selectable = wire_read_bool(reader);
	if (!mbj_reader_ok(reader) ||
	    mbj_role_name((enum mbj_role)m.role) == NULL)
		return wire_bad(err, "mailbox");
	*ret_mailbox = m;
	return MBJ_OK;
}

void wire_content_encode(struct mbj_buf *buf, const struct mbj_content *content)
{
	mbj_buf_put_u64(buf, content->rev);
	mbj_buf_put_u32(buf, content->births);
	mbj_buf_put_u32(buf, content->uidnext);
	mbj_buf_put_u64(buf, content->modseq);
	mbj_buf_put_id(buf, content->series.mailbox);
	mbj_buf_put_u32(buf, content->series.birth);
	mbj_buf_put_u64(buf, content->message_count);
	mbj_buf_put_u64(buf, content->message_size);
	digest_encode(buf, &content->digest);
}

enum mbj_rc wire_content_decode(struct mbj_reader *reader,
				struct mbj_content *ret_content,
				struct mbj_error *err)
{
	struct mbj_content c = {0};

	c.rev = mbj_read_u64(reader);
	c.births = mbj_read_u32(reader);
	c.uidnext = mbj_read_u32(reader);
	c.modseq = mbj_read_u64(reader);
	c.series.mailbox = mbj_read_id(reader);
	c.series.birth = mbj_read_u32(reader);
	c.message_count = mbj_read_u64(reader);
	c.message_size = mbj_read_u64(reader);
	c.digest = digest_decode(reader);
	if (!mbj_reader_ok(reader))
		return wire_bad(err, "content");
	*ret_content = c;
	return MBJ_OK;
}

void wire_message_encode(struct mbj_buf *buf, const struct mbj_message *message)
{
	unsigned has = message->guid.n > 0 ? MESSAGE_HAS_GUID : 0;

	mbj_buf_put_u32(buf, message->uid);
	mbj_buf_put_u8(buf, (uint8_t)(message->flags | has));
	mbj_buf_put_u64(buf, message->size);
	mbj_buf_put_u64(buf, (uint64_t)message->time);
	mbj_buf_put_u64(buf, message->modseq);
	wire_put_hash(buf, &message->blob);
	wire_text_encode(buf, message->keywords, MBJ_KEYWORDS_MAX);
	if (message->guid.n > 0)
		wire_text_encode(buf, message->guid, MBJ_GUID_MAX);
}

enum mbj_rc wire_message_decode(struct mbj_reader *reader,
				struct mbj_message *ret_message,
				struct mbj_error *err)
{
	struct mbj_message m = {0};
	unsigned flags;

	m.uid = mbj_read_u32(reader);
	flags = mbj_read_u8(reader);
	m.flags = (uint8_t)(flags & ~(unsigned)MESSAGE_HAS_GUID);
	m.size = mbj_read_u64(reader);
	m.time = (int64_t)mbj_read_u64(reader);
	m.modseq = mbj_read_u64(reader);
	m.blob = wire_read_hash(reader);
	m.keywords = mbj_read_block(reader, MBJ_KEYWORDS_MAX);
	if (flags & MESSAGE_HAS_GUID)
		m.guid = mbj_read_block(reader, MBJ_GUID_MAX);
	if (!mbj_reader_ok(reader) || !mbj_keywords_are_good(m.keywords) ||
	    ((flags & MESSAGE_HAS_GUID) && !mbj_guid_is_good(m.guid)) ||
	    (m.flags & ~(unsigned)MBJ_FLAGS_ALL) != 0)
		return wire_bad(err, "message");
	*ret_message = m;
	return MBJ_OK;
}

void wire_node_encode(struct mbj_buf *buf, const struct mbj_node *node)
{
	mbj_buf_put_id(buf, node->id);
	mbj_buf_put_u32(buf, node->parent);
	mbj_buf_put_u32(buf, node->uidvalidity);
	name_encode(buf, &node->name);
	mbj_buf_put_u64(buf, node->rev);
	mbj_buf_put_u8(buf, node->role);
	mbj_buf_put_u8(buf, node->is_selectable);
	mbj_buf_put_u8(buf, node->is_subscribed);
}

enum mbj_rc wire_node_decode(struct mbj_reader *reader,
			     struct mbj_node *ret_node, struct mbj_error *err)
{
	struct mbj_node n = {0};

	n.id = mbj_read_id(reader);
	n.parent = mbj_read_u32(reader);
	n.uidvalidity = mbj_read_u32(reader);
	n.name = name_decode(reader);
	n.rev = mbj_read_u64(reader);
	n.role = mbj_read_u8(reader);
	n.is_selectable = wire_read_bool(reader);
	n.is_subscribed = wire_read_bool(reader);
	n.is_live = true;
	if (!mbj_reader_ok(reader) ||
	    mbj_role_name((enum mbj_role)n.role) == NULL)
		return wire_bad(err, "mailbox of a tree");
	*ret_node = n;
	return MBJ_OK;
}

void wire_attr_encode(struct mbj_buf *buf, const struct mbj_attr *attr)
{
	mbj_buf_put_u8(buf, attr->kind);
	wire_text_encode(buf, attr->name, MBJ_ATTR_NAME_MAX);
	wire_text_encode(buf, attr->value, MBJ_ATTR_VALUE_MAX);
}

enum mbj_rc wire_attr_decode(struct mbj_reader *reader,
			     struct mbj_attr *ret_attr, struct mbj_error *err)
{
	struct mbj_attr a = {.kind = mbj_read_u8(reader)};

	a.name = mbj_read_block(reader, MBJ_ATTR_NAME_MAX);
	a.value = mbj_read_block(reader, MBJ_ATTR_VALUE_MAX);
	if (!mbj_reader_ok(reader) || mbj_attr_kind_name(a.kind) == NULL)
		return wire_bad(err, "attribute");
	*ret_attr = a;
	return MBJ_OK;
}

void wire_path_encode(struct mbj_buf *buf, const struct mbj_path *path)
{
	keyed_encode(buf, path->stored, path->key, (size_t)3 * MBJ_PATH_MAX);
}

enum mbj_rc wire_path_decode(struct mbj_reader *reader,
			     struct mbj_path *ret_path, struct mbj_error *err)
{
	struct mbj_path p;

	keyed_decode(reader, (size_t)3 * MBJ_PATH_MAX, &p.stored, &p.key);
	if (!mbj_reader_ok(reader))
		return wire_bad(err, "subscribed name");
	*ret_path = p;
	return MBJ_OK;
}

void wire_identity_encode(struct mbj_buf *buf,
			  const struct mbj_identity *identity)
{
	mbj_buf_put_u8(buf, (uint8_t)identity->role);
	mbj_buf_put_id(buf, identity->lineage);
	mbj_buf_put_id(buf, identity->instance);
	mbj_buf_put_u64(buf, identity->epoch.v);
	mbj_buf_put_id(buf, identity->epoch_owner);
	mbj_buf_put_u64(buf, identity->anchor.first.v);
	wire_put_hash(buf, &identity->anchor.chain);
}

enum mbj_rc wire_identity_decode(struct mbj_reader *reader,
				 struct mbj_identity *ret_identity,
				 struct mbj_error *err)
{
	struct mbj_identity i = {0};
	unsigned role = mbj_read_u8(reader);

	i.lineage = mbj_read_id(reader);
	i.instance = mbj_read_id(reader);
	i.epoch.v = mbj_read_u64(reader);
	i.epoch_owner = mbj_read_id(reader);
	i.anchor.first.v = mbj_read_u64(reader);
	i.anchor.chain = wire_read_hash(reader);
	if (!mbj_reader_ok(reader) || role < MBJ_STORE_PRIMARY ||
	    role > MBJ_STORE_REPLICA)
		return wire_bad(err, "identity");
	i.role = (enum mbj_store_role)role;
	*ret_identity = i;
	return MBJ_OK;
}

/* --------------------------------------------------------------- intents */

void wire_intent_encode(struct mbj_buf *buf,
			const struct mbj_client_intent *intent)
{
	mbj_buf_put_id(buf, intent->intent.account);
	mbj_buf_put_id(buf, intent->intent.id);
	mbj_buf_put_u64(buf, intent->intent.lsn.v);
	mbj_buf_put_u64(buf, (uint64_t)intent->intent.time);
	wire_text_encode(buf, intent->account, MBJ_ACCOUNT_NAME_MAX);
	wire_text_encode(buf, intent->intent.producer, MBJ_ATTR_NAME_MAX);
	wire_text_encode(buf, intent->intent.body, MBJ_INTENT_SIZE_MAX);
}

enum mbj_rc wire_intent_decode(struct mbj_reader *reader,
			       struct mbj_client_intent *ret_intent,
			       struct mbj_error *err)
{
	struct mbj_intent *intent = &ret_intent->intent;

	intent->account = mbj_read_id(reader);
	intent->id = mbj_read_id(reader);
	intent->lsn.v = mbj_read_u64(reader);
	intent->time = (int64_t)mbj_read_u64(reader);
	ret_intent->account = mbj_read_block(reader, MBJ_ACCOUNT_NAME_MAX);
	intent->producer = mbj_read_block(reader, MBJ_ATTR_NAME_MAX);
	intent->body = mbj_read_block(reader, MBJ_INTENT_SIZE_MAX);
	return mbj_reader_ok(reader) ? MBJ_OK : wire_bad(err, "intent");
}
