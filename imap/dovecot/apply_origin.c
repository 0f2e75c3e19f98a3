/*
 * Whose a message is.  See apply_origin.h.
 */
#include "apply_origin.h"

#include <maildir-storage.h>

#include "apply.h"
#include "apply_digest.h"
#include "apply_maildir.h"
#include "apply_mdbox.h"

/* Of the mailbox's index: a byte for each message. */
#define ORIGIN_EXTENSION "mbj-journal"

/* Of a file's name, so that flags have room behind it. */
enum { FILE_GUID_MAX = 200 };

/* ------------------------------------------------------------------- GUIDs */

/*
 * Dovecot's own begin with nanoseconds, which are below 2^30, in little-endian
 * order.
 */
static const uint8_t GUID_KIND[] = {'m', 'b', 'j', 0xff};

void apply_guid(const struct mbj_hash *blob, char text[APPLY_GUID_SIZE])
{
	struct mbj_id id;

	memcpy(id.b, GUID_KIND, sizeof(GUID_KIND));
	memcpy(id.b + sizeof(GUID_KIND), blob->b,
	       sizeof(id.b) - sizeof(GUID_KIND));
	mbj_id_print(id, text);
}

bool apply_guid_is_ours(const char *guid)
{
	const char *digits = t_strcut(guid, '.');
	struct mbj_id id;

	return mbj_id_parse(mbj_bytes_str(digits), &id) &&
	       memcmp(id.b, GUID_KIND, sizeof(GUID_KIND)) == 0;
}

/* Dovecot may make it the name of a file, as it is. */
static bool guid_is_file_name(const char *guid)
{
	return guid[0] != '.' && strlen(guid) <= FILE_GUID_MAX &&
	       strchr(guid, '/') == NULL &&
	       strchr(guid, MAILDIR_INFO_SEP) == NULL;
}

/* dbox keeps 128 bits of it, too, and ends by an assertion where all are 0. */
static bool guid_is_zero(const char *guid)
{
	guid_128_t bits;

	mail_generate_guid_128_hash(guid, bits);
	return guid_128_is_empty(bits);
}

/* Digits of dbox, or a file's name: SECONDS.MUSECONDS "P" PID.HOST */
static bool guid_is_dovecots(const char *guid)
{
	const char *end;
	guid_128_t bits;
	uint64_t number;

	return guid_128_from_string(guid, bits) == 0 ||
	       (str_parse_uint64(guid, &number, &end) == 0 &&
		str_begins(end, ".M") &&
		str_parse_uint64(end + 2, &number, &end) == 0 && *end == 'P' &&
		str_parse_uint64(end + 1, &number, &end) == 0 && *end == '.');
}

/*
 * Dovecot takes what has one GUID and one size for one message when it makes
 * an mdbox's indexes anew, and gives up all but one: files that were put into
 * two folders of a Maildir may have one name, and other bytes.
 */
static bool guid_fits(const struct mailbox *box, const char *guid)
{
	if (maildir_is(box))
		return guid_is_file_name(guid);
	return !guid_is_zero(guid) &&
	       (!mdbox_is(box) || guid_is_dovecots(guid));
}

const char *apply_guid_of(const struct mailbox *box,
			  const struct mbj_message *message)
{
	const char *guid;

	if (message->guid.n == 0)
		return NULL;
	guid = t_strndup(message->guid.p, message->guid.n);
	return guid_fits(box, guid) ? guid : NULL;
}

bool apply_guid_is(const char *guid, const struct mbj_message *message)
{
	char made[APPLY_GUID_SIZE];

	if (message->guid.n > 0 &&
	    mbj_bytes_equal(message->guid, mbj_bytes_str(guid)))
		return true;
	apply_guid(&message->blob, made);
	return strcmp(t_strcut(guid, '.'), made) == 0;
}

/* ------------------------------------------------------------------- marks */

static uint32_t extension_of(struct mailbox *box)
{
	return mail_index_ext_register(box->index, ORIGIN_EXTENSION, 0, 1, 1);
}

static bool mail_is_marked(struct mail *mail)
{
	const uint8_t *mark;
	const void *data;
	bool is_expunged;

	mail_index_lookup_ext(mail->transaction->view, mail->seq,
			      extension_of(mail->box), &data, &is_expunged);
	mark = data;
	return mark != NULL && *mark != 0;
}

void origin_mark(struct mailbox_transaction_context *t, uint32_t seq)
{
	static const uint8_t MARK = 1;

	mail_index_update_ext(t->itrans, seq, extension_of(t->box), &MARK,
			      NULL);
}

