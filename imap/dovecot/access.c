/*
 * Dovecot's access control lists.  See access.h.
 */
#include "access.h"

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

static void access_add(ARRAY_TYPE(attribute) * list, const char *name,
		       const char *letters)
{
	const struct attribute attribute = {
		.kind = MBJ_ATTR_ACL,
		.name = mbj_bytes_str(name),
		.value = mbj_bytes_str(letters),
	};

	array_push_back(list, &attribute);
}

bool access_name(const struct acl_rights *rights, ARRAY_TYPE(attribute) * list,
		 const char **ret_why)
{
	const char *name = access_identifier(rights);
	const char *given = "", *taken = "";

	*ret_why = "is taken for something else by IMAP, or is too long, or "
		   "has control characters";
	if (name == NULL)
		return false;
	*ret_why = "has rights that are not IMAP's";
	if (rights->rights != NULL)
		given = access_letters(rights->rights);
	if (rights->neg_rights != NULL)
		taken = access_letters(rights->neg_rights);
	if (given == NULL || taken == NULL)
		return false;
	/* It takes the place of what is less specific, as anyone is not. */
	if (rights->rights != NULL && given[0] == '\0' &&
	    rights->id_type != ACL_ID_ANYONE)
		taken = RIGHTS_ALL;
	if (given[0] != '\0')
		access_add(list, name, given);
	if (taken[0] != '\0')
		access_add(list, t_strconcat("-", name, NULL), taken);
	return true;
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

/* One that has an entry without rights has it in place of others'. */
static bool is_entry_empty(struct acl_object *object,
			   const struct acl_rights *wanted)
{
	const struct acl_backend_vfuncs *v = &object->backend->v;
	struct acl_object_list_iter *iter = v->object_list_init(object);
	struct acl_rights rights;
	bool is_empty = false;

	while (v->object_list_next(iter, &rights))
		if (!rights.global && rights.id_type == wanted->id_type &&
		    null_strcmp(rights.identifier, wanted->identifier) == 0)
			is_empty = rights.rights != NULL &&
				   rights.rights[0] == NULL;
	(void)v->object_list_deinit(iter);
	return is_empty;
}

int access_write(struct mailbox *box, const struct attribute *change,
		 const char **ret_why)
{
	struct acl_object *object = access_of(box);
	const char *name = t_strndup(change->name.p, change->name.n);
	bool is_taken = name[0] == '-';
	const char *const *rights = rights_parse(change->value);
	struct acl_rights_update update;

	memset(&update, 0, sizeof(update));
	update.modify_mode = update.neg_modify_mode = ACL_MODIFY_MODE_REMOVE;
	if (!identifier_parse(name + (is_taken ? 1 : 0), &update.rights)) {
		*ret_why = "Dovecot has no such identifier";
		return -1;
	}
	if (is_taken) {
		update.neg_modify_mode = rights[0] == NULL
						 ? ACL_MODIFY_MODE_CLEAR
						 : ACL_MODIFY_MODE_REPLACE;
		update.rights.neg_rights = rights[0] == NULL ? NULL : rights;
		if (rights[0] == NULL && is_entry_empty(object, &update.rights))
			update.modify_mode = ACL_MODIFY_MODE_CLEAR;
	} else {
		update.modify_mode = rights[0] == NULL
					     ? ACL_MODIFY_MODE_CLEAR
					     : ACL_MODIFY_MODE_REPLACE;
		update.rights.rights = rights[0] == NULL ? NULL : rights;
	}
	*ret_why = "it cannot be written: Dovecot's log says why";
	return object->backend->v.object_update(object, &update);
}
