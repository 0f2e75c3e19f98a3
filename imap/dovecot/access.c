/*
 * Dovecot's access control lists.  See access.h.
 */
#include "access.h"

#include "access_order.h"

#include <acl-api-private.h>
#include <acl-plugin.h>
#include <mail-storage-service.h>
#include <module-dir.h>
#include <str.h>

static const struct {
	char letter;
	const char *word;
} RIGHTS[] = {
	{'l', MAIL_ACL_LOOKUP},	       {'r', MAIL_ACL_READ},
	{'s', MAIL_ACL_WRITE_SEEN},    {'w', MAIL_ACL_WRITE},
	{'i', MAIL_ACL_INSERT},	       {'p', MAIL_ACL_POST},
	{'k', MAIL_ACL_CREATE},	       {'x', MAIL_ACL_DELETE},
	{'t', MAIL_ACL_WRITE_DELETED}, {'e', MAIL_ACL_EXPUNGE},
	{'a', MAIL_ACL_ADMIN},
};

/* In the order in which the journal records them. */
static const char RIGHTS_ALL[] = "lrswipkxtea";

_Static_assert(N_ELEMENTS(RIGHTS) == sizeof(RIGHTS_ALL) - 1, "each once");

/* Longer ones end Dovecot's process, with what its file puts before them. */
enum { IDENTIFIER_MAX = ACL_ID_MAX_LEN - sizeof("-group-override=") };

/* Names that are no user's. */
static const struct {
	enum acl_id_type type;
	const char *word;
} WORDS[] = {
	{ACL_ID_ANYONE, ACL_ID_NAME_ANYONE},
	{ACL_ID_AUTHENTICATED, ACL_ID_NAME_AUTHENTICATED},
	{ACL_ID_OWNER, ACL_ID_NAME_OWNER},
};

/* What the others begin with, the longest first. */
static const struct {
	enum acl_id_type type;
	const char *prefix;
} KINDS[] = {
	{ACL_ID_GROUP_OVERRIDE, "!$"},
	{ACL_ID_GROUP, "$"},
	{ACL_ID_USER, ""},
};

/* ---------------------------------------------------------------- plugin */

static struct acl_mailbox *acl_mailbox_of(struct mailbox *box)
{
	struct module *module =
		module_dir_find(mail_storage_service_modules, "acl_plugin");
	typeof(acl_storage_module) *id = NULL;
	void *symbol;

	if (module == NULL)
		return NULL;
	symbol = module_get_symbol(module, "acl_storage_module");
	memcpy(&id, &symbol, sizeof(symbol));
	return id != NULL ? MODULE_CONTEXT(box, *id) : NULL;
}

bool access_is_on(struct mailbox *box)
{
	const struct acl_mailbox *mine = acl_mailbox_of(box);

	return mine != NULL && mine->aclobj != NULL;
}

struct acl_object *access_of(struct mailbox *box)
{
	struct acl_mailbox *mine = acl_mailbox_of(box);

	i_assert(mine != NULL);
	return mine->aclobj;
}

/* --------------------------------------------------------------- reading */

struct mbj_bytes access_known(struct mbj_bytes letters)
{
	uint8_t *known = t_malloc_no0(letters.n + 1);
	size_t n = 0;

	for (size_t k = 0; k < letters.n; k++)
		if (letters.p[k] != 0 &&
		    strchr(RIGHTS_ALL, letters.p[k]) != NULL)
			known[n++] = letters.p[k];
	return n > 0 || letters.n == 0 ? mbj_bytes_make(known, n)
				       : mbj_bytes_str(ACCESS_NONE);
}

struct mbj_bytes access_print(uint32_t rights)
{
	uint8_t *letters = t_malloc_no0(sizeof(RIGHTS_ALL));
	size_t n = 0;

	for (size_t k = 0; RIGHTS_ALL[k] != '\0'; k++) {
		const struct mbj_bytes letter =
			mbj_bytes_make(&RIGHTS_ALL[k], 1);

		if ((rights & access_rights(letter)) != 0)
			letters[n++] = letter.p[0];
	}
	return n > 0 ? mbj_bytes_make(letters, n) : mbj_bytes_str(ACCESS_NONE);
}

const char *access_letters(const char *const *words)
{
	string_t *text = t_str_new(16);
	unsigned int known = 0;

	for (size_t i = 0; i < N_ELEMENTS(RIGHTS); i++)
		if (str_array_find(words, RIGHTS[i].word))
			str_append_c(text, RIGHTS[i].letter);
	for (size_t k = 0; words[k] != NULL; k++)
		for (size_t i = 0; i < N_ELEMENTS(RIGHTS); i++)
			known += strcmp(words[k], RIGHTS[i].word) == 0;
	return known == str_array_length(words) ? str_c(text) : NULL;
}

static bool is_word(const char *name)
{
	for (size_t i = 0; i < N_ELEMENTS(WORDS); i++)
		if (strcmp(name, WORDS[i].word) == 0)
			return true;
	return false;
}

static const char *identifier_print(const struct acl_rights *rights)
{
	const char *name = rights->identifier;

	for (size_t i = 0; i < N_ELEMENTS(WORDS); i++)
		if (rights->id_type == WORDS[i].type)
			return WORDS[i].word;
	if (name == NULL || strlen(name) > IDENTIFIER_MAX)
		return NULL;
	if (rights->id_type == ACL_ID_USER &&
	    (name[0] == '\0' || is_word(name) ||
	     strchr("$-#", name[0]) != NULL || str_begins(name, "!$")))
		return NULL;
	for (size_t i = 0; i < N_ELEMENTS(KINDS); i++)
		if (rights->id_type == KINDS[i].type)
			return t_strconcat(KINDS[i].prefix, name, NULL);
	return NULL;
}

