/*
 * What Dovecot knows a message by beside its UID, for a replica's to know it
 * by, too (docs/decisions/0061-guids.md).  See mirror_impl.h.
 */
#include "mirror_impl.h"

#include <mbj/message.h>

#include "uidlist.h"

const char *mirror_list_end(struct mirror *mirror)
{
	if (mirror->list_end == NULL)
		mirror->list_end = uidlist_end(mirror->box);
	return mirror->list_end;
}

bool mirror_guid_is_known(struct mirror *mirror,
			  const struct kept_message *kept, uint32_t uid)
{
	bool is_known;

	if (kept->guid[0] != '\0' ||
	    !mbj_client_knows_guids(mirror->content->account->client))
		return true;
	T_BEGIN
	{
		is_known =
			uidlist_end_guid(mirror_list_end(mirror), uid) != NULL;
	}
	T_END;
	return is_known;
}

/* Returns: as mirror_guid. */
static int mail_guid(struct mirror *mirror, const char **ret_guid)
{
	if (mail_get_special(mirror->mail, MAIL_FETCH_GUID, ret_guid) == 0)
		return 1;
	return mirror->mail->expunged
		       ? 0
		       : mirror_why(mirror, t_strdup_printf("message %u of",
							    mirror->mail->uid));
}

int mirror_guid(struct mirror *mirror, const struct kept_message *kept,
		struct content_message *message)
{
	const char *guid = NULL;
	int ret = 1;

	if (!mbj_client_knows_guids(mirror->content->account->client))
		return 1;
	if (kept != NULL && kept->guid[0] != '\0')
		guid = kept->guid;
	else
		guid = uidlist_end_guid(mirror_list_end(mirror), message->uid);
	if (guid == NULL && mirror->mail != NULL)
		ret = mail_guid(mirror, &guid);
	if (guid != NULL && mbj_guid_is_good(mbj_bytes_str(guid)))
		message->guid = mbj_bytes_str(guid);
	return ret;
}
