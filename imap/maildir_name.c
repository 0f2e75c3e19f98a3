/*
 * Names of message files: "base:2,flags".  The base has a time first and is
 * what a message is known by; the flags come and go by rename(2).
 *
 * Invariant: a name of our own making parses to what it was made from.
 *
 * Threads: pure functions.
 */
#include <mbj/check.h>
#include <mbj/maildir.h>

static const struct {
	char letter;
	uint8_t flag;
} letters[] = {
	{'D', MBJ_FLAG_DRAFT},	  {'F', MBJ_FLAG_FLAGGED},
	{'R', MBJ_FLAG_ANSWERED}, {'S', MBJ_FLAG_SEEN},
	{'T', MBJ_FLAG_DELETED},
};

enum { LETTER_COUNT = sizeof(letters) / sizeof(letters[0]) };

static void letter_take(char letter, struct mbj_maildir_name *name)
{
	if (letter >= 'a' && letter <= 'z')
		name->letters |= 1u << (letter - 'a');
	else if (letter == 'P')
		name->is_passed = true;
	for (size_t i = 0; i < LETTER_COUNT; i++)
		if (letters[i].letter == letter)
			name->flags |= letters[i].flag;
}

void mbj_maildir_name_parse(struct mbj_bytes name,
			    struct mbj_maildir_name *ret_name)
{
	const uint8_t *colon = name.n > 0 ? memchr(name.p, ':', name.n) : NULL;
	size_t at;

	*ret_name = (struct mbj_maildir_name){.base = name};
	if (colon == NULL)
		return;
	ret_name->base.n = (size_t)(colon - name.p);
	at = ret_name->base.n + 1;
	if (name.n < at + 2 || memcmp(name.p + at, "2,", 2) != 0)
		return;
	/* Behind a second comma there is what others put there. */
	for (at += 2; at < name.n && name.p[at] != ','; at++)
		letter_take((char)name.p[at], ret_name);
}

void mbj_maildir_name_put(struct mbj_buf *buf,
			  const struct mbj_maildir_name *name)
{
	MBJ_ASSERT(name->letters < 1u << MBJ_MAILDIR_LETTERS);
	mbj_buf_put_bytes(buf, name->base);
	mbj_buf_put_str(buf, ":2,");
	for (size_t i = 0; i < LETTER_COUNT; i++) {
		/* ASCII order: D F P R S T, then a to z. */
		if (letters[i].letter == 'R' && name->is_passed)
			mbj_buf_put_str(buf, "P");
		if (name->flags & letters[i].flag)
			mbj_buf_put(buf, &letters[i].letter, 1);
	}
	for (unsigned i = 0; i < MBJ_MAILDIR_LETTERS; i++)
		if (name->letters & 1u << i)
			mbj_buf_put_u8(buf, (uint8_t)('a' + i));
}

/* The digits that a name begins with, without zeroes in front. */
static struct mbj_bytes name_time(struct mbj_bytes name)
{
	size_t n = 0;

	while (name.n > 0 && name.p[0] == '0') {
		name.p++;
		name.n--;
	}
	while (n < name.n && name.p[n] >= '0' && name.p[n] <= '9')
		n++;
	return mbj_bytes_make(name.p, n);
}

int mbj_maildir_name_compare(struct mbj_bytes a, struct mbj_bytes b)
{
	struct mbj_bytes a_time = name_time(a), b_time = name_time(b);
	int order;

	if (a_time.n != b_time.n)
		return a_time.n < b_time.n ? -1 : 1;
	order = mbj_bytes_compare(a_time, b_time);
	return order != 0 ? order : mbj_bytes_compare(a, b);
}
