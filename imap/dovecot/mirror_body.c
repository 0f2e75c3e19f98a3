/*
 * The bytes of a message, out of Dovecot and into the store.  See
 * mirror_impl.h.
 */
#include "mirror_impl.h"

#include <fcntl.h>
#include <index-mail.h>
#include <istream-crlf.h>
#include <istream.h>
#include <maildir-filename-flags.h>
#include <maildir-filename.h>
#include <maildir-settings.h>
#include <maildir-storage.h>
#include <maildir-uidlist.h>
#include <sha2.h>
#include <sys/stat.h>

#include "uidlist.h"

static bool errno_is_passing(int number)
{
	return number == EIO || number == ESTALE || number == ENOMEM ||
	       number == EMFILE || number == ENFILE;
}

/* Where pieces go: one of these. */
struct body_sink {
	struct mbj_body_writer *writer;
	struct mbj_buf *buf; /* which may become full */
	struct sha256_ctx *sha;
};

static int body_pieces(struct mirror *mirror, struct istream *input,
		       const struct body_sink *sink,
		       struct content_message *message)
{
	const unsigned char *data;
	enum mbj_rc rc = MBJ_OK;
	size_t n;

	message->size = 0;
	while (rc == MBJ_OK && i_stream_read_more(input, &data, &n) > 0) {
		if (sink->writer != NULL)
			rc = mbj_body_write(sink->writer,
					    mbj_bytes_make(data, n),
					    mirror->err);
		else if (sink->buf != NULL)
			mbj_buf_put(sink->buf, data, n);
		else
			sha256_loop(sink->sha, data, n);
		i_stream_skip(input, n);
		message->size += n;
	}
	if (rc < 0)
		return -1;
	if (input->stream_errno != 0) {
		/* Of this process or its machine, not of the message. */
		if (errno_is_passing(input->stream_errno))
			mirror->is_lenient = false;
		mirror->why = t_strdup_printf(
			"cannot read message %u of mailbox %s: %s",
			message->uid, mailbox_get_vname(mirror->box),
			i_stream_get_error(input));
		return -1;
	}
	return 0;
}

static int body_send(struct mirror *mirror, struct istream *input,
		     struct content_message *message)
{
	struct body_sink sink = {.writer = NULL};
	int ret = -1;

	if (mbj_body_begin(mirror->content->account->client, &sink.writer,
			   mirror->err) == MBJ_OK &&
	    body_pieces(mirror, input, &sink, message) == 0 &&
	    mbj_body_finish(&sink.writer, &message->blob, &message->size,
			    mirror->err) == MBJ_OK)
		ret = 0;
	mbj_body_abort(&sink.writer);
	return ret;
}

/* Returns: 1 the store has these bytes, 0 it has not, -1. */
static int body_find(struct mirror *mirror, struct istream *input,
		     struct content_message *message)
{
	struct mbj_body_reader *reader = NULL;
	struct sha256_ctx sha;
	const struct body_sink sink = {.sha = &sha};
	uint64_t size;
	enum mbj_rc rc;

	sha256_init(&sha);
	if (body_pieces(mirror, input, &sink, message) < 0)
		return -1;
	sha256_result(&sha, message->blob.b);
	rc = mbj_body_open(mirror->content->account->client, &message->blob,
			   &reader, &size, mirror->err);
	mbj_body_close(&reader);
	if (rc == MBJ_ENOTFOUND)
		return 0;
	return rc < 0 ? -1 : 1;
}

/*
 * A file's name shows letters for flags; of keywords only Dovecot knows which.
 * Returns: a descriptor, or -1.
 */
static int late_open(struct mail *mail, const char *dir, const char *name,
		     const char **ret_path)
{
	enum mail_flags flags = mail_get_flags(mail) & MAIL_FLAGS_NONRECENT;
	struct stat st;
	int fd;

	*ret_path = t_strconcat(dir, "/new/", name, NULL);
	fd = open(*ret_path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		name = maildir_filename_flags_set(name, flags);
		*ret_path = t_strconcat(dir, "/cur/", name, NULL);
		fd = open(*ret_path, O_RDONLY | O_CLOEXEC);
	}
	if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)))
		i_close_fd(&fd);
	return fd;
}

/*
 * As Dovecot opens it (maildir-mail.c), but for its look into the whole list;
 * which costs nothing where it has that in memory.  Returns: it is open.
 */
