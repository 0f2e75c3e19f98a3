/*
 * Formats of mail: the first byte says which one the others are.
 *
 * An mbox comes apart in the same way however it is cut, and into messages with
 * good keywords; UIDs of a list rise; what is written of a name, a path or a
 * list is what it was made from.
 */
#include <mbj/check.h>
#include <mbj/maildir.h>
#include <mbj/mbox.h>

#include "fuzz.h"

enum { INPUT_MAX = 65536 };

/* All that comes out of an mbox, bodies in one piece. */
static void mbox_run(struct mbj_bytes input, size_t piece, bool is_mboxo,
		     struct mbj_buf *out)
{
	struct mbj_mbox *mbox = NULL;
	enum mbj_mbox_event event;
	struct mbj_bytes body;
	bool is_final = false;

	if (mbj_mbox_new(is_mboxo, &mbox, NULL) < 0)
		return;
	while ((event = mbj_mbox_next(mbox, &body)) != MBJ_MBOX_NONE) {
		size_t n = input.n < piece ? input.n : piece;
		const struct mbj_mbox_message *message = mbj_mbox_message(mbox);

		if (event == MBJ_MBOX_BODY) {
			MBJ_ASSERT(body.n > 0);
			mbj_buf_put_bytes(out, body);
		} else if (event == MBJ_MBOX_END) {
			MBJ_ASSERT(mbj_keywords_are_good(message->keywords));
			mbj_buf_put_bytes(out, message->keywords);
			mbj_buf_format(out, "\001%u,%llu,%lld\001",
				       message->flags,
				       (unsigned long long)message->offset,
				       (long long)message->time);
			FUZZ_CANARY(message->keywords.n > 0 &&
				    message->offset > 0);
		} else if (event == MBJ_MBOX_MORE && is_final) {
			break;
		} else if (event == MBJ_MBOX_MORE) {
			is_final = n == 0;
			mbj_mbox_feed(mbox, mbj_bytes_make(input.p, n));
			input.p += n;
			input.n -= n;
		}
	}
	if (event == MBJ_MBOX_NONE)
		mbj_buf_put_str(out, "none");
	mbj_mbox_free(&mbox);
}

static void mbox_check(struct mbj_bytes input, bool is_mboxo)
{
	size_t piece = input.n > 0 ? 1 + input.p[0] % 61 : 1;
	struct mbj_buf whole, cut;

	mbj_buf_init(&whole, 4 * INPUT_MAX);
	mbj_buf_init(&cut, 4 * INPUT_MAX);
	mbox_run(input, input.n + 1, is_mboxo, &whole);
	mbox_run(input, piece, is_mboxo, &cut);
	MBJ_ASSERT(whole.failed != MBJ_OK ||
		   mbj_bytes_equal(mbj_buf_view(&whole), mbj_buf_view(&cut)));
	mbj_buf_done(&whole);
	mbj_buf_done(&cut);
}

static void uidlist_check(struct mbj_bytes input)
{
	struct mbj_uidlist list;
	struct mbj_uidlist_line line;
	uint32_t last = 0;

	if (mbj_uidlist_begin(input, &list, NULL) < 0)
		return;
	MBJ_ASSERT(list.uidvalidity != 0);
	while (mbj_uidlist_next(&list, &line)) {
		MBJ_ASSERT(line.uid > last && list.uidnext > line.uid &&
			   line.name.n > 0);
		MBJ_ASSERT(line.guid.n < input.n);
		last = line.uid;
	}
}

static void name_check(struct mbj_bytes input)
{
	struct mbj_maildir_name name, back;
	struct mbj_buf buf;

	mbj_buf_init(&buf, 2 * INPUT_MAX);
	mbj_maildir_name_parse(input, &name);
	mbj_maildir_name_put(&buf, &name);
	mbj_maildir_name_parse(mbj_buf_view(&buf), &back);
	MBJ_ASSERT(mbj_bytes_equal(back.base, name.base));
	MBJ_ASSERT(back.flags == name.flags && back.letters == name.letters);
	MBJ_ASSERT(back.is_passed == name.is_passed);
	MBJ_ASSERT(mbj_maildir_name_compare(name.base, back.base) == 0);
	mbj_buf_done(&buf);
}

