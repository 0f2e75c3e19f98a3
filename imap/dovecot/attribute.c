/*
 * Attributes of a mailbox, read and compared.  See attribute.h.
 *
 * Dovecot's own functions are asked past its internal attributes, which are
 * settings and no entries.
 */
#include "attribute.h"

#include "access.h"
#include "access_order.h"

#include <istream.h>

#include <mbj/limits.h>
#include <mbj/name.h>

enum { NAME_SHOWN_MAX = 200, ESCAPED_MAX = 8 * NAME_SHOWN_MAX };

static const char SERVER_PREFIX[] = MAILBOX_ATTRIBUTE_PREFIX_DOVECOT_PVT_SERVER;

static const struct {
	enum mail_attribute_type type;
	const char *prefix;
} TYPES[] = {
	{MAIL_ATTRIBUTE_TYPE_PRIVATE, "/private/"},
	{MAIL_ATTRIBUTE_TYPE_SHARED, "/shared/"},
};

/* ---------------------------------------------------------------- names */

bool attribute_name(struct mailbox *box, enum mail_attribute_type type,
		    const char *key, struct attribute *ret_attribute)
{
	const char *prefix = NULL, *name = key;

	if (!MAILBOX_ATTRIBUTE_KEY_IS_USER_ACCESSIBLE(key))
		return false;
	memset(ret_attribute, 0, sizeof(*ret_attribute));
	ret_attribute->kind = MBJ_ATTR_METADATA;
	ret_attribute->key = key;
	if (str_begins(key, SERVER_PREFIX)) {
		if (!box->inbox_user)
			return false;
		ret_attribute->is_account = true;
		name += strlen(SERVER_PREFIX);
	}
	for (size_t i = 0; i < N_ELEMENTS(TYPES); i++)
		if (TYPES[i].type == type)
			prefix = TYPES[i].prefix;
	if (prefix == NULL)
		return false;
	ret_attribute->name =
		mbj_bytes_str(t_str_lcase(t_strconcat(prefix, name, NULL)));
	return true;
}

const char *attribute_key(const struct attribute *attribute,
			  enum mail_attribute_type *ret_type)
{
	const char *name = t_strndup(attribute->name.p, attribute->name.n);

	for (size_t i = 0; i < N_ELEMENTS(TYPES); i++) {
		if (!str_begins(name, TYPES[i].prefix))
			continue;
		*ret_type = TYPES[i].type;
		if (attribute->key != NULL)
			return attribute->key;
		name += strlen(TYPES[i].prefix);
		return attribute->is_account
			       ? t_strconcat(SERVER_PREFIX, name, NULL)
			       : name;
	}
	return NULL;
}

bool attribute_is_internal(const struct attribute *attribute)
{
	enum mail_attribute_type type;
	const char *key = attribute_key(attribute, &type);

	return key != NULL && !MAILBOX_ATTRIBUTE_KEY_IS_USER_ACCESSIBLE(key);
}

const char *attribute_show(struct mbj_bytes name)
{
	struct mbj_buf text;
	const char *shown;

	if (name.n > NAME_SHOWN_MAX)
		name.n = NAME_SHOWN_MAX;
	mbj_buf_init(&text, ESCAPED_MAX);
	mbj_name_escape(&text, name);
	shown = text.failed == MBJ_OK ? t_strndup(text.p, text.n) : "";
	mbj_buf_done(&text);
	return shown;
}

/* Why the journal cannot have it, or NULL (mbj/edit.h). */
static const char *attribute_fault(const struct attribute *attribute)
{
	const char *why = mbj_entry_fault(attribute->name);

	if (why != NULL)
		return t_strconcat("its name ", why, NULL);
	if (attribute->value.n == 0)
		return "it is empty";
	if (attribute->value.n > MBJ_ATTR_VALUE_MAX)
		return "it is longer than 65536 bytes";
	return NULL;
}

/* -------------------------------------------------------------- Dovecot */