const char *access_identifier(const struct acl_rights *rights)
{
	const char *name = identifier_print(rights);

	if (name == NULL || mbj_identifier_fault(mbj_bytes_str(name)) != NULL)
		return NULL;
	return name;
}

/* What is given, or taken away: NULL is none, which is not no rights. */
static bool access_add(ARRAY_TYPE(attribute) * list, const char *name,
		       const char *const *words)
{
	const char *letters = words == NULL ? "" : access_letters(words);
	struct attribute attribute = {
		.kind = MBJ_ATTR_ACL,
		.name = mbj_bytes_str(name),
	};

	if (words == NULL || letters == NULL)
		return words == NULL;
	attribute.value =
		mbj_bytes_str(letters[0] != '\0' ? letters : ACCESS_NONE);
	array_push_back(list, &attribute);
	return true;
}

bool access_name(const struct acl_rights *rights, ARRAY_TYPE(attribute) * list,
		 const char **ret_why)
{
	const char *name = access_identifier(rights);
	unsigned int count = array_count(list);

	*ret_why = "is taken for something else by IMAP, or is too long, or "
		   "has control characters";
	if (name == NULL)
		return false;
	*ret_why = "has rights that are not IMAP's";
	if (access_add(list, name, rights->rights) &&
	    access_add(list, t_strconcat("-", name, NULL), rights->neg_rights))
		return true;
	array_delete(list, count, array_count(list) - count);
	return false;
}

int access_read(struct mailbox *box, bool is_telling,
		ARRAY_TYPE(attribute) * list)
{
	struct acl_object *object = access_of(box);
	const struct acl_backend_vfuncs *v = &object->backend->v;
	struct acl_object_list_iter *iter = v->object_list_init(object);
	struct acl_rights rights;
	const char *why;

	while (v->object_list_next(iter, &rights)) {
		if (rights.global || access_name(&rights, list, &why))
			continue;
		if (is_telling)
			e_warning(box->event,
				  "mbj: left out: access of %s to %s: it %s",
				  rights.identifier == NULL
					  ? "somebody"
					  : attribute_show(mbj_bytes_str(
						    rights.identifier)),
				  box->vname, why);
	}
	return v->object_list_deinit(iter);
}

/* --------------------------------------------------------------- writing */

static bool identifier_parse(const char *name, struct acl_rights *rights)
{
	for (size_t i = 0; i < N_ELEMENTS(WORDS); i++)
		if (strcmp(name, WORDS[i].word) == 0) {
			rights->id_type = WORDS[i].type;
			return true;
		}
	rights->identifier = name;
	for (size_t i = 0; i < N_ELEMENTS(KINDS); i++)
		if (str_begins(name, KINDS[i].prefix)) {
			rights->id_type = KINDS[i].type;
			rights->identifier = name + strlen(KINDS[i].prefix);
			break;
		}
	return rights->identifier[0] != '\0' && rights->identifier[0] != '#' &&
	       strlen(rights->identifier) <= IDENTIFIER_MAX;
}

/* Letters that are none of Dovecot's are somebody else's rights. */
static const char *const *rights_parse(struct mbj_bytes letters)
{
	ARRAY_TYPE(const_string) words;

	t_array_init(&words, N_ELEMENTS(RIGHTS) + 1);
	for (size_t k = 0; k < letters.n; k++)
		for (size_t i = 0; i < N_ELEMENTS(RIGHTS); i++)
			if ((char)letters.p[k] == RIGHTS[i].letter)
				array_push_back(&words, &RIGHTS[i].word);
	array_append_zero(&words);
	return array_front(&words);
}

/*
 * Dovecot makes no entry without rights, but leaves one.  For as long it gives
 * the one that opens nothing, or denies all.
 */
static int entry_make(struct acl_object *object,
		      struct acl_rights_update update)
{
	if (update.rights.rights != NULL)
		update.rights.rights = rights_parse(mbj_bytes_str("p"));
	else
		update.rights.neg_rights =
			rights_parse(mbj_bytes_str(RIGHTS_ALL));
	return object->backend->v.object_update(object, &update);
}

int access_write(struct mailbox *box, const struct attribute *change,
		 const char **ret_why)
{
	struct acl_object *object = access_of(box);
	const char *name = t_strndup(change->name.p, change->name.n);
	bool is_taken = name[0] == '-';
	const char *const *rights =
		change->value.n == 0 ? NULL : rights_parse(change->value);
	enum acl_modify_mode mode = rights == NULL ? ACL_MODIFY_MODE_CLEAR
						   : ACL_MODIFY_MODE_REPLACE;
	struct acl_rights_update update;

	memset(&update, 0, sizeof(update));
	update.modify_mode = update.neg_modify_mode = ACL_MODIFY_MODE_REMOVE;
	if (!identifier_parse(name + (is_taken ? 1 : 0), &update.rights)) {
		*ret_why = "Dovecot has no such identifier";
		return -1;
	}
	if (is_taken) {
		update.neg_modify_mode = mode;
		update.rights.neg_rights = rights;
	} else {
		update.modify_mode = mode;
		update.rights.rights = rights;
	}
	*ret_why = "it cannot be written: Dovecot's log says why";
	if (rights != NULL && rights[0] == NULL &&
	    entry_make(object, update) < 0)
		return -1;
	return object->backend->v.object_update(object, &update);
}