void origin_mark_mail(struct mail *mail)
{
	if (!mail_is_marked(mail))
		origin_mark(mail->transaction, mail->seq);
}

/* ----------------------------------------------------------------- listing */

static int guid_order(const guid_128_t *guid,
		      const struct origin_message *message)
{
	return guid_128_cmp(*guid, message->guid);
}

static int message_order(const struct origin_message *a,
			 const struct origin_message *b)
{
	int order = guid_128_cmp(a->guid, b->guid);

	return order != 0 ? order
			  : memcmp(a->blob.b, b->blob.b, sizeof(a->blob.b));
}

/* Returns: 0 once it is the last, -1. */
static int page_list(struct origin *origin, uint32_t uid, uint32_t *ret_next)
{
	struct mbj_client_messages page;
	struct mbj_error err;

	if (mbj_client_messages(origin->apply->client,
				origin->apply->account.id, origin->mailbox, uid,
				0, origin->rev, &page, &err) < 0)
		return -1;
	for (size_t i = 0; i < page.count; i++) {
		struct origin_message message = {.blob = page.messages[i].blob};
		struct mbj_bytes text = page.messages[i].guid;

		if (text.n == 0)
			continue;
		T_BEGIN
		{
			mail_generate_guid_128_hash(t_strndup(text.p, text.n),
						    message.guid);
		}
		T_END;
		array_push_back(&origin->listed, &message);
	}
	*ret_next = page.next_uid;
	mbj_client_messages_done(&page);
	return 0;
}

/* Where it has changed, or there is no answer, nothing is known. */
static void journal_list(struct origin *origin)
{
	uint32_t uid = 1;
	int ret = 0;

	origin->is_listed = true;
	i_array_init(&origin->listed, 64);
	while (ret == 0 && uid != 0)
		ret = page_list(origin, uid, &uid);
	if (ret < 0)
		array_clear(&origin->listed);
	array_sort(&origin->listed, message_order);
}

/*
 * Only where nothing else tells: the index was lost, or the list of UIDs.  What
 * is not known for it stays.  A GUID alone is not enough: a user's own file in
 * a Maildir may be called as one of the journal's was.
 */
static bool journal_has(struct origin *origin, struct mail *mail,
			const char *guid)
{
	struct origin_message message;
	const char *why;

	if (origin->rev == 0)
		return false;
	if (!origin->is_listed)
		journal_list(origin);
	mail_generate_guid_128_hash(guid, message.guid);
	return array_bsearch(&origin->listed, &message.guid, guid_order) !=
		       NULL &&
	       apply_digest(mail, &message.blob, &why) == 0 &&
	       array_bsearch(&origin->listed, &message, message_order) != NULL;
}

void origin_done(struct origin *origin)
{
	if (array_is_created(&origin->listed))
		array_free(&origin->listed);
}

bool origin_is_message(const struct origin *origin, struct mail *mail,
		       const char *guid, const struct mbj_message *message)
{
	return apply_guid_is(guid, message) &&
	       (guid_is_dovecots(guid) || apply_guid_is_ours(guid) ||
		(mail->uid >= origin->doubt && mail_is_marked(mail)));
}

/* A Maildir's file that has no sizes in its name was not named by a GUID. */
static bool note_has_mail(const struct origin *origin, struct mail *mail,
			  const char *guid)
{
	const char *name;

	if (!note_has_message(&origin->apply->note, origin->mailbox, guid))
		return false;
	if (!maildir_is(mail->box))
		return true;
	return mail_get_special(mail, MAIL_FETCH_STORAGE_ID, &name) == 0 &&
	       (strcmp(name, guid) != 0 || maildir_name_has_sizes(name));
}

int origin_look(struct origin *origin, struct mail *mail)
{
	const struct apply_note *note;
	const char *guid;

	if (mail->uid < origin->doubt)
		return 0;
	note = &origin->apply->note;
	if (mail_is_marked(mail) ||
	    note_has_uid(note, origin->mailbox, origin->uidvalidity, mail->uid))
		return 1;
	if (mail_get_special(mail, MAIL_FETCH_GUID, &guid) < 0)
		return -1;
	return apply_guid_is_ours(guid) || note_has_mail(origin, mail, guid) ||
	       (maildir_is(mail->box) && note_has_name(note, guid)) ||
	       journal_has(origin, mail, guid);
}
