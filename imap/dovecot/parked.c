/*
 * Parked mailboxes are in no list that a user sees.  See parked.h.
 */
#include "parked.h"

#include <mail-namespace.h>
#include <mailbox-list-iter.h>
#include <mailbox-list-private.h>
#include <module-context.h>

#include <mbj/types.h>

struct parked_list {
	union mailbox_list_module_context module_ctx;
};

static MODULE_CONTEXT_DEFINE_INIT(parked_list_module,
				  &mailbox_list_module_register);

bool parked_has(const char *vname, const char *prefix, char separator)
{
	struct mbj_id id;
	const char *name;
	size_t n;

	if (!str_begins(vname, prefix))
		return false;
	name = vname + strlen(prefix);
	if (!str_begins(name, PARKED_PREFIX))
		return false;
	name += strlen(PARKED_PREFIX);
	n = strlen(name);
	if (n >= MBJ_ID_TEXT_SIZE && name[MBJ_ID_TEXT_SIZE - 1] == separator)
		n = MBJ_ID_TEXT_SIZE - 1;
	return mbj_id_parse(mbj_bytes_make(name, n), &id);
}

static const struct mailbox_info *
parked_next(struct mailbox_list_iterate_context *ctx)
{
	struct parked_list *mine =
		MODULE_CONTEXT_REQUIRE(ctx->list, parked_list_module);
	const struct mailbox_info *info;

	do {
		info = mine->module_ctx.super.iter_next(ctx);
	} while (info != NULL &&
		 (ctx->flags & MAILBOX_LIST_ITER_RAW_LIST) == 0 &&
		 parked_has(info->vname, ctx->list->ns->prefix,
			    mail_namespace_get_sep(ctx->list->ns)));
	return info;
}

void parked_hide(struct mailbox_list *list)
{
	struct mailbox_list_vfuncs *v = list->vlast;
	struct parked_list *mine = p_new(list->pool, struct parked_list, 1);

	mine->module_ctx.super = *v;
	list->vlast = &mine->module_ctx.super;
	v->iter_next = parked_next;
	MODULE_CONTEXT_SET(list, parked_list_module, mine);
}