static void path_check(struct mbj_utf7 *utf7, struct mbj_bytes input)
{
	struct mbj_buf path, name, back;

	mbj_buf_init(&path, 8 * INPUT_MAX);
	mbj_buf_init(&name, 8 * INPUT_MAX);
	mbj_buf_init(&back, 8 * INPUT_MAX);
	if (mbj_maildir_path_parse(utf7, input, &path, NULL) == MBJ_OK &&
	    mbj_maildir_path_put(utf7, mbj_buf_view(&path), &name, NULL) ==
		    MBJ_OK &&
	    name.n > 0) {
		MBJ_ASSERT(mbj_maildir_path_parse(utf7, mbj_buf_view(&name),
						  &back, NULL) == MBJ_OK);
		MBJ_ASSERT(mbj_bytes_equal(mbj_buf_view(&path),
					   mbj_buf_view(&back)));
	}
	mbj_buf_done(&path);
	mbj_buf_done(&name);
	mbj_buf_done(&back);
}

static void lists_check(struct mbj_utf7 *utf7, struct mbj_bytes input)
{
	struct mbj_bytes words[MBJ_MAILDIR_LETTERS];
	struct mbj_maildir_subscriptions list;
	struct mbj_buf path;

	mbj_buf_init(&path, 8 * INPUT_MAX);
	mbj_maildir_keywords_parse(input, words);
	for (size_t i = 0; i < MBJ_MAILDIR_LETTERS; i++)
		MBJ_ASSERT(words[i].n == 0 || mbj_keyword_is_good(words[i]));
	mbj_maildir_subscriptions_begin(input, &list);
	while (mbj_maildir_subscriptions_next(&list, utf7, &path, NULL) !=
	       MBJ_ENOTFOUND)
		MBJ_ASSERT(list.rest.n < input.n);
	mbj_buf_done(&path);
}

/* Each entry of a list is written and read again. */
static void acl_check(struct mbj_bytes input)
{
	struct mbj_maildir_acl line, again;
	struct mbj_bytes rest;
	struct mbj_buf text;
	bool is_lost;
	enum mbj_rc rc;

	mbj_buf_init(&line.name, 2 * INPUT_MAX);
	mbj_buf_init(&again.name, 2 * INPUT_MAX);
	mbj_buf_init(&text, 4 * INPUT_MAX);
	while ((rc = mbj_maildir_acl_next(&input, &line, NULL)) !=
	       MBJ_ENOTFOUND) {
		mbj_buf_clear(&text);
		if (rc != MBJ_OK ||
		    !mbj_maildir_acl_put(&text, mbj_buf_view(&line.name),
					 mbj_bytes_str(line.rights), &is_lost))
			continue;
		rest = mbj_buf_view(&text);
		MBJ_ASSERT(mbj_maildir_acl_next(&rest, &again, NULL) == MBJ_OK);
		MBJ_ASSERT(mbj_bytes_equal(mbj_buf_view(&again.name),
					   mbj_buf_view(&line.name)));
		MBJ_ASSERT(strcmp(again.rights, line.rights) == 0 &&
			   rest.n == 0 && !again.is_cut);
	}
	mbj_buf_done(&line.name);
	mbj_buf_done(&again.name);
	mbj_buf_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mbj_utf7 *utf7 = NULL;
	struct mbj_bytes input;

	if (size == 0 || size > INPUT_MAX)
		return 0;
	input = mbj_bytes_make(data + 1, size - 1);
	switch (data[0]) {
	case 'm':
	case 'o':
		mbox_check(input, data[0] == 'o');
		return 0;
	case 'u':
		uidlist_check(input);
		return 0;
	case 'a':
		acl_check(input);
		return 0;
	case 'n':
		name_check(input);
		return 0;
	default:
		/* A converter takes longer to make than all of the above. */
		if (mbj_utf7_new(&utf7, NULL) < 0)
			return 0;
	}
	if (data[0] == 'p')
		path_check(utf7, input);
	else
		lists_check(utf7, input);
	mbj_utf7_free(&utf7);
	return 0;
}