static bool late_begin(struct mirror *mirror, const char *dir)
{
	struct mail *mail = mirror->mail;
	const struct maildir_mailbox *maildir = MAILDIR_MAILBOX(mail->box);
	struct index_mail *index_mail = INDEX_MAIL(mail);
	struct index_mail_data *data = &index_mail->data;
	const char *name, *path;
	struct istream *input;
	uoff_t size;
	int fd;

	if (maildir_uidlist_is_read(maildir->uidlist) || data->stream != NULL)
		return false;
	name = uidlist_end_name(mirror_list_end(mirror), mail->uid);
	if (name == NULL || !mail_stream_access_start(mail))
		return false;
	fd = late_open(mail, dir, name, &path);
	if (fd < 0)
		return false;
	data->stream = i_stream_create_fd_autoclose(&fd, 0);
	i_stream_set_name(data->stream, path);
	index_mail_set_read_buffer_size(mail, data->stream);
	if (index_mail->mail.v.istream_opened != NULL &&
	    index_mail->mail.v.istream_opened(mail, &data->stream) < 0) {
		i_stream_unref(&data->stream);
		return false;
	}
	if (!maildir->storage->set->maildir_broken_filename_sizes &&
	    maildir_filename_get_size(name, MAILDIR_EXTRA_FILE_SIZE, &size))
		data->physical_size = size;
	/* Closing one that nobody took has Dovecot panic. */
	return mail_get_stream(mail, NULL, NULL, &input) == 0;
}

void mirror_body_hint(struct mirror *mirror)
{
	struct mail *mail = mirror->mail;
	enum maildir_uidlist_rec_flag flags;
	struct maildir_mailbox *maildir;
	const char *dir, *name;
	struct stat st;

	if (strcmp(mail->box->storage->name, MAILDIR_STORAGE_NAME) != 0 ||
	    mailbox_get_path_to(mail->box, MAILBOX_LIST_PATH_TYPE_MAILBOX,
				&dir) <= 0 ||
	    late_begin(mirror, dir))
		return;
	maildir = MAILDIR_MAILBOX(mail->box);
	if (maildir_uidlist_lookup(maildir->uidlist, mail->uid, &flags, &name) >
		    0 &&
	    stat(t_strconcat(dir, "/new/", name, NULL), &st) == 0)
		maildir_uidlist_add_flags(maildir->uidlist, name,
					  MAILDIR_UIDLIST_REC_FLAG_NEW_DIR);
}

/*
 * From the first byte, with lines as in IMAP.
 * Returns: 1, 0 the message is gone, -1.
 */
static int body_open(struct mirror *mirror, const struct kept_message *kept,
		     struct istream **ret_lines)
{
	struct istream *input;

	if (kept != NULL) {
		input = kept_open(mirror->kept, kept);
		*ret_lines = i_stream_create_crlf(input);
		i_stream_unref(&input);
		return 1;
	}
	if (mail_get_stream(mirror->mail, NULL, NULL, &input) < 0) {
		if (mirror->mail->expunged)
			return 0;
		(void)mirror_why(mirror, t_strdup_printf("message %u of",
							 mirror->mail->uid));
		return -1;
	}
	i_stream_seek(input, 0);
	*ret_lines = i_stream_create_crlf(input);
	return 1;
}

/* It is so short that the outcome takes it along.  Returns: 1, 0, -1. */
static int body_hold(struct mirror *mirror, struct istream *input,
		     struct content_message *message, struct mbj_buf *body)
{
	const struct body_sink sink = {.buf = body};

	i_assert(body != NULL);
	if (body_pieces(mirror, input, &sink, message) < 0)
		return -1;
	if (mbj_buf_ok(body, NULL) == MBJ_OK && body->n > 0)
		return 1;
	mbj_buf_clear(body);
	return 0;
}

int mirror_body_put(struct mirror *mirror, const struct kept_message *kept,
		    bool is_short, struct content_message *message,
		    struct mbj_buf *body)
{
	struct istream *lines;
	int ret;

	/* What was kept was saved, and not linked. */
	if (mirror->is_copied && kept == NULL) {
		ret = body_open(mirror, kept, &lines);
		if (ret <= 0)
			return ret;
		ret = body_find(mirror, lines, message);
		i_stream_unref(&lines);
		if (ret != 0)
			return ret;
	}
	if (is_short && !mbj_id_is_root(mirror->content->intent)) {
		ret = body_open(mirror, kept, &lines);
		if (ret <= 0)
			return ret;
		ret = body_hold(mirror, lines, message, body);
		i_stream_unref(&lines);
		if (ret != 0)
			return ret;
	}
	ret = body_open(mirror, kept, &lines);
	if (ret <= 0)
		return ret;
	ret = body_send(mirror, lines, message);
	i_stream_unref(&lines);
	return ret < 0 ? ret : 1;
}
