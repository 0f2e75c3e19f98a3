/*
 * Messages between their saving and the journal.  See kept.h.
 */
#include "kept.h"

#include <fd-util.h>
#include <index-mail.h>
#include <istream-crlf.h>
#include <istream-private.h>
#include <maildir-storage.h>
#include <safe-mkstemp.h>
#include <str.h>
#include <write-full.h>

enum {
	MESSAGE_MAX = 128 << 10, /* in memory, of one message */
	MEMORY_MAX = 1 << 20,	 /* of a transaction */
	FILE_MAX = 256 << 20,	 /* likewise */
	MESSAGES_MAX = 10000,	 /* behind these nothing is kept */
};

/* A stream of which each byte is kept as it is read the first time. */
struct passing {
	struct istream_private istream;
	struct kept *kept; /* NULL: it is over */
	uoff_t end;	   /* of what has been read */
};

struct kept {
	struct mailbox *box;
	buffer_t *memory;
	int fd; /* of a file without a name; -1: there is none */
	uoff_t file_size;
	ARRAY(struct kept_message) messages;
	bool needs_key;	      /* Dovecot's process may not read what it saves */
	struct passing *open; /* the last message is being saved, or NULL */
	bool is_lost;	      /* and more of it came than is kept */
};

/* With keys of users, or one that only some services have. */
static bool box_needs_key(struct mailbox *box)
{
	const char *plugins = box->storage->user->set->mail_plugins;

	return str_array_find(t_strsplit_spaces(plugins, ", "), "mail_crypt");
}

/* ----------------------------------------------------------------- saving */

static int file_open(struct kept *kept)
{
	string_t *path = t_str_new(128);

	mail_user_set_get_temp_prefix(path, kept->box->storage->user->set);
	kept->fd = safe_mkstemp_hostpid(path, 0600, (uid_t)-1, (gid_t)-1);
	if (kept->fd < 0) {
		e_error(kept->box->event, "mbj: safe_mkstemp(%s) failed: %s",
			str_c(path), strerror(errno));
		return -1;
	}
	fd_close_on_exec(kept->fd, TRUE);
	i_unlink(str_c(path));
	return 0;
}

/* What nobody has ended is written over by the next one. */
static int file_put(struct kept *kept, const void *data, size_t size)
{
	struct kept_message *last = array_back_modifiable(&kept->messages);

	if (last->at + last->size + size > FILE_MAX ||
	    (kept->fd < 0 && file_open(kept) < 0))
		return -1;
	if (pwrite_full(kept->fd, data, size, (off_t)(last->at + last->size)) <
	    0) {
		e_error(kept->box->event,
			"mbj: write of a temporary file failed: %s",
			strerror(errno));
		return -1;
	}
	return 0;
}

/* What is in memory so far goes to the file, or all of it stays. */
static int message_to_file(struct kept *kept)
{
	struct kept_message *last = array_back_modifiable(&kept->messages);
	const struct kept_message was = *last;

	last->is_in_file = true;
	last->at = kept->file_size;
	last->size = 0;
	if (file_put(kept, CONST_PTR_OFFSET(kept->memory->data, was.at),
		     was.size) < 0) {
		*last = was;
		return -1;
	}
	last->size = was.size;
	buffer_set_used_size(kept->memory, was.at);
	return 0;
}

static void message_put(struct kept *kept, const void *data, size_t size)
{
	struct kept_message *last = array_back_modifiable(&kept->messages);

	if (!last->is_in_file && (last->size + size > MESSAGE_MAX ||
				  kept->memory->used + size > MEMORY_MAX)) {
		kept->is_lost = !kept->needs_key || message_to_file(kept) < 0;
		if (kept->is_lost)
			return;
	}
	if (!last->is_in_file)
		buffer_append(kept->memory, data, size);
	else if (file_put(kept, data, size) < 0)
		kept->is_lost = true;
	last->size += size;
}

/*
 * What its storage reads.  Dovecot's own stream of the kind (istream-hash.c)
 * fails where something else reads the stream below, as a client's is.
 */
static ssize_t passing_read(struct istream_private *stream)
{
	struct passing *passing = container_of(stream, struct passing, istream);
	uoff_t offset = stream->istream.v_offset;
	const unsigned char *data;
	size_t size, seen;
	ssize_t ret;

	i_stream_seek(stream->parent, stream->parent_start_offset + offset);
	ret = i_stream_read_copy_from_parent(&stream->istream);
	if (ret <= 0 || passing->kept == NULL)
		return ret;
	data = i_stream_get_data(&stream->istream, &size);
	if (offset > passing->end)
		passing->kept->is_lost = true; /* some was left out */
	if (passing->kept->is_lost || offset + size <= passing->end)
		return ret;
	seen = (size_t)(passing->end - offset);
	message_put(passing->kept, data + seen, size - seen);
	passing->end = offset + size;
	return ret;
}

static void passing_seek(struct istream_private *stream, uoff_t offset,
			 bool mark)
{
	(void)mark;
	stream->istream.v_offset = offset;
	stream->skip = stream->pos = 0;
}

static struct istream *passing_create(struct kept *kept, struct istream *input)
{
	struct passing *passing = i_new(struct passing, 1);