static int keys_read(struct mailbox *box, enum mail_attribute_type type,
		     ARRAY_TYPE(const_string) * keys)
{
	struct mailbox_attribute_iter *iter =
		box->v.attribute_iter_init(box, type, "");
	const char *key;

	while ((key = box->v.attribute_iter_next(iter)) != NULL) {
		key = t_strdup(key);
		array_push_back(keys, &key);
	}
	return box->v.attribute_iter_deinit(iter);
}

static int entry_read(struct mailbox *box, enum mail_attribute_type type,
		      const char *key, bool is_telling,
		      ARRAY_TYPE(attribute) * list)
{
	struct mail_attribute_value value;
	struct attribute attribute;
	const char *why;
	int ret;

	if (!attribute_name(box, type, key, &attribute))
		return 0;
	memset(&value, 0, sizeof(value));
	ret = box->v.attribute_get(box, type, key, &value);
	if (value.value_stream != NULL && is_telling)
		e_warning(box->event, "mbj: left out: entry %s is no text",
			  attribute_show(mbj_bytes_str(key)));
	i_stream_unref(&value.value_stream);
	/* It went meanwhile. */
	if (ret <= 0 || value.value == NULL)
		return ret < 0 ? -1 : 0;
	attribute.value = mbj_bytes_str(t_strdup(value.value));
	why = attribute_fault(&attribute);
	if (why == NULL)
		array_push_back(list, &attribute);
	else if (is_telling)
		e_warning(box->event, "mbj: left out: entry %s: %s",
			  attribute_show(mbj_bytes_str(key)), why);
	return 0;
}

static int entries_read(struct mailbox *box, bool is_telling,
			ARRAY_TYPE(attribute) * list)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < N_ELEMENTS(TYPES); i++) {
		ARRAY_TYPE(const_string) keys;
		const char *key;

		t_array_init(&keys, 16);
		ret = keys_read(box, TYPES[i].type, &keys);
		array_foreach_elem(&keys, key)
		{
			if (ret == 0)
				ret = entry_read(box, TYPES[i].type, key,
						 is_telling, list);
		}
	}
	return ret;
}

static int attribute_order(const struct attribute *a, const struct attribute *b)
{
	if (a->is_account != b->is_account)
		return a->is_account ? -1 : 1;
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	return mbj_bytes_compare(a->name, b->name);
}

/* By name; of two whose names differ in case only, one. */
static void attributes_sort(ARRAY_TYPE(attribute) * list)
{
	array_sort(list, attribute_order);
	for (unsigned int i = array_count(list); i > 1; i--)
		if (attribute_order(array_idx(list, i - 2),
				    array_idx(list, i - 1)) == 0)
			array_delete(list, i - 1, 1);
}

/*
 * What stays longest where there are too many: who is kept out, then what is
 * given, the most specific first: nobody has what that stood in place of.
 */
enum attribute_class {
	CLASS_DENIAL,
	CLASS_GRANT,
	CLASS_ENTRY = CLASS_GRANT + ACCESS_RANKS,
	CLASS_COUNT
};

static enum attribute_class attribute_class(const struct attribute *attribute)
{
	if (attribute->kind != MBJ_ATTR_ACL)
		return CLASS_ENTRY;
	if (access_is_denial(attribute->name) ||
	    mbj_bytes_equal(attribute->value, mbj_bytes_str(ACCESS_NONE)))
		return CLASS_DENIAL;
	return CLASS_ENTRY - 1 - access_rank(attribute->name);
}

/* As many of each class as the journal takes, the account's or a mailbox's. */
static void room_share(const ARRAY_TYPE(attribute) * list, bool is_account,
		       size_t room[CLASS_COUNT])
{
	size_t left =
		is_account ? MBJ_ACCOUNT_ATTRS_MAX : MBJ_MAILBOX_ATTRS_MAX;
	const struct attribute *attribute;

	memset(room, 0, CLASS_COUNT * sizeof(*room));
	array_foreach(list, attribute)
	{
		if (attribute->is_account == is_account)
			room[attribute_class(attribute)]++;
	}
	for (int i = 0; i < CLASS_COUNT; i++) {
		room[i] = I_MIN(room[i], left);
		left -= room[i];
	}
}

