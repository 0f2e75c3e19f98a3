/*
 * Mail that looks like mail; see bench_text.h.
 *
 * A head has its share of what cannot be packed: ids, dates, a signature in
 * base64.  The text is of some 250 words, picked so that a few are most of it,
 * as words are; no sentence comes twice but by chance.
 */
#include "bench_text.h"

#include <stdint.h>
#include <string.h>

#include <mbj/memory.h>

#include "bench_journal.h"

static const char words[] =
	"the of and to a in that it is was for you he be with on by at have are "
	"not this but had his they from she which or we an there her were one do "
	"been all their has would will what if can when so said who more about "
	"up them some could him into its then two out time like only my did "
	"other me your now over just may these new also people any very know see "
	"first well after should than where back how get most way down our made "
	"got much think work between go years many being those before right "
	"because through yes good three make us such still year must last even "
	"take own too off here come both does say against day here under week "
	"never while same another know old part since house again place world "
	"long number great every go why course point set another found thing "
	"without used four case water however might home small government end "
	"each left group during always party important give something less fact "
	"hand enough system later order school next state things quite development "
	"perhaps second though big meeting report invoice contract attached please "
	"regards project delivery customer question answer schedule tomorrow "
	"Monday Tuesday Thursday Friday budget account mailbox server release "
	"version problem request update review draft figures quarter office "
	"travel hotel ticket flight train lunch coffee garden weather children "
	"holiday birthday family doctor letter phone address street kitchen "
	"window colour music picture book paper story river mountain winter "
	"summer music dinner morning evening minute hour month";

static uint64_t next(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static unsigned below(uint64_t *state, unsigned bound)
{
	return (unsigned)(next(state) % bound);
}

enum { ROOM = 4096 }; /* for a head, and a word too many */

struct text {
	struct mbj_buf bytes;
	uint64_t state;
	unsigned words; /* that there are */
};

static void put_base64(struct text *text, unsigned n)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
		"+/";

	for (unsigned i = 0; i < n; i++)
		mbj_buf_format(&text->bytes, "%c%s",
			       digits[below(&text->state, 64)],
			       i % 72 == 71 ? "\r\n\t" : "");
}

/* The lesser of three numbers: the first words are most of a text. */
static void put_word(struct text *text)
{
	unsigned number = text->words;
	const char *at = words;

	for (int i = 0; i < 3; i++) {
		unsigned other = below(&text->state, text->words);

		number = other < number ? other : number;
	}
	for (; number > 0; number--)
		at = strchr(at, ' ') + 1;
	mbj_buf_format(&text->bytes, "%.*s", (int)strcspn(at, " "), at);
}

static void put_head(struct text *text, unsigned turn)
{
	uint64_t *s = &text->state;
	unsigned from = below(s, 500);
	unsigned to = below(s, 500);
	unsigned host = below(s, 40);
	unsigned day = 1 + below(s, 28);
	unsigned minute = below(s, 60);
	unsigned second = below(s, 60);

	mbj_buf_format(&text->bytes, "Return-Path: <user%u@host%u.example>\r\n",
		       from, host);
	mbj_buf_format(&text->bytes, "Delivered-To: user%u@example.org\r\n",
		       to);
	mbj_buf_format(
		&text->bytes,
		"Received: from mx%u.host%u.example (mx%u.host%u.example "
		"[192.0.2.%u])\r\n\t(using TLSv1.3 with cipher "
		"TLS_AES_256_GCM_SHA384 (256/256 bits))\r\n",
		host % 3, host, host % 3, host, below(s, 255));
	mbj_buf_format(
		&text->bytes,
		"\tby mail.example.org (Postfix) with ESMTPS id %016llX\r\n"
		"\tfor <user%u@example.org>; Fri, %u Nov 2026 10:%02u:%02u +0000\r\n",
		(unsigned long long)next(s), to, day, minute, second);
	mbj_buf_format(
		&text->bytes,
		"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; "
		"d=host%u.example; s=mail;\r\n\tt=%u; h=Date:From:To:Subject; bh=",
		host, 1700000000u + turn * 37);
	put_base64(text, 44);
	mbj_buf_format(&text->bytes, ";\r\n\tb=");
	put_base64(text, 344);
	mbj_buf_format(
		&text->bytes,
		"\r\nDate: Fri, %u Nov 2026 10:%02u:%02u +0000\r\n"
		"From: User %u <user%u@host%u.example>\r\n"
		"To: user%u@example.org\r\nMessage-ID: <%016llx@host%u.example>\r\n",
		day, minute, second, from, from, host, to,
		(unsigned long long)next(s), host);
	mbj_buf_format(&text->bytes,
		       "MIME-Version: 1.0\r\nContent-Type: text/plain; "
		       "charset=UTF-8\r\nContent-Transfer-Encoding: 7bit\r\n"
		       "Subject: Re:");
	for (unsigned i = 0; i < 4; i++) {
		mbj_buf_format(&text->bytes, " ");
		put_word(text);
	}
	mbj_buf_format(&text->bytes, "\r\n\r\n");
}

void bench_text(unsigned turn, char *ret_bytes, size_t n)
{
	struct text text = {.state = turn};
	size_t line = 0;

	for (const char *at = words; at != NULL; at = strchr(at + 1, ' '))
		text.words++;
	mbj_buf_init(&text.bytes, n + ROOM);
	put_head(&text, turn);
	while (text.bytes.n < n && text.bytes.failed == MBJ_OK) {
		put_word(&text);
		mbj_buf_format(&text.bytes, "%s",
			       below(&text.state, 9) == 0 ? ". " : " ");
		if (text.bytes.n - line > 70) {
			mbj_buf_format(&text.bytes, "\r\n");
			line = text.bytes.n;
		}
	}
	if (mbj_buf_ok(&text.bytes, NULL) < 0)
		bench_stop("mail", "cannot be made");
	memcpy(ret_bytes, text.bytes.p, n);
	mbj_buf_done(&text.bytes);
}