	passing->kept = kept;
	passing->istream.max_buffer_size = input->real_stream->max_buffer_size;
	passing->istream.stream_size_passthrough = TRUE;
	passing->istream.read = passing_read;
	passing->istream.seek = passing_seek;
	passing->istream.istream.readable_fd = input->readable_fd;
	passing->istream.istream.blocking = input->blocking;
	passing->istream.istream.seekable = input->seekable;
	kept->open = passing;
	return i_stream_create(&passing->istream, input, i_stream_get_fd(input),
			       0);
}

/* Whoever reads on is nobody's. */
static void passing_end(struct kept *kept)
{
	struct istream *stream;

	if (kept->open == NULL)
		return;
	kept->open->kept = NULL;
	stream = &kept->open->istream.istream;
	kept->open = NULL;
	i_stream_unref(&stream);
}

struct kept *kept_new(struct mailbox *box)
{
	struct kept *kept = i_new(struct kept, 1);

	kept->box = box;
	kept->memory = buffer_create_dynamic(default_pool, 4096);
	kept->fd = -1;
	kept->needs_key = box_needs_key(box);
	i_array_init(&kept->messages, 4);
	return kept;
}

void kept_free(struct kept **kept)
{
	struct kept *old = *kept;

	if (old == NULL)
		return;
	*kept = NULL;
	passing_end(old);
	buffer_free(&old->memory);
	array_free(&old->messages);
	i_close_fd(&old->fd);
	i_free(old);
}

struct istream *kept_begin(struct kept *kept, unsigned int number,
			   const char *guid, struct istream *input)
{
	struct kept_message message = {
		.number = number,
		.received_date = (time_t)-1,
	};
	struct istream *passing;

	kept_forget(kept, number);
	if (array_count(&kept->messages) >= MESSAGES_MAX) {
		i_stream_ref(input);
		return input;
	}
	message.at = kept->memory->used;
	if (strlen(guid) < sizeof(message.guid))
		memcpy(message.guid, guid, strlen(guid) + 1);
	array_push_back(&kept->messages, &message);
	kept->is_lost = false;
	passing = passing_create(kept, input);
	i_stream_ref(passing); /* one is kept's */
	return passing;
}

void kept_end(struct kept *kept, struct mail *saved)
{
	const struct index_mail *mail = INDEX_MAIL(saved);
	struct kept_message *last;
	bool is_whole;

	if (kept->open == NULL)
		return;
	last = array_back_modifiable(&kept->messages);
	is_whole = kept->open->istream.istream.eof &&
		   kept->open->istream.istream.stream_errno == 0 &&
		   !kept->is_lost;
	passing_end(kept);
	if (!is_whole) {
		kept_forget(kept, last->number);
		return;
	}
	last->received_date = mail->data.received_date;
	if (last->is_in_file)
		kept->file_size = last->at + last->size;
}

void kept_forget(struct kept *kept, unsigned int number)
{
	const struct kept_message *last;

	if (kept == NULL)
		return;
	passing_end(kept);
	while (!array_is_empty(&kept->messages)) {
		last = array_back(&kept->messages);
		if (last->number < number)
			break;
		if (!last->is_in_file)
			buffer_set_used_size(kept->memory, last->at);
		array_pop_back(&kept->messages);
	}
}

/* ---------------------------------------------------------------- reading */

void kept_number(struct kept *kept, const ARRAY_TYPE(seq_range) * uids,
		 unsigned int count)
{
	struct kept_message *message;
	struct seq_range_iter iter;

	if (!array_is_created(uids) || seq_range_count(uids) != count)
		return;
	seq_range_array_iter_init(&iter, uids);
	array_foreach_modifiable(&kept->messages, message)
	{
		(void)seq_range_array_iter_nth(&iter, message->number,
					       &message->uid);
	}
}

static int uid_order(const void *key, const void *element)
{
	const struct kept_message *message = element;
	uint32_t uid = *(const uint32_t *)key;

	return uid < message->uid ? -1 : uid > message->uid;
}

const struct kept_message *kept_find(const struct kept *kept, uint32_t uid)
{
	const struct kept_message *list;
	unsigned int count;

	if (kept == NULL || array_is_empty(&kept->messages))
		return NULL;
	list = array_get(&kept->messages, &count);
	return bsearch(&uid, list, count, sizeof(*list), uid_order);
}

/* As it was written (maildir-save.c, dbox-save.c). */
static bool box_writes_crlf(const struct mailbox *box)
{
	return strcmp(box->storage->name, MAILDIR_STORAGE_NAME) == 0 &&
	       box->storage->set->mail_save_crlf;
}

struct istream *kept_open(const struct kept *kept,
			  const struct kept_message *message)
{
	struct istream *input, *part;

	if (message->is_in_file) {
		input = i_stream_create_fd(kept->fd, IO_BLOCK_SIZE);
		i_stream_seek(input, message->at);
		part = i_stream_create_limit(input, message->size);
	} else {
		input = i_stream_create_from_data(
			CONST_PTR_OFFSET(kept->memory->data, message->at),
			message->size);
		part = input;
		i_stream_ref(part);
	}
	i_stream_unref(&input);
	input = box_writes_crlf(kept->box) ? i_stream_create_crlf(part)
					   : i_stream_create_lf(part);
	i_stream_unref(&part);
	return input;
}