/* What is beyond the bounds of the journal is left out, and named. */
static void attributes_bound(struct mailbox *box, ARRAY_TYPE(attribute) * list)
{
	size_t room[2][CLASS_COUNT];
	ARRAY_TYPE(attribute) kept;
	const struct attribute *attribute;

	room_share(list, false, room[0]);
	room_share(list, true, room[1]);
	t_array_init(&kept, array_count(list) + 1);
	array_foreach(list, attribute)
	{
		size_t *left = &room[attribute->is_account]
				    [attribute_class(attribute)];

		if (*left > 0) {
			array_push_back(&kept, attribute);
			(*left)--;
			continue;
		}
		e_warning(box->event,
			  "mbj: left out: %s %s of %s: the journal has no "
			  "more than %d of a mailbox",
			  attribute->kind == MBJ_ATTR_ACL ? "access of"
							  : "entry",
			  attribute_show(attribute->name), box->vname,
			  attribute->is_account ? (int)MBJ_ACCOUNT_ATTRS_MAX
						: (int)MBJ_MAILBOX_ATTRS_MAX);
	}
	*list = kept;
}

/* One dictionary for all of a user's, that of INBOX's storage. */
static bool has_dictionary(const struct mailbox *box)
{
	struct mail_storage *inbox = mail_namespace_get_default_storage(
		mail_namespace_find_inbox(box->storage->user->namespaces));

	return inbox->set->mail_attribute_dict[0] != '\0';
}

bool attributes_can_be(struct mailbox *box)
{
	return has_dictionary(box) || access_is_on(box);
}

int attributes_read(struct mailbox *box, bool is_telling,
		    struct attributes *ret_list, const char **ret_why)
{
	t_array_init(&ret_list->list, 16);
	ret_list->has_entries = has_dictionary(box);
	ret_list->has_acl = access_is_on(box);
	if (ret_list->has_entries &&
	    entries_read(box, is_telling, &ret_list->list) < 0) {
		*ret_why = t_strdup_printf(
			"cannot read METADATA of mailbox %s: %s", box->vname,
			mailbox_get_last_internal_error(box, NULL));
		return -1;
	}
	if (ret_list->has_acl &&
	    access_read(box, is_telling, &ret_list->list) < 0) {
		*ret_why = t_strdup_printf("cannot read the access control "
					   "list of mailbox %s",
					   box->vname);
		return -1;
	}
	attributes_sort(&ret_list->list);
	if (is_telling)
		attributes_bound(box, &ret_list->list);
	return 0;
}

/* -------------------------------------------------------------- journal */

static struct mbj_bytes bytes_copy(struct mbj_bytes from)
{
	uint8_t *to = t_malloc_no0(from.n + 1);

	if (from.n > 0)
		memcpy(to, from.p, from.n);
	to[from.n] = '\0';
	return mbj_bytes_make(to, from.n);
}

/* Rights that Dovecot has not are nobody's here, and no difference. */
static struct mbj_bytes value_copy(const struct mbj_attr *attr)
{
	return attr->kind == MBJ_ATTR_ACL ? access_known(attr->value)
					  : bytes_copy(attr->value);
}

enum mbj_rc attributes_fetch(struct mbj_client *client,
			     struct mbj_bytes account, struct mbj_bytes path,
			     bool is_inbox, struct mbj_id *ret_mailbox,
			     struct attributes *ret_list, struct mbj_error *err)
{
	const struct mbj_bytes paths[] = {path, mbj_bytes_str("")};
	enum mbj_rc rc = MBJ_OK;

	t_array_init(&ret_list->list, 16);
	ret_list->has_entries = ret_list->has_acl = true;
	for (size_t i = 0; rc == MBJ_OK && i < (is_inbox ? 2 : 1); i++) {
		struct mbj_client_attrs found = {.count = 0};

		rc = mbj_client_attrs(client, account, paths[i], &found, err);
		if (rc < 0)
			return rc;
		if (i == 0)
			*ret_mailbox = found.mailbox.id;
		for (size_t k = 0; k < found.count; k++) {
			const struct attribute attribute = {
				.is_account = i == 1,
				.kind = found.attrs[k].kind,
				.name = bytes_copy(found.attrs[k].name),
				.value = value_copy(&found.attrs[k]),
			};

			array_push_back(&ret_list->list, &attribute);
		}
		mbj_client_attrs_done(&found);
	}
	attributes_sort(&ret_list->list);
	return rc;
}

/* ------------------------------------------------------------ comparing */

static bool can_have(const struct attributes *list, uint8_t kind)
{
	return kind == MBJ_ATTR_ACL
		       ? list->has_acl
		       : kind == MBJ_ATTR_METADATA && list->has_entries;
}

static const struct mbj_bytes NOTHING = {NULL, 0};

static bool is_subset(struct mbj_bytes few, struct mbj_bytes many)
{
	for (size_t i = 0; i < few.n; i++)
		if (many.n == 0 || memchr(many.p, few.p[i], many.n) == NULL)
			return false;
	return true;
}

/* From before to the change: see enum attribute_turn. */
static enum attribute_turn turn_of(const struct attribute *change,
				   struct mbj_bytes before)
{
	struct mbj_bytes none = mbj_bytes_str(ACCESS_NONE);
	bool is_less = mbj_bytes_equal(change->value, none) ||
		       is_subset(change->value, before);

	if (change->kind != MBJ_ATTR_ACL)
		return change->value.n == 0 ? TURN_ENTRY_GOES : TURN_ENTRY;
	/* What it stood in place of is there again. */
	if (change->value.n == 0 && mbj_bytes_equal(before, none))
		is_less = false;
	if (access_is_denial(change->name))
		return is_less ? TURN_GIVE : TURN_DENY;
	return is_less ? TURN_TAKE : TURN_GIVE;
}

static int change_order(const struct attribute *a, const struct attribute *b)
{
	if (a->turn != b->turn)
		return a->turn < b->turn ? -1 : 1;
	if (a->turn == TURN_GIVE &&
	    access_rank(a->name) != access_rank(b->name))
		return access_rank(a->name) > access_rank(b->name) ? -1 : 1;
	return attribute_order(a, b);
}

/* An entry of one list or of both: NULL where it is not. */
struct attribute_pair {
	const struct attribute *have, *wanted;
};
ARRAY_DEFINE_TYPE(attribute_pair, struct attribute_pair);

/* Both are by name, and so are these. */
static void pairs_make(const struct attributes *have,
		       const struct attributes *wanted,
		       ARRAY_TYPE(attribute_pair) * ret_pairs)
{
	unsigned int h_count, w_count, i = 0, k = 0;
	const struct attribute *h = array_get(&have->list, &h_count);
	const struct attribute *w = array_get(&wanted->list, &w_count);

	t_array_init(ret_pairs, h_count + w_count + 1);
	while (i < h_count || k < w_count) {
		int order = i == h_count   ? 1
			    : k == w_count ? -1
					   : attribute_order(&h[i], &w[k]);
		const struct attribute_pair pair = {
			.have = order <= 0 ? &h[i++] : NULL,
			.wanted = order >= 0 ? &w[k++] : NULL,
		};

		array_push_back(ret_pairs, &pair);
	}
}

void attributes_compare(const struct attributes *have,
			const struct attributes *wanted,
			ARRAY_TYPE(attribute) * ret_changes)
{
	ARRAY_TYPE(attribute_pair) pairs;
	const struct attribute_pair *pair;

	t_array_init(ret_changes, 16);
	pairs_make(have, wanted, &pairs);
	array_foreach(&pairs, pair)
	{
		const struct attribute *h = pair->have, *w = pair->wanted;
		struct attribute change = w != NULL ? *w : *h;

		if (h != NULL && w != NULL &&
		    mbj_bytes_equal(h->value, w->value))
			continue;
		if (w == NULL)
			change.value.n = 0;
		change.turn = turn_of(&change, h != NULL ? h->value : NOTHING);
		/* Dovecot's own name of it, in whatever case. */
		if (h != NULL && change.key == NULL)
			change.key = h->key;
		if (can_have(have, change.kind) &&
		    can_have(wanted, change.kind))
			array_push_back(ret_changes, &change);
	}
	array_sort(ret_changes, change_order);
}

/* --------------------------------------------------------- in between */

static struct access_value access_value(const struct attribute *attribute)
{
	return (struct access_value){
		.is_there = attribute != NULL,
		.rights =
			attribute != NULL ? access_rights(attribute->value) : 0,
	};
}

static struct access_change access_change(const struct attribute_pair *pair)
{
	const struct attribute *either =
		pair->have != NULL ? pair->have : pair->wanted;

	return (struct access_change){
		.rank = access_rank(either->name),
		.is_denial = access_is_denial(either->name),
		.before = access_value(pair->have),
		.after = access_value(pair->wanted),
	};
}

static bool is_access(const struct attribute_pair *pair)
{
	return (pair->have != NULL ? pair->have : pair->wanted)->kind ==
	       MBJ_ATTR_ACL;
}

/* What is as it was, or is to be, is so to the letter. */
static void meantime_add(const struct attribute_pair *pair,
			 const struct access_change *change,
			 ARRAY_TYPE(attribute) * list)
{
	const struct attribute *have = pair->have, *wanted = pair->wanted;
	uint32_t rights = change->meantime.rights;
	struct attribute entry = have != NULL ? *have : *wanted;

	if (!change->meantime.is_there)
		return;
	if (wanted != NULL && change->after.rights == rights)
		entry = *wanted;
	else if (have == NULL || change->before.rights != rights)
		entry.value = access_print(rights);
	array_push_back(list, &entry);
}

void attributes_meantime(const struct attributes *have,
			 const struct attributes *wanted,
			 struct attributes *ret_list)
{
	ARRAY_TYPE(attribute_pair) pairs;
	const struct attribute_pair *pair;
	struct access_change *changes;
	size_t count = 0, at = 0;

	pairs_make(have, wanted, &pairs);
	changes = t_new(struct access_change, array_count(&pairs) + 1);
	*ret_list = (struct attributes){.has_entries = have->has_entries,
					.has_acl = have->has_acl};
	t_array_init(&ret_list->list, array_count(&pairs) + 1);
	array_foreach(&pairs, pair)
	{
		if (is_access(pair))
			changes[count++] = access_change(pair);
	}
	access_meantime(changes, count);
	array_foreach(&pairs, pair)
	{
		if (is_access(pair))
			meantime_add(pair, &changes[at++], &ret_list->list);
		else if (pair->wanted != NULL)
			array_push_back(&ret_list->list, pair->wanted);
	}
}

struct mbj_metadata_edit attribute_step(const struct attribute *attribute,
					struct mbj_id mailbox)
{
	return (struct mbj_metadata_edit){
		.kind = attribute->kind == MBJ_ATTR_ACL ? MBJ_METADATA_ACL
			: attribute->is_account ? MBJ_METADATA_ACCOUNT_ENTRY
						: MBJ_METADATA_ENTRY,
		.mailbox = attribute->is_account ? MBJ_ID_ROOT : mailbox,
		.name = attribute->name,
		.value = attribute->value,
		.is_removed = attribute->value.n == 0,
	};
}
